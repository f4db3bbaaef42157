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

    fn index(self) -> usize {
        match self {
            JournalCadence::Interval { .. } => 0,
            JournalCadence::Immediate => 1,
            JournalCadence::Manual => 2,
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

/// What `journal_wal_flush_total` and `journal_sync_count_total` show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushCounts {
    flushes: [[u64; 2]; 4],
    syncs: [u64; 3],
}

impl FlushCounts {
    /// Flushes that were triggered for this reason and ended so.
    #[must_use]
    pub fn flush_total(&self, reason: FlushReason, outcome: Outcome) -> u64 {
        self.flushes[reason as usize][outcome as usize]
    }

    /// Successful syncs of the journal while this policy was in force, whoever triggered them.
    #[must_use]
    pub fn sync_count_total(&self, cadence: JournalCadence) -> u64 {
        self.syncs[cadence.index()]
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
    counts: FlushCounts,
}

impl JournalPolicy {
    /// A journal with nothing pending.
    #[must_use]
    pub fn new(cadence: JournalCadence) -> Self {
        JournalPolicy { cadence, appended: 0, flushed: 0, asked: 0, oldest: None, counts: FlushCounts::default() }
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
        if self.each_commit_syncs() {
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

    /// Notes the end of a sync that began at `up_to`. `reason` is `None` for the sync of a commit
    /// under `immediate`, which nothing but the commit triggers.
    ///
    /// After a failure everything is pending as before, and the timer calls again one interval later.
    pub fn on_flushed(&mut self, reason: Option<FlushReason>, ok: bool, up_to: u64, now: Mono) {
        let outcome = if ok { Outcome::Success } else { Outcome::Error };
        if let Some(reason) = reason {
            self.counts.flushes[reason as usize][outcome as usize] += 1;
        }
        if ok {
            self.counts.syncs[self.cadence.index()] += 1;
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

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> &FlushCounts {
        &self.counts
    }

    fn ask(&mut self) {
        self.asked = self.appended;
        self.oldest = None;
    }
}
