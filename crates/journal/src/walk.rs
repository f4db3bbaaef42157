//! Reads the segments of a directory, without changing anything.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use plimsoll_host::{File, Files, OpenMode};
use plimsoll_model::{Error, ErrorKind, Result, ResultExt, WriterId};

use crate::{
    config::SEGMENT_BYTES_MAX,
    header::{BadHeader, HEADER_BYTES, Header},
    replay::{Chain, Cut, Replay},
    segment::{Name, Segment, corrupt, live_name},
};

/// No journal grows so far. Beyond, going on could overflow.
const BASE_MAX: u64 = u64::MAX / 2;

/// What is in a directory.
pub(crate) struct Walk {
    pub(crate) volume: [u8; 16],
    pub(crate) writer: WriterId,
    /// The segments with valid frames, ascending; and the oldest one also without any.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Later segments, ascending: not begun, or dropped.
    pub(crate) later: Vec<PathBuf>,
    pub(crate) chain: Chain,
    pub(crate) cut: Option<Cut>,
}

impl Walk {
    pub(crate) fn into_replay(self) -> Replay {
        Replay {
            volume: self.volume,
            writer: self.writer,
            last: self.chain.last,
            commits: self.chain.commits,
            marks: self.chain.marks,
            cut: self.cut,
        }
    }
}

/// The journal's own names in a directory.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) live: Vec<u32>,
    pub(crate) spare: Vec<PathBuf>,
    pub(crate) fresh: Vec<PathBuf>,
}

/// Lists a directory; `None` if there is none.
pub(crate) fn list(files: &dyn Files, dir: &Path) -> Result<Option<Listing>> {
    let names = match files.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.doing("listing the journal", dir.display())?,
    };
    let mut listing = Listing::default();
    for name in names {
        match Name::parse(&name) {
            Some(Name::Live(seq)) => listing.live.push(seq),
            Some(Name::Spare) => listing.spare.push(dir.join(name)),
            Some(Name::Fresh) => listing.fresh.push(dir.join(name)),
            None => {}
        }
    }
    listing.live.sort_unstable();
    Ok(Some(listing))
}

/// Reads the segments `live`, ascending. `None` if there are none.
pub(crate) fn walk(files: &dyn Files, dir: &Path, live: &[u32], mode: OpenMode) -> Result<Option<Walk>> {
    let mut chain = Chain::default();
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(live.len());
    let mut bytes = Vec::new();
    for seq in live {
        let path = dir.join(live_name(*seq));
        let file = files.open(&path, mode).doing("opening a journal segment", path.display())?;
        read_whole(&*file, &path, &mut bytes)?;
        let header = header(&path, &bytes)?;
        check_successor(&path, *seq, &header, segments.last().map(|segment| &segment.header))?;
        chain.take(&path, &header, &bytes)?;
        segments.push(Segment::new(path, file, header, bytes.len() as u64));
    }
    let cut = chain.finish()?;
    let Some(oldest) = segments.first() else { return Ok(None) };
    let (volume, writer) = (oldest.header.volume, oldest.header.writer);
    let later = segments.split_off(chain.needed_by.len());
    let later = later.into_iter().map(|segment| segment.path.clone()).collect();
    for (segment, last) in segments.iter().zip(&chain.needed_by) {
        segment.needed_by(*last);
    }
    Ok(Some(Walk { volume, writer, segments, later, chain, cut }))
}

fn read_whole(file: &dyn File, path: &Path, bytes: &mut Vec<u8>) -> Result<()> {
    const DOING: &str = "reading a journal segment";
    // A segment's capacity has a ceiling, and no frame lies beyond the capacity.
    let len = file.len().doing(DOING, path.display())?.min(SEGMENT_BYTES_MAX);
    bytes.clear();
    bytes.resize(usize::try_from(len).expect("BUG: a segment fits into memory"), 0);
    let read = file.read_at(bytes, 0).doing(DOING, path.display())?;
    bytes.truncate(read);
    Ok(())
}

fn header(path: &Path, bytes: &[u8]) -> Result<Header> {
    let header = Header::decode(bytes).map_err(|bad| match bad {
        BadHeader::Damaged(why) => corrupt(path, 0, why),
        BadHeader::Version(version) => Error::new(ErrorKind::Unsupported, "reading the journal")
            .object(path.display().to_string())
            .why(format!("written in format version {version}"))
            .hint("open it with the newer build that wrote it"),
    })?;
    if !(HEADER_BYTES as u64..=SEGMENT_BYTES_MAX).contains(&header.capacity) || header.base.0 > BASE_MAX {
        return Err(corrupt(path, 0, "an impossible segment size"));
    }
    Ok(header)
}

fn check_successor(path: &Path, seq: u32, header: &Header, before: Option<&Header>) -> Result<()> {
    if header.seq != seq {
        return Err(corrupt(path, 0, format_args!("the header says segment {:x}", header.seq)));
    }
    let Some(before) = before else { return Ok(()) };
    if before.seq.checked_add(1) != Some(seq) {
        return Err(corrupt(path, 0, format_args!("the segment after {:x} is missing", before.seq)));
    }
    if (before.volume, before.writer) != (header.volume, header.writer) {
        return Err(corrupt(path, 0, "it is from another journal than the segment before"));
    }
    if before.end() != header.base {
        return Err(corrupt(path, 0, format_args!("it starts at position {}, expected {}", header.base, before.end())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plimsoll_host::sim_disk::SimDisk;

    use super::*;
    use crate::Position;

    #[test]
    fn a_segment_that_begins_where_no_journal_reaches_is_refused() {
        let dir = Path::new("/journal");
        let found = |base| {
            let header = Header {
                recycled: false,
                seq: 1,
                salt: 5,
                base: Position(base),
                capacity: 4 << 10,
                volume: [7; 16],
                writer: WriterId(42),
            };
            let disk = SimDisk::new();
            disk.create_dir_all(dir).unwrap();
            let file = disk.open(&dir.join(live_name(1)), OpenMode::CreateNew).unwrap();
            file.write_all_at(&header.encode(), 0).unwrap();
            walk(&disk, dir, &[1], OpenMode::Read).map(drop).map_err(|error| error.kind())
        };
        assert_eq!(found(BASE_MAX), Ok(()));
        assert_eq!(found(BASE_MAX + 1), Err(ErrorKind::Corrupt));
        assert_eq!(found(u64::MAX), Err(ErrorKind::Corrupt));
    }
}
