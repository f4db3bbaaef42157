//! Appending: commits, pages ahead of their commit, marks.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use plimsoll_model::{
    Error, ErrorKind, Lsn, PageNo, PageSize, Result,
    step::{Step, taken},
};

use crate::{
    Appended, Commit, Place, Position, Reader, TxnNo,
    frame::{COMMIT_BYTES, Content, FRAME_HEADER_BYTES, MARK_BYTES_MAX},
    poison::Poison,
    spares::Spares,
    tail::{Call, Marked, OpenTxn, Tail},
};

/// What appending, syncing and releasing have in common. Locks are taken in this order: tail, spares, segments.
pub(crate) struct Shared {
    pub(crate) reader: Reader,
    pub(crate) spares: Mutex<Spares>,
    pub(crate) poison: Poison,
    pub(crate) segment_bytes: u64,
    /// The newest segment that is there, made ahead or not.
    made: AtomicU32,
    written: AtomicU64,
    synced: AtomicU64,
}

impl Shared {
    pub(crate) fn new(reader: Reader, spares: Spares, end: Position) -> Self {
        Shared {
            reader,
            segment_bytes: spares.config.segment_bytes,
            made: AtomicU32::new(spares.newest),
            spares: Mutex::new(spares),
            poison: Poison::default(),
            written: AtomicU64::new(end.0),
            synced: AtomicU64::new(end.0),
        }
    }

    pub(crate) fn spares(&self) -> MutexGuard<'_, Spares> {
        // A panic in there can only leave a file that the next open removes.
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn made(&self) -> u32 {
        self.made.load(Ordering::Acquire)
    }

    /// Notes that segment `seq` is there.
    pub(crate) fn publish_made(&self, seq: u32) {
        self.made.fetch_max(seq, Ordering::AcqRel);
    }

    pub(crate) fn written(&self) -> Position {
        Position(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn synced(&self) -> Position {
        Position(self.synced.load(Ordering::Acquire))
    }

    /// Notes that frames up to `end` are written.
    pub(crate) fn publish(&self, end: Position) {
        self.written.store(end.0, Ordering::Release);
    }

    /// Notes that everything up to `end` is synced.
    pub(crate) fn publish_synced(&self, end: Position) {
        self.synced.fetch_max(end.0, Ordering::AcqRel);
    }

    pub(crate) fn poison_unless_full(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Full { error } else { self.poison.with(error) }
    }
}

impl Tail {
    pub(crate) fn append(
        &mut self,
        shared: &Shared,
        commit: Commit,
        pages: &[(PageNo, &[u8])],
        txn: Option<TxnNo>,
        places: &mut Vec<Place>,
    ) -> Result<Appended> {
        self.check_lsn(commit.lsn)?;
        if let Some((page, bytes)) = pages.iter().find(|(_, bytes)| bytes.len() != commit.page_size.bytes()) {
            return Err(invalid(format!("page {page} has {} bytes, not {}", bytes.len(), commit.page_size)));
        }
        let open = match txn {
            Some(txn) => self.open_txn(txn)?,
            None => OpenTxn::default(),
        };
        let number = txn.unwrap_or_else(|| self.next_txn());
        check_txn(number)?;
        let page_bytes = FRAME_HEADER_BYTES + commit.page_size.bytes();
        let before = self.appended;
        let mut call = self.start(shared, pages.len() * page_bytes + COMMIT_BYTES, page_bytes.max(COMMIT_BYTES))?;
        let kept = places.len();
        let written = self.put_pages(shared, &mut call, number, pages, places).and_then(|()| {
            let content = Content::Commit {
                frames: open.frames + pages.len() as u64,
                page_count: commit.page_count,
                page_size: commit.page_size,
                wall: commit.wall,
            };
            self.put(shared, &mut call, number, commit.lsn, content)?;
            self.flush(shared, &mut call)
        });
        if let Err(error) = written {
            places.truncate(kept);
            return Err(self.give_up(&call, txn, error));
        }
        self.last = commit.lsn;
        let first = open.first.or(call.first).unwrap_or(self.active.header.seq);
        if first == self.active.header.seq {
            self.active.needed_by(commit.lsn);
        } else {
            for segment in shared.reader.segments().iter().rev().take_while(|segment| segment.header.seq >= first) {
                segment.needed_by(commit.lsn);
            }
        }
        if let Some(txn) = txn {
            self.open.remove(&txn);
        }
        Ok(Appended { end: self.end, bytes: self.appended - before })
    }

    pub(crate) fn spill(
        &mut self,
        shared: &Shared,
        txn: TxnNo,
        pages: &[(PageNo, &[u8])],
        places: &mut Vec<Place>,
    ) -> Result<Appended> {
        let mut open = self.open_txn(txn)?;
        check_txn(txn)?;
        if let Some((page, bytes)) = pages.iter().find(|(_, bytes)| page_size(bytes).is_none()) {
            return Err(invalid(format!("page {page} has {} bytes, which is no page size", bytes.len())));
        }
        let longest = pages.iter().map(|(_, bytes)| FRAME_HEADER_BYTES + bytes.len()).max().unwrap_or(0);
        let bytes = pages.iter().map(|(_, bytes)| FRAME_HEADER_BYTES + bytes.len()).sum();
        let before = self.appended;
        let mut call = self.start(shared, bytes, longest)?;
        let kept = places.len();
        let written =
            self.put_pages(shared, &mut call, txn, pages, places).and_then(|()| self.flush(shared, &mut call));
        if let Err(error) = written {
            places.truncate(kept);
            return Err(self.give_up(&call, Some(txn), error));
        }
        open.first = open.first.or(call.first);
        open.frames += pages.len() as u64;
        self.open.insert(txn, open);
        Ok(Appended { end: self.end, bytes: self.appended - before })
    }

    pub(crate) fn mark(&mut self, shared: &Shared, kind: u8, payload: &[u8]) -> Result<Position> {
        if payload.len() > MARK_BYTES_MAX {
            return Err(invalid(format!("a mark of {} bytes, at most {MARK_BYTES_MAX} are possible", payload.len())));
        }
        let end = self.put_one(shared, Content::Mark { kind, bytes: payload })?;
        self.marked = Some(Marked { seq: self.active.header.seq, kind, payload: payload.to_vec() });
        Ok(end)
    }

    /// Appends the frame that witnesses a sync of everything before it.
    pub(crate) fn witness(&mut self, shared: &Shared) -> Result<Position> {
        let end = self.put_one(shared, Content::Close)?;
        self.unwitnessed = false;
        Ok(end)
    }

    /// Appends the begin frame of a segment that nothing else is appended to yet.
    pub(crate) fn begin(&mut self, shared: &Shared) -> Result<()> {
        let begin = Content::Begin { previous_end: self.end };
        self.begun = true;
        self.put_one(shared, begin)?;
        self.unwitnessed = false;
        Ok(())
    }

    pub(crate) fn next_txn(&mut self) -> TxnNo {
        self.txn_max = self.txn_max.checked_add(1).expect("BUG: 2^64 transactions");
        TxnNo(self.txn_max)
    }

    fn put_one(&mut self, shared: &Shared, content: Content<'_>) -> Result<Position> {
        let longest = FRAME_HEADER_BYTES + MARK_BYTES_MAX.min(content_bytes(&content));
        let mut call = self.start(shared, longest, longest)?;
        self.put(shared, &mut call, TxnNo::NONE, self.last, content)?;
        self.flush(shared, &mut call)?;
        Ok(self.end)
    }

    fn put_pages(
        &mut self,
        shared: &Shared,
        call: &mut Call,
        txn: TxnNo,
        pages: &[(PageNo, &[u8])],
        places: &mut Vec<Place>,
    ) -> Result<()> {
        for (page, bytes) in pages {
            let content = Content::Page { page: *page, bytes };
            places.push(self.put(shared, call, txn, self.last, content)?);
        }
        Ok(())
    }

    /// After a failure: a call of which a part is in an earlier segment cannot be repeated under its number.
    fn give_up(&mut self, call: &Call, txn: Option<TxnNo>, error: Error) -> Error {
        match txn {
            Some(txn) if call.landed => {
                self.open.remove(&txn);
                error.hint("the transaction was larger than a segment and is abandoned; begin it anew")
            }
            _ => error,
        }
    }

    fn open_txn(&self, txn: TxnNo) -> Result<OpenTxn> {
        self.open.get(&txn).copied().ok_or_else(|| {
            invalid(format!("BUG: transaction {txn} was never begun, or was committed or abandoned already"))
        })
    }

    fn check_lsn(&self, lsn: Lsn) -> Result<()> {
        let dense = !taken(Step::NumberOn) || self.last.is_zero() || lsn.0.checked_sub(1) == Some(self.last.0);
        if dense && !lsn.is_zero() {
            return Ok(());
        }
        Err(invalid(format!("BUG: commit {lsn} cannot follow commit {}", self.last)))
    }
}

/// One that replay would refuse, and with it the whole journal.
fn check_txn(txn: TxnNo) -> Result<()> {
    if txn <= TxnNo::CEILING {
        return Ok(());
    }
    Err(invalid(format!("transaction {txn} is beyond what any journal reaches"))
        .hint("release the volume and open it again: that begins a new journal"))
}

fn content_bytes(content: &Content<'_>) -> usize {
    match content {
        Content::Mark { bytes, .. } => bytes.len(),
        _ => 0,
    }
}

fn page_size(bytes: &[u8]) -> Option<PageSize> {
    u32::try_from(bytes.len()).ok().and_then(PageSize::new)
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::Invalid, "appending to the journal").why(why)
}
