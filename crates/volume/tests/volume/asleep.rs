//! Writers that were silent for so long that their volume may be another one's by now, or be gone: they look before they
//! merge, collect or detach anything.

use std::time::Duration;

use plimsoll_commitlog::{Context, announce_removal, look};
use plimsoll_model::{ErrorKind, Level};
use plimsoll_store::{
    Store as _,
    fault::{Fault, Op},
};
use plimsoll_volume::{Nowhere, Volume, remove};

use crate::{
    forks::{Places, R, busy, setup},
    world::{Machine, World, put},
};

/// No sign of life, and nothing is merged but by request.
const SILENT: &[(&str, &str)] = &[
    ("heartbeat_ms", "1000000"),
    ("holder_ttl_ms", "2000000"),
    ("compaction_levels_ms", "10000000,20000000"),
    ("l0_retention_ms", "2000"),
    ("retention_ms", "2000"),
];

fn context(machine: &Machine) -> Context {
    let config = machine.config(SILENT);
    Context::new(config.host, config.store, R)
}

/// Somebody begins to remove the volume, and so takes it, after so many seconds.
fn announce_after(machine: &Machine, own: Context, seconds: u64) {
    let clock = machine.host().clock;
    machine.host().tasks.spawn(Box::pin(async move {
        clock.sleep(Duration::from_secs(seconds)).await;
        announce(&own).await;
    }));
}

async fn announce(own: &Context) {
    let standing = look(own).await.unwrap();
    announce_removal(own, &standing).await.unwrap().unwrap();
}

#[test]
fn a_merge_that_took_long_to_gather_is_not_made_after_somebody_has_taken_the_volume() {
    let world = World::new(1);
    let machine = world.machine("a");
    let volume = machine.open(&[SILENT, &[("cache_bytes_max", "0")]].concat());
    for mark in 1..4 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    announce_after(&machine, context(&world.machine("operator")), 30);
    machine.remote.script.once(Op::GetRange, "ltx/0", Fault::Delay(Duration::from_secs(60)));
    assert_eq!(volume.compact().unwrap_err().kind(), ErrorKind::Fenced);
    assert!(machine.remote.script.is_used_up());
    assert_eq!((world.keys("ltx/1/"), world.keys("ltx/9/")), (vec![], vec![]));
}

#[test]
fn a_writer_that_slept_while_its_volume_was_made_anew_announces_no_collection_there() {
    let world = World::new(2);
    let (machine, other) = (world.machine("a"), world.machine("b"));
    let slept = machine.open(SILENT);
    for mark in 1..15 {
        put(&slept, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    world.run_for(60_000);
    world.wait(remove(&context(&other), R, false, &Nowhere)).unwrap();
    let new = other.open(SILENT);
    put(&new, &[(1, 100)], 1, Level::Durable).unwrap();
    new.close().unwrap();
    // This one keeps what it has merged for longer than the one that slept would.
    let patient: Vec<_> = SILENT.iter().copied().filter(|(name, _)| *name != "l0_retention_ms").collect();
    let new = other.open(&[&patient[..], &[("l0_retention_ms", "1000000")]].concat());
    for mark in 101..103 {
        for mark in [mark, mark + 10] {
            put(&new, &[(1, mark)], 1, Level::Durable).unwrap();
        }
        new.compact().unwrap();
        world.run_for(60_000);
    }
    let before = world.keys("");
    assert_eq!(slept.compact().unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(world.keys(""), before, "not even what whoever collects next would carry out");
}

#[test]
fn a_writer_that_slept_while_its_volume_was_removed_leaves_nothing_there_when_it_lets_go() {
    let world = World::new(6);
    let (machine, other) = (world.machine("a"), world.machine("b"));
    let slept = machine.open(SILENT);
    put(&slept, &[(1, 1)], 1, Level::Durable).unwrap();
    world.run_for(60_000);
    world.wait(remove(&context(&other), R, false, &Nowhere)).unwrap();
    let before = world.keys("");
    let _ = slept.close();
    assert_eq!(world.keys(""), before);
}

/// Every request takes longer than a collector relies on its last look.
#[test]
fn a_slow_collector_removes_nothing_after_somebody_has_taken_the_volume() {
    let world = World::new(3);
    let machine = world.machine("a");
    let volume = machine.open(SILENT);
    for mark in 1..4 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    volume.compact().unwrap();
    world.run_for(60_000);
    put(&volume, &[(1, 4)], 1, Level::Durable).unwrap();
    let (own, clock) = (context(&world.machine("operator")), machine.host().clock);
    machine.host().tasks.spawn(Box::pin(async move {
        while !own.store().list("gc/", None).await.unwrap().iter().any(|entry| entry.key.ends_with(".go")) {
            clock.sleep(Duration::from_millis(100)).await;
        }
        // The collector's look is under way, and its request to remove something comes after that.
        clock.sleep(Duration::from_secs(9)).await;
        announce(&own).await;
    }));
    let syncs = world.keys("ltx/0/");
    machine.remote.set_latency(6000);
    let error = volume.compact().unwrap_err();
    assert!(error.kind() == ErrorKind::Held && error.to_string().contains("collects from now on"), "{error}");
    assert_eq!(world.keys("ltx/0/"), syncs);
}

/// A fork that is detached while somebody begins to remove it: the request for `key` is slow, and that falls into it.
fn detach_during(seed: u64, op: Op, key: &str) -> (World, Places) {
    let (world, machine, places) = setup(seed);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = Volume::open(places.config(&machine, "child", SILENT)).unwrap();
    put(&child, &[(1, 100)], 4, Level::Durable).unwrap();
    announce_after(&machine, places.own("child"), 30);
    places.remote("child").script.once(op, key, Fault::Delay(Duration::from_secs(60)));
    assert_eq!(child.detach().unwrap_err().kind(), ErrorKind::Fenced);
    assert!(places.remote("child").script.is_used_up());
    assert_eq!(places.pins(&world, "parent"), 1);
    (world, places)
}

fn is_there(world: &World, places: &Places, key: &str) -> bool {
    world.wait(places.remote("child").get(key)).unwrap().is_some()
}

#[test]
fn a_writer_that_slept_before_it_marks_a_fork_as_being_detached_looks_first() {
    let (world, places) = detach_during(4, Op::Get, "detached.json");
    assert!(!is_there(&world, &places, "detaching.json"));
}

#[test]
fn a_writer_that_slept_while_it_looked_for_checkpoints_does_not_mark_its_fork_as_detached() {
    let (world, places) = detach_during(5, Op::Put, "detaching.json");
    assert!(is_there(&world, &places, "detaching.json"), "it was on its way");
    assert!(!is_there(&world, &places, "detached.json"));
}
