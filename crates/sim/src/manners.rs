//! Who took a volume from whom, and whether that was polite. See [`Promise::Politeness`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use plimsoll_commitlog::{EpochRecord, decode_epoch, decode_status, epoch_key, parse_epoch_key, status_key};
use plimsoll_host::{Clock, WallMs};
use plimsoll_model::{Epoch, Error};
use plimsoll_store::Object;

use crate::{
    coverage::Event,
    handle::Handle,
    network::{Connection, World},
    promise::{Broken, Promise},
    time::Group,
};

/// An opener reckons with whole milliseconds: when it looked may come out one later than it was.
const ROUNDING: Duration = Duration::from_millis(1);
/// How old a look may be that an opener goes by, beside what it looks at itself.
const STALE: Duration = Duration::from_secs(3);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Manners {
    /// For how long a silent holder is respected.
    pub(crate) holder_ttl: Duration,
    /// Lives that were told to take the volume by force, or whose wall clock was set.
    excused: BTreeSet<Group>,
    /// Whether the holder of an epoch looked alive to a life each time.
    alive: BTreeMap<(Group, Epoch), bool>,
    /// Hosts whose disk was lost, and with it who they were.
    lost: BTreeSet<usize>,
}

impl Manners {
    pub(crate) fn new(holder_ttl: Duration) -> Self {
        Manners { holder_ttl, excused: BTreeSet::new(), alive: BTreeMap::new(), lost: BTreeSet::new() }
    }

    /// Nothing is held against a life any more.
    pub(crate) fn excuse(&mut self, life: Group) {
        self.excused.insert(life);
    }

    /// A host's disk was lost.
    pub(crate) fn lost(&mut self, host: usize) {
        self.lost.insert(host);
    }

    fn looked(&mut self, life: Group, epoch: Epoch, alive: bool) {
        *self.alive.entry((life, epoch)).or_insert(true) &= alive;
    }

    /// A life took the epoch after this one, which was another host's.
    fn took(&self, life: Group, before: Epoch) -> Result<(), Broken> {
        let alive = self.alive.get(&(life, before)).copied().unwrap_or(false);
        if !alive || self.excused.contains(&life) {
            return Ok(());
        }
        let ttl = self.holder_ttl;
        let why = format!(
            "epoch {} was taken without force, although whoever took it saw a sign of life of epoch {before} within {ttl:?}",
            before.next()
        );
        Err(Promise::Politeness.broken(why))
    }
}

impl Connection {
    /// It was answered what the holder of an epoch had said last. What is damaged says nothing, and whoever has said nothing
    /// yet may be opening the volume.
    pub(crate) fn looked_at_holder(&self, epoch: Epoch, found: Option<&Object>) {
        let world = &self.world;
        let last_sign = match found {
            Some(object) => {
                let open = decode_status(&object.bytes).is_ok_and(|status| !status.closed);
                open.then_some(object.modified)
            }
            None => world.bucket().get(&epoch_key(epoch)).map(|object| object.modified),
        };
        let mut judge = world.judge();
        let alive = last_sign.is_some_and(|sign| self.since(sign) + ROUNDING < judge.manners.holder_ttl);
        judge.manners.looked(self.group, epoch, alive);
    }

    /// How long ago something was written, by the store's word for when and this host's clock for now.
    fn since(&self, written: WallMs) -> Duration {
        Duration::from_millis(self.clock.wall().0.saturating_sub(written.0))
    }

    /// How long ago the newest holder gave its last sign of life, by this host's clock. Its record is the first.
    fn silence(&self) -> Option<Duration> {
        let epoch = Epoch(self.world.judge().epoch);
        let bucket = self.world.bucket();
        let last = bucket.get(&status_key(epoch)).or_else(|| bucket.get(&epoch_key(epoch)))?;
        Some(self.since(last.modified))
    }
}

impl Handle {
    /// It was refused because of a holder who looks alive, having asked at a time: that is not a dead process of this host,
    /// and nobody who was silent for long then.
    pub(crate) fn held_by_another(&self, connection: &Connection, asked: Duration, error: &Error) {
        let taking = self.world.time.now() - asked;
        if let Some(silent) =
            connection.silence().and_then(|silence| silence.checked_sub(taking + STALE + ROUNDING * 2))
        {
            let judge = self.world.judge();
            let (ttl, excused) = (judge.manners.holder_ttl, judge.manners.excused.contains(&connection.group));
            drop(judge);
            if silent >= ttl && !excused {
                let why = format!("it waits for a holder who was silent for {silent:?} when it asked: {error}");
                self.object(Promise::Politeness, &why);
            }
        }
        let own = error.to_string().contains(&format!(" on host host{} (", self.host));
        if own && !self.world.judge().manners.lost.contains(&self.host) {
            self.object(Promise::Politeness, &format!("it waits for a process of its own that is gone: {error}"));
        }
    }
}

impl World {
    /// An object was made by a life: if it is an epoch, whether that was polite.
    pub(crate) fn took(&self, life: Group, key: &str, bytes: &[u8]) {
        let Some(before) = parse_epoch_key(key).and_then(|epoch| epoch.0.checked_sub(1)).map(Epoch) else { return };
        let record = |bytes: &[u8]| decode_epoch(bytes).ok().filter(|record: &EpochRecord| !record.removal);
        let (last, status) = {
            let bucket = self.bucket();
            (bucket.get(&epoch_key(before)), bucket.get(&status_key(before)))
        };
        let last = last.and_then(|last| record(&last.bytes));
        let Some((last, record)) = last.zip(record(bytes)) else { return };
        if last.writer == record.writer {
            return;
        }
        let let_go = status.and_then(|status| decode_status(&status.bytes).ok()).is_some_and(|status| status.closed);
        let mut judge = self.judge();
        if !let_go && !judge.manners.excused.contains(&life) {
            judge.coverage.count(Event::TakenFromSilent);
        }
        if let Err(broken) = judge.manners.took(life, before) {
            judge.object(broken.promise, broken.why);
        }
    }
}
