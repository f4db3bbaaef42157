//! Where the next frame goes. One appender at a time holds it.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use plimsoll_host::crash::{self, Point};
use plimsoll_model::{Error, ErrorKind, Lsn, Result, ResultExt};

use crate::{
    Place, Position, TxnNo,
    append::Shared,
    frame::{Content, FRAME_HEADER_BYTES, Frame},
    header::HEADER_BYTES,
    room::{AHEAD_BYTES, GAP_BYTES, STEP_BYTES},
    segment::Segment,
    spares::Failure,
};

/// The buffer is given back to the system above this, so that one huge commit does not hold on to its memory.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// Up to so many bytes between two syncs it is the syncs that take time, not the bytes.
const BYTES_PER_SYNC_MAX: u64 = 64 << 10;

pub(crate) struct Tail {
    pub(crate) active: Arc<Segment>,
    /// Where in the active segment the next write goes.
    pub(crate) offset: u64,
    /// Whether the begin frame is in the active segment.
    pub(crate) begun: bool,
    /// Position behind the last frame written.
    pub(crate) end: Position,
    pub(crate) last: Lsn,
    pub(crate) txn_max: u64,
    pub(crate) open: BTreeMap<TxnNo, OpenTxn>,
    /// The newest mark of this handle.
    pub(crate) marked: Option<Marked>,
    /// Up to where blocks of the active segment were written before.
    pub(crate) filled: u64,
    /// From where on zeros are just being written into the active segment. Nothing may be appended there.
    pub(crate) filling: Option<u64>,
    /// How often the active segment was synced.
    pub(crate) syncs: u32,
    /// Left behind since the last sync, not synced yet.
    pub(crate) unsynced: Vec<Arc<Segment>>,
    /// Bytes of frames ever written by this handle.
    pub(crate) appended: u64,
    /// Whether a failed write may have left bytes behind `offset`.
    pub(crate) uncut: bool,
    /// Whether there are frames after the last one that witnesses a sync of all before it.
    pub(crate) unwitnessed: bool,
    pub(crate) closed: bool,
    /// Frames on their way to the file; empty between calls.
    pub(crate) buffer: Vec<u8>,
}

/// A mark, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Marked {
    /// The segment.
    pub(crate) seq: u32,
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

/// A transaction that has not been committed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenTxn {
    /// The segment with its first frame.
    pub(crate) first: Option<u32>,
    pub(crate) frames: u64,
}

/// One call to write frames.
pub(crate) struct Call {
    /// The segment with its first frame.
    pub(crate) first: Option<u32>,
    /// Whether some of its frames have been written already.
    pub(crate) landed: bool,
}

impl Tail {
    /// Prepares for frames of `bytes` in total, the longest being `longest`.
    pub(crate) fn start(&mut self, shared: &Shared, bytes: usize, longest: usize) -> Result<Call> {
        shared.poison.check()?;
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, "appending to the journal").why("it was closed"));
        }
        let room = room_in_empty(shared.segment_bytes);
        if longest as u64 > room {
            return Err(Error::new(ErrorKind::Invalid, "appending to the journal")
                .why(format!("a page does not fit into a segment of {} bytes", shared.segment_bytes))
                .hint("use larger segments"));
        }
        if self.uncut {
            self.cut(shared)?;
        }
        self.buffer.clear();
        // One commit is one write if that can be: rather a gap at the segment's end than two writes.
        if !self.fits(bytes) && bytes as u64 <= room {
            self.roll(shared)?;
        }
        Ok(Call { first: None, landed: false })
    }

    /// Adds a frame to the buffer; writes out what is there when the segment is full.
    pub(crate) fn put(
        &mut self,
        shared: &Shared,
        call: &mut Call,
        txn: TxnNo,
        lsn: Lsn,
        content: Content<'_>,
    ) -> Result<Place> {
        let frame = Frame { lsn, synced: shared.synced(), txn, content };
        if !self.fits(frame.len()) {
            self.flush(shared, call)?;
            self.roll(shared)?;
        }
        if !self.begun && self.buffer.is_empty() {
            let begin = Content::Begin { previous_end: self.end };
            let begin = Frame { lsn: self.last, synced: frame.synced, txn: TxnNo::NONE, content: begin };
            begin.encode(self.active.header.salt, self.offset, &mut self.buffer);
        }
        let at = self.offset + self.buffer.len() as u64;
        frame.encode(self.active.header.salt, at, &mut self.buffer);
        call.first.get_or_insert(self.active.header.seq);
        Ok(Place::new(self.active.header.seq, at))
    }

    /// Writes out the buffer.
    pub(crate) fn flush(&mut self, shared: &Shared, call: &mut Call) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        crash::here(Point::JournalWrite);
        crash::here_after(Point::JournalTorn, || {
            let half = &self.buffer[..self.buffer.len() / 2];
            let _ = self.active.file.write_all_at(half, self.offset);
        });
        let written = self.active.file.write_all_at(&self.buffer, self.offset);
        let bytes = self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        if let Err(error) = written.doing("appending to the journal", self.active.path.display()) {
            return Err(self.write_failed(shared, error));
        }
        self.offset += bytes;
        self.end = self.active.position(self.offset);
        self.appended += bytes;
        self.begun = true;
        self.unwitnessed = true;
        call.landed = true;
        crash::here(Point::JournalWritten);
        shared.publish(self.end);
        Ok(())
    }

    /// Starts the next segment.
    fn roll(&mut self, shared: &Shared) -> Result<()> {
        let header = &self.active.header;
        let seq = header.seq.checked_add(1).ok_or_else(|| {
            Error::new(ErrorKind::Full, "appending to the journal").why("its segment numbers are used up")
        })?;
        let next = shared.spares().take(seq, header.end(), 0);
        let next = next.map_err(
            |Failure { error, harmless }| {
                if harmless { error } else { shared.poison_unless_full(error) }
            },
        )?;
        shared.publish_made(seq);
        next.needed_by(self.last);
        shared.reader.segments_mut().push_back(Arc::clone(&next));
        self.unsynced.push(std::mem::replace(&mut self.active, next));
        self.offset = HEADER_BYTES as u64;
        self.begun = false;
        self.syncs = 0;
        self.filled = self.active.filled;
        self.filling = None;
        Ok(())
    }

    /// Whether the zeros that were written ahead of commits in the active segment are about to run out, and are worth it.
    pub(crate) fn needs_filling(&self) -> bool {
        self.filled < self.active.header.capacity
            && self.offset + AHEAD_BYTES > self.filled
            && self.is_synced_often()
            && !self.uncut
            && !self.closed
    }

    /// Where the next zeros go.
    pub(crate) fn next_zeros(&self) -> Range<u64> {
        let start = self.filled.max(self.offset + GAP_BYTES);
        start..(start + STEP_BYTES).min(self.active.header.capacity)
    }

    /// Whether so many bytes more would go where zeros are just being written.
    pub(crate) fn meets_zeros(&self, bytes: usize) -> bool {
        self.filling.is_some_and(|from| self.offset + (FRAME_HEADER_BYTES + bytes) as u64 > from)
    }

    /// Whether the active segment is synced so often that it pays to write zeros ahead of its frames.
    pub(crate) fn is_synced_often(&self) -> bool {
        u64::from(self.syncs) * BYTES_PER_SYNC_MAX >= self.offset
    }

    fn fits(&self, bytes: usize) -> bool {
        let begin = if self.begun { 0 } else { FRAME_HEADER_BYTES };
        // The begin frame, once in the buffer, is part of its length.
        let used = self.offset + (if self.buffer.is_empty() { begin } else { self.buffer.len() }) as u64;
        used + bytes as u64 <= self.active.header.capacity
    }

    /// A full disk leaves the journal usable, any other failed write does not.
    fn write_failed(&mut self, shared: &Shared, error: Error) -> Error {
        let error = shared.poison_unless_full(error);
        if error.kind() == ErrorKind::Full {
            self.uncut = true;
            // Now, so that a crash before the next append finds no half of this one. If it does
            // not work out, the next append tries again before it writes.
            let _ = self.cut(shared);
        }
        error
    }

    /// Removes what a failed write may have left. It is synced before anything is written there again:
    /// otherwise a leftover frame could follow the new ones after a crash and pass for one of them.
    fn cut(&mut self, shared: &Shared) -> Result<()> {
        let (file, path) = (&self.active.file, self.active.path.display());
        file.set_len(self.offset).doing("cutting a failed write off the journal", &path)?;
        self.filled = self.offset;
        self.active.sync(&shared.poison, "syncing the journal after a failed write")?;
        self.uncut = false;
        Ok(())
    }
}

/// Bytes of frames that an empty segment takes besides its begin frame.
fn room_in_empty(segment_bytes: u64) -> u64 {
    segment_bytes - (HEADER_BYTES + FRAME_HEADER_BYTES) as u64
}
