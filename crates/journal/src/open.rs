//! Opening: replay, make good what a crash left, start a new segment.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use plimsoll_host::{Files, Host, OpenMode};
use plimsoll_model::{Error, ErrorKind, Lsn, Result, ResultExt};

use crate::{
    Config, Journal, Position, Reader, Replay,
    append::Shared,
    group::Group,
    header::HEADER_BYTES,
    segment::{Segment, gone_is_fine},
    spares::Spares,
    tail::Tail,
    walk::{Listing, Walk, list, walk},
};

pub(crate) fn open(host: &Host, dir: &Path, config: Config) -> Result<(Journal, Replay)> {
    config.check()?;
    let files = &*host.files;
    let Listing { live, spare, fresh } = match list(files, dir)? {
        Some(listing) => listing,
        None => {
            create(files, dir)?;
            Listing::default()
        }
    };
    let walk = walk(files, dir, &live, OpenMode::Write)?;
    if let Some(walk) = &walk {
        check_volume(dir, &config, walk)?;
    }
    for path in &fresh {
        gone_is_fine(files.remove(path)).doing("removing an unfinished journal segment", path.display())?;
    }
    let mut spares = Spares {
        dir: dir.to_owned(),
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
    let start = match &walk {
        Some(walk) => mend(&spares, walk)?,
        None => Start { seq: 1, base: Position(0), end: Position(0) },
    };
    let active = spares.take(start.seq, start.base)?;
    let (kept, replay) = kept(walk, &spares, &start);
    active.needed_by(replay.last);
    let tail = Tail {
        active: Arc::clone(&active),
        offset: HEADER_BYTES as u64,
        begun: false,
        end: start.end,
        last: replay.last,
        txn_max: kept.txn_max,
        open: BTreeMap::new(),
        unsynced: Vec::new(),
        appended: 0,
        uncut: false,
        unwitnessed: false,
        closed: false,
        buffer: Vec::new(),
    };
    let reader = Reader::new(kept.segments.into_iter().chain([active]));
    let journal =
        Journal { tail: Mutex::new(tail), shared: Shared::new(reader, spares, start.end), group: Group::default() };
    // From here on damage to anything before is told from the trace of a crash.
    journal.tail().begin(&journal.shared)?;
    journal.sync_to(journal.written())?;
    Ok((journal, replay))
}

pub(crate) fn inspect(files: &dyn Files, dir: &Path) -> Result<(Reader, Replay)> {
    let live = list(files, dir)?.unwrap_or_default().live;
    let Some(mut walk) = walk(files, dir, &live, OpenMode::Read)? else {
        return Err(Error::new(ErrorKind::NotFound, "reading the journal").object(dir.display().to_string()));
    };
    Ok((Reader::new(std::mem::take(&mut walk.segments)), walk.into_replay()))
}

/// Where appending goes on.
struct Start {
    seq: u32,
    base: Position,
    /// Where the segment before it ends.
    end: Position,
}

struct Kept {
    segments: Vec<Arc<Segment>>,
    txn_max: u64,
}

/// Removes what was dropped and syncs the rest.
fn mend(spares: &Spares, walk: &Walk) -> Result<Start> {
    let newest = walk.segments.last().expect("BUG: a walk has its oldest segment");
    let end = walk.chain.end.as_ref().expect("BUG: a walk has an end");
    let unused = end.offset == HEADER_BYTES as u64;
    let header = &newest.header;
    // A segment without frames is replaced by a new one of the same number.
    let start = if unused {
        Start { seq: header.seq, base: header.base, end: header.base }
    } else {
        let seq = header
            .seq
            .checked_add(1)
            .ok_or_else(|| Error::new(ErrorKind::Full, "opening the journal").why("its segment numbers are used up"))?;
        Start { seq, base: header.end(), end: end.position }
    };
    // From the newest on, each one for good before the one before it, so that no gap can remain.
    for path in walk.later.iter().rev() {
        remove_for_good(spares, path)?;
    }
    if unused {
        return Ok(start);
    }
    let (file, path) = (&newest.file, newest.path.display());
    if file.len().doing("reading the size of a journal segment", &path)? > end.offset {
        file.set_len(end.offset).doing("cutting the end off the journal", &path)?;
    }
    for segment in &walk.segments {
        let upto = if Arc::ptr_eq(segment, newest) { end.offset } else { segment.header.capacity };
        make_good(segment, upto, walk.chain.synced)?;
    }
    Ok(start)
}

/// Syncs a segment. Frames which are not known to be synced are written again first: if an earlier
/// process failed to sync them, the system may hold them in memory as clean and never write them.
fn make_good(segment: &Segment, upto: u64, synced: Position) -> Result<()> {
    const DOING: &str = "syncing the journal after a crash";
    let path = segment.path.display();
    let upto = upto.min(segment.file.len().doing(DOING, &path)?);
    let from = synced.0.saturating_sub(segment.header.base.0).max(HEADER_BYTES as u64);
    if from < upto {
        let mut bytes = vec![0; usize::try_from(upto - from).expect("BUG: a segment fits into memory")];
        let read = segment.file.read_at(&mut bytes, from).doing(DOING, &path)?;
        segment.file.write_all_at(&bytes[..read], from).doing(DOING, &path)?;
    }
    segment.file.sync().doing(DOING, &path)
}

fn remove_for_good(spares: &Spares, path: &Path) -> Result<()> {
    gone_is_fine(spares.files.remove(path)).doing("removing a dropped journal segment", path.display())?;
    spares.sync_dir()
}

fn kept(walk: Option<Walk>, spares: &Spares, start: &Start) -> (Kept, Replay) {
    match walk {
        Some(mut walk) => {
            let mut segments = std::mem::take(&mut walk.segments);
            segments.retain(|segment| segment.header.seq < start.seq);
            let kept = Kept { segments, txn_max: walk.chain.txn_max };
            (kept, walk.into_replay())
        }
        None => {
            let (volume, writer) = (spares.config.volume, spares.writer);
            let replay = Replay { volume, writer, last: Lsn::ZERO, commits: Vec::new(), marks: Vec::new(), cut: None };
            (Kept { segments: Vec::new(), txn_max: 0 }, replay)
        }
    }
}

fn create(files: &dyn Files, dir: &Path) -> Result<()> {
    files.create_dir_all(dir).doing("creating the journal's directory", dir.display())?;
    dir.parent()
        .map_or(Ok(()), |parent| files.sync_dir(parent))
        .doing("creating the journal's directory", dir.display())
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
