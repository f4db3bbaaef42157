//! The volumes of one world: one that is there from the start, and forks of it and of each other, each at a URL of
//! its own in the same store.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use plimsoll_commitlog::{decode_volume, volume_key};
use plimsoll_ltx::{FileId, Layout};
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_store::Store;
use plimsoll_volume::Elsewhere;

use crate::{
    bucket::Bucket,
    coverage::Coverage,
    judge::Judge,
    network::{Connection, World, lock},
    promise::{Broken, Promise},
    worker::store,
};

/// One volume: where it is, what is there, and what is held against it.
pub(crate) struct Shelf {
    pub(crate) number: usize,
    pub(crate) url: String,
    pub(crate) judge: Mutex<Judge>,
    pub(crate) bucket: Mutex<Bucket>,
}

impl Shelf {
    pub(crate) fn new(number: usize, layout: Layout, judge: Judge) -> Self {
        let url = format!("s3://sim/{}", name(number));
        Shelf { number, url, judge: Mutex::new(judge), bucket: Mutex::new(Bucket::new(layout)) }
    }

    /// Where a host keeps the volume's local part.
    pub(crate) fn dir(&self) -> PathBuf {
        PathBuf::from(format!("/state/{}", name(self.number)))
    }

    /// A key for people.
    pub(crate) fn label(&self, key: &str) -> String {
        if self.number == 0 { key.to_owned() } else { format!("{} {key}", name(self.number)) }
    }
}

fn name(number: usize) -> String {
    if number == 0 { "volume".to_owned() } else { format!("fork-{number}") }
}

impl World {
    /// Every volume so far, also those that nobody was told of.
    pub(crate) fn shelves(&self) -> Vec<Arc<Shelf>> {
        lock(&self.family).clone()
    }

    /// The volumes that can be worked on.
    pub(crate) fn open_volumes(&self) -> Vec<World> {
        let open = |shelf: &Arc<Shelf>| lock(&shelf.judge).pointers.is_open();
        self.shelves().iter().filter(|shelf| open(shelf)).map(|shelf| self.on(shelf)).collect()
    }

    /// A place for a fork, of which nothing is known yet; `None` if there are `max` volumes already.
    pub(crate) fn new_place(&self, max: usize) -> Option<World> {
        let (layout, judge) = (self.bucket().layout, self.judge().unborn());
        let mut family = lock(&self.family);
        let number = family.len();
        if number >= max {
            return None;
        }
        let shelf = Arc::new(Shelf::new(number, layout, judge));
        family.push(Arc::clone(&shelf));
        Some(self.on(&shelf))
    }

    /// Somebody was told that a fork of the state after sync `txid` was made at `child`.
    pub(crate) fn born(&self, child: &World, txid: u64) -> std::result::Result<(), Broken> {
        let unread = |why: String| Promise::SoundAnswers.broken(format!("a fork was made: {why}"));
        let record = child.bucket().get(volume_key()).ok_or_else(|| unread("it has no record".to_owned()))?;
        let record = decode_volume(&record.bytes).map_err(|error| unread(error.to_string()))?;
        if txid > self.judge().history.head() {
            return Err(Promise::Prefix.broken(format!("a fork of sync {txid}, which was never made")));
        }
        let judge = self.judge().fork(child.shelf.number, txid, record.origins, self.time.now());
        let unborn = std::mem::replace(&mut *child.judge(), judge);
        child.judge().coverage = unborn.coverage;
        let objects: Vec<FileId> = {
            let judge = child.judge();
            judge.pointers.origins.iter().flat_map(|origin| &origin.objects).map(|object| object.id).collect()
        };
        match child.missing(&objects) {
            None => Ok(()),
            Some(why) => Err(Promise::NothingReachableIsDeleted.broken(format!("a fork was made, and {why}"))),
        }
    }

    /// What is wrong if objects of a state of this volume are not where they are read.
    pub(crate) fn missing(&self, objects: &[FileId]) -> Option<String> {
        let (detached, origins) = {
            let judge = self.judge();
            (judge.history.detached, judge.pointers.origins.clone())
        };
        objects.iter().find_map(|id| {
            let at = origins.iter().find(|origin| origin.objects.iter().any(|object| object.id == *id));
            let born = origins.iter().any(|origin| FileId::sync(origin.txid.next()) == *id);
            let inherited = at.is_some() || born;
            let shelf = match at {
                Some(origin) => self.shelves().into_iter().find(|shelf| shelf.url == origin.url)?,
                None => Arc::clone(&self.shelf),
            };
            let there = born || lock(&shelf.bucket).has(*id);
            let readable = there && !(inherited && detached);
            (!readable).then(|| format!("{id:?} is missing at {}", shelf.url))
        })
    }

    /// Objects of this volume were removed: what that means for its checkpoints and for forks of it.
    pub(crate) fn bereave(&self, gone: &[FileId]) {
        self.judge().unnamed(gone);
        for shelf in self.shelves().iter().filter(|shelf| shelf.number != self.shelf.number) {
            lock(&shelf.judge).removed_at(&self.shelf.url, gone);
        }
    }

    /// Something happens to a host that concerns each of its volumes.
    pub(crate) fn everywhere(&self, happens: impl Fn(&mut Judge)) {
        for shelf in self.shelves() {
            happens(&mut lock(&shelf.judge));
        }
    }

    /// What was tried on any of them.
    pub(crate) fn coverage(&self) -> Coverage {
        let mut all = Coverage::default();
        self.shelves().iter().for_each(|shelf| all.add(&lock(&shelf.judge).coverage));
        all
    }

    /// The first promise that was broken to anybody.
    pub(crate) fn verdict(&self) -> Option<Broken> {
        lock(&self.family).iter().find_map(|shelf| {
            let broken = lock(&shelf.judge).verdict.clone()?;
            let why = if shelf.number == 0 { broken.why } else { format!("{}: {}", name(shelf.number), broken.why) };
            Some(Broken { why, ..broken })
        })
    }
}

/// Finds the other volumes of the world from a host.
pub(crate) struct Neighbours {
    pub(crate) connection: Connection,
    pub(crate) host: plimsoll_host::Host,
    pub(crate) wrapped: bool,
}

impl Elsewhere for Neighbours {
    fn store(&self, url: &str) -> Result<Arc<dyn Store>> {
        let world = &self.connection.world;
        let found = world.shelves().into_iter().find(|shelf| shelf.url == url);
        let shelf = found.ok_or_else(|| Error::new(ErrorKind::Invalid, "looking for another volume").object(url))?;
        Ok(store(&self.connection.on(&shelf), &self.host, self.wrapped))
    }
}
