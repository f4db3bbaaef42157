//! When to sync to the object store.

use std::time::Duration;

use plimsoll_host::Mono;
use plimsoll_model::Lsn;

use crate::ledger::Pending;

/// The settings that say when to sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncCadence {
    /// Time from the first dirty commit to its sync: `sync_interval_ms`.
    pub interval: Duration,
    /// Pending bytes that bring a sync forward: `sync_backlog_bytes`; zero turns this off.
    pub backlog_bytes: u64,
    /// The load line's limit on age. At half of it a sync starts, whatever the interval.
    pub max_loss_window: Duration,
}

/// Why a sync starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncReason {
    /// The first dirty commit is an interval old.
    Interval,
    /// The pending bytes reached `sync_backlog_bytes`.
    Backlog,
    /// Somebody waits for `durable`.
    Requested,
    /// A commit waits at the load line, or half the loss window has passed.
    LoadLine,
    /// The volume is being closed, or its epoch let go.
    Close,
}

impl SyncReason {
    /// Every reason.
    pub const ALL: [SyncReason; 5] =
        [SyncReason::Interval, SyncReason::Backlog, SyncReason::Requested, SyncReason::LoadLine, SyncReason::Close];

    /// The metric label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SyncReason::Interval => "interval",
            SyncReason::Backlog => "backlog",
            SyncReason::Requested => "requested",
            SyncReason::LoadLine => "load_line",
            SyncReason::Close => "close",
        }
    }
}

/// What the one who syncs does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Cut the dirty set and sync it; then report [`SyncPolicy::on_sync_started`].
    SyncNow(SyncReason),
    /// Ask again at this time, or after the next commit, request or change of settings.
    WaitUntil(Mono),
    /// Ask again after the next commit, request, end of a sync or change of settings.
    Idle,
}

/// Decides when to sync to the object store: one sync at a time, a failed one again after the delay
/// it was told, until everything is durable.
#[derive(Clone, Debug)]
pub struct SyncPolicy {
    cadence: SyncCadence,
    durable: Lsn,
    /// The highest commit that somebody waits for.
    requested: Lsn,
    /// The last commit before one that waits at the load line.
    blocked: Lsn,
    closing: bool,
    /// The cut of the sync under way.
    in_flight: Option<Lsn>,
    retry_at: Option<Mono>,
}

impl SyncPolicy {
    /// A volume whose commits up to `durable` are durable.
    #[must_use]
    pub fn new(cadence: SyncCadence, durable: Lsn) -> Self {
        SyncPolicy {
            cadence,
            durable,
            requested: Lsn::ZERO,
            blocked: Lsn::ZERO,
            closing: false,
            in_flight: None,
            retry_at: None,
        }
    }

    /// Takes up changed settings.
    pub fn set_cadence(&mut self, cadence: SyncCadence) {
        self.cadence = cadence;
    }

    /// Somebody waits for `lsn` to become durable.
    pub fn request(&mut self, lsn: Lsn) {
        self.requested = self.requested.max(lsn);
    }

    /// A commit waits for room; `pending` is what is to be synced to make it.
    pub fn line_reached(&mut self, pending: &Pending) {
        self.blocked = self.blocked.max(pending.last);
    }

    /// The volume is being closed: everything is to be durable as soon as possible.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Takes [`close`](Self::close) back, when the volume goes on after letting its epoch go.
    pub fn reopen(&mut self) {
        self.closing = false;
    }

    /// A sync of everything up to `cut` is under way.
    ///
    /// # Panics
    /// When one was under way already.
    pub fn on_sync_started(&mut self, cut: Lsn) {
        assert!(self.in_flight.is_none(), "BUG: two syncs of one volume at a time");
        self.in_flight = Some(cut);
    }

    /// The sync under way made everything up to `durable` durable.
    pub fn on_sync_done(&mut self, durable: Lsn) {
        self.durable = self.durable.max(durable);
        self.in_flight = None;
        self.retry_at = None;
    }

    /// The sync under way did not succeed, or nobody knows. What it carried stays pending; it is
    /// tried again `retry_after` from `now`, not earlier even if somebody waits.
    pub fn on_sync_failed(&mut self, now: Mono, retry_after: Duration) {
        self.in_flight = None;
        self.retry_at = Some(now + retry_after);
    }

    /// The cut of the sync under way.
    #[must_use]
    pub fn in_flight(&self) -> Option<Lsn> {
        self.in_flight
    }

    /// When the last failed sync is tried again; `None` if the last one did not fail.
    #[must_use]
    pub fn retry_at(&self) -> Option<Mono> {
        self.retry_at
    }

    /// What to do at `now`, given [`Ledger::pending`](crate::Ledger::pending).
    #[must_use]
    pub fn next(&self, pending: Option<Pending>, now: Mono) -> Next {
        let Some(pending) = pending else { return Next::Idle };
        if self.in_flight.is_some() {
            return Next::Idle;
        }
        let due = self.due(&pending, now);
        match (self.retry_at, due) {
            (Some(retry_at), _) if retry_at > now => Next::WaitUntil(retry_at),
            // A failed sync was due before, and is now, even if settings have changed since.
            (Some(_), Err(_)) => Next::SyncNow(SyncReason::Interval),
            (_, Ok(reason)) => Next::SyncNow(reason),
            (None, Err(at)) => Next::WaitUntil(at),
        }
    }

    /// Why a sync is due, or when it will be by the clock alone.
    fn due(&self, pending: &Pending, now: Mono) -> Result<SyncReason, Mono> {
        let SyncCadence { interval, backlog_bytes, max_loss_window } = self.cadence;
        let by_interval = pending.oldest + interval;
        let by_line = pending.oldest + max_loss_window / 2;
        if self.closing {
            Ok(SyncReason::Close)
        } else if self.requested > self.durable {
            Ok(SyncReason::Requested)
        } else if self.blocked > self.durable {
            Ok(SyncReason::LoadLine)
        } else if backlog_bytes > 0 && pending.bytes >= backlog_bytes {
            Ok(SyncReason::Backlog)
        } else if by_interval <= now {
            Ok(SyncReason::Interval)
        } else if by_line <= now {
            Ok(SyncReason::LoadLine)
        } else {
            Err(by_interval.min(by_line))
        }
    }
}
