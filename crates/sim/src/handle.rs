//! One open volume, with what it has said so far.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use plimsoll_host::Files;
use plimsoll_journal::Journal;
use plimsoll_model::{Error, ErrorKind, PageNo};
use plimsoll_volume::{Role, Snapshot, Status, Volume};

use crate::{
    bucket::Contract,
    coverage::Event,
    network::World,
    promise::Promise,
    state::{self, FIRST, Tag},
};

/// What a handle has said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The newest state that a snapshot showed.
    seen: Tag,
    /// Whether it said that another writer took the volume.
    pub(crate) fenced: bool,
    /// Commits that got a receipt.
    pub(crate) appended: Vec<Tag>,
    /// The epoch under which it acknowledged something last, on top of a history that its fence is in.
    epoch: Option<u32>,
}

/// See the [module](self).
pub(crate) struct Handle {
    pub(crate) world: World,
    pub(crate) host: usize,
    pub(crate) who: String,
    pub(crate) files: Arc<dyn Files>,
    /// Damage is being done to what is stored, so that `Corrupt` is a right answer.
    pub(crate) rough: bool,
    pub(crate) read_only: bool,
    pub(crate) volume: Volume,
    pub(crate) said: Mutex<Said>,
}

/// A pinned state, and what is known about it.
pub(crate) struct Pinned {
    pub(crate) snapshot: Snapshot,
    pub(crate) tag: Tag,
    epoch: Option<u32>,
    txid: u64,
}

/// Why an action came to its end. The error was judged already.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) ErrorKind);

impl Handle {
    pub(crate) fn new(
        world: World,
        host: usize,
        who: String,
        files: Arc<dyn Files>,
        rough: bool,
        volume: Volume,
    ) -> Self {
        Handle { world, host, who, files, rough, read_only: false, volume, said: Mutex::default() }
    }

    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A promise is broken.
    pub(crate) fn object(&self, promise: Promise, why: &str) {
        self.world.trace.line(&self.who, format_args!("BROKEN: {}: {why}", promise.name()));
        self.world.judge().object(promise, format!("{}: {why}", self.who));
    }

    /// Notes an error, and judges whether it may be.
    pub(crate) fn stopped(&self, doing: &str, error: &Error) -> Stopped {
        self.world.trace.line(&self.who, format_args!("{doing}: {error}"));
        match error.kind() {
            ErrorKind::Fenced => self.fenced(),
            ErrorKind::Corrupt if !self.rough => {
                self.object(Promise::SoundAnswers, &format!("{doing}: nothing was damaged, and yet: {error}"))
            }
            ErrorKind::Unsupported if self.is_refused(error) => self.world.count(Event::Unfenced),
            ErrorKind::Invalid | ErrorKind::Unsupported if !self.read_only => {
                self.object(Promise::SoundAnswers, &format!("{doing}: {error}"));
            }
            _ => {}
        }
        Stopped(error.kind())
    }

    /// Whether an error names the store as one that does not keep its contract, which is true, and the setting for that.
    fn is_refused(&self, error: &Error) -> bool {
        let contract = self.world.bucket().contract;
        let (why, url) = (error.to_string(), &self.world.shelf.url);
        let bucket = url.rsplit_once('/').map_or(&url[..], |(bucket, _)| bucket);
        matches!(contract, Contract::Ignored | Contract::Racing)
            && ["If-None-Match", "unsafe_no_fencing", bucket].iter().all(|part| why.contains(part))
    }

    /// It says that another writer has taken the volume.
    fn fenced(&self) {
        let epoch = {
            let mut said = self.said();
            if std::mem::replace(&mut said.fenced, true) {
                return;
            }
            said.epoch
        };
        self.world.count(Event::Fenced);
        if let Some(epoch) = epoch.filter(|epoch| self.world.judge().epoch <= *epoch) {
            self.object(Promise::SoundAnswers, &format!("it says that it is fenced, and epoch {epoch} is the newest"));
        }
    }

    /// Pins the newest state and checks that it is one, and not before the last one.
    pub(crate) fn pin(&self, all: bool) -> Result<Pinned, Stopped> {
        let seen = self.said().seen;
        let snapshot = self.volume.snapshot().map_err(|error| self.stopped("pinning", &error))?;
        let status = self.volume.status();
        let mut pinned = Pinned { snapshot, tag: 0, epoch: status.epoch, txid: status.txid };
        pinned.tag = self.tag(&pinned)?;
        self.forward(seen, pinned.tag, &status);
        self.existed(pinned.tag, &status);
        self.check(&pinned, all)?;
        Ok(pinned)
    }

    /// `seen` is what the last snapshot showed before `tag` was pinned.
    fn forward(&self, seen: Tag, tag: Tag, status: &Status) {
        let mut said = self.said();
        if status.role == Role::Fenced {
            // What it had acknowledged and the winner's history does not hold is gone from its readers' sight.
            said.fenced = true;
        }
        let judge = self.world.judge();
        let forward = judge.commits.contains(tag, seen);
        // Another worker of the application may have read something newer meanwhile.
        if said.fenced || judge.commits.contains(tag, said.seen) {
            said.seen = tag;
        }
        let fenced = said.fenced;
        drop((said, judge));
        if !forward && !fenced {
            self.object(Promise::ForwardReads, &format!("it showed commit {seen} before, and commit {tag} now"));
        }
        if forward && tag != seen && status.role == Role::Follower && seen != 0 {
            self.world.count(Event::Follow);
        }
    }

    /// Whoever only reads is shown what the store's history holds.
    fn existed(&self, tag: Tag, status: &Status) {
        let head = self.world.judge().history.tag;
        let known = self.world.judge().commits.contains(head, tag);
        if status.role == Role::Follower && !known {
            self.object(Promise::ForwardReads, &format!("it shows commit {tag}, the history is at {head} without it"));
        }
    }

    /// Looks for something newer. What was the newest then has to be shown.
    pub(crate) fn refresh(&self) -> Result<(), Stopped> {
        let (before, role) = (self.world.judge().history.tag, self.volume.status().role);
        self.volume.refresh().map_err(|error| self.stopped("refresh", &error))?;
        let pinned = self.pin(false)?;
        let current = self.world.judge().commits.contains(pinned.tag, before);
        if role == Role::Follower && self.volume.status().role == Role::Follower && !current {
            self.object(
                Promise::ForwardReads,
                &format!("it looked when commit {before} was the newest, and shows commit {}", pinned.tag),
            );
        }
        Ok(())
    }

    /// Which commit a snapshot is after.
    fn tag(&self, pinned: &Pinned) -> Result<Tag, Stopped> {
        let snapshot = &pinned.snapshot;
        if snapshot.page_count().0 == 0 {
            return Ok(0);
        }
        let tag = self.read(pinned, FIRST)?;
        let Some(commit) = self.world.judge().commits.get(tag).cloned() else {
            self.object(Promise::Prefix, &format!("a snapshot of commit {tag}, which was never made"));
            return Err(Stopped(ErrorKind::Corrupt));
        };
        if commit.state.count != snapshot.page_count().0 {
            self.object(
                Promise::Prefix,
                &format!(
                    "after commit {tag} there are {} pages, the snapshot has {}",
                    commit.state.count,
                    snapshot.page_count().0
                ),
            );
        }
        if commit.refused {
            self.object(Promise::NoSilentLoss, &format!("commit {tag} was said not to have happened, and is read"));
        }
        if snapshot.lsn().0 != commit.depth {
            self.object(
                Promise::Prefix,
                &format!("a snapshot of commit {tag} has number {}, not {}", snapshot.lsn(), commit.depth),
            );
        }
        Ok(tag)
    }

    /// Reads a page and checks that it is one.
    fn read(&self, pinned: &Pinned, page: u32) -> Result<Tag, Stopped> {
        let snapshot = &pinned.snapshot;
        let (Some(size), Some(number)) = (snapshot.page_size(), PageNo::new(page)) else { return Ok(0) };
        let mut buf = vec![0; size.bytes()];
        if let Err(error) = snapshot.read(number, &mut buf) {
            if error.kind() == ErrorKind::NotFound {
                self.gone(pinned, page, &error);
            }
            return Err(self.stopped("reading", &error));
        }
        state::read(&buf, page).ok_or_else(|| {
            self.object(
                Promise::BytesAreChecked,
                &format!("page {page} of commit {} is as nobody wrote it", pinned.tag),
            );
            Stopped(ErrorKind::Corrupt)
        })
    }

    /// A page of a snapshot is gone: that must not be while its own writer holds the volume, nor within the window. A
    /// follower that is further behind is told that its state is too old, and starts again.
    fn gone(&self, pinned: &Pinned, page: u32, error: &Error) {
        let holds = pinned.epoch.is_some_and(|epoch| {
            !self.said().fenced
                && !self.world.judge().history.passed(epoch)
                && self.volume.status().epoch == Some(epoch)
        });
        let given_up = pinned.txid < self.world.judge().history.floor;
        let kept = pinned.tag != 0 && self.world.judge().history.is_kept(pinned.txid, self.world.time.now());
        if (holds && !given_up) || kept {
            let tag = pinned.tag;
            self.object(Promise::NothingReachableIsDeleted, &format!("page {page} of commit {tag} is gone: {error}"));
        }
    }

    /// Reads pages of a snapshot and compares them with what the commit should have left.
    pub(crate) fn check(&self, pinned: &Pinned, all: bool) -> Result<(), Stopped> {
        let Some(state) = self.world.judge().state(pinned.tag) else { return Ok(()) };
        let pages: Vec<u32> = if all || state.count < 4 {
            (1..=state.count).collect()
        } else {
            let draw = || u32::try_from(self.world.dice.between(1, state.count.into())).unwrap_or(1);
            std::iter::once(FIRST).chain(std::iter::repeat_with(draw).take(3)).collect()
        };
        for page in pages {
            let tag = self.read(pinned, page)?;
            if tag != state.tag(page) {
                self.object(
                    Promise::Prefix,
                    &format!(
                        "page {page} of the state after commit {} is of commit {tag}, not of {}",
                        pinned.tag,
                        state.tag(page)
                    ),
                );
            }
        }
        Ok(())
    }

    /// This host writes again on top of `tag`. Whatever it had acknowledged must be there, or kept aside.
    pub(crate) fn resumed(&self, tag: Tag) {
        let missing = self.world.judge().missing(self.host, tag);
        if missing.is_empty() {
            return;
        }
        let (found, unread) = self.look_aside();
        if unread || self.files.list(self.volume.dir().path()).is_err() {
            // It was killed meanwhile, or its disk fails: what is there is for the next process to see.
            return;
        }
        self.world.trace.line(&self.who, format_args!("goes on from {tag} without {missing:?}, kept aside: {found:?}"));
        self.world.judge().resumed(self.host, tag, &missing, &found);
    }

    /// This host let the volume go: of what it had acknowledged nothing may be left in its journal alone.
    pub(crate) fn left_behind(&self, owed: &[Tag]) {
        let now = self.world.judge().owed(self.host);
        let left: Vec<Tag> = owed.iter().copied().filter(|tag| now.contains(tag)).collect();
        if left.is_empty() {
            return;
        }
        let (found, unread) = self.look_aside();
        if !unread && left.iter().any(|tag| !found.contains(tag)) {
            self.object(Promise::NoSilentLoss, &format!("it let the volume go, and {left:?} are not durable"));
        }
    }

    /// Commits in the journals that were kept aside.
    pub(crate) fn stranded(&self) -> BTreeSet<Tag> {
        self.look_aside().0
    }

    /// The same, and whether the disk failed to show some of them.
    fn look_aside(&self) -> (BTreeSet<Tag>, bool) {
        let (mut found, mut unread) = (BTreeSet::new(), false);
        for stranded in self.volume.dir().stranded() {
            let (reader, replay) = match Journal::inspect(&*self.files, &stranded.path) {
                Ok(journal) => journal,
                Err(error) => {
                    self.world.trace.line(&self.who, format_args!("a stranded journal cannot be read: {error}"));
                    unread |= error.kind() == ErrorKind::Io;
                    continue;
                }
            };
            for commit in replay.commits {
                let Some((page, place)) = commit.pages.first() else { continue };
                let mut buf = vec![0; commit.page_size.bytes()];
                match reader.read(*place, *page, &mut buf) {
                    Ok(()) => found.extend(state::read(&buf, page.get())),
                    Err(error) => {
                        self.world.trace.line(&self.who, format_args!("a stranded page: {error}"));
                        unread |= error.kind() == ErrorKind::Io;
                    }
                }
            }
        }
        (found, unread)
    }

    /// A commit got its receipt at this instant.
    pub(crate) fn appended(&self, tag: Tag, lsn: u64, fenced_before: bool) {
        {
            let mut said = self.said();
            let judge = self.world.judge();
            // Whoever waited before saying so may have been overtaken.
            if said.appended.last().is_none_or(|last| !judge.commits.contains(*last, tag)) {
                said.appended.push(tag);
            }
        }
        let status = self.volume.status();
        if let Some(epoch) = status.epoch.filter(|_| status.txid > 0) {
            self.said().epoch = Some(epoch);
            self.world.judge().history.held_by(epoch);
        }
        self.world.judge().appended(self.host, tag, lsn);
        if fenced_before {
            self.object(Promise::OneHistory, &format!("commit {tag} after it said that it was fenced"));
        }
    }

    /// A commit was acknowledged below `durable` at this instant.
    pub(crate) fn acknowledged(&self, tag: Tag) {
        self.world.judge().acknowledged(self.host, tag);
        self.honest();
    }

    /// Compares what the volume says about itself with what is there.
    pub(crate) fn honest(&self) {
        let status = self.volume.status();
        if status.role != Role::Writer {
            return;
        }
        let said = self.said();
        let Some(last) = said.appended.last().copied() else { return };
        // Another application of the host may have gone on since.
        let newest = said.seen;
        let mut judge = self.world.judge();
        let head = judge.history.tag;
        let last = if judge.commits.contains(newest, last) { newest } else { last };
        let common = if judge.commits.contains(head, last) { head } else { judge.commits.common(last, head) };
        let in_store = judge.commits.get(common).map_or(0, |commit| commit.depth);
        let (pending, pages) = judge.at_risk(self.host, last);
        let own = said.appended.iter().rev().take_while(|tag| !judge.commits.contains(head, **tag)).count() as u64;
        drop(said);
        let journaled = judge.commits.ancestor(last, status.journaled.lsn);
        judge.journaled(self.host, journaled);
        drop(judge);
        if status.durable.lsn > in_store {
            let durable = status.durable.lsn;
            self.object(
                Promise::HonestLevels,
                &format!("its status says durable up to {durable}, the store has {in_store}"),
            );
        }
        if status.load.commits < pending {
            let counted = status.load.commits;
            self.object(
                Promise::NoSilentLoss,
                &format!("{pending} acknowledged commits are pending, the load says {counted}"),
            );
        }
        let bytes = pages * u64::from(status.page_size.unwrap_or(0));
        if bytes > status.load.max_dirty_bytes {
            self.object(
                Promise::BoundedLoss,
                &format!("{pages} pages of acknowledged commits are pending, {bytes} bytes: {:?}", status.load),
            );
        }
        // What was replayed counts as acknowledged, also if its acknowledgement was held back before the crash. So this is
        // said of loads of which nothing is replayed.
        let undurable = status.appended.lsn.saturating_sub(status.durable.lsn);
        if undurable <= own && status.load.bytes > status.load.max_dirty_bytes {
            self.object(Promise::BoundedLoss, &format!("the load is {:?}", status.load));
        }
    }
}
