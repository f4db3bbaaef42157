//! All parts together, under random operations, against a plain list of commits.

use std::time::Duration;

use plimsoll_host::{Mono, WallMs};
use plimsoll_model::{Level, Lsn};
use proptest::{collection::vec, prelude::*};

use crate::{
    Admission, Ledger, LoadLine, Mark, Next, OnLoadLine, Progress, Promise, SyncCadence, SyncPolicy, Terminal,
};

#[derive(Clone, Debug)]
enum Op {
    /// Commits so many bytes, first dirtied so many milliseconds ago, if admitted.
    Commit(u64, u64),
    /// Syncs the journal up to this share of what is appended.
    Journal(f64),
    /// Starts a sync if one is due.
    Sync,
    SyncDone,
    SyncFailed(u64),
    Request,
    /// Somebody waits for less than `durable`: for one commit that is not durable, or for all up to it.
    WaitForLess(prop::sample::Index, bool),
    Pass(u64),
    WallClock(u64),
    End(Terminal),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..400u64, 0..3000u64).prop_map(|(bytes, ago)| Op::Commit(bytes, ago)),
        2 => (0.0..=1.0).prop_map(Op::Journal),
        4 => Just(Op::Sync),
        3 => Just(Op::SyncDone),
        2 => (0..5000u64).prop_map(Op::SyncFailed),
        1 => Just(Op::Request),
        3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, all)| Op::WaitForLess(which, all)),
        4 => (0..2000u64).prop_map(Op::Pass),
        1 => (0..100_000u64).prop_map(Op::WallClock),
    ];
    let end = prop_oneof![Just(Terminal::JournalFailed), Just(Terminal::Closed), Just(Terminal::Fenced)];
    (vec(op, 1..300), proptest::option::of((any::<prop::sample::Index>(), end))).prop_map(|(mut ops, end)| {
        if let Some((place, terminal)) = end {
            ops.insert(place.index(ops.len()), Op::End(terminal));
        }
        ops
    })
}

#[derive(Clone, Copy, Debug)]
struct Commit {
    lsn: Lsn,
    bytes: u64,
    dirtied: Mono,
    promise: Promise,
}

/// What a volume would hold under its lock, and the list it is compared with.
struct World {
    line: LoadLine,
    ledger: Ledger,
    progress: Progress,
    sync: SyncPolicy,
    now: Mono,
    wall: WallMs,
    commits: Vec<Commit>,
    /// Waits that were answered.
    answered_ok: Vec<(Lsn, Level)>,
}

const START: Lsn = Lsn(7);

impl World {
    fn new(line: LoadLine) -> Self {
        let cadence = SyncCadence {
            interval: Duration::from_millis(1000),
            backlog_bytes: 700,
            max_loss_window: line.max_loss_window,
        };
        World {
            line,
            ledger: Ledger::starting(START),
            progress: Progress::starting(Mark { lsn: START, at: WallMs(0) }),
            sync: SyncPolicy::new(cadence, START),
            now: Mono(Duration::from_secs(10)),
            wall: WallMs(0),
            commits: Vec::new(),
            answered_ok: Vec::new(),
        }
    }

    fn appended(&self) -> Lsn {
        self.progress.reached(Level::Buffered)
    }

    fn open(&self) -> impl Iterator<Item = &Commit> {
        let durable = self.progress.reached(Level::Durable);
        self.commits.iter().filter(move |commit| commit.lsn > durable)
    }

    fn acknowledged(&self) -> impl Iterator<Item = &Commit> {
        self.open().filter(|commit| commit.promise == Promise::Acknowledged)
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Commit(bytes, ago) => self.commit(bytes, ago),
            Op::Journal(share) => {
                let lsn = Lsn((self.appended().0 as f64 * share) as u64);
                self.progress.advance(Level::Journaled, lsn, self.wall);
            }
            Op::Sync => {
                if let Next::SyncNow(_) = self.sync.next(self.ledger.pending(), self.now) {
                    assert!(self.sync.in_flight().is_none());
                    self.sync.on_sync_started(self.appended());
                }
            }
            Op::SyncDone => {
                // A fenced writer's sync does not count.
                if let Some(cut) = self.sync.in_flight().filter(|_| self.progress.ended() != Some(Terminal::Fenced)) {
                    self.sync.on_sync_done(cut);
                    self.progress.advance(Level::Durable, cut, self.wall);
                    self.ledger.settle(cut);
                }
            }
            Op::SyncFailed(delay) => {
                if self.sync.in_flight().is_some() {
                    self.sync.on_sync_failed(self.now, Duration::from_millis(delay));
                }
            }
            Op::Request => self.sync.request(self.appended()),
            Op::WaitForLess(which, all) => self.wait_for_less(which, all),
            Op::Pass(ms) => self.now = self.now + Duration::from_millis(ms),
            Op::WallClock(ms) => self.wall = WallMs(ms),
            Op::End(terminal) => self.progress.end(terminal),
        }
    }

    fn commit(&mut self, bytes: u64, ago: u64) {
        if self.progress.ended().is_some() {
            return;
        }
        let load = self.ledger.load(self.now);
        let promise = match self.line.admit(&self.ledger, bytes, self.now) {
            Admission::Go => {
                assert!(load.age < self.line.max_loss_window, "acknowledged past the loss window");
                Promise::Acknowledged
            }
            Admission::GoWaitDurable => Promise::Held,
            Admission::WaitForSync => {
                assert_eq!(self.line.policy, OnLoadLine::Block);
                let pending = self.ledger.pending().expect("waiting for a sync of nothing");
                self.sync.line_reached(&pending);
                let next = self.sync.next(Some(pending), self.now);
                assert!(
                    matches!(next, Next::SyncNow(_))
                        || self.sync.in_flight().is_some()
                        || self.sync.retry_at().is_some(),
                    "a blocked commit waits for a sync that nobody starts: {next:?}"
                );
                return;
            }
            Admission::Refuse(_) => {
                assert_eq!(self.line.policy, OnLoadLine::Fail);
                return;
            }
        };
        let lsn = self.appended().next();
        let dirtied = Mono(self.now.0.saturating_sub(Duration::from_millis(ago)));
        self.progress.advance(Level::Buffered, lsn, self.wall);
        self.ledger.note(lsn, bytes, dirtied, promise);
        self.commits.push(Commit { lsn, bytes, dirtied, promise });
    }

    fn wait_for_less(&mut self, which: prop::sample::Index, all: bool) {
        let open: Vec<Lsn> = self.open().map(|commit| commit.lsn).collect();
        if open.is_empty() {
            return;
        }
        let lsn = *which.get(&open);
        let lsns = if all { Lsn::ZERO..=lsn } else { lsn..=lsn };
        if self.line.allows_less(&self.ledger, &lsns, self.now) {
            let new = self.open().any(|commit| lsns.contains(&commit.lsn) && commit.promise == Promise::Held);
            self.ledger.acknowledge(&lsns);
            for commit in self.commits.iter_mut().filter(|commit| lsns.contains(&commit.lsn)) {
                commit.promise = Promise::Acknowledged;
            }
            let load = self.ledger.load(self.now);
            assert!(!new || load.age < self.line.max_loss_window, "acknowledged past the loss window");
        } else {
            self.sync.request(lsn);
        }
    }

    fn check(&mut self, before: &Progress) {
        for level in Level::ALL {
            let (old, new) = (before.marks().mark(level), self.progress.marks().mark(level));
            assert!(old.lsn <= new.lsn && old.at <= new.at, "{level} went back");
            assert!(self.progress.reached(level) <= self.appended());
        }

        let load = self.ledger.load(self.now);
        assert_eq!(load.commits, self.acknowledged().count() as u64);
        assert_eq!(load.bytes, self.acknowledged().map(|commit| commit.bytes).sum::<u64>());
        let oldest = self.acknowledged().map(|commit| commit.dirtied).min();
        assert_eq!(load.age, oldest.map_or(Duration::ZERO, |oldest| self.now.since(oldest)));
        assert!(load.bytes <= self.line.max_dirty_bytes, "the load passed the line");

        let pending = self.ledger.pending();
        assert_eq!(pending.is_none(), self.open().next().is_none());
        assert_eq!(pending.map(|p| p.bytes), pending.map(|_| self.open().map(|commit| commit.bytes).sum()));
        assert_eq!(pending.map(|p| p.oldest), self.open().map(|commit| commit.dirtied).min());

        // Work that is pending is being synced, or is going to be at a known time.
        if pending.is_some() && self.sync.in_flight().is_none() {
            assert_ne!(self.sync.next(pending, self.now), Next::Idle, "pending work is forgotten");
        }
        self.check_answers();
    }

    fn check_answers(&mut self) {
        let durable = self.progress.reached(Level::Durable);
        for &(lsn, level) in &self.answered_ok {
            let fenced = self.progress.ended() == Some(Terminal::Fenced);
            if !fenced || level == Level::Durable || lsn <= durable {
                assert_eq!(self.progress.answer(lsn, level), Some(Ok(())), "an answer was taken back");
            }
        }
        let lsn = self.appended();
        for level in Level::ALL {
            match self.progress.answer(lsn, level) {
                Some(Ok(())) => self.answered_ok.push((lsn, level)),
                Some(Err(terminal)) => assert_eq!(self.progress.ended(), Some(terminal)),
                None => assert_ne!(self.progress.ended(), Some(Terminal::Fenced), "nobody would answer this wait"),
            }
        }
    }
}

proptest! {
    #[test]
    fn the_line_holds_the_load_adds_up_and_nothing_goes_back(
        ops in ops(),
        max_dirty_bytes in prop_oneof![Just(0), 1..2000u64],
        window_ms in prop_oneof![Just(0), 1..20_000u64],
        policy in prop::sample::select(OnLoadLine::ALL.to_vec()),
    ) {
        let max_loss_window = Duration::from_millis(window_ms);
        let mut world = World::new(LoadLine { max_dirty_bytes, max_loss_window, policy });
        for op in &ops {
            let before = world.progress;
            world.step(op);
            world.check(&before);
        }
    }

    #[test]
    fn pending_journal_bytes_always_have_a_flush_called_for_or_a_deadline(
        steps in vec((0..3000u64, 0..8u64, 0..4u8, any::<bool>()), 1..200),
        backlog_bytes in prop_oneof![Just(0), 1..5000u64],
    ) {
        use crate::{JournalCadence, JournalPolicy};
        let interval = Duration::from_millis(5);
        let mut journal = JournalPolicy::new(JournalCadence::Interval { interval, backlog_bytes });
        let mut now = Mono::default();
        // Flushes that were called for and have not ended: their positions.
        let mut running: Vec<u64> = Vec::new();
        let (mut appended, mut synced) = (0, 0);
        for (bytes, wait, what, ok) in steps {
            now = now + Duration::from_millis(wait);
            let called = match what {
                0 | 1 => {
                    appended += bytes;
                    journal.on_append(bytes, now)
                }
                2 => journal.on_timer(now),
                _ => {
                    if let Some(up_to) = running.pop() {
                        journal.on_flushed(ok, up_to, now);
                        synced = if ok { up_to.max(synced) } else { synced };
                    }
                    None
                }
            };
            running.extend(called.map(|_| journal.position()));
            prop_assert_eq!(journal.position(), appended);
            prop_assert_eq!(journal.pending_bytes(), appended - synced);
            if let Some(deadline) = journal.deadline() {
                prop_assert!(deadline <= now + interval);
                prop_assert!(journal.pending_bytes() > 0, "armed with nothing pending");
            } else if journal.pending_bytes() > 0 {
                prop_assert!(!running.is_empty(), "pending bytes are forgotten");
            }
        }
    }
}
