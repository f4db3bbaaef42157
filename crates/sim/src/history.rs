//! What the store's history is, judged at the moment each object is made or removed.
//!
//! This looks at the bytes of every object with the format's own decoder, beside everything that the engine uses to
//! find its way: no listing, no plan of the engine, no cache.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use plimsoll_commitlog::Origin;
use plimsoll_ltx::{
    FileId, Layout, SNAPSHOT_LEVEL,
    decode::{Summary, stream},
    plan::{Target, plan},
};
use plimsoll_model::{Stamp, Txid};

use crate::{
    commits::Commits,
    coverage::{Coverage, Event},
    promise::{Broken, Promise},
    state::{self, State, Tag},
};

/// One sync that won its TXID.
#[derive(Clone, Debug)]
struct Sync {
    made: Duration,
    /// `None` for what exists only in a fork.
    checksum: Option<u64>,
    stamp: Option<Stamp>,
    pages: Vec<(u32, Tag)>,
    count: u32,
    /// The newest commit up to here.
    tag: Tag,
}

/// The one history, as far as it goes.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// For how long a state can be had after it was the newest one.
    window: Duration,
    /// The newest epoch that has acknowledged something on top of the history.
    holder: u32,
    syncs: Vec<Sync>,
    /// Syncs that a fork started with, and the objects of other volumes by which they are read.
    born: usize,
    inherited: Vec<FileId>,
    /// A fork has everything itself.
    pub(crate) detached: bool,
    /// Of states before this sync none is kept for being new: a fork has them from elsewhere, or gave them up.
    pub(crate) floor: u64,
    /// What the volume holds at its head.
    state: State,
    /// The newest commit in it.
    pub(crate) tag: Tag,
}

impl History {
    /// `window`: for how long a state can be had after it was the newest one.
    pub(crate) fn new(window: Duration) -> Self {
        History { window, ..History::default() }
    }

    /// That of a fork of the state after sync `txid`.
    pub(crate) fn fork(&self, txid: u64, origins: &[Origin], now: Duration) -> Self {
        let syncs = usize::try_from(txid).ok().and_then(|txid| self.syncs.get(..txid));
        let mut syncs = syncs.expect("BUG: a fork of a state that is not there yet").to_vec();
        let (tag, count) = syncs.last().map_or((0, 0), |sync| (sync.tag, sync.count));
        let birth = |origin: &Origin| FileId::sync(origin.txid.next());
        if origins.last().is_some_and(|origin| birth(origin).max.0 > txid) {
            syncs.push(Sync { made: now, checksum: None, stamp: None, pages: Vec::new(), count, tag });
        }
        let objects = |origin: &Origin| origin.objects.iter().map(|object| object.id).chain([birth(origin)]).collect();
        let inherited = origins.iter().flat_map(|origin| -> Vec<FileId> { objects(origin) }).collect();
        let state = replay(&syncs);
        let (born, floor) = (syncs.len(), syncs.len() as u64);
        History { window: self.window, syncs, born, inherited, floor, state, tag, ..History::default() }
    }

    /// Whether a fork has an object from another volume.
    pub(crate) fn is_inherited(&self, id: FileId) -> bool {
        self.inherited.contains(&id)
    }

    /// What the volume held after a sync; `None` if there was none.
    pub(crate) fn state_at(&self, txid: u64) -> Option<State> {
        usize::try_from(txid).ok().and_then(|txid| self.syncs.get(..txid)).map(replay)
    }

    /// The newest commit up to a sync.
    pub(crate) fn tag_at(&self, txid: u64) -> Option<Tag> {
        let at = usize::try_from(txid.checked_sub(1)?).ok()?;
        self.syncs.get(at).map(|sync| sync.tag)
    }

    /// The newest commit that the history holds of the writers up to an epoch.
    pub(crate) fn held_of(&self, epoch: u32) -> u64 {
        let stamps = self.syncs[self.born..].iter().filter_map(|sync| sync.stamp);
        stamps.filter(|stamp| stamp.epoch.0 <= epoch).map(|stamp| stamp.lsn.0).max().unwrap_or(0)
    }

    /// A fork says that it has everything itself; these are its own objects.
    ///
    /// # Errors
    /// It has not.
    pub(crate) fn detach(&mut self, own: &[FileId]) -> Result<(), Broken> {
        self.detached = true;
        self.floor = self.head();
        self.reach(own).map_err(|why| Promise::NothingReachableIsDeleted.broken(format!("detached, and {why}")))
    }

    /// The number of the newest sync.
    pub(crate) fn head(&self) -> u64 {
        self.syncs.len() as u64
    }

    /// Who made the newest sync.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.syncs.last().and_then(|sync| sync.stamp)
    }

    /// The number of the last sync of an epoch.
    pub(crate) fn last_of(&self, epoch: u32) -> Option<u64> {
        let of = |sync: &Sync| sync.stamp.is_some_and(|stamp| stamp.epoch.0 == epoch);
        self.syncs.iter().rposition(of).map(|at| at as u64 + 1)
    }

    /// Whether syncs of other epochs came after the last one of this epoch or before.
    pub(crate) fn passed(&self, epoch: u32) -> bool {
        self.stamp().is_some_and(|stamp| stamp.epoch.0 > epoch)
    }

    /// Whether a writer of this epoch was in the history, and a newer one has acknowledged something on top of it.
    pub(crate) fn has_gone_on_after(&self, epoch: u32) -> bool {
        let was_there = |sync: &Sync| sync.stamp.is_some_and(|stamp| stamp.epoch.0 == epoch);
        self.holder > epoch && self.syncs[self.born..].iter().any(was_there)
    }

    /// A writer acknowledges on top of the history: from now on no earlier one may get anything in.
    pub(crate) fn held_by(&mut self, epoch: u32) {
        self.holder = self.holder.max(epoch);
    }

    /// Whether the state after a sync has to be there for readers: until it has not been the newest for the window.
    pub(crate) fn is_kept(&self, txid: u64, now: Duration) -> bool {
        let next = usize::try_from(txid).unwrap_or(usize::MAX);
        (self.floor..=self.head()).contains(&txid)
            && self.syncs.get(next).is_none_or(|next| now < next.made + self.window)
    }

    /// An object was made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn made(
        &mut self,
        id: FileId,
        bytes: &[u8],
        now: Duration,
        commits: &Commits,
        coverage: &mut Coverage,
    ) -> Result<(), Broken> {
        let (summary, pages) = decode(bytes).map_err(|why| Promise::BytesAreChecked.broken(why))?;
        let header = summary.header;
        if (header.min, header.max) != (id.min, id.max) {
            return Err(Promise::OneHistory.broken(format!("its header says {}-{}", header.min, header.max)));
        }
        if id.level > 0 {
            coverage.count(if id.level == SNAPSHOT_LEVEL { Event::SnapshotMade } else { Event::Compaction });
            return self.merged(id, &pages, header.commit.0);
        }
        let next = self.head() + 1;
        if id.min.0 > next {
            return Err(Promise::OneHistory.broken(format!("it leaves a gap, the newest sync is {}", next - 1)));
        }
        if id.min.0 < next {
            // The name was free again, so readers of the newest state never look at it.
            return Ok(());
        }
        if let Some(stamp) = header.stamp.filter(|stamp| stamp.epoch.0 < self.holder) {
            let (late, holder) = (stamp.epoch, self.holder);
            return Err(
                Promise::OneHistory.broken(format!("of epoch {late}, although epoch {holder} holds the volume"))
            );
        }
        if let Some(last) = self.syncs.last() {
            if let Some(before) = last.checksum.filter(|before| *before != header.link) {
                return Err(
                    Promise::OneHistory.broken(format!("its link is {:x}, its predecessor {before:x}", header.link))
                );
            }
            if let (Some(before), Some(now)) = (last.stamp, header.stamp)
                && now.epoch < before.epoch
            {
                return Err(Promise::OneHistory.broken(format!("epoch {} after epoch {}", now.epoch, before.epoch)));
            }
        }
        coverage.count(if pages.is_empty() { Event::Fence } else { Event::Sync });
        let made = now;
        let checksum = Some(summary.checksum);
        self.append(Sync { made, checksum, stamp: header.stamp, pages, count: header.commit.0, tag: 0 }, commits)
    }

    fn append(&mut self, sync: Sync, commits: &Commits) -> Result<(), Broken> {
        self.state = self.state.after(sync.pages.iter().copied(), sync.count);
        let tag = self.state.tag(state::FIRST);
        let Some(commit) = commits.get(tag) else {
            return Err(Promise::Prefix.broken(format!("commit {tag} was never made")));
        };
        if *commit.state != self.state {
            return Err(
                Promise::Prefix.broken(format!("what it makes is not the state after commit {tag}: {:?}", self.state))
            );
        }
        if commit.refused {
            return Err(Promise::NoSilentLoss.broken(format!("commit {tag} was said not to have happened")));
        }
        if !commits.contains(tag, self.tag) {
            return Err(Promise::Prefix.broken(format!("commit {tag} is not on top of commit {}", self.tag)));
        }
        if let Some(stamp) = sync.stamp
            && stamp.lsn.0 != commit.depth
        {
            return Err(
                Promise::Prefix.broken(format!("its stamp says commit {}, it holds {}", stamp.lsn, commit.depth))
            );
        }
        self.tag = tag;
        self.syncs.push(Sync { tag, ..sync });
        Ok(())
    }

    fn merged(&self, id: FileId, pages: &[(u32, Tag)], count: u32) -> Result<(), Broken> {
        let max = usize::try_from(id.max.0).unwrap_or(usize::MAX);
        let min = usize::try_from(id.min.0).unwrap_or(usize::MAX);
        let Some(syncs) = self.syncs.get(min - 1..max) else {
            return Err(Promise::OneHistory.broken(format!("it is ahead of the newest sync, {}", self.head())));
        };
        let mut expected = BTreeMap::new();
        for sync in syncs {
            expected.retain(|page, _| *page <= sync.count);
            expected.extend(sync.pages.iter().copied());
        }
        if syncs.last().map(|sync| sync.count) != Some(count) {
            return Err(Promise::Prefix.broken(format!("it says {count} pages")));
        }
        if expected.iter().map(|(page, tag)| (*page, *tag)).eq(pages.iter().copied()) {
            return Ok(());
        }
        // One that was made of merges that overlap repeats pages from before, as they are at its end.
        let held: BTreeMap<u32, Tag> = pages.iter().copied().collect();
        let state = self.state_at(id.max.0).unwrap_or_default();
        let complete = expected.keys().all(|page| held.contains_key(page));
        if complete && held.iter().all(|(page, tag)| *page <= count && state.tag(*page) == *tag) {
            return Ok(());
        }
        Err(Promise::Prefix.broken(format!("it holds {pages:?}, expected {expected:?}")))
    }

    /// Whether objects make up the newest state.
    fn reach(&self, files: &[FileId]) -> Result<(), String> {
        let plan = plan(files, Target::Latest).map_err(|error| error.to_string())?;
        let max = plan.last().map_or(Txid::ZERO, |last| last.max);
        if max.0 == self.head() { Ok(()) } else { Err(format!("only {max} of {} can be reached", self.head())) }
    }

    /// Objects were removed; these are left.
    ///
    /// # Errors
    /// What cannot be reached any more.
    pub(crate) fn removed(
        &self,
        layout: Layout,
        left: &[FileId],
        gone: &[FileId],
        now: Duration,
    ) -> Result<(), Broken> {
        if gone.is_empty() || self.head() == 0 {
            return Ok(());
        }
        let mut left = left.to_vec();
        if !self.detached {
            left.extend(&self.inherited);
        }
        let left = &left[..];
        self.reach(left).map_err(|why| {
            let gone: Vec<String> = gone.iter().map(|id| layout.key(id)).collect();
            Promise::NothingReachableIsDeleted.broken(format!("{why} after removing {}", gone.join(", ")))
        })?;
        let near = gone.iter().flat_map(|id| [id.min.0 - 1, id.max.0, id.max.0 + 1]);
        for txid in near.collect::<BTreeSet<u64>>() {
            let missing = txid > 0 && self.is_kept(txid, now) && plan(left, Target::Txid(Txid(txid))).is_err();
            if missing {
                let why = format!("the state after sync {txid} was the newest not long ago and cannot be had any more");
                return Err(Promise::NothingReachableIsDeleted.broken(why));
            }
        }
        if !left.iter().any(|id| id.level == 0 && id.max.0 == self.head()) {
            return Err(Promise::NothingReachableIsDeleted.broken("the newest sync of level 0 is gone"));
        }
        if gone.iter().any(|id| id.level == SNAPSHOT_LEVEL) && !left.iter().any(|id| id.level == SNAPSHOT_LEVEL) {
            return Err(Promise::NothingReachableIsDeleted.broken("the last snapshot is gone"));
        }
        Ok(())
    }
}

fn replay(syncs: &[Sync]) -> State {
    syncs.iter().fold(State::default(), |state, sync| state.after(sync.pages.iter().copied(), sync.count))
}

fn decode(bytes: &[u8]) -> Result<(Summary, Vec<(u32, Tag)>), String> {
    let mut pages = Vec::new();
    let mut broken = None;
    let summary = stream(bytes, |page| {
        match state::read(page.data, page.number().get()) {
            Some(tag) => pages.push((page.number().get(), tag)),
            None => broken = Some(page.number()),
        }
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    match broken {
        Some(page) => Err(format!("page {page} is not as any commit wrote it")),
        None => Ok((summary, pages)),
    }
}
