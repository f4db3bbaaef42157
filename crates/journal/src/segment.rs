//! One open segment file.

use std::{
    cell::RefCell,
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use plimsoll_host::File;
use plimsoll_model::{Error, ErrorKind, Lsn, PageNo, Result, ResultExt};

use crate::{
    Position,
    frame::{Content, Decoded, FRAME_HEADER_BYTES, decode},
    header::Header,
    poison::Poison,
};

pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) header: Header,
    /// Up to where there were bytes in the file when it was opened.
    pub(crate) filled: u64,
    /// The last commit that needs this segment, as LSN.
    last: AtomicU64,
    /// Held while the file is synced.
    syncing: Mutex<()>,
}

impl Segment {
    pub(crate) fn new(path: PathBuf, file: Arc<dyn File>, header: Header, filled: u64) -> Arc<Self> {
        Arc::new(Segment { path, file, header, filled, last: AtomicU64::new(0), syncing: Mutex::new(()) })
    }

    /// Position of an offset in the file.
    pub(crate) fn position(&self, offset: u64) -> Position {
        Position(self.header.base.0 + offset)
    }

    pub(crate) fn last(&self) -> Lsn {
        Lsn(self.last.load(Ordering::Acquire))
    }

    /// Notes that commit `lsn` has a frame here.
    pub(crate) fn needed_by(&self, lsn: Lsn) {
        self.last.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Syncs the file. The system tells of bytes that it could not write once, to whoever syncs next, and takes them for written
    /// from then on: so nobody else syncs until what one was told is known to all.
    pub(crate) fn sync(&self, poison: &Poison, doing: &'static str) -> Result<()> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        poison.check()?;
        self.file.sync().doing(doing, self.path.display()).map_err(|error| poison.with(error))
    }

    /// Reads the page frame at `offset` and checks it.
    pub(crate) fn read_page(&self, offset: u64, page: PageNo, out: &mut [u8]) -> Result<()> {
        thread_local! {
            /// Header and page are read in one go, which costs a copy and saves a system call.
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let len = FRAME_HEADER_BYTES + out.len();
            if scratch.len() < len {
                scratch.resize(len, 0);
            }
            let bytes = &mut scratch[..len];
            let read =
                self.file.read_at(bytes, offset).doing("reading a page from the journal", self.path.display())?;
            match decode(&bytes[..read], self.header.salt, offset) {
                Decoded::Frame(frame) => match frame.content {
                    Content::Page { page: found, bytes } if found == page && bytes.len() == out.len() => {
                        out.copy_from_slice(bytes);
                        Ok(())
                    }
                    Content::Page { page: found, bytes } => Err(self.corrupt(
                        offset,
                        format!("holds page {found} of {} bytes, not page {page} of {}", bytes.len(), out.len()),
                    )),
                    _ => Err(self.corrupt(offset, format!("holds no page, expected page {page}"))),
                },
                Decoded::Nothing => Err(self.corrupt(offset, format!("the frame of page {page} fails its checksum"))),
                Decoded::Senseless(why) => Err(self.corrupt(offset, why.to_owned())),
            }
        })
    }

    pub(crate) fn corrupt(&self, offset: u64, why: String) -> Error {
        corrupt(&self.path, offset, why)
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({}, {:?})", self.path.display(), self.header)
    }
}

pub(crate) fn corrupt(path: &Path, offset: u64, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, "reading the journal")
        .object(path.display().to_string())
        .why(format!("at byte {offset}: {why}"))
        .hint("nothing was changed; keep the directory, and open the volume on another host to go on from the object store")
}

/// The name of a live segment.
pub(crate) fn live_name(seq: u32) -> String {
    format!("{seq:016x}.wal")
}

/// The name of a released segment that waits for reuse.
pub(crate) fn spare_name(seq: u32) -> String {
    format!("{seq:016x}.spare")
}

/// The name of a file that is being made into a segment.
pub(crate) fn fresh_name(seq: u32) -> String {
    format!("{seq:016x}.fresh")
}

/// What a name in the directory stands for; `None` if it is not the journal's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Live(u32),
    Spare,
    Fresh,
}

impl Name {
    pub(crate) fn parse(name: &str) -> Option<Name> {
        let (seq, _) = name.split_once('.')?;
        let seq = u64::from_str_radix(seq, 16).ok().filter(|_| seq.len() == 16)?;
        let seq = u32::try_from(seq).ok()?;
        [(live_name(seq), Name::Live(seq)), (spare_name(seq), Name::Spare), (fresh_name(seq), Name::Fresh)]
            .into_iter()
            .find_map(|(expected, meaning)| (expected == name).then_some(meaning))
    }
}

/// Treats a file that is gone already as removed.
pub(crate) fn gone_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_journal_makes_are_its_own() {
        assert_eq!(Name::parse(&live_name(0xab)), Some(Name::Live(0xab)));
        assert_eq!(Name::parse(&spare_name(1)), Some(Name::Spare));
        assert_eq!(Name::parse(&fresh_name(1)), Some(Name::Fresh));
        for foreign in ["lock", "00.wal", "000000000000000A.wal", "+00000000000000a.wal", "0000000000000001.wal.bak"] {
            assert_eq!(Name::parse(foreign), None, "{foreign}");
        }
    }
}
