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

    /// The volume is being closed: everything is to be durable as soon as possible, so a failed sync is tried
    /// again at once, and from then on after the delays that it is told.
    pub fn close(&mut self) {
        self.closing = true;
        self.retry_at = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Mono {
        Mono(Duration::from_millis(n))
    }

    fn policy() -> SyncPolicy {
        SyncPolicy::new(
            SyncCadence {
                interval: Duration::from_millis(1000),
                backlog_bytes: 100,
                max_loss_window: Duration::from_millis(30_000),
            },
            Lsn::ZERO,
        )
    }

    /// Commits up to 5, of so many bytes, the first dirtied at 200 ms.
    fn pending(bytes: u64) -> Option<Pending> {
        Some(Pending { last: Lsn(5), bytes, oldest: ms(200) })
    }

    #[test]
    fn the_interval_counts_from_the_first_dirty_commit() {
        assert_eq!(policy().next(pending(1), ms(1199)), Next::WaitUntil(ms(1200)));
        assert_eq!(policy().next(pending(1), ms(1200)), Next::SyncNow(SyncReason::Interval));
    }

    #[test]
    fn nothing_pending_means_nothing_to_do_whoever_asks() {
        let mut sync = policy();
        sync.request(Lsn(5));
        sync.close();
        assert_eq!(sync.next(None, ms(99_999)), Next::Idle);
    }

    #[test]
    fn a_backlog_brings_the_sync_forward_unless_turned_off() {
        let mut sync = policy();
        assert_eq!(sync.next(pending(99), ms(200)), Next::WaitUntil(ms(1200)));
        assert_eq!(sync.next(pending(100), ms(200)), Next::SyncNow(SyncReason::Backlog));
        sync.set_cadence(SyncCadence { backlog_bytes: 0, ..sync.cadence });
        assert_eq!(sync.next(pending(u64::MAX), ms(200)), Next::WaitUntil(ms(1200)));
    }

    #[test]
    fn half_of_the_loss_window_brings_the_sync_forward() {
        let mut sync = policy();
        sync.set_cadence(SyncCadence { interval: Duration::from_secs(3600), ..sync.cadence });
        assert_eq!(sync.next(pending(1), ms(15_199)), Next::WaitUntil(ms(15_200)));
        assert_eq!(sync.next(pending(1), ms(15_200)), Next::SyncNow(SyncReason::LoadLine));
    }

    #[test]
    fn a_waiter_triggers_at_once_and_only_until_it_is_served() {
        let mut sync = policy();
        sync.request(Lsn(5));
        assert_eq!(sync.next(pending(1), ms(200)), Next::SyncNow(SyncReason::Requested));
        sync.on_sync_started(Lsn(5));
        sync.on_sync_done(Lsn(5));
        assert_eq!(sync.next(pending(1), ms(200)), Next::WaitUntil(ms(1200)));
        sync.request(Lsn(3));
        assert_eq!(sync.next(pending(1), ms(200)), Next::WaitUntil(ms(1200)), "3 is durable");
    }

    #[test]
    fn a_commit_at_the_load_line_triggers_at_once() {
        let mut sync = policy();
        sync.line_reached(&pending(1).unwrap());
        assert_eq!(sync.next(pending(1), ms(200)), Next::SyncNow(SyncReason::LoadLine));
        sync.on_sync_started(Lsn(5));
        sync.on_sync_done(Lsn(5));
        assert_eq!(sync.next(pending(1), ms(200)), Next::WaitUntil(ms(1200)));
    }

    #[test]
    fn closing_triggers_until_nothing_is_pending() {
        let mut sync = policy();
        sync.close();
        assert_eq!(sync.next(pending(1), ms(200)), Next::SyncNow(SyncReason::Close));
        sync.reopen();
        assert_eq!(sync.next(pending(1), ms(200)), Next::WaitUntil(ms(1200)));
    }

    #[test]
    fn closing_does_not_sit_out_the_delay_of_an_earlier_failure() {
        let mut sync = policy();
        sync.on_sync_failed(ms(200), Duration::from_secs(10));
        sync.close();
        assert_eq!(sync.next(pending(1), ms(300)), Next::SyncNow(SyncReason::Close));
        sync.on_sync_failed(ms(300), Duration::from_secs(10));
        assert_eq!(sync.next(pending(1), ms(301)), Next::WaitUntil(ms(10_300)));
    }

    #[test]
    fn at_most_one_sync_is_under_way() {
        let mut sync = policy();
        sync.on_sync_started(Lsn(5));
        sync.request(Lsn(6));
        sync.close();
        assert_eq!(sync.next(pending(1 << 40), ms(99_999)), Next::Idle);
        assert_eq!(sync.in_flight(), Some(Lsn(5)));
    }

    #[test]
    fn a_failed_sync_is_tried_again_after_the_delay_and_not_before() {
        let mut sync = policy();
        sync.request(Lsn(5));
        for round in 1..10 {
            let start = 1000 * round;
            sync.on_sync_started(Lsn(5));
            sync.on_sync_failed(ms(start), Duration::from_millis(700));
            sync.request(Lsn(6));
            assert_eq!(sync.next(pending(1 << 40), ms(start + 699)), Next::WaitUntil(ms(start + 700)));
            assert_eq!(sync.next(pending(1), ms(start + 700)), Next::SyncNow(SyncReason::Requested));
        }
    }

    #[test]
    fn a_failed_sync_is_not_dropped_when_the_settings_change() {
        let mut sync = policy();
        sync.on_sync_started(Lsn(5));
        sync.on_sync_failed(ms(1300), Duration::from_millis(100));
        sync.set_cadence(SyncCadence { interval: Duration::from_secs(3600), ..sync.cadence });
        assert_eq!(sync.next(pending(1), ms(1400)), Next::SyncNow(SyncReason::Interval));
    }

    #[test]
    fn success_ends_the_delay() {
        let mut sync = policy();
        sync.on_sync_failed(ms(0), Duration::from_secs(100));
        sync.on_sync_done(Lsn(4));
        assert_eq!(sync.next(pending(1), ms(1200)), Next::SyncNow(SyncReason::Interval));
    }
}
