//! Opening: replay, mend, and find the place to go on.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
};

use plimsoll_host::{
    Files, Host, OpenMode,
    crash::{self, Point},
};
use plimsoll_model::{Error, ErrorKind, Lsn, Result, ResultExt};

use crate::{
    Config, Journal, Position, Reader, Replay,
    append::Shared,
    group::Group,
    header::HEADER_BYTES,
    mend::{Start, mend},
    room::FIRST_BYTES,
    segment::gone_is_fine,
    spares::Spares,
    tail::Tail,
    walk::{Listing, Walk, list, walk},
};

pub(crate) fn open(host: &Host, dir: &Path, config: Config) -> Result<(Journal, Replay)> {
    config.check()?;
    let files = &*host.files;
    let listing = list(files, dir)?;
    // Without a segment whoever made the directory may have died before it was there for good.
    if listing.as_ref().is_none_or(|listing| listing.live.is_empty()) {
        create(files, dir)?;
    }
    let Listing { live, spare, fresh } = listing.unwrap_or_default();
    let mut walk = walk(files, dir, &live, OpenMode::Write)?;
    if let Some(walk) = &walk {
        check_volume(dir, &config, walk)?;
    }
    for path in &fresh {
        gone_is_fine(files.remove(path)).doing("removing an unfinished journal segment", path.display())?;
    }
    let mut spares = Spares {
        dir: dir.to_owned(),
        open_dir: files.open_dir(dir).doing("opening the journal's directory", dir.display())?,
        files: Arc::clone(&host.files),
        chance: Arc::clone(&host.chance),
        writer: walk.as_ref().map_or(config.writer, |walk| walk.writer),
        config,
        free: spare,
        ready: None,
        newest: 0,
    };
    while spares.free.len() > spares.config.spare_segments {
        let path = spares.free.pop().expect("BUG: a longer list is not empty");
        gone_is_fine(files.remove(&path)).doing("removing a spare journal segment", path.display())?;
    }
    // An earlier process may have died between a rename and its sync: a spare file must not be written to while
    // it could still come back under the name of a segment.
    spares.sync_dir()?;
    let start = match &walk {
        Some(walk) => {
            crash::here(Point::JournalFound);
            let start = mend(&spares, walk)?;
            crash::here(Point::JournalMended);
            start
        }
        None => Start::New { seq: 1, base: Position(0), end: Position(0) },
    };
    let tail = tail(&mut spares, walk.as_mut(), &start)?;
    let kept = walk.as_mut().map(|walk| std::mem::take(&mut walk.segments)).unwrap_or_default();
    let replay = walk.map_or_else(|| nothing(&spares), Walk::into_replay);
    let reader = Reader::new(kept.into_iter().chain([Arc::clone(&tail.active)]));
    let shared = Shared::new(reader, spares, tail.end);
    let journal = Journal { tail: Mutex::new(tail), zeros_written: Condvar::new(), shared, group: Group::default() };
    if let Start::New { .. } = start {
        // From here on damage to anything before is told from the trace of a crash.
        journal.tail().begin(&journal.shared)?;
        journal.sync_to(journal.written())?;
    }
    Ok((journal, replay))
}

/// How often a journal is read that changes meanwhile.
const READINGS_MAX: usize = 100;

/// Whoever appends meanwhile gives up segments that were listed, and goes on in the next one after the end of this one was read. What
/// looks like damage then looks otherwise, or is none, when it is read again; damage stays the same.
pub(crate) fn inspect(files: &dyn Files, dir: &Path) -> Result<(Reader, Replay)> {
    let mut before = None;
    for _ in 0..READINGS_MAX {
        let live = list(files, dir)?.unwrap_or_default().live;
        let failed = match walk(files, dir, &live, OpenMode::Read) {
            Ok(Some(mut walk)) => {
                return Ok((Reader::new(std::mem::take(&mut walk.segments)), walk.into_replay()));
            }
            Ok(None) => {
                return Err(Error::new(ErrorKind::NotFound, "reading the journal").object(dir.display().to_string()));
            }
            Err(error) => error,
        };
        let found = (live, failed.to_string());
        if before.as_ref() == Some(&found) {
            return Err(failed);
        }
        before = Some(found);
    }
    Err(Error::new(ErrorKind::Held, "reading the journal")
        .object(dir.display().to_string())
        .why("another process appends to it faster than it can be read")
        .hint("try again"))
}

/// The segment to append to, and where in it. A new one gets its begin frame.
fn tail(spares: &mut Spares, walk: Option<&mut Walk>, start: &Start) -> Result<Tail> {
    let (segments, last, txn_max) = match walk {
        Some(walk) => (&mut walk.segments, walk.chain.last, walk.chain.txn_max),
        None => (&mut Vec::new(), Lsn::ZERO, 0),
    };
    let (active, offset, end) = match start {
        Start::Resume { offset, .. } => {
            let active = segments.pop().expect("BUG: nothing to go on with");
            let end = active.position(*offset);
            (active, *offset, end)
        }
        Start::New { seq, base, end } => {
            segments.retain(|segment| segment.header.seq < *seq);
            let active = spares.take(*seq, *base, FIRST_BYTES).map_err(|failure| failure.error)?;
            active.needed_by(last);
            (active, HEADER_BYTES as u64, *end)
        }
    };
    spares.newest = active.header.seq;
    let filled = match start {
        Start::Resume { filled, .. } => *filled,
        Start::New { .. } => active.filled,
    };
    Ok(Tail {
        active,
        filled,
        filling: None,
        offset,
        begun: matches!(start, Start::Resume { .. }),
        end,
        last,
        txn_max,
        open: BTreeMap::new(),
        marked: None,
        syncs: 0,
        unsynced: Vec::new(),
        appended: 0,
        uncut: false,
        unwitnessed: false,
        closed: false,
        buffer: Vec::new(),
    })
}

fn nothing(spares: &Spares) -> Replay {
    Replay {
        volume: spares.config.volume,
        writer: spares.writer,
        last: Lsn::ZERO,
        commits: Vec::new(),
        marks: Vec::new(),
        cut: None,
    }
}

fn create(files: &dyn Files, dir: &Path) -> Result<()> {
    const DOING: &str = "creating the journal's directory";
    files.create_dir_all(dir).doing(DOING, dir.display())?;
    // All of them: an earlier process may have made some and died before they were synced.
    let above = dir.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    for (distance, above) in above.enumerate() {
        match files.sync_dir(above) {
            // Not ours to read, or of a file system that has nothing to sync in a directory or is not written to at
            // all: in neither case of our making.
            Err(error) if distance > 0 && is_not_ours(error.kind()) => {}
            synced => synced.doing(DOING, dir.display())?,
        }
    }
    Ok(())
}

fn is_not_ours(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(kind, PermissionDenied | InvalidInput | Unsupported | ReadOnlyFilesystem)
}

fn check_volume(dir: &Path, config: &Config, walk: &Walk) -> Result<()> {
    if walk.volume == config.volume {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "opening the journal")
        .object(dir.display().to_string())
        .why(format!("it belongs to volume {}, not {}", uuid(&walk.volume), uuid(&config.volume)))
        .hint("use a state directory of its own for each volume"))
}

fn uuid(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
