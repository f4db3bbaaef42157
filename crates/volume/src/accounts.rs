//! Levels, load and cadences of a volume that is held for writing.

use std::ops::RangeInclusive;

use plimsoll_durability::{
    Admission, FlushReason, JournalPolicy, Ledger, LoadLine, Mark, Next, Progress, Promise, SyncPolicy,
};
use plimsoll_host::{Mono, WallMs};
use plimsoll_model::{
    Level, Lsn,
    step::{Step, taken},
};
use plimsoll_settings::Settings;

/// One lock's worth of decisions. Told what happened, says what to do.
pub(crate) struct Accounts {
    pub(crate) ledger: Ledger,
    pub(crate) line: LoadLine,
    pub(crate) sync: SyncPolicy,
    pub(crate) flush: JournalPolicy,
    pub(crate) progress: Progress,
    /// A flush that was called for and has not begun.
    pub(crate) flush_now: Option<FlushReason>,
    /// Syncs that failed since the last that succeeded.
    pub(crate) failures: u32,
    /// When a commit was last appended.
    pub(crate) written: Mono,
    /// `sync_backlog_bytes`.
    backlog: u64,
}

/// Which tasks a commit has to wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wake {
    pub(crate) flusher: bool,
    pub(crate) syncer: bool,
}

impl Accounts {
    /// Everything up to `durable` is durable.
    pub(crate) fn new(settings: &Settings, durable: Lsn, at: WallMs, now: Mono) -> Self {
        Accounts {
            ledger: Ledger::starting(durable),
            line: settings.load_line(),
            sync: SyncPolicy::new(settings.sync_cadence(), durable),
            flush: JournalPolicy::new(settings.journal_cadence()),
            progress: Progress::starting(Mark { lsn: durable, at }),
            flush_now: None,
            failures: 0,
            written: now,
            backlog: settings.sync_backlog_bytes,
        }
    }

    /// Takes up changed settings.
    pub(crate) fn adopt(&mut self, settings: &Settings) {
        self.line = settings.load_line();
        self.sync.set_cadence(settings.sync_cadence());
        self.flush.set_cadence(settings.journal_cadence());
        self.backlog = settings.sync_backlog_bytes;
    }

    /// Decides on a commit; if it has to wait, the sync that makes room is asked for.
    pub(crate) fn admit(&mut self, bytes: u64, now: Mono) -> Admission {
        if !taken(Step::LoadLine) {
            return Admission::Go;
        }
        let admission = self.line.admit(&self.ledger, bytes, now);
        if admission == Admission::WaitForSync
            && let Some(pending) = self.ledger.pending()
        {
            self.sync.line_reached(&pending);
        }
        admission
    }

    /// Notes a commit that is in the journal. `held`: it is acknowledged only once durable, so its sync is asked for.
    pub(crate) fn committed(&mut self, lsn: Lsn, bytes: u64, held: bool, now: Mono, at: WallMs) -> Wake {
        self.note(lsn, bytes, held, now, now, at)
    }

    /// Notes a commit that an earlier process has made and acknowledged, first dirtied at `dirtied`.
    pub(crate) fn replayed(&mut self, lsn: Lsn, bytes: u64, dirtied: Mono, now: Mono, at: WallMs) {
        self.note(lsn, bytes, false, dirtied, now, at);
    }

    fn note(&mut self, lsn: Lsn, bytes: u64, held: bool, dirtied: Mono, now: Mono, at: WallMs) -> Wake {
        let before = self.ledger.pending();
        let backlog = self.backlog;
        self.ledger.note(lsn, bytes, dirtied, if held { Promise::Held } else { Promise::Acknowledged });
        if held {
            self.sync.request(lsn);
        }
        self.progress.advance(Level::Buffered, lsn, at);
        self.written = now;
        let timed = self.flush.deadline().is_some();
        if let Some(reason) = self.flush.on_append(bytes, now) {
            self.flush_now = Some(reason);
        }
        let pending = before.map_or(0, |pending| pending.bytes);
        Wake {
            flusher: self.flush_now.is_some() || (!timed && self.flush.deadline().is_some()),
            syncer: before.is_none() || held || (backlog > 0 && pending < backlog && pending + bytes >= backlog),
        }
    }

    /// Somebody asks for less than `durable` for the commits in `lsns`. Whether that may be promised: what was held
    /// of them is load from now on. Otherwise only `durable` will do.
    pub(crate) fn promise_less(&mut self, lsns: &RangeInclusive<Lsn>, now: Mono) -> bool {
        let allowed = self.line.allows_less(&self.ledger, lsns, now);
        if allowed {
            self.ledger.acknowledge(lsns);
        }
        allowed
    }

    /// What the syncer does now.
    pub(crate) fn next_sync(&self, now: Mono) -> Next {
        self.sync.next(self.ledger.pending(), now)
    }

    /// What the flusher does now: a reason to flush, or until when to sleep.
    pub(crate) fn next_flush(&mut self, now: Mono) -> Result<FlushReason, Option<Mono>> {
        if let Some(reason) = self.flush_now.take() {
            return Ok(reason);
        }
        self.flush.on_timer(now).ok_or_else(|| self.flush.deadline())
    }

    /// Everything up to `lsn` is in the object store.
    pub(crate) fn durable(&mut self, lsn: Lsn, at: WallMs) {
        self.ledger.settle(lsn);
        self.progress.advance(Level::Durable, lsn, at);
        self.sync.on_sync_done(lsn);
        self.failures = 0;
    }
}
