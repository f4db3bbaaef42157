//! The one write transaction.

use std::sync::Arc;

use plimsoll_durability::Admission;
use plimsoll_journal::{Commit, Place, TxnNo};
use plimsoll_model::{
    Error, ErrorKind, Level, Lsn, PageCount, PageNo, PageSize, Result,
    step::{Step, taken},
    way::{Way, went},
};
use plimsoll_pages::Found;
use rustc_hash::FxHashMap;

use crate::{
    accounts::Noted,
    receipt::Receipt,
    shared::{Tip, Writer},
    snapshot::Snapshot,
};

/// Bytes of pages that a transaction keeps in memory before it spills them to the journal.
const MEMORY_BYTES_MAX: usize = 4 << 20;
/// A larger buffer is given back to the system.
const BUFFER_BYTES_KEPT: usize = 256 << 10;
/// Journal bytes per page beside its content: what the load is counted with before the append.
const FRAME_BYTES: u64 = 48;
/// Journal bytes per commit beside its pages: its own frame, and perhaps the one that begins a segment.
const COMMIT_BYTES: u64 = 2 * FRAME_BYTES + 16;

/// A write transaction: private until committed, discarded when dropped.
pub struct WriteTxn {
    base: Snapshot,
    writer: Arc<Writer>,
    page_size: Option<PageSize>,
    /// Contents in memory, back to back.
    memory: Vec<u8>,
    /// Which page is where in `memory`.
    pages: FxHashMap<PageNo, usize>,
    /// Contents that were spilled.
    spilled: FxHashMap<PageNo, Place>,
    spilled_bytes: u64,
    /// A page that need not be written if the next sync carries it anyway.
    spare: Option<PageNo>,
    txn: Option<TxnNo>,
    done: bool,
}

impl WriteTxn {
    /// The writer's place is taken by the caller.
    pub(crate) fn new(base: Snapshot, writer: Arc<Writer>) -> Self {
        let memory = std::mem::take(&mut *writer.buffer());
        WriteTxn {
            page_size: base.page_size(),
            base,
            writer,
            memory,
            pages: FxHashMap::default(),
            spilled: FxHashMap::default(),
            spilled_bytes: 0,
            spare: None,
            txn: None,
            done: false,
        }
    }

    /// The state that it started from.
    #[must_use]
    pub fn base(&self) -> &Snapshot {
        &self.base
    }

    /// Whether no page was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.spilled.is_empty()
    }

    /// Reads one page as this transaction sees it.
    ///
    /// # Errors
    /// As [`Snapshot::read`].
    pub fn read(&self, page: PageNo, buf: &mut [u8]) -> Result<()> {
        if let Some(at) = self.pages.get(&page) {
            buf.copy_from_slice(&self.memory[*at..*at + buf.len()]);
            return Ok(());
        }
        match self.spilled.get(&page) {
            Some(place) => self.writer.journal.read(*place, page, buf),
            None => self.base.read(page, buf),
        }
    }

    /// Replaces one whole page. The first page ever written fixes the size of all.
    ///
    /// # Errors
    /// `Unsupported`: the page has another size than the volume's. `Full`, `Io`: a large transaction
    /// could not be spilled to the journal.
    pub fn write(&mut self, page: PageNo, data: &[u8]) -> Result<()> {
        let size = u32::try_from(data.len()).ok().and_then(PageSize::new);
        match (self.page_size, size) {
            (_, None) => {
                return Err(
                    Error::new(ErrorKind::Invalid, "writing a page").why(format!("{} bytes are no page", data.len()))
                );
            }
            (Some(has), Some(size)) if has != size => {
                return Err(Error::new(ErrorKind::Unsupported, "writing a page")
                    .why(format!("it has {size} bytes; the pages of this volume have {has} for ever"))
                    .hint("import the database into a new volume to change its page size"));
            }
            (_, size) => self.page_size = size,
        }
        if self.page_size.is_some_and(|size| size.lock_page() == page) {
            return Err(Error::new(ErrorKind::Invalid, "writing a page")
                .why(format!("page {page} is where SQLite keeps its locks, and is never stored")));
        }
        if let Some(at) = self.pages.get(&page) {
            self.memory[*at..*at + data.len()].copy_from_slice(data);
            return Ok(());
        }
        if self.memory.len() + data.len() > MEMORY_BYTES_MAX {
            self.spill()?;
        }
        self.pages.insert(page, self.memory.len());
        self.memory.extend_from_slice(data);
        Ok(())
    }

    /// Lets a page that was written stay as it was, if the next sync carries it anyway: an earlier commit wrote it that no
    /// sync has yet. Not if it was spilled, nor if nothing else was written.
    pub fn leave_out(&mut self, page: PageNo) {
        self.spare = Some(page);
    }

    /// Forgets writes of what was there before. If some were spilled, all or none are forgotten: frames
    /// in the journal count at replay, so a page that is back to what it was must be there as such.
    ///
    /// # Errors
    /// As [`Snapshot::read`]; then nothing is forgotten.
    pub fn elide_unchanged(&mut self) -> Result<()> {
        let Some(size) = self.page_size else { return Ok(()) };
        let (mut old, mut new) = (vec![0; size.bytes()], vec![0; size.bytes()]);
        let mut unchanged = Vec::new();
        let mut changed = 0_usize;
        for page in self.pages.keys().chain(self.spilled.keys().filter(|page| !self.pages.contains_key(page))) {
            self.read(*page, &mut new)?;
            let known = self.base.page_count().contains(*page);
            if known {
                self.base.read(*page, &mut old)?;
            }
            if known && old == new {
                unchanged.push(*page);
            } else {
                changed += 1;
            }
        }
        if self.spilled.is_empty() {
            for page in unchanged {
                self.pages.remove(&page);
            }
        } else if changed == 0 {
            self.pages.clear();
            self.spilled.clear();
            self.spilled_bytes = 0;
            if let Some(txn) = self.txn.take() {
                self.writer.journal.abandon(txn);
            }
        }
        Ok(())
    }

    /// Appends the transaction to the journal, makes it visible, and frees the writer's place.
    /// `page_count` is the size of the volume after it.
    ///
    /// Blocks while the load line has no room. Nothing is acknowledged by this alone: wait on the
    /// receipt for `level`, which is what the caller will promise.
    ///
    /// # Errors
    /// `Invalid`: nothing was written, or no page is left. `Unavailable`: there was no room under the load line within `sync_timeout_ms`. `Full`: the load line with policy `fail`, the disk, or more than the store
    /// takes as one object. `Io`, `Fenced`, `Closed`. In each case
    /// nothing happened, and the transaction is discarded.
    pub fn commit(mut self, page_count: PageCount, level: Level) -> Result<Receipt> {
        let shared = Arc::clone(self.base.shared());
        let Some(page_size) = self.page_size else {
            return Err(Error::new(ErrorKind::Invalid, "committing").why("no page was ever written"));
        };
        // No object can say so: the journal would hold what can never be synced.
        if page_count.0 == 0 {
            return Err(
                Error::new(ErrorKind::Invalid, "committing").why("a volume that was written keeps a page at least")
            );
        }
        let mut pages: Vec<PageNo> = self.pages.keys().copied().filter(|page| page_count.contains(*page)).collect();
        pages.sort_unstable();
        let new_bytes = pages.len() as u64 * (u64::from(page_size.get()) + FRAME_BYTES) + COMMIT_BYTES;
        let kept = |page: &&PageNo| page_count.contains(**page) && !self.pages.contains_key(*page);
        let changed = pages.len() + self.spilled.keys().filter(kept).count();
        self.fits(changed, page_size)?;
        let held = self.admitted(new_bytes + self.spilled_bytes)? && taken(Step::HeldCommits);

        let writer = Arc::clone(&self.writer);
        let sealed = writer.sealed();
        if *sealed || writer.lease.is_fenced() {
            return Err(self.refusal());
        }
        // As late as can be, since a sync may have been cut while the line had no room.
        let spare = self.spare.filter(|page| changed > 1 && !self.spilled.contains_key(page));
        let reliance = spare.and_then(|page| writer.syncs.rely(|cut| self.is_newer_than(page, cut)));
        if reliance.is_some() {
            pages.retain(|page| Some(*page) != spare);
        }
        let clock = &shared.config.host.clock;
        let (now, wall) = (clock.now(), clock.wall());
        let lsn = self.base.lsn().next();
        let frames: Vec<(PageNo, &[u8])> =
            pages.iter().map(|page| (*page, &self.memory[self.pages[page]..][..page_size.bytes()])).collect();
        let mut places = Vec::with_capacity(pages.len());
        let commit = Commit { lsn, page_count, page_size, wall };
        let appended = self.writer.journal.append(commit, &frames, self.txn, &mut places);
        let appended = match appended {
            Ok(appended) => appended,
            Err(error) => {
                shared.note_trouble(&error);
                return Err(error);
            }
        };
        self.txn = None;

        let spilled =
            self.spilled.iter().filter(|(page, _)| page_count.contains(**page) && !self.pages.contains_key(*page));
        let dirty = {
            let mut overlay = self.writer.overlay.write().expect("BUG: a panic while the overlay was locked");
            let spilled: Vec<(PageNo, Place)> = spilled.map(|(page, place)| (*page, *place)).collect();
            overlay.insert(lsn, page_count, spilled.into_iter().chain(pages.iter().copied().zip(places)));
            overlay.pages()
        };
        let Noted { wake, held: crosses } = {
            let mut accounts = self.writer.accounts();
            let noted = accounts.committed(
                lsn,
                appended.bytes + self.spilled_bytes,
                held || level == Level::Durable,
                now,
                wall,
            );
            accounts.ledger.set_pages(dirty);
            noted
        };
        let held = held || crosses;
        let tip = {
            let mut state = shared.state();
            let tip = Tip { lsn, count: page_count, page_size: Some(page_size), version: state.tip.version + 1 };
            state.tip = tip;
            state.writing = false;
            tip
        };
        self.done = true;
        drop(reliance);
        drop(sealed);
        if wake.flusher {
            self.writer.flusher.ring();
        }
        if wake.syncer {
            self.writer.syncer.ring();
        }
        let state = self.base.advanced(tip);
        Ok(Receipt { shared, writer, lsn, held, state })
    }

    /// Whether the state that the transaction started from has a version of a page that came after a commit, and after all
    /// that is in the store.
    fn is_newer_than(&self, page: PageNo, lsn: Lsn) -> bool {
        let overlay = self.writer.overlay.read().expect("BUG: a panic while the overlay was locked");
        let floor = self.base.view().lsn.max(lsn);
        matches!(overlay.find(page, self.base.lsn(), floor), Some(Found::At(_)))
    }

    /// Waits until the load line lets a commit of `bytes` through; whether it has to be held until durable.
    fn admitted(&self, bytes: u64) -> Result<bool> {
        let shared = self.base.shared();
        let writer = &self.writer;
        let decide = || -> Option<Result<bool>> {
            if *writer.sealed() || writer.lease.is_fenced() {
                return Some(Err(self.refusal()));
            }
            let mut accounts = writer.accounts();
            if accounts.progress.ended().is_some() {
                drop(accounts);
                return Some(Err(self.refusal()));
            }
            match accounts.admit(bytes, shared.now()) {
                Admission::Go => Some(Ok(false)),
                Admission::GoWaitDurable => Some(Ok(true)),
                Admission::Refuse(refusal) => Some(Err(refusal.error().object(shared.url().to_owned()))),
                Admission::WaitForSync => None,
            }
        };
        if let Some(answer) = decide() {
            return answer;
        }
        writer.syncer.ring();
        let answer = shared.config.host.tasks.wait(shared.in_time(writer.progress.until(decide)));
        went(match answer {
            Some(Ok(_)) => Way::LineWaited,
            _ => Way::LineWaitedInVain,
        });
        answer.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Unavailable, "committing to")
                .object(shared.url().to_owned())
                .why(shared.late("the load line is reached and no sync has made room"))
                .hint("nothing was written; retry once the object store answers"))
        })
    }

    /// Why no commit is possible any more.
    fn refusal(&self) -> Error {
        let shared = self.base.shared();
        let ended = self.writer.accounts().progress.ended();
        match ended {
            Some(terminal) => terminal.error(self.base.lsn().next(), Level::Buffered).object(shared.url().to_owned()),
            None if self.writer.lease.is_fenced() => shared.fenced_error(),
            None => shared.closed_error(),
        }
    }

    /// Refuses what the store could not take as one object: once acknowledged, it could never become durable, nor anything
    /// after it.
    fn fits(&self, pages: usize, page_size: PageSize) -> Result<()> {
        let shared = self.base.shared();
        let (bytes, most) = (pages as u64 * (u64::from(page_size.get()) + FRAME_BYTES), shared.sync_bytes_max());
        if bytes <= most {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Full, "committing to")
            .object(shared.url().to_owned())
            .why(format!(
                "the transaction changes {pages} pages, {bytes} bytes; a commit is one object, of which the store takes {most} bytes"
            ))
            .hint("nothing was written; make several transactions of it"))
    }

    fn spill(&mut self) -> Result<()> {
        let Some(size) = self.page_size else { return Ok(()) };
        // Rather now than after gigabytes.
        self.fits(self.spilled.len(), size)?;
        let journal = &self.writer.journal;
        let txn = *self.txn.get_or_insert_with(|| journal.begin());
        let mut order: Vec<(PageNo, usize)> = self.pages.iter().map(|(page, at)| (*page, *at)).collect();
        order.sort_unstable();
        let frames: Vec<(PageNo, &[u8])> =
            order.iter().map(|(page, at)| (*page, &self.memory[*at..*at + size.bytes()])).collect();
        let mut places = Vec::with_capacity(frames.len());
        let appended = journal.spill(txn, &frames, &mut places)?;
        self.spilled_bytes += appended.bytes;
        self.spilled.extend(order.iter().map(|(page, _)| *page).zip(places));
        self.pages.clear();
        self.memory.clear();
        Ok(())
    }
}

impl Drop for WriteTxn {
    fn drop(&mut self) {
        if let Some(txn) = self.txn.take() {
            self.writer.journal.abandon(txn);
        }
        if self.memory.capacity() <= BUFFER_BYTES_KEPT {
            self.memory.clear();
            *self.writer.buffer() = std::mem::take(&mut self.memory);
        }
        if !self.done {
            self.base.shared().state().writing = false;
        }
        self.writer.idle.fire();
    }
}
