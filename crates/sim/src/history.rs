//! What the store's history is, judged at the moment each object is made or removed.
//!
//! This looks at the bytes of every object with the format's own decoder, beside everything that the engine uses to
//! find its way: no listing, no plan of the engine, no cache.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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
    checksum: u64,
    stamp: Option<Stamp>,
    pages: Vec<(u32, Tag)>,
    count: u32,
}

/// The one history, as far as it goes.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// For how long a state can be had after it was the newest one.
    window: Duration,
    /// The newest epoch that has acknowledged something on top of the history.
    holder: u32,
    syncs: Vec<Sync>,
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

    /// The number of the newest sync.
    pub(crate) fn head(&self) -> u64 {
        self.syncs.len() as u64
    }

    /// Who made the newest sync.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.syncs.last().and_then(|sync| sync.stamp)
    }

    /// Whether syncs of other epochs came after the last one of this epoch or before.
    pub(crate) fn passed(&self, epoch: u32) -> bool {
        self.stamp().is_some_and(|stamp| stamp.epoch.0 > epoch)
    }

    /// A writer acknowledges on top of the history: from now on no earlier one may get anything in.
    pub(crate) fn held_by(&mut self, epoch: u32) {
        self.holder = self.holder.max(epoch);
    }

    /// Whether the state after a sync has to be there for readers: until it has not been the newest for the window.
    pub(crate) fn is_kept(&self, txid: u64, now: Duration) -> bool {
        let next = usize::try_from(txid).unwrap_or(usize::MAX);
        txid <= self.head() && self.syncs.get(next).is_none_or(|next| now < next.made + self.window)
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
            coverage.count(Event::Compaction);
            return self.merged(id, &pages, header.commit.0);
        }
        let next = self.head() + 1;
        if id.min.0 > next {
            return Err(Promise::OneHistory.broken(format!("it leaves a gap, the newest sync is {}", next - 1)));
        }
        if id.min.0 < next {
            // The name was free again, so readers of the newest state never look at it.
            coverage.count(Event::Stray);
            return Ok(());
        }
        if let Some(stamp) = header.stamp.filter(|stamp| stamp.epoch.0 < self.holder) {
            let (late, holder) = (stamp.epoch, self.holder);
            return Err(
                Promise::OneHistory.broken(format!("of epoch {late}, although epoch {holder} holds the volume"))
            );
        }
        if let Some(last) = self.syncs.last() {
            if last.checksum != header.link {
                return Err(Promise::OneHistory
                    .broken(format!("its link is {:x}, its predecessor {:x}", header.link, last.checksum)));
            }
            if let (Some(before), Some(now)) = (last.stamp, header.stamp)
                && now.epoch < before.epoch
            {
                return Err(Promise::OneHistory.broken(format!("epoch {} after epoch {}", now.epoch, before.epoch)));
            }
        }
        let writer = |stamp: Option<Stamp>| stamp.map(|stamp| stamp.writer);
        if self.head() > 0 && writer(self.stamp()) != writer(header.stamp) {
            coverage.count(Event::Takeover);
        }
        coverage.count(if pages.is_empty() { Event::Fence } else { Event::Sync });
        let made = now;
        self.append(
            Sync { made, checksum: summary.checksum, stamp: header.stamp, pages, count: header.commit.0 },
            commits,
        )
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
        self.syncs.push(sync);
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
        if !expected.iter().map(|(page, tag)| (*page, *tag)).eq(pages.iter().copied()) {
            return Err(Promise::Prefix.broken(format!("it holds {pages:?}, expected {expected:?}")));
        }
        Ok(())
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
        let reach = |files: &[FileId]| {
            let plan = plan(files, Target::Latest).map_err(|error| error.to_string())?;
            let max = plan.last().map_or(Txid::ZERO, |last| last.max);
            if max.0 == self.head() { Ok(()) } else { Err(format!("only {max} of {} can be reached", self.head())) }
        };
        reach(left).map_err(|why| {
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
