//! Commits that are not durable yet, and the load they are.

use std::{collections::VecDeque, ops::RangeInclusive, time::Duration};

use plimsoll_host::Mono;
use plimsoll_model::Lsn;

/// Runs kept apart before old neighbours are merged; bounds the memory of a long store outage.
const RUNS_MAX: usize = 4096;

/// What is acknowledged and not yet durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Number of commits.
    pub commits: u64,
    /// Their bytes in the journal.
    pub bytes: u64,
    /// Distinct pages that the next sync has to carry.
    pub pages: u64,
    /// Time since the oldest of them was first dirtied; zero without commits.
    pub age: Duration,
}

/// What the application was told about a commit when it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// That it is done. It is part of the load until durable.
    Acknowledged,
    /// Nothing until it is durable. Losing it breaks no promise, so it is no load, unless less is
    /// promised for it later: see [`Ledger::acknowledge`].
    Held,
}

/// What the next sync would make durable: acknowledged and held commits together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The last commit of all.
    pub last: Lsn,
    /// Bytes in the journal.
    pub bytes: u64,
    /// When the oldest commit was first dirtied.
    pub oldest: Mono,
}

/// Every commit that is not durable yet.
///
/// After more than some thousand commits without a sync, old neighbours are merged. Then a sync
/// that ends between two merged ones leaves both in the load: it is overstated until the next sync,
/// never understated.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    acknowledged: Queue,
    held: Queue,
    pages: u64,
    /// The last commit noted, or made durable.
    last: Lsn,
}

impl Ledger {
    /// An empty ledger of a volume whose commits up to `durable` are durable.
    #[must_use]
    pub fn starting(durable: Lsn) -> Self {
        Ledger { last: durable, ..Ledger::default() }
    }

    /// Notes an appended commit of `bytes` in the journal, first dirtied at `dirtied`.
    ///
    /// # Panics
    /// When commits are not noted in their order.
    pub fn note(&mut self, lsn: Lsn, bytes: u64, dirtied: Mono, promise: Promise) {
        assert!(lsn > self.last, "BUG: commit {lsn} is noted after commit {}", self.last);
        self.last = lsn;
        let run = Run { first: lsn, last: lsn, commits: 1, bytes, dirtied, oldest: dirtied };
        match promise {
            Promise::Acknowledged => self.acknowledged.push(run),
            Promise::Held => self.held.push(run),
        }
    }

    /// What is held of the commits in `lsns`; `None`: nothing.
    #[must_use]
    pub fn held(&self, lsns: &RangeInclusive<Lsn>) -> Option<Pending> {
        let held = || self.held.runs.iter().filter(|run| run.overlaps(lsns));
        let (last, oldest) = (held().next_back()?.last, held().map(|run| run.dirtied).min()?);
        Some(Pending { last, bytes: held().map(|run| run.bytes).sum(), oldest })
    }

    /// Less than that they are durable is promised for the commits in `lsns`: those that were held are load from now
    /// on. [`LoadLine::allows_less`](crate::LoadLine::allows_less) says whether there is room for that.
    pub fn acknowledge(&mut self, lsns: &RangeInclusive<Lsn>) {
        for run in self.held.take(lsns) {
            self.acknowledged.insert(run);
        }
    }

    /// Sets the number of distinct dirty pages, which only their owner knows.
    pub fn set_pages(&mut self, pages: u64) {
        self.pages = pages;
    }

    /// Strikes out every commit up to `durable`.
    pub fn settle(&mut self, durable: Lsn) {
        self.acknowledged.settle(durable);
        self.held.settle(durable);
        self.last = self.last.max(durable);
    }

    /// What is acknowledged and not yet durable.
    #[must_use]
    pub fn load(&self, now: Mono) -> Load {
        let Queue { commits, bytes, .. } = self.acknowledged;
        let age = self.acknowledged.oldest().map_or(Duration::ZERO, |oldest| now.since(oldest));
        Load { commits, bytes, pages: self.pages, age }
    }

    /// What the next sync would make durable; `None` when everything is.
    #[must_use]
    pub fn pending(&self) -> Option<Pending> {
        let oldest = [self.acknowledged.oldest(), self.held.oldest()].into_iter().flatten().min()?;
        let bytes = self.acknowledged.bytes + self.held.bytes;
        Some(Pending { last: self.last, bytes, oldest })
    }

    /// Whether every commit is durable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.acknowledged.runs.is_empty() && self.held.runs.is_empty()
    }
}

/// Neighbouring commits.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Lsn,
    last: Lsn,
    commits: u64,
    bytes: u64,
    /// When the oldest commit of this run was first dirtied.
    dirtied: Mono,
    /// When the oldest commit of this *and every later* run was first dirtied.
    oldest: Mono,
}

impl Run {
    fn overlaps(&self, lsns: &RangeInclusive<Lsn>) -> bool {
        self.first <= *lsns.end() && self.last >= *lsns.start()
    }
}

#[derive(Clone, Debug, Default)]
struct Queue {
    runs: VecDeque<Run>,
    commits: u64,
    bytes: u64,
}

impl Queue {
    fn push(&mut self, run: Run) {
        self.commits += run.commits;
        self.bytes += run.bytes;
        // Replayed or long-running commits may be older than their predecessors.
        for earlier in self.runs.iter_mut().rev().take_while(|earlier| earlier.oldest > run.oldest) {
            earlier.oldest = run.oldest;
        }
        self.runs.push_back(run);
        if self.runs.len() > RUNS_MAX {
            self.merge_older_half();
        }
    }

    /// Merging pairs, rather than all into one, leaves runs that a partial sync can still strike out.
    fn merge_older_half(&mut self) {
        let newer = self.runs.split_off(self.runs.len() / 2);
        let pairs = self.runs.make_contiguous().chunks(2);
        let mut merged: VecDeque<Run> = pairs
            .map(|pair| Run {
                first: pair[0].first,
                last: pair[pair.len() - 1].last,
                commits: pair.iter().map(|run| run.commits).sum(),
                bytes: pair.iter().map(|run| run.bytes).sum(),
                dirtied: pair.iter().map(|run| run.dirtied).min().unwrap_or_default(),
                oldest: pair[0].oldest,
            })
            .collect();
        merged.extend(newer);
        self.runs = merged;
    }

    /// Puts a run of another queue where it belongs.
    fn insert(&mut self, run: Run) {
        self.commits += run.commits;
        self.bytes += run.bytes;
        let at = self.runs.partition_point(|earlier| earlier.last < run.last);
        self.runs.insert(at, run);
        self.age_again();
        if self.runs.len() > RUNS_MAX {
            self.merge_older_half();
        }
    }

    /// Takes out whatever overlaps `lsns`. Of merged runs that is more than was asked for.
    fn take(&mut self, lsns: &RangeInclusive<Lsn>) -> Vec<Run> {
        let (taken, left): (Vec<Run>, Vec<Run>) = self.runs.iter().partition(|run| run.overlaps(lsns));
        self.runs = left.into();
        for run in &taken {
            self.commits -= run.commits;
            self.bytes -= run.bytes;
        }
        self.age_again();
        taken
    }

    /// Finds out anew how old each run and those after it are.
    fn age_again(&mut self) {
        let mut oldest = None;
        for run in self.runs.iter_mut().rev() {
            run.oldest = oldest.map_or(run.dirtied, |oldest: Mono| oldest.min(run.dirtied));
            oldest = Some(run.oldest);
        }
    }

    fn settle(&mut self, durable: Lsn) {
        while let Some(run) = self.runs.front().copied().filter(|run| run.last <= durable) {
            self.runs.pop_front();
            self.commits -= run.commits;
            self.bytes -= run.bytes;
        }
    }

    fn oldest(&self) -> Option<Mono> {
        self.runs.front().map(|run| run.oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Mono {
        Mono(Duration::from_secs(n))
    }

    #[test]
    fn the_age_is_that_of_the_oldest_commit_not_of_the_last() {
        let mut ledger = Ledger::starting(Lsn(10));
        ledger.note(Lsn(11), 100, secs(1), Promise::Acknowledged);
        ledger.note(Lsn(12), 50, secs(7), Promise::Acknowledged);
        ledger.set_pages(2);
        let load = ledger.load(secs(9));
        assert_eq!(load, Load { commits: 2, bytes: 150, pages: 2, age: Duration::from_secs(8) });
        ledger.settle(Lsn(11));
        assert_eq!(ledger.load(secs(9)).age, Duration::from_secs(2));
    }

    #[test]
    fn a_commit_older_than_its_predecessors_counts_until_it_is_durable() {
        let mut ledger = Ledger::default();
        for (lsn, dirtied) in [(1, 5), (2, 8), (3, 2), (4, 9)] {
            ledger.note(Lsn(lsn), 1, secs(dirtied), Promise::Acknowledged);
        }
        let ages = [0, 2, 3].map(|durable| {
            ledger.settle(Lsn(durable));
            ledger.load(secs(10)).age.as_secs()
        });
        assert_eq!(ages, [8, 8, 1]);
    }

    #[test]
    fn commits_that_are_counted_together_are_as_old_as_the_oldest_of_them() {
        let mut ledger = Ledger::default();
        let last = RUNS_MAX as u64 + 1;
        for lsn in 1..=last {
            // Each pair is merged, and its second commit is the older one.
            let dirtied = if lsn == 2 { 5 } else { 1000 };
            ledger.note(Lsn(lsn), 1, secs(dirtied), Promise::Acknowledged);
        }
        ledger.note(Lsn(last + 1), 1, secs(1000), Promise::Held);
        ledger.acknowledge(&(Lsn(last + 1)..=Lsn(last + 1)));
        assert_eq!(ledger.load(secs(1005)).age, Duration::from_secs(1000));
    }

    #[test]
    fn a_held_commit_is_pending_but_no_load() {
        let mut ledger = Ledger::default();
        ledger.note(Lsn(1), 70, secs(1), Promise::Held);
        ledger.note(Lsn(2), 5, secs(2), Promise::Acknowledged);
        assert_eq!(ledger.load(secs(4)), Load { commits: 1, bytes: 5, pages: 0, age: Duration::from_secs(2) });
        assert_eq!(ledger.pending(), Some(Pending { last: Lsn(2), bytes: 75, oldest: secs(1) }));
        ledger.settle(Lsn(2));
        assert!(ledger.is_empty() && ledger.pending().is_none());
    }

    #[test]
    fn a_held_commit_that_less_is_promised_for_is_load_until_it_is_durable() {
        let mut ledger = Ledger::default();
        for (lsn, dirtied, promise) in
            [(1, 4, Promise::Held), (2, 5, Promise::Acknowledged), (3, 2, Promise::Held), (4, 6, Promise::Held)]
        {
            ledger.note(Lsn(lsn), 10 * lsn, secs(dirtied), promise);
        }
        let three = Lsn(3)..=Lsn(3);
        assert_eq!(ledger.held(&three), Some(Pending { last: Lsn(3), bytes: 30, oldest: secs(2) }));
        ledger.acknowledge(&three);
        assert_eq!(ledger.held(&three), None);
        assert_eq!(ledger.load(secs(9)), Load { commits: 2, bytes: 50, pages: 0, age: Duration::from_secs(7) });
        assert_eq!(ledger.pending(), Some(Pending { last: Lsn(4), bytes: 100, oldest: secs(2) }));
        ledger.acknowledge(&(Lsn::ZERO..=Lsn(3)));
        assert_eq!(ledger.load(secs(9)).bytes, 60);
        ledger.settle(Lsn(3));
        assert_eq!(ledger.load(secs(9)), Load::default());
        assert_eq!(ledger.pending(), Some(Pending { last: Lsn(4), bytes: 40, oldest: secs(6) }));
    }

    #[test]
    fn a_long_outage_costs_bounded_memory_and_never_understates_the_load() {
        let mut ledger = Ledger::default();
        let commits = 1_000_000;
        for lsn in 1..=commits {
            ledger.note(Lsn(lsn), 3, Mono(Duration::from_millis(lsn)), Promise::Acknowledged);
        }
        assert!(ledger.acknowledged.runs.len() <= RUNS_MAX);
        let now = Mono(Duration::from_millis(commits));
        for durable in (0..=commits).step_by(9_973) {
            ledger.settle(Lsn(durable));
            let load = ledger.load(now);
            assert!(load.commits >= commits - durable, "{durable}: {load:?}");
            assert!(load.bytes >= 3 * (commits - durable));
            assert!(load.age >= Duration::from_millis(commits - durable - 1), "{durable}: {load:?}");
        }
        ledger.settle(Lsn(commits));
        assert_eq!(ledger.load(now), Load::default());
    }
}
