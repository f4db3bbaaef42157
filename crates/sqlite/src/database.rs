//! One connection's view of a volume, as a file that SQLite locks, reads and writes.
//!
//! SQLite's locks become transactions of the engine. SHARED pins a snapshot, RESERVED starts the write
//! transaction, and the end of the second phase of a commit commits it. A rollback needs nothing: SQLite
//! puts the old pages back into a transaction that is then dropped with the lock. Readers are on
//! snapshots, so PENDING and EXCLUSIVE are always granted.

use std::{cell::RefCell, ffi::c_int, sync::Arc};

use plimsoll_model::{Error, ErrorKind, Level, PageNo, PageSize, Result};
use plimsoll_volume::{Receipt, Reference, Snapshot};

use crate::{
    ffi::{LOCK_NONE, LOCK_RESERVED, LOCK_SHARED},
    header::{self, Seen},
    registry::{Shared, lock, registry},
    superjournal::{Deposit, Stage},
    writing::{Outcome, Writing},
};

/// Page 1 of some version, as it is shown.
#[derive(Default)]
struct FirstPage {
    version: Option<u64>,
    bytes: Vec<u8>,
    /// It differs from what is stored by more than a change counter.
    disguised: bool,
    /// What the write transaction makes of it.
    next: Vec<u8>,
}

/// See the module's words.
pub(crate) struct Database {
    shared: Arc<Shared>,
    lock: c_int,
    /// The state that this transaction reads.
    snapshot: Option<Snapshot>,
    writing: Option<Writing>,
    /// What was handed to a super-journal.
    deposit: Option<Deposit>,
    /// The write lock was taken in the regular order. Otherwise SQLite is putting back pages of a
    /// transaction whose write lock is gone.
    reserved: bool,
    seen: Option<Seen>,
    first: FirstPage,
    /// One page, for reading parts of pages.
    buffer: Vec<u8>,
    pub(crate) promise: Promise,
    /// The earlier state that the connection looks at instead of the newest.
    past: Option<Snapshot>,
    /// Full text of the connection's last error, for `PRAGMA plimsoll_error`.
    last_error: RefCell<Option<String>>,
    /// Errors that belonged to no volume and came before this connection.
    strays_before: u64,
    /// The last `PRAGMA journal_mode`, to answer with when WAL is asked for.
    pub(crate) journal_mode: &'static str,
}

/// The level that a commit is acknowledged at, as far as the connection has said.
#[derive(Clone, Copy)]
pub(crate) struct Promise {
    /// Of SQLite's compiled-in default.
    compiled: Level,
    /// By `PRAGMA synchronous`.
    pub(crate) synchronous: Option<Level>,
    /// By `PRAGMA plimsoll_durability`, which goes first.
    pub(crate) durability: Option<Level>,
}

impl Promise {
    /// The level in force. `setting` counts for a connection that has said nothing.
    fn level(self, setting: Option<Level>) -> Level {
        self.durability.or(self.synchronous).or(setting).unwrap_or(self.compiled)
    }
}

impl Database {
    /// A database without locks. `synchronous` is the level of SQLite's compiled-in default.
    pub(crate) fn new(shared: Arc<Shared>, synchronous: Level) -> Self {
        Database {
            shared,
            lock: LOCK_NONE,
            snapshot: None,
            writing: None,
            deposit: None,
            reserved: false,
            seen: None,
            first: FirstPage::default(),
            buffer: Vec::new(),
            promise: Promise { compiled: synchronous, synchronous: None, durability: None },
            past: None,
            last_error: RefCell::default(),
            strays_before: registry().strays(),
            journal_mode: "delete",
        }
    }

    /// The level that commits of this connection are acknowledged at.
    pub(crate) fn level(&self) -> Level {
        self.promise.level(self.shared.volume.settings().durability)
    }

    /// What the connections of the volume share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Remembers an error's text.
    pub(crate) fn remember(&self, text: &str) {
        *self.last_error.borrow_mut() = Some(text.to_owned());
    }

    /// The text of this connection's last error; one that belongs to no connection counts if it came up on this thread
    /// since this one was opened. Those of other connections are theirs.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.borrow().clone().or_else(|| registry().stray_here(self.strays_before))
    }

    /// The lock that SQLite holds.
    pub(crate) fn lock_level(&self) -> c_int {
        self.lock
    }

    /// Raises the lock.
    ///
    /// # Errors
    /// `Conflict`: another commit came since the snapshot. `Held`: somebody else is writing. `Fenced`,
    /// `Invalid`: this process may not write.
    pub(crate) fn raise(&mut self, level: c_int) -> Result<()> {
        if level <= self.lock {
            return Ok(());
        }
        if self.lock == LOCK_NONE {
            self.snapshot = Some(self.pin()?);
            self.lock = LOCK_SHARED;
        }
        if level == LOCK_RESERVED {
            if let Some(past) = &self.past {
                return Err(Error::new(ErrorKind::Invalid, "writing to")
                    .object(self.shared.volume.status().url)
                    .why(format!("this connection looks at the state of TXID {}, which is past", past.txid()))
                    .hint("go back to the present first: PRAGMA plimsoll_time = latest"));
            }
            self.begin()?;
            self.reserved = true;
        }
        self.lock = level;
        Ok(())
    }

    /// Lowers the lock. Below RESERVED, what was written and not committed is gone.
    pub(crate) fn lower(&mut self, level: c_int) {
        if level >= self.lock {
            return;
        }
        if level < LOCK_RESERVED {
            self.writing = None;
            self.deposit = None;
            self.reserved = false;
        }
        if level == LOCK_NONE {
            self.snapshot = None;
        }
        self.lock = level;
    }

    /// The state that a transaction which begins now reads.
    ///
    /// # Errors
    /// `Fenced`, since the state could contradict what SQLite has kept: the schema that it knows can be one that the
    /// winner's history never had, under the same number.
    fn pin(&self) -> Result<Snapshot> {
        let volume = &self.shared.volume;
        let snapshot = self.past.as_ref().map_or_else(|| volume.snapshot(), |past| Ok(past.again()))?;
        // In this order, since the winner's states are shown only once the fence is.
        if !volume.is_fenced() {
            return Ok(snapshot);
        }
        Err(Error::new(ErrorKind::Fenced, "reading")
            .object(volume.url())
            .why("another writer has taken the volume, and may know nothing of what this connection has seen")
            .hint("open the database again"))
    }

    /// The earlier state that the connection looks at, if it does.
    pub(crate) fn past(&self) -> Option<&Snapshot> {
        self.past.as_ref()
    }

    /// Looks at an earlier state from the next transaction on, or at the newest again.
    ///
    /// # Errors
    /// `Invalid` in the middle of a transaction; `NotFound` if the state cannot be had any more.
    pub(crate) fn look_at(&mut self, reference: Option<&Reference>) -> Result<()> {
        if self.lock > LOCK_NONE {
            return Err(Error::new(ErrorKind::Invalid, "looking at another state")
                .why("a transaction is open, and reads one state")
                .hint("end it first"));
        }
        self.past = reference.map(|reference| self.shared.volume.at(reference)).transpose()?;
        Ok(())
    }

    /// Bytes in the database as this transaction sees it.
    pub(crate) fn bytes(&mut self) -> Result<u64> {
        self.settle();
        if let Some(writing) = &self.writing {
            return Ok(writing.bytes());
        }
        let size_of = |snapshot: &Snapshot| snapshot.page_size().map_or(0, |size| snapshot.page_count().bytes(size));
        match &self.snapshot {
            Some(snapshot) => Ok(size_of(snapshot)),
            None => Ok(size_of(&self.pin()?)),
        }
    }

    /// Reads bytes; what lies behind the end reads as zeros. Returns whether all of it was there.
    pub(crate) fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        self.settle();
        if self.snapshot.is_some() {
            return self.read_locked(buf, offset);
        }
        // SQLite looks at the header before it locks anything.
        self.snapshot = Some(self.pin()?);
        let answer = self.read_locked(buf, offset);
        self.snapshot = None;
        answer
    }

    fn read_locked(&mut self, buf: &mut [u8], offset: u64) -> Result<bool> {
        let Some(snapshot) = &self.snapshot else { return Err(unlocked("reading")) };
        let (size, count) = match &self.writing {
            Some(writing) => (writing.page_size(), writing.count()),
            None => (snapshot.page_size(), snapshot.page_count()),
        };
        let Some(size) = size else {
            buf.fill(0);
            return Ok(false);
        };
        let mut offset = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let Some((page, start)) = size.locate(offset).filter(|(page, _)| count.contains(*page)) else {
                rest.fill(0);
                return Ok(false);
            };
            let part = rest.len().min(size.bytes() - start);
            let (now, later) = rest.split_at_mut(part);
            self.read_part(page, start, size, now)?;
            rest = later;
            offset += part as u64;
        }
        Ok(true)
    }

    fn read_part(&mut self, page: PageNo, start: usize, size: PageSize, buf: &mut [u8]) -> Result<()> {
        let Some(snapshot) = &self.snapshot else { return Err(unlocked("reading")) };
        if page == PageNo::FIRST && !self.writing.as_ref().is_some_and(Writing::wrote_first_page) {
            let version = snapshot.version();
            if let Some(seen) = self.seen.filter(|seen| seen.version == version)
                && start == header::FINGERPRINT_AT
                && buf.len() == seen.fingerprint.len()
            {
                // SQLite's look at each start of a transaction, mostly after this connection's own commit.
                buf.copy_from_slice(&seen.fingerprint);
                return Ok(());
            }
            if self.first.version != Some(version) {
                self.first.version = None;
                self.first.bytes.resize(size.bytes(), 0);
                snapshot.read(page, &mut self.first.bytes)?;
                self.first.disguised = header::says_wal(&self.first.bytes);
                header::present(&mut self.first.bytes, version, &self.shared.shown, &mut self.seen);
                self.first.version = Some(version);
            }
            buf.copy_from_slice(&self.first.bytes[start..start + buf.len()]);
            return Ok(());
        }
        let read = |buf: &mut [u8]| match &self.writing {
            Some(writing) => writing.read_page(page, buf),
            None => snapshot.read(page, buf),
        };
        if buf.len() == size.bytes() {
            return read(buf);
        }
        self.buffer.resize(size.bytes(), 0);
        let mut whole = std::mem::take(&mut self.buffer);
        let answer = read(&mut whole);
        buf.copy_from_slice(&whole[start..start + buf.len()]);
        self.buffer = whole;
        answer
    }

    /// Writes bytes into the write transaction.
    ///
    /// # Errors
    /// As [`Writing::write`]; and `Conflict` or `Held`, if SQLite has kept its lock since the last transaction, as an
    /// ordinary database can make it do for all that are attached, and somebody else has written meanwhile.
    pub(crate) fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        self.settle();
        if !self.reserved || self.is_committed() {
            // SQLite is putting old pages back. The transaction they belong to is gone, or has been
            // committed together with others; either way the volume is not what gets repaired here.
            return Ok(());
        }
        self.begin()?;
        let Some(writing) = &mut self.writing else { return Err(unlocked("writing")) };
        writing.write(data, offset)?;
        let size = writing.page_size().map_or(0, PageSize::bytes);
        if offset < size as u64 {
            let first = &mut self.first;
            first.next.clear();
            if offset == 0 && data.len() == size {
                first.next.extend_from_slice(data);
            }
            let known = !first.disguised && first.version == Some(writing.base_version());
            writing.first_page_is_spare(known && header::is_same_but_counted(&first.bytes, &first.next));
        }
        Ok(())
    }

    /// Cuts the database. After the commit SQLite does so once more; then there is nothing left to cut.
    pub(crate) fn truncate(&mut self, bytes: u64) {
        self.settle();
        if let Some(writing) = &mut self.writing {
            writing.truncate(bytes);
        }
    }

    /// The end of a commit's first phase: every page has been written.
    ///
    /// # Errors
    /// `Unsupported` if an ordinary database leads the transaction.
    pub(crate) fn hand_over(&mut self, super_journal: Option<&str>) -> Result<()> {
        self.settle();
        if let Some(writing) = &mut self.writing {
            writing.hand_over();
        }
        if let Some(name) = super_journal
            && let Some(writing) = self.writing.take()
        {
            self.deposit = Some(registry().super_journals.deposit(name, writing, self.level())?);
        }
        Ok(())
    }

    /// The end of a commit's second phase: commits, and waits for the level.
    ///
    /// # Errors
    /// When nothing was committed, or when the commit did not reach its level.
    pub(crate) fn commit(&mut self) -> Result<()> {
        if let Some(deposit) = self.deposit.take() {
            let stage = std::mem::replace(&mut *lock(&deposit), Stage::Withdrawn);
            match stage {
                Stage::Committed(receipt, outcome) => {
                    self.committed(&receipt, outcome);
                    return Ok(());
                }
                Stage::Waiting(writing, _) => self.writing = Some(*writing),
                Stage::Withdrawn => {}
            }
        }
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let level = self.level();
        let outcome = writing.outcome();
        if let Some(receipt) = writing.commit(level)? {
            self.committed(&receipt, outcome);
            // Also for the lowest level: the load line or the journal's policy may ask for more, and nobody
            // is told that all is well once another writer has the volume.
            receipt.wait(level)?;
        }
        Ok(())
    }

    /// The connection goes on in the state that it made.
    fn committed(&mut self, receipt: &Receipt, outcome: Option<Outcome>) {
        let snapshot = receipt.snapshot();
        let version = snapshot.version();
        if let Some(Outcome { fingerprint, says_wal, .. }) = outcome {
            if says_wal {
                // The page in SQLite's cache asks for a log that does not exist here; it has to read it afresh.
                self.shared.shown.refresh(version, &fingerprint);
            }
            self.seen = (!says_wal).then_some(Seen { version, fingerprint });
            std::mem::swap(&mut self.first.bytes, &mut self.first.next);
            let whole = !self.first.bytes.is_empty() && !says_wal;
            (self.first.version, self.first.disguised) = (whole.then_some(version), false);
        } else if let Some(seen) = &mut self.seen {
            seen.version = version;
        }
        self.snapshot = Some(snapshot);
    }

    fn begin(&mut self) -> Result<()> {
        if self.writing.is_none() {
            let Some(snapshot) = &self.snapshot else { return Err(unlocked("starting a write transaction")) };
            self.writing = Some(Writing::begin(&self.shared.volume, snapshot)?);
        }
        Ok(())
    }

    fn is_committed(&self) -> bool {
        self.deposit.as_ref().is_some_and(|deposit| matches!(*lock(deposit), Stage::Committed(..)))
    }

    /// Takes back what was handed over and still waits, since SQLite goes on working on it.
    fn settle(&mut self) {
        let Some(deposit) = &self.deposit else { return };
        let mut stage = lock(deposit);
        match std::mem::replace(&mut *stage, Stage::Withdrawn) {
            Stage::Waiting(writing, _) => self.writing = Some(*writing),
            other => *stage = other,
        }
    }
}

fn unlocked(doing: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, doing).why("the database is not locked")
}
