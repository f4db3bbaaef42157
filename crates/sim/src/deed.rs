//! What applications do with pointers to states: they name, restore, fork, detach, remove, release, and carry tokens.

use std::sync::{Arc, Mutex};

use plimsoll_commitlog::Context;
use plimsoll_model::{ErrorKind, Txid};
use plimsoll_volume::{OriginStore, Place, Reference, Role, checkpoint, fork, remove, remove_checkpoint};

use crate::{
    coverage::Event,
    family::Neighbours,
    handle::{Handle, Stopped},
    network::{World, lock},
    pointers::Kept,
    promise::Promise,
    state::{self, FIRST, Tag},
    worker::{Application, store},
};

/// Something that is done with a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Checkpoint,
    CheckpointAgain,
    Forget,
    LookBack,
    Restore,
    Fork,
    Detach,
    Remove,
    Release,
    TakeOver,
    Token,
    Carry,
    Compact,
    Aside,
}

/// How likely each is.
pub(crate) type Deeds = &'static [(u64, Deed)];

/// A bit of everything.
pub(crate) const ALL: Deeds = &[
    (20, Deed::Checkpoint),
    (10, Deed::Forget),
    (12, Deed::LookBack),
    (8, Deed::Restore),
    (14, Deed::Fork),
    (5, Deed::Detach),
    (5, Deed::Remove),
    (5, Deed::Release),
    (2, Deed::TakeOver),
    (6, Deed::Token),
    (8, Deed::Carry),
    (5, Deed::Compact),
    (6, Deed::Aside),
];

impl Application {
    /// Does something with a pointer to a state.
    pub(crate) fn point(&self, handle: &Arc<Handle>) -> Result<(), Stopped> {
        let mut at = self.dice.below(self.profile.deeds.iter().map(|(weight, _)| weight).sum());
        let drawn = self.profile.deeds.iter().find(|(weight, _)| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        let Some((_, deed)) = drawn else { return Ok(()) };
        match deed {
            Deed::Checkpoint => self.checkpoint(handle),
            Deed::CheckpointAgain => self.checkpoint_again(handle),
            Deed::Forget => self.forget(handle),
            Deed::LookBack => self.look_back(handle),
            Deed::Restore => self.restore(handle),
            Deed::Fork => self.fork(handle),
            Deed::Detach => self.detach(handle),
            Deed::Remove => self.remove(handle),
            Deed::Release => self.release(handle),
            Deed::TakeOver => self.take_over(handle),
            Deed::Token => self.token(handle),
            Deed::Carry => self.carry(handle),
            Deed::Aside => self.aside(handle),
            Deed::Compact => {
                handle.volume.compact().map_err(|error| handle.stopped("compact", &error))?;
                Ok(())
            }
        }
    }

    /// The volume of a world without what it reads from others.
    pub(crate) fn own(&self, world: &World) -> Context {
        let store = store(&self.connection.on(&world.shelf), &self.host, self.profile.wrapped);
        Context::new(self.host.clone(), store, self.profile.settings.l0_retention)
    }

    fn neighbours(&self, world: &World) -> Neighbours {
        let connection = self.connection.on(&world.shelf);
        Neighbours { connection, host: self.host.clone(), wrapped: self.profile.wrapped }
    }

    fn place(&self, world: &World) -> Place {
        let own = Arc::clone(self.own(world).store());
        let whole = Arc::new(OriginStore::new(own, Arc::new(self.neighbours(world))));
        let context = Context::new(self.host.clone(), whole, self.profile.settings.l0_retention);
        Place { context, address: world.shelf.url.clone() }
    }

    pub(crate) fn tell(&self, world: &World, what: &str) {
        world.trace.line(&self.who, format_args!("{}", world.shelf.label(what)));
    }

    /// A sync that was made, more likely one of the last.
    fn some_sync(&self, world: &World) -> Option<Txid> {
        let head = world.judge().history.head();
        (head > 0).then(|| Txid(head - self.dice.below(head.min(*self.dice.pick(&[6, 30, u64::MAX])))))
    }

    fn some_checkpoint(&self, world: &World) -> Option<String> {
        let names: Vec<String> = world.judge().pointers.checkpoints.keys().cloned().collect();
        (!names.is_empty()).then(|| self.dice.pick(&names).clone())
    }

    fn some_reference(&self, world: &World) -> Option<Reference> {
        let named = if self.dice.once_in(3) { self.some_checkpoint(world) } else { None };
        named.map(Reference::Checkpoint).or_else(|| self.some_sync(world).map(Reference::Txid))
    }

    fn checkpoint(&self, handle: &Handle) -> Result<(), Stopped> {
        let past = if handle.read_only || self.dice.once_in(2) { self.some_sync(&handle.world) } else { None };
        self.checkpoint_of(handle, past)
    }

    /// Makes a checkpoint of the state after a sync, or of the newest.
    pub(crate) fn checkpoint_of(&self, handle: &Handle, past: Option<Txid>) -> Result<(), Stopped> {
        let world = &handle.world;
        let name = world.judge().pointers.name();
        let holds = handle.volume.status().role == Role::Writer && !handle.said().fenced;
        let last = handle.said().appended.last().copied().filter(|_| holds);
        let made = match past {
            Some(_) => self.host.tasks.wait(checkpoint(&self.place(world).context, &name, None, past)),
            None if handle.read_only => return Ok(()),
            None => handle.volume.checkpoint(&name, None),
        };
        let record = made.map_err(|error| {
            world.count(Event::CheckpointRefused);
            handle.stopped(&format!("checkpoint {name}"), &error)
        })?;
        if self.disk.is_dead() {
            return Ok(());
        }
        let objects: Vec<_> = record.objects.iter().map(|object| object.id).collect();
        self.tell(world, &format!("checkpoint {name} of sync {}: {objects:?}", record.txid));
        world.count(if past.is_some() { Event::CheckpointOfPast } else { Event::Checkpoint });
        let tag = world.judge().history.tag_at(record.txid.0);
        let Some(tag) = tag else {
            let why = format!("checkpoint {name} is of sync {}, which was never made", record.txid);
            handle.object(Promise::Prefix, &why);
            return Ok(());
        };
        if past.is_some_and(|past| past != record.txid) {
            handle.object(Promise::Prefix, &format!("checkpoint {name} is of sync {}", record.txid));
        }
        if let Some(last) = last.filter(|last| past.is_none() && !world.judge().commits.contains(tag, *last)) {
            handle.object(Promise::NoSilentLoss, &format!("checkpoint {name} of commit {tag} lacks commit {last}"));
        }
        if let Some(why) = world.missing(&objects) {
            handle.object(Promise::NothingReachableIsDeleted, &format!("checkpoint {name} was made, and {why}"));
        }
        world.judge().pointers.keep(&name, Kept { txid: record.txid.0, objects });
        Ok(())
    }

    /// Tries to make one under a name that there is. Somebody may just be removing that, and then nothing is promised of
    /// what was made.
    fn checkpoint_again(&self, handle: &Handle) -> Result<(), Stopped> {
        let world = &handle.world;
        let Some(name) = self.some_checkpoint(world).filter(|_| !handle.read_only) else { return Ok(()) };
        self.tell(world, &format!("makes checkpoint {name} again"));
        handle.volume.checkpoint(&name, None).map_err(|error| {
            if error.kind() == ErrorKind::Conflict {
                world.count(Event::CheckpointTaken);
            }
            handle.stopped("a checkpoint again", &error)
        })?;
        Ok(())
    }

    fn forget(&self, handle: &Handle) -> Result<(), Stopped> {
        let world = &handle.world;
        let Some(name) = self.some_checkpoint(world) else { return Ok(()) };
        world.judge().pointers.checkpoints.remove(&name);
        self.tell(world, &format!("removes checkpoint {name}"));
        let removal = self.host.tasks.wait(remove_checkpoint(&self.own(world), &name, false, &self.neighbours(world)));
        removal.map_err(|error| handle.stopped("removing a checkpoint", &error))?;
        world.count(Event::CheckpointRemoved);
        Ok(())
    }

    fn look_back(&self, handle: &Handle) -> Result<(), Stopped> {
        let Some(reference) = self.some_reference(&handle.world) else { return Ok(()) };
        let found = handle.look_back(&reference)?;
        if self.dice.once_in(3) {
            self.sleep(self.dice.time(self.profile.rest_max));
        }
        handle.check_past(&reference, &found)
    }

    /// What the newest state was and what it is to be is read off the first pages of both.
    fn restore(&self, handle: &Handle) -> Result<(), Stopped> {
        let world = &handle.world;
        let reference = self.some_reference(world).filter(|_| !handle.read_only);
        let Some(reference) = reference else { return Ok(()) };
        let found = handle.look_back(&reference)?;
        if found.state.count == 0 {
            return Ok(());
        }
        let fenced = handle.said().fenced;
        let made: Mutex<Option<(Tag, Tag)>> = Mutex::default();
        let restored = handle.volume.restore(&found.snapshot, |then, now| {
            if let Some((_, tag)) = *lock(&made) {
                // Whether anything differs beside what this changes.
                return state::fill(then, FIRST, tag);
            }
            let base = state::read(now, FIRST).filter(|base| world.judge().commits.get(*base).is_some());
            match base.zip(state::read(then, FIRST)) {
                Some((base, earlier)) if earlier == found.state.tag(FIRST) => {
                    let tag = world.judge().commits.begin_again(base, &found.state);
                    state::fill(then, FIRST, tag);
                    *lock(&made) = Some((base, tag));
                }
                other => handle.object(Promise::Prefix, &format!("a restore met first pages of {other:?}")),
            }
        });
        let made = *lock(&made);
        let restored = restored.map_err(|error| {
            world.count(Event::RestoreRefused);
            handle.stopped(&format!("restore {reference:?} {made:?}"), &error)
        })?;
        if self.disk.is_dead() {
            return Ok(());
        }
        self.tell(world, &format!("restored {reference:?} as {made:?}: {restored:?}"));
        if restored.to_txid != found.txid {
            handle.object(Promise::Prefix, &format!("sync {} was to be restored: {restored:?}", found.txid));
        }
        let Some((base, tag)) = made.filter(|_| restored.pages > 0) else { return Ok(()) };
        world.count(Event::Restore);
        handle.appended(tag, restored.lsn, fenced);
        let mut judge = world.judge();
        judge.durable(tag);
        if judge.history.tag_at(restored.from_txid) != Some(base) {
            let before = judge.history.tag_at(restored.from_txid);
            let why = format!("the state before a restore is commit {base}, what undoes it is {before:?}");
            judge.object(Promise::Prefix, why);
        }
        Ok(())
    }

    fn fork(&self, handle: &Handle) -> Result<(), Stopped> {
        let world = &handle.world;
        let at = if self.dice.once_in(3) { None } else { self.some_reference(world) };
        let named = match &at {
            None => None,
            Some(Reference::Checkpoint(name)) => world.judge().pointers.checkpoints.get(name).map(|kept| kept.txid),
            Some(Reference::Txid(txid)) => Some(txid.0),
            Some(Reference::Time(_)) => None,
        };
        let before = world.judge().history.head();
        if before == 0 {
            return Ok(());
        }
        let Some(child) = world.new_place(self.profile.volumes_max) else { return Ok(()) };
        self.tell(world, &format!("forks {at:?} to {}", child.shelf.url));
        let neighbours = self.neighbours(world);
        let made = self.host.tasks.wait(fork(&self.place(world), at.as_ref(), &self.place(&child), &neighbours));
        let made = made.map_err(|error| {
            world.count(Event::ForkRefused);
            handle.stopped("fork", &error)
        })?;
        if self.disk.is_dead() {
            return Ok(());
        }
        self.tell(&child, &format!("is a fork of {} at sync {}", world.shelf.url, made.txid));
        if named.map_or(made.txid.0 < before, |named| named != made.txid.0) {
            let why = format!("a fork of {at:?} is of sync {}, the newest was {before}", made.txid);
            handle.object(Promise::Prefix, &why);
        }
        if let Err(broken) = world.born(&child, made.txid.0) {
            child.judge().object(broken.promise, broken.why);
        }
        world.count(match at {
            Some(Reference::Checkpoint(_)) => Event::ForkOfCheckpoint,
            Some(_) => Event::ForkOfPast,
            None => Event::Fork,
        });
        if world.shelf.number > 0 {
            world.count(Event::ForkOfFork);
        }
        Ok(())
    }

    fn detach(&self, handle: &Handle) -> Result<(), Stopped> {
        let world = &handle.world;
        if handle.read_only || world.judge().pointers.origins.is_empty() {
            return Ok(());
        }
        self.tell(world, "is being detached");
        let done = handle.volume.detach().map_err(|error| {
            let held = error.kind() == ErrorKind::Held && error.to_string().contains("checkpoints are made of");
            world.count(if held { Event::DetachHeld } else { Event::DetachInterrupted });
            handle.stopped("detach", &error)
        })?;
        if self.disk.is_dead() {
            return Ok(());
        }
        self.tell(world, &format!("is detached: {done:?}"));
        world.count(Event::Detach);
        let detached = world.judge().history.detached;
        if !detached {
            handle.object(Promise::NothingReachableIsDeleted, "it was detached, and the store does not say so");
        }
        Ok(())
    }

    /// Removes a fork, whichever: nothing is promised of it from now on, unless that is refused.
    fn remove(&self, handle: &Handle) -> Result<(), Stopped> {
        let removable = |world: &&World| {
            let judge = world.judge();
            let pointers = &judge.pointers;
            let busy = pointers.leaving.is_some_and(|life| !world.has_ended(life));
            world.shelf.number > 0 && pointers.promised && !pointers.removed && !busy
        };
        let all: Vec<World> = handle.world.shelves().iter().map(|shelf| handle.world.on(shelf)).collect();
        let forks: Vec<&World> = all.iter().filter(removable).collect();
        if forks.is_empty() {
            return Ok(());
        }
        let world = *self.dice.pick(&forks);
        world.judge().pointers.leaving = Some(self.connection.group);
        self.tell(world, "is being removed");
        let (holder_ttl, neighbours) = (self.profile.settings.holder_ttl, self.neighbours(world));
        let removed = self.host.tasks.wait(remove(&self.own(world), holder_ttl, false, &neighbours));
        if self.disk.is_dead() {
            return Ok(());
        }
        self.tell(world, &format!("removed: {removed:?}"));
        match removed {
            Ok(_) => {
                world.judge().pointers.removed = true;
                world.count(Event::Removal);
            }
            Err(error) if error.kind() == ErrorKind::Held => {
                world.judge().pointers.leaving = None;
                world.count(Event::RemovalRefused);
            }
            // It may be half removed. Somebody else may go on with it once this process has ended.
            Err(_) => {}
        }
        Ok(())
    }
}
