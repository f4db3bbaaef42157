//! The promises, held against what was said and what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use plimsoll_commitlog::Origin;

use crate::{
    advertised::Advertised,
    commits::Commits,
    coverage::{Coverage, Event},
    history::History,
    manners::Manners,
    pointers::Pointers,
    promise::{Broken, Promise},
    state::{State, Tag},
    tenure::Tenures,
};

/// What a host has acknowledged and is not known to be in the history.
#[derive(Debug, Default)]
struct Owed {
    /// In the journal's file: survives the process. True: synced, survives power loss.
    commits: BTreeMap<Tag, bool>,
    /// Acknowledged below `durable`, by whichever process.
    acknowledged: BTreeSet<Tag>,
    /// Kept aside after another writer went on without them.
    stranded: BTreeSet<Tag>,
    /// Kept aside, and given up by whoever was asked.
    discarded: BTreeSet<Tag>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) commits: Commits,
    pub(crate) history: History,
    pub(crate) coverage: Coverage,
    /// The newest epoch that anybody has taken.
    pub(crate) epoch: u32,
    /// What its writers said.
    pub(crate) advertised: Advertised,
    /// Who took it from whom.
    pub(crate) manners: Manners,
    /// Who they were.
    pub(crate) tenures: Tenures,
    /// What was named, carried away or forked of it.
    pub(crate) pointers: Pointers,
    owed: Vec<Owed>,
    /// The first promise that was broken.
    pub(crate) verdict: Option<Broken>,
}

impl Judge {
    /// `window`: for how long states are kept; `holder_ttl`: for how long a silent holder is respected.
    pub(crate) fn new(hosts: usize, window: Duration, holder_ttl: Duration) -> Self {
        Judge {
            commits: Commits::default(),
            history: History::new(window),
            coverage: Coverage::default(),
            epoch: 0,
            advertised: Advertised::default(),
            manners: Manners::new(holder_ttl),
            tenures: Tenures::default(),
            pointers: Pointers::default(),
            owed: (0..hosts).map(|_| Owed::default()).collect(),
            verdict: None,
        }
    }

    /// That of a volume of which nothing is known yet.
    pub(crate) fn unborn(&self) -> Self {
        Judge::new(self.owed.len(), Duration::ZERO, self.manners.holder_ttl)
    }

    /// That of a fork which began as the state after sync `txid` of this volume.
    pub(crate) fn fork(&self, number: usize, txid: u64, origins: Vec<Origin>, now: Duration) -> Self {
        let tag = self.history.tag_at(txid).unwrap_or(0);
        let state = self.history.state_at(txid).unwrap_or_default();
        Judge {
            commits: Commits::born(number, tag, Arc::new(state)),
            history: self.history.fork(txid, &origins, now),
            coverage: Coverage::default(),
            epoch: 0,
            advertised: Advertised::default(),
            manners: Manners::new(self.manners.holder_ttl),
            tenures: Tenures::default(),
            pointers: Pointers::fork(origins),
            owed: self.owed.iter().map(|_| Owed::default()).collect(),
            verdict: None,
        }
    }

    /// A promise is broken. The first one counts. Nothing is promised of a volume that somebody removes.
    pub(crate) fn object(&mut self, promise: Promise, why: impl Into<String>) {
        if self.pointers.leaving.is_some() {
            return;
        }
        self.verdict.get_or_insert_with(|| promise.broken(why));
    }

    /// The state after a commit.
    pub(crate) fn state(&self, tag: Tag) -> Option<Arc<State>> {
        self.commits.get(tag).map(|commit| Arc::clone(&commit.state))
    }

    /// A commit got its receipt.
    pub(crate) fn appended(&mut self, host: usize, tag: Tag, lsn: u64) {
        self.coverage.count(Event::Commit);
        self.owed[host].commits.insert(tag, false);
        let depth = self.commits.get(tag).map_or(0, |commit| commit.depth);
        if depth != lsn {
            self.object(Promise::OneHistory, format!("commit {tag} has number {lsn}, it is the {depth}th"));
        }
    }

    /// A commit was acknowledged below `durable`.
    pub(crate) fn acknowledged(&mut self, host: usize, tag: Tag) {
        self.owed[host].acknowledged.insert(tag);
    }

    /// What a host has acknowledged below `durable` up to `tag`, in this process or an earlier one, and the history does not
    /// hold: how many commits, and how many pages these have written.
    pub(crate) fn at_risk(&mut self, host: usize, tag: Tag) -> (u64, u64) {
        let (commits, head) = (&self.commits, self.history.tag);
        let acknowledged = &mut self.owed[host].acknowledged;
        acknowledged.retain(|owed| !commits.contains(head, *owed));
        // Others were lost with the power, or kept aside.
        let there = || acknowledged.iter().filter(|owed| commits.contains(tag, **owed));
        (there().count() as u64, there().filter_map(|owed| Some(commits.get(*owed)?.pages)).sum())
    }

    /// A wait for the local disk succeeded, and with it everything before.
    pub(crate) fn journaled(&mut self, host: usize, tag: Tag) {
        self.coverage.count(Event::Journaled);
        let commits = &self.commits;
        for (other, synced) in &mut self.owed[host].commits {
            *synced |= commits.contains(tag, *other);
        }
    }

    /// A wait for the object store succeeded.
    pub(crate) fn durable(&mut self, tag: Tag) {
        self.coverage.count(Event::Durable);
        self.is_durable(tag, "a wait for the level durable succeeded");
    }

    /// Something says that a commit is durable.
    pub(crate) fn is_durable(&mut self, tag: Tag, said: &str) {
        if !self.commits.contains(self.history.tag, tag) {
            let head = self.history.tag;
            self.object(
                Promise::HonestLevels,
                format!("{said} for commit {tag}, the store is at {head} and does not hold it"),
            );
        }
    }

    /// The power of a host failed: what was not synced may be gone.
    pub(crate) fn power_lost(&mut self, host: usize) {
        self.owed[host].commits.retain(|_, synced| *synced);
    }

    /// A host and its disk are gone.
    pub(crate) fn host_lost(&mut self, host: usize) {
        self.owed[host] = Owed::default();
        self.manners.lost(host);
    }

    /// Acknowledged commits of a host that the history does not hold.
    pub(crate) fn owed(&self, host: usize) -> Vec<Tag> {
        let (commits, head) = (&self.commits, self.history.tag);
        self.owed[host].commits.keys().copied().filter(|owed| !commits.contains(head, *owed)).collect()
    }

    /// Acknowledged commits of a host that are neither in the history nor in the state of `tag`.
    pub(crate) fn missing(&mut self, host: usize, tag: Tag) -> Vec<Tag> {
        let (commits, head) = (&self.commits, self.history.tag);
        // What the history holds is safe for ever, by the checks on the history.
        self.owed[host].commits.retain(|owed, _| !commits.contains(head, *owed));
        self.owed[host].commits.keys().copied().filter(|owed| !commits.contains(tag, *owed)).collect()
    }

    /// A host writes again, on top of `tag`, and these commits of it were found in stranded journals.
    pub(crate) fn resumed(&mut self, host: usize, tag: Tag, missing: &[Tag], found: &BTreeSet<Tag>) {
        for lost in missing {
            if found.contains(lost) {
                self.coverage.count(Event::Stranding);
                self.owed[host].commits.remove(lost);
                self.owed[host].stranded.insert(*lost);
            } else {
                self.object(
                    Promise::NoSilentLoss,
                    format!("host {host} goes on from commit {tag}; its commit {lost} is in no journal"),
                );
            }
        }
    }

    /// Somebody gives up commits that were kept aside.
    pub(crate) fn discarded(&mut self, host: usize, tags: &BTreeSet<Tag>) {
        let owed = &mut self.owed[host];
        owed.commits.retain(|tag, _| !tags.contains(tag));
        owed.stranded.retain(|tag| !tags.contains(tag));
        owed.discarded.extend(tags);
    }

    /// Whether somebody has given up a commit that was kept aside.
    pub(crate) fn is_discarded(&self, host: usize, tag: Tag) -> bool {
        self.owed[host].discarded.contains(&tag)
    }

    /// Every commit that was kept aside and must be there for good.
    pub(crate) fn stranded(&self, host: usize) -> &BTreeSet<Tag> {
        &self.owed[host].stranded
    }
}
