//! Who held the volume, and in what condition somebody else took it.

use std::{collections::BTreeMap, time::Duration};

use plimsoll_commitlog::{decode_epoch, decode_status, parse_epoch_key, parse_status_key};
use plimsoll_ltx::FileId;
use plimsoll_model::Txid;

use crate::{
    coverage::Event,
    network::{World, lock},
    time::Group,
};

/// A writer's time.
#[derive(Clone, Copy, Debug)]
struct Tenure {
    host: usize,
    group: Group,
    /// When it gave its last sign of life.
    sign: Duration,
    closed: bool,
}

/// Those of one volume, by epoch.
#[derive(Debug, Default)]
pub(crate) struct Tenures(BTreeMap<u32, Tenure>);

/// A record was made or replaced by a process of a host.
pub(crate) fn written(world: &World, (host, group): (usize, Group), key: &str, bytes: &[u8]) {
    let now = world.time.now();
    if let Some(epoch) = parse_status_key(key)
        && let Ok(status) = decode_status(bytes)
        && let Some(tenure) = world.judge().tenures.0.get_mut(&epoch.0)
    {
        (tenure.sign, tenure.closed) = (now, status.closed);
    }
    let Some(epoch) = parse_epoch_key(key).map(|epoch| epoch.0) else { return };
    let mut judge = world.judge();
    // Whoever removes the volume fences its writer, too.
    judge.epoch = judge.epoch.max(epoch);
    if decode_epoch(bytes).is_ok_and(|record| record.removal) {
        return;
    }
    judge.coverage.count(Event::EpochWon);
    let before = judge.tenures.0.range(..epoch).next_back().map(|(_, tenure)| *tenure);
    judge.tenures.0.insert(epoch, Tenure { host, group, sign: now, closed: false });
    drop(judge);
    let Some(before) = before.filter(|before| before.host != host) else { return };
    world.count(if before.closed {
        Event::TakenAfterRelease
    } else if world.has_ended(before.group) {
        Event::TakenFromDead
    } else if now < before.sign + world.holder_ttl {
        Event::TakenFromLiving
    } else {
        Event::TakenFromSleeper
    });
}

/// A host wakes up: what has become of each volume that it held when it fell asleep.
pub(crate) fn woke(world: &World, group: Group) {
    for shelf in world.shelves() {
        let mut judge = lock(&shelf.judge);
        let held = judge.tenures.0.iter().rev().find(|(_, tenure)| tenure.group == group && !tenure.closed);
        let Some((epoch, last)) =
            held.map(|(epoch, _)| *epoch).and_then(|epoch| Some((epoch, judge.history.last_of(epoch)?)))
        else {
            continue;
        };
        let newest = judge.tenures.0.keys().next_back() == Some(&epoch);
        let next = FileId::sync(Txid(last + 1));
        let bucket = lock(&shelf.bucket);
        let there = bucket.get(&bucket.layout.key(&next)).is_some();
        let event = if last < judge.history.head() && !there {
            Event::WokeToCollected
        } else if newest {
            Event::WokeHolding
        } else {
            Event::WokeOvertaken
        };
        judge.coverage.count(event);
    }
}
