//! When to sync the journal to the local disk.

use std::time::Duration;

use plimsoll_host::Mono;

/// The journal's sync settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalCadence {
    /// On a timer, and by backlog.
    Interval {
        /// Longest that an append stays unsynced: `journal_sync_interval_ms`.
        interval: Duration,
        /// An append that brings the pending bytes to this or more syncs at once:
        /// `journal_sync_backlog_bytes`. Zero turns this trigger off, the timer stays.
        backlog_bytes: u64,
    },
    /// Each commit waits for its own sync or for a group's. Nothing is tracked here.
    Immediate,
    /// Only on request.
    Manual,
}

impl JournalCadence {
    /// The name used in settings and as the metric label `policy`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            JournalCadence::Interval { .. } => "interval",
            JournalCadence::Immediate => "immediate",
            JournalCadence::Manual => "manual",
        }
    }
}

/// Why the journal is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlushReason {
    /// The pending bytes reached `journal_sync_backlog_bytes`.
    Backlog,
    /// The timer.
    Interval,
    /// Somebody asked: a statement, or a wait for `journaled`.
    Manual,
    /// The volume is being closed.
    Shutdown,
}

impl FlushReason {
    /// Every reason.
    pub const ALL: [FlushReason; 4] =
        [FlushReason::Backlog, FlushReason::Interval, FlushReason::Manual, FlushReason::Shutdown];

    /// The metric label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FlushReason::Backlog => "backlog",
            FlushReason::Interval => "interval",
            FlushReason::Manual => "manual",
            FlushReason::Shutdown => "shutdown",
        }
    }
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The bytes are on the disk.
    Success,
    /// They may not be.
    Error,
}

impl Outcome {
    /// Both.
    pub const ALL: [Outcome; 2] = [Outcome::Success, Outcome::Error];

    /// The metric label `outcome`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Error => "error",
        }
    }
}

/// Decides when the journal is synced to the local disk.
///
/// Bytes are counted as positions in the stream of appends. Read [`position`](Self::position) before
/// a sync begins and hand it back with the result: what is appended meanwhile stays pending.
#[derive(Clone, Debug)]
pub struct JournalPolicy {
    cadence: JournalCadence,
    appended: u64,
    flushed: u64,
    /// Up to where a flush was called for, or has ended.
    asked: u64,
    /// When the first byte behind `asked` was appended.
    oldest: Option<Mono>,
}

impl JournalPolicy {
    /// A journal with nothing pending.
    #[must_use]
    pub fn new(cadence: JournalCadence) -> Self {
        JournalPolicy { cadence, appended: 0, flushed: 0, asked: 0, oldest: None }
    }

    /// The settings in force.
    #[must_use]
    pub fn cadence(&self) -> JournalCadence {
        self.cadence
    }

    /// Takes up changed settings. Appends that are pending fall under the new ones.
    pub fn set_cadence(&mut self, cadence: JournalCadence) {
        self.cadence = cadence;
        if cadence == JournalCadence::Immediate {
            (self.flushed, self.asked, self.oldest) = (self.appended, self.appended, None);
        }
    }

    /// Whether each commit waits for a sync before it is acknowledged (`immediate`).
    #[must_use]
    pub fn each_commit_syncs(&self) -> bool {
        self.cadence == JournalCadence::Immediate
    }

    /// Notes an append. A reason means: sync now.
    #[must_use]
    pub fn on_append(&mut self, bytes: u64, now: Mono) -> Option<FlushReason> {
        if self.each_commit_syncs() || bytes == 0 {
            return None;
        }
        self.appended += bytes;
        self.oldest.get_or_insert(now);
        match self.cadence {
            JournalCadence::Interval { backlog_bytes, .. }
                if backlog_bytes > 0 && self.appended - self.asked >= backlog_bytes =>
            {
                self.ask();
                Some(FlushReason::Backlog)
            }
            _ => None,
        }
    }

    /// When to call [`on_timer`](Self::on_timer). Armed only while an append is pending for which
    /// no flush was called for.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match self.cadence {
            JournalCadence::Interval { interval, .. } => Some(self.oldest? + interval),
            JournalCadence::Immediate | JournalCadence::Manual => None,
        }
    }

    /// Longest that an append stays unsynced; `None`: no timer is in force.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        match self.cadence {
            JournalCadence::Interval { interval, .. } => Some(interval),
            JournalCadence::Immediate | JournalCadence::Manual => None,
        }
    }

    /// The time is `now`. A reason means: sync now.
    #[must_use]
    pub fn on_timer(&mut self, now: Mono) -> Option<FlushReason> {
        if self.deadline()? > now {
            return None;
        }
        self.ask();
        Some(FlushReason::Interval)
    }

    /// Everything appended so far; what a sync that begins now covers.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.appended
    }

    /// Bytes appended and not known to be synced. Always zero in `immediate`.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        self.appended - self.flushed
    }

    /// Notes the end of a sync that began at `up_to`.
    ///
    /// After a failure everything is pending as before, and the timer calls again one interval later.
    pub fn on_flushed(&mut self, ok: bool, up_to: u64, now: Mono) {
        if ok {
            self.flushed = self.flushed.max(up_to.min(self.appended));
            if self.asked < self.flushed {
                self.asked = self.flushed;
                // What was appended during the sync gets a deadline of its own.
                self.oldest = (self.asked < self.appended).then_some(now);
            }
        } else {
            self.asked = self.flushed;
            self.oldest = (self.asked < self.appended).then_some(now);
        }
    }

    fn ask(&mut self) {
        self.asked = self.appended;
        self.oldest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Mono {
        Mono(Duration::from_millis(n))
    }

    fn interval(backlog_bytes: u64) -> JournalPolicy {
        JournalPolicy::new(JournalCadence::Interval { interval: Duration::from_millis(5), backlog_bytes })
    }

    #[test]
    fn the_append_that_reaches_the_backlog_syncs_at_once() {
        let mut journal = interval(100);
        assert_eq!(journal.on_append(99, ms(0)), None);
        assert_eq!(journal.on_append(1, ms(1)), Some(FlushReason::Backlog));
        assert_eq!(journal.deadline(), None, "the flush is called for");
    }

    #[test]
    fn one_append_larger_than_the_backlog_syncs_at_once() {
        assert_eq!(interval(100).on_append(5000, ms(0)), Some(FlushReason::Backlog));
    }

    #[test]
    fn a_successful_backlog_flush_resets_the_count_and_schedules_the_next_deadline() {
        let mut journal = interval(100);
        assert_eq!(journal.on_append(150, ms(0)), Some(FlushReason::Backlog));
        let up_to = journal.position();
        assert_eq!(journal.on_append(60, ms(1)), None, "60 of a new count");
        journal.on_flushed(true, up_to, ms(2));
        assert_eq!((journal.pending_bytes(), journal.deadline()), (60, Some(ms(6))));
        assert_eq!(journal.on_append(39, ms(3)), None);
        assert_eq!(journal.on_append(1, ms(3)), Some(FlushReason::Backlog));
    }

    #[test]
    fn any_successful_flush_resets_the_count() {
        let mut journal = interval(100);
        assert_eq!(journal.on_append(60, ms(0)), None);
        journal.on_flushed(true, journal.position(), ms(1));
        assert_eq!(journal.deadline(), None);
        assert_eq!(journal.on_append(60, ms(2)), None, "60 of a new count");
        assert_eq!(journal.deadline(), Some(ms(7)));
    }

    #[test]
    fn the_timer_is_armed_only_while_something_is_pending() {
        let mut journal = interval(0);
        assert_eq!((journal.deadline(), journal.on_timer(ms(50))), (None, None));
        assert_eq!(journal.on_append(1, ms(100)), None);
        assert_eq!(journal.on_append(1, ms(103)), None);
        assert_eq!(journal.deadline(), Some(ms(105)), "from the first pending append");
        assert_eq!(journal.on_timer(ms(104)), None);
        assert_eq!(journal.on_timer(ms(105)), Some(FlushReason::Interval));
        let up_to = journal.position();
        journal.on_flushed(true, up_to, ms(106));
        assert_eq!((journal.pending_bytes(), journal.deadline()), (0, None));
    }

    #[test]
    fn a_backlog_of_zero_turns_the_trigger_off_and_leaves_the_timer() {
        let mut journal = interval(0);
        for _ in 0..100 {
            assert_eq!(journal.on_append(1 << 40, ms(0)), None);
        }
        assert_eq!(journal.on_timer(ms(5)), Some(FlushReason::Interval));
    }

    #[test]
    fn manual_ignores_backlog_and_timer() {
        let mut journal = JournalPolicy::new(JournalCadence::Manual);
        assert_eq!(journal.on_append(1 << 40, ms(0)), None);
        assert_eq!((journal.deadline(), journal.on_timer(ms(1_000_000))), (None, None));
        assert_eq!(journal.pending_bytes(), 1 << 40);
        let up_to = journal.position();
        journal.on_flushed(true, up_to, ms(9));
        assert_eq!(journal.pending_bytes(), 0);
    }

    #[test]
    fn immediate_tracks_nothing() {
        let mut journal = JournalPolicy::new(JournalCadence::Immediate);
        assert!(journal.each_commit_syncs());
        assert_eq!(journal.on_append(1 << 40, ms(0)), None);
        assert_eq!((journal.pending_bytes(), journal.deadline()), (0, None));
    }

    #[test]
    fn a_failed_flush_leaves_everything_pending_and_is_called_for_again() {
        let mut journal = interval(100);
        assert_eq!(journal.on_append(150, ms(0)), Some(FlushReason::Backlog));
        journal.on_flushed(false, 150, ms(3));
        assert_eq!((journal.pending_bytes(), journal.deadline()), (150, Some(ms(8))));
        assert_eq!(journal.on_append(1, ms(4)), Some(FlushReason::Backlog), "still over the backlog");
    }

    #[test]
    fn a_flush_does_not_cover_what_was_appended_after_it_began() {
        let mut journal = interval(0);
        let _ = journal.on_append(10, ms(0));
        let up_to = journal.position();
        let _ = journal.on_append(7, ms(1));
        journal.on_flushed(true, up_to, ms(2));
        assert_eq!((journal.pending_bytes(), journal.deadline()), (7, Some(ms(7))));
    }

    #[test]
    fn pending_appends_fall_under_changed_settings() {
        let mut journal = JournalPolicy::new(JournalCadence::Manual);
        let _ = journal.on_append(10, ms(0));
        journal.set_cadence(interval(0).cadence());
        assert_eq!(journal.deadline(), Some(ms(5)));
    }
}
