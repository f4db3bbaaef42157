//! Commits that are not durable yet, and the load they are.

use std::{collections::VecDeque, time::Duration};

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
    /// Nothing until it is durable. Losing it breaks no promise, so it is no load.
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
        let run = Run { last: lsn, commits: 1, bytes, oldest: dirtied };
        match promise {
            Promise::Acknowledged => self.acknowledged.push(run),
            Promise::Held => self.held.push(run),
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
    last: Lsn,
    commits: u64,
    bytes: u64,
    /// When the oldest commit of this *and every later* run was first dirtied.
    oldest: Mono,
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
                last: pair[pair.len() - 1].last,
                commits: pair.iter().map(|run| run.commits).sum(),
                bytes: pair.iter().map(|run| run.bytes).sum(),
                oldest: pair[0].oldest,
            })
            .collect();
        merged.extend(newer);
        self.runs = merged;
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
