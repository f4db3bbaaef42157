//! What the store's history is, judged at the moment each object is made or removed.
//!
//! This looks at the bytes of every object with the format's own decoder, beside everything that the engine uses to
//! find its way: no listing, no plan of the engine, no cache.

use std::collections::BTreeMap;

use plimsoll_ltx::{
    FileId, Layout, SNAPSHOT_LEVEL,
    decode::{Summary, stream},
    plan::{Target, plan},
};
use plimsoll_model::{Stamp, Txid};

use crate::{
    commits::Commits,
    coverage::{Coverage, Event},
    state::{self, State, Tag},
};

/// One sync that won its TXID.
#[derive(Clone, Debug)]
struct Sync {
    checksum: u64,
    stamp: Option<Stamp>,
    pages: Vec<(u32, Tag)>,
    count: u32,
}

/// The one history, as far as it goes.
#[derive(Debug, Default)]
pub(crate) struct History {
    syncs: Vec<Sync>,
    /// What the volume holds at its head.
    state: State,
    /// The newest commit in it.
    pub(crate) tag: Tag,
}

impl History {
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

    /// An object was made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn made(
        &mut self,
        id: FileId,
        bytes: &[u8],
        commits: &Commits,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let (summary, pages) = decode(bytes)?;
        let header = summary.header;
        if (header.min, header.max) != (id.min, id.max) {
            return Err(format!("its header says {}-{}", header.min, header.max));
        }
        if id.level > 0 {
            coverage.count(Event::Compaction);
            return self.merged(id, &pages, header.commit.0);
        }
        let next = self.head() + 1;
        if id.min.0 > next {
            return Err(format!("One history: it leaves a gap, the newest sync is {}", next - 1));
        }
        if id.min.0 < next {
            // The name was free again, so readers of the newest state never look at it.
            coverage.count(Event::Stray);
            return Ok(());
        }
        if let Some(last) = self.syncs.last() {
            if last.checksum != header.link {
                return Err(format!("One history: its link is {:x}, its predecessor {:x}", header.link, last.checksum));
            }
            if let (Some(before), Some(now)) = (last.stamp, header.stamp)
                && now.epoch < before.epoch
            {
                return Err(format!("One history: epoch {} after epoch {}", now.epoch, before.epoch));
            }
        }
        let writer = |stamp: Option<Stamp>| stamp.map(|stamp| stamp.writer);
        if self.head() > 0 && writer(self.stamp()) != writer(header.stamp) {
            coverage.count(Event::Takeover);
        }
        coverage.count(if pages.is_empty() { Event::Fence } else { Event::Sync });
        self.append(Sync { checksum: summary.checksum, stamp: header.stamp, pages, count: header.commit.0 }, commits)
    }

    fn append(&mut self, sync: Sync, commits: &Commits) -> Result<(), String> {
        self.state = self.state.after(sync.pages.iter().copied(), sync.count);
        let tag = self.state.tag(state::FIRST);
        let Some(commit) = commits.get(tag) else { return Err(format!("commit {tag} was never made")) };
        if *commit.state != self.state {
            return Err(format!("Prefix: what it makes is not the state after commit {tag}: {:?}", self.state));
        }
        if commit.refused {
            return Err(format!("commit {tag} was said not to have happened"));
        }
        if !commits.contains(tag, self.tag) {
            return Err(format!("Prefix: commit {tag} is not on top of commit {}", self.tag));
        }
        if let Some(stamp) = sync.stamp
            && stamp.lsn.0 != commit.depth
        {
            return Err(format!("its stamp says commit {}, it holds {}", stamp.lsn, commit.depth));
        }
        self.tag = tag;
        self.syncs.push(sync);
        Ok(())
    }

    fn merged(&self, id: FileId, pages: &[(u32, Tag)], count: u32) -> Result<(), String> {
        let max = usize::try_from(id.max.0).unwrap_or(usize::MAX);
        let min = usize::try_from(id.min.0).unwrap_or(usize::MAX);
        let Some(syncs) = self.syncs.get(min - 1..max) else {
            return Err(format!("it is ahead of the newest sync, {}", self.head()));
        };
        let mut expected = BTreeMap::new();
        for sync in syncs {
            expected.retain(|page, _| *page <= sync.count);
            expected.extend(sync.pages.iter().copied());
        }
        if syncs.last().map(|sync| sync.count) != Some(count) {
            return Err(format!("it says {count} pages"));
        }
        if !expected.iter().map(|(page, tag)| (*page, *tag)).eq(pages.iter().copied()) {
            return Err(format!("it holds {pages:?}, expected {expected:?}"));
        }
        Ok(())
    }

    /// Objects were removed; these are left.
    ///
    /// # Errors
    /// What cannot be reached any more.
    pub(crate) fn removed(&self, layout: Layout, left: &[FileId], gone: &[FileId]) -> Result<(), String> {
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
            format!("Nothing reachable is deleted: {why} after removing {}", gone.join(", "))
        })?;
        if !left.iter().any(|id| id.level == 0 && id.max.0 == self.head()) {
            return Err("Nothing reachable is deleted: the newest sync of level 0 is gone".to_owned());
        }
        if gone.iter().any(|id| id.level == SNAPSHOT_LEVEL) && !left.iter().any(|id| id.level == SNAPSHOT_LEVEL) {
            return Err("Nothing reachable is deleted: the last snapshot is gone".to_owned());
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
