//! The journal as its user sees it.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use plimsoll_host::{
    Files, Host,
    crash::{self, Point},
};
use plimsoll_model::{
    ErrorKind, Lsn, PageNo, Result, ResultExt,
    step::{Step, taken},
};

use crate::{
    Appended, Commit, Config, Place, Position, Reader, Replay, Synced, TxnNo,
    append::Shared,
    frame::{COMMIT_BYTES, FRAME_HEADER_BYTES},
    group::Group,
    open,
    room::write_zeros,
    spares::Failure,
    tail::Tail,
};

/// An open journal: one appender at a time, any number of readers, group commit.
///
/// Every method blocks on the local disk at most. Nothing keeps two processes from opening the same
/// directory: the caller holds a lock.
///
/// A write or sync that fails for any other reason than a full disk ends this handle: everything later
/// returns an error of the same kind that tells the first cause. A file that cannot be made or renamed does not. A full disk
/// ([`Full`](plimsoll_model::ErrorKind::Full)) ends it only if it shows at a sync. If it shows at an append, the
/// append has had no effect, and the next one succeeds once there is space.
pub struct Journal {
    pub(crate) tail: Mutex<Tail>,
    /// Zeros that an append may have run into are written.
    pub(crate) zeros_written: Condvar,
    pub(crate) shared: Shared,
    pub(crate) group: Group,
}

impl Journal {
    /// Opens the journal in `dir`, created if missing, and says what it holds.
    ///
    /// The end that a crash tore is cut off. What is returned has been synced. Appending goes on in a new segment.
    ///
    /// # Errors
    /// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt) if something that had been synced is missing or
    /// damaged; then nothing has been changed. [`Invalid`](plimsoll_model::ErrorKind::Invalid) if it belongs to
    /// another volume.
    pub fn open(host: &Host, dir: &Path, config: Config) -> Result<(Journal, Replay)> {
        open::open(host, dir, config)
    }

    /// Reads a journal without changing anything, for example a stranded one, or one that another process appends to.
    ///
    /// # Errors
    /// As [`Journal::open`]; [`NotFound`](plimsoll_model::ErrorKind::NotFound) if there is no journal.
    /// [`Held`](plimsoll_model::ErrorKind::Held) if it changed too fast to be read.
    pub fn inspect(files: &dyn Files, dir: &Path) -> Result<(Reader, Replay)> {
        open::inspect(files, dir)
    }

    /// Appends a commit with the last of its pages, and puts the place of each page into `places`, after
    /// what is there. One write, unless the pages do not fit into a segment.
    ///
    /// It survives this process once this returns, and power loss once [`Journal::sync_to`] has reached
    /// [`Appended::end`]. If a page occurs twice in a transaction, the later one counts. `txn` is
    /// ended by success.
    ///
    /// # Errors
    /// An append that fails has had no effect and may be repeated. Only if it was larger
    /// than a segment, `txn` is abandoned. [`Invalid`](plimsoll_model::ErrorKind::Invalid) for an LSN that is not the
    /// next one, or a page of another size.
    pub fn append(
        &self,
        commit: Commit,
        pages: &[(PageNo, &[u8])],
        txn: Option<TxnNo>,
        places: &mut Vec<Place>,
    ) -> Result<Appended> {
        self.tail_for(bytes_of(pages) + COMMIT_BYTES).append(&self.shared, commit, pages, txn, places)
    }

    /// Begins a transaction that is too large for one append. Keeps segments from being released until
    /// it is committed or abandoned.
    pub fn begin(&self) -> TxnNo {
        let mut tail = self.tail();
        let txn = tail.next_txn();
        tail.open.insert(txn, crate::tail::OpenTxn::default());
        txn
    }

    /// Appends pages of a transaction ahead of its commit. They count once that is appended.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn spill(&self, txn: TxnNo, pages: &[(PageNo, &[u8])], places: &mut Vec<Place>) -> Result<Appended> {
        self.tail_for(bytes_of(pages)).spill(&self.shared, txn, pages, places)
    }

    /// Gives up a transaction. Its pages will never count.
    pub fn abandon(&self, txn: TxnNo) {
        self.tail().open.remove(&txn);
    }

    /// Appends a note for the layer above, of at most 4 KiB, and syncs it. The newest one of this handle stays as long as
    /// there are commits after it; others are released with their segments.
    ///
    /// # Errors
    /// As [`Journal::append`] and [`Journal::sync_to`].
    pub fn mark(&self, kind: u8, payload: &[u8]) -> Result<Position> {
        let end = self.tail_for(FRAME_HEADER_BYTES + payload.len()).mark(&self.shared, kind, payload)?;
        self.sync_to(end)?;
        Ok(end)
    }

    /// Reads one page, see [`Reader::read`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read(&self, place: Place, page: PageNo, out: &mut [u8]) -> Result<()> {
        self.shared.reader.read(place, page, out)
    }

    /// The last commit that is in it, or was; zero if there never was one.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.tail().last
    }

    /// Everything before this is written.
    #[must_use]
    pub fn written(&self) -> Position {
        self.shared.written()
    }

    /// Everything before this survives power loss.
    #[must_use]
    pub fn synced(&self) -> Position {
        self.shared.synced()
    }

    /// Waits until everything before `position`, or before [`Journal::written`] if that is less, survives power loss.
    ///
    /// The first to wait syncs for all that appended before it started; the others share the outcome.
    ///
    /// # Errors
    /// After a failure nothing is known about what was not synced before, and this handle is done.
    pub fn sync_to(&self, position: Position) -> Result<Synced> {
        let position = position.min(self.written());
        self.group.wait(&self.shared, position, || self.sync_files())
    }

    /// Whether it is time for [`Journal::prepare`]. Costs nothing.
    pub fn needs_preparing(&self) -> bool {
        let tail = self.tail();
        tail.needs_filling() || self.needs_next(&tail)
    }

    /// Does what commits would have to wait for later, if it is time for that: writes zeros to where the next ones go, so that
    /// syncing them is cheap, and makes the next segment. Takes as long as it takes to write a segment; appends and syncs
    /// go on meanwhile.
    ///
    /// # Errors
    /// The disk's. A sync of a segment with commits that fails ends this handle; anything else is tried again by the append
    /// that needs the segment.
    pub fn prepare(&self) -> Result<()> {
        self.fill_active()?;
        let (seq, base, fill) = {
            let tail = self.tail();
            let header = &tail.active.header;
            let Some(seq) = header.seq.checked_add(1).filter(|_| self.needs_next(&tail)) else { return Ok(()) };
            (seq, header.end(), if tail.is_synced_often() { header.capacity } else { 0 })
        };
        self.shared.spares().make_ready(seq, base, fill).map_err(|failure| failure.error)?;
        self.shared.publish_made(seq);
        Ok(())
    }

    fn needs_next(&self, tail: &Tail) -> bool {
        let header = &tail.active.header;
        tail.offset > header.capacity / 2 && self.shared.made() <= header.seq
    }

    fn fill_active(&self) -> Result<()> {
        const DOING: &str = "writing ahead in the journal";
        self.shared.poison.check()?;
        let (segment, zeros) = {
            let mut tail = self.tail();
            let zeros = tail.next_zeros();
            if !tail.needs_filling() || tail.filling.is_some() || zeros.is_empty() {
                return Ok(());
            }
            tail.filling = Some(zeros.start);
            (Arc::clone(&tail.active), zeros)
        };
        // Appends go on meanwhile, up to where the zeros begin.
        let written = write_zeros(&*segment.file, zeros.clone());
        {
            let mut tail = self.tail();
            if Arc::ptr_eq(&tail.active, &segment) {
                tail.filling = None;
                if written.is_ok() && !tail.uncut {
                    tail.filled = zeros.end;
                }
            }
            self.zeros_written.notify_all();
        }
        written.doing(DOING, segment.path.display())?;
        // Its failure may be that of frames.
        segment.sync(&self.shared.poison, DOING)
    }

    /// The tail, once so many bytes more can go there.
    fn tail_for(&self, bytes: usize) -> MutexGuard<'_, Tail> {
        let tail = self.tail();
        let waited = self.zeros_written.wait_while(tail, |tail| tail.meets_zeros(bytes));
        waited.expect("BUG: a panic while appending to the journal")
    }

    /// Gives up segments all of whose commits are at most `up_to`. Never the segment being appended to, nor one with
    /// pages of a transaction that is not committed.
    ///
    /// Places in them are dead afterwards.
    ///
    /// # Errors
    /// When a file cannot be renamed or removed, or the directory not be synced.
    pub fn release(&self, up_to: Lsn) -> Result<()> {
        self.carry_mark(up_to)?;
        let keep_segment = {
            let tail = self.tail();
            let open = tail.open.values().filter_map(|txn| txn.first).min();
            open.unwrap_or(u32::MAX).min(tail.active.header.seq)
        };
        let mut spares = self.shared.spares();
        loop {
            self.shared.poison.check()?;
            let oldest = {
                let segments = self.shared.reader.segments();
                let (Some(oldest), Some(next)) = (segments.front(), segments.get(1)) else { return Ok(()) };
                // The begin frame of the next one takes over as witness of where the journal is.
                let witnessed = self.shared.synced() > next.header.base;
                if oldest.header.seq >= keep_segment || oldest.last() > up_to || !witnessed {
                    return Ok(());
                }
                Arc::clone(oldest)
            };
            spares.retire(&oldest).map_err(|Failure { error, harmless }| {
                // Where nothing was renamed or removed, the next call tries again.
                if harmless { error } else { self.shared.poison.with(error) }
            })?;
            self.shared.reader.segments_mut().pop_front();
        }
    }

    /// Appends the newest mark anew if its segment is about to go.
    fn carry_mark(&self, up_to: Lsn) -> Result<()> {
        let marked = {
            let tail = self.tail();
            tail.marked.clone().filter(|marked| marked.seq < tail.active.header.seq)
        };
        let Some(marked) = marked else { return Ok(()) };
        let goes = |last: Lsn| last <= up_to;
        let stays = self.shared.reader.segments().iter().any(|it| it.header.seq == marked.seq && !goes(it.last()));
        if stays {
            return Ok(());
        }
        match self.mark(marked.kind, &marked.payload) {
            // Giving up segments is what makes room. The next call tries again.
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            marked => marked.map(drop),
        }
    }

    /// Syncs, and leaves a frame that lets the next open tell any damage from a crash. Appends fail afterwards.
    ///
    /// # Errors
    /// As [`Journal::sync_to`]. The handle is closed all the same.
    pub fn close(&self) -> Result<()> {
        let synced = self.sync_to(self.written());
        let end = {
            let mut tail = self.tail_for(FRAME_HEADER_BYTES);
            let witness = synced.is_ok() && tail.unwitnessed && !tail.closed;
            let end = if witness { tail.witness(&self.shared) } else { Ok(tail.end) };
            tail.closed = true;
            end
        };
        synced?;
        self.sync_to(end?).map(drop)
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect("BUG: a panic while appending to the journal")
    }

    fn sync_files(&self) -> Result<()> {
        let (end, left, active) = {
            let mut tail = self.tail();
            let left = std::mem::take(&mut tail.unsynced);
            tail.syncs = tail.syncs.saturating_add(1);
            (tail.end, left, Arc::clone(&tail.active))
        };
        crash::here(Point::JournalSync);
        for segment in left.iter().chain([&active]) {
            if taken(Step::SyncJournal) {
                segment.sync(&self.shared.poison, "syncing the journal")?;
            }
        }
        crash::here(Point::JournalSynced);
        self.shared.publish_synced(end);
        Ok(())
    }
}

/// What pages take in the journal.
fn bytes_of(pages: &[(PageNo, &[u8])]) -> usize {
    pages.iter().map(|(_, bytes)| FRAME_HEADER_BYTES + bytes.len()).sum()
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (written, synced) = (self.written(), self.synced());
        f.debug_struct("Journal").field("written", &written).field("synced", &synced).finish_non_exhaustive()
    }
}
