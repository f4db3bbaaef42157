//! Making good what a crash left.

use std::{path::Path, sync::Arc};

use plimsoll_model::{
    Error, ErrorKind, Result, ResultExt,
    step::{Step, taken},
};

use crate::{
    Position,
    frame::FRAME_HEADER_BYTES,
    header::HEADER_BYTES,
    room::{FIRST_BYTES, make_room},
    segment::{Segment, gone_is_fine},
    spares::Spares,
    walk::Walk,
};

/// Where appending goes on.
pub(crate) enum Start {
    /// In a new segment.
    New {
        seq: u32,
        base: Position,
        /// Where the segment before it ends.
        end: Position,
    },
    /// In the newest segment, which has nothing but its begin frame yet.
    Resume {
        offset: u64,
        /// Up to where its blocks are written.
        filled: u64,
    },
}

/// Removes what was dropped, for good, and syncs the rest.
pub(crate) fn mend(spares: &Spares, walk: &Walk) -> Result<Start> {
    let newest = walk.segments.last().expect("BUG: a walk has its oldest segment");
    let end = walk.chain.end.as_ref().expect("BUG: a walk has an end");
    let header = &newest.header;
    // From the newest on, each one for good before the one before it, so that no gap can remain.
    for path in walk.later.iter().rev() {
        remove_for_good(spares, path)?;
    }
    if end.offset == HEADER_BYTES as u64 {
        // A segment without frames is replaced by a new one of the same number.
        return Ok(Start::New { seq: header.seq, base: header.base, end: header.base });
    }
    let (file, path) = (&newest.file, newest.path.display());
    if file.len().doing("reading the size of a journal segment", &path)? > end.offset {
        file.set_len(end.offset).doing("cutting the end off the journal", &path)?;
    }
    for segment in &walk.segments {
        let upto = if Arc::ptr_eq(segment, newest) { end.offset } else { segment.header.capacity };
        if taken(Step::MakeGood) {
            make_good(segment, upto, walk.chain.synced)?;
        }
    }
    if end.offset == (HEADER_BYTES + FRAME_HEADER_BYTES) as u64 && header.capacity == spares.config.segment_bytes {
        // Otherwise each opening would leave a segment behind.
        let fill = header.capacity.min(FIRST_BYTES);
        let filled = make_room(&**file, header.capacity, fill).doing("making room for the journal", &path)?;
        return Ok(Start::Resume { offset: end.offset, filled });
    }
    let seq = header
        .seq
        .checked_add(1)
        .ok_or_else(|| Error::new(ErrorKind::Full, "opening the journal").why("its segment numbers are used up"))?;
    Ok(Start::New { seq, base: header.end(), end: end.position })
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
