//! What latency costs: how many requests wait for each other, by a virtual clock.

use plimsoll_model::Level;
use plimsoll_volume::{Reference, Volume};

use crate::{
    requests::fill,
    world::{Machine, World, get, put},
};

/// Milliseconds per request; nothing else takes time.
const LATENCY: u64 = 1000;

/// How many requests one after the other something takes.
fn trips<T>(world: &World, machine: &Machine, work: impl FnOnce() -> T) -> (u64, T) {
    machine.remote.set_latency(LATENCY);
    machine.remote.asked();
    let before = world.now();
    let done = work();
    let took = (world.now() - before).as_millis() as u64;
    machine.remote.set_latency(0);
    (took.div_ceil(LATENCY), done)
}

/// A volume of so many pages that nobody holds, with some syncs on top of a large object.
fn left(world: &World, pages: u32, syncs: u32) {
    let mut machine = world.machine("first");
    let volume = machine.open(&[]);
    fill(world, &volume, pages);
    for mark in 1..=syncs {
        put(&volume, &[(mark, u64::from(mark))], pages, Level::Durable).unwrap();
    }
    volume.close().unwrap();
    machine.kill();
}

/// A volume that has had thousands of syncs in quick succession, all of them within what level 0 is kept for.
fn left_after_thousands(world: &World, pages: u32, syncs: u32) {
    let mut machine = world.machine("first");
    let volume = machine.open(&[("l0_retention_ms", "3600000"), ("compaction_levels_ms", "30000,300000,3600000")]);
    fill(world, &volume, pages);
    for mark in 1..=syncs {
        put(&volume, &[(1 + mark % pages, u64::from(mark))], pages, Level::Durable).unwrap();
        if mark % 16 == 0 {
            // Merging has its turn.
            world.run_for(1);
        }
    }
    volume.close().unwrap();
    machine.kill();
}

#[test]
fn opening_takes_three_round_trips_and_few_requests_however_many_thousand_syncs_there_were() {
    for syncs in [1_200, 4_000] {
        let world = World::new(4);
        left_after_thousands(&world, 3000, syncs);
        assert!(world.keys("ltx/0/").len() > syncs as usize, "no sync is gone yet");
        let machine = world.machine("b");
        let (opening, volume) = trips(&world, &machine, || machine.open(&[("hydrate", "false")]));
        let asked = machine.remote.asked();
        assert_eq!(opening, 3, "{asked:?}");
        assert!(asked.len() <= 60, "{} requests after {syncs} syncs: {asked:?}", asked.len());
        assert_eq!(get(&volume.snapshot().unwrap(), 1 + syncs % 3000), u64::from(syncs));
        let (taking, ()) = trips(&world, &machine, || write(&volume, 7));
        assert_eq!(taking, 7, "{:?}", machine.remote.asked());
    }
}

fn write(volume: &Volume, mark: u64) {
    put(volume, &[(1, mark)], 3000, Level::Durable).unwrap();
}

#[test]
fn the_first_commit_on_another_host_takes_seven_round_trips() {
    let world = World::new(1);
    left(&world, 3000, 20);
    let machine = world.machine("b");
    let (opening, volume) = trips(&world, &machine, || machine.open(&[]));
    assert_eq!(opening, 2, "{:?}", machine.remote.asked());
    let (taking, ()) = trips(&world, &machine, || write(&volume, 7));
    assert_eq!(taking, 7, "{:?}", machine.remote.asked());
    assert_eq!(get(&volume.snapshot().unwrap(), 1), 7);
}

/// Changes pages that are far from each other, after a checkpoint of the state before.
fn change(world: &World, pages: u32, changed: u32) {
    let mut machine = world.machine("second");
    let volume = machine.open(&[]);
    volume.checkpoint("before", None).unwrap();
    let far: Vec<(u32, u64)> = (1..=changed).map(|number| (number * (pages / (changed + 1)), 7)).collect();
    put(&volume, &far, pages, Level::Durable).unwrap();
    volume.close().unwrap();
    machine.kill();
}

#[test]
fn a_restore_on_another_host_takes_the_same_few_round_trips_for_a_small_and_a_large_volume() {
    for pages in [2_000, 12_000] {
        let world = World::new(2);
        left(&world, pages, 20);
        change(&world, pages, 60);
        let machine = world.machine("b");
        let (taken, restored) = trips(&world, &machine, || {
            let volume = Volume::open_unread(machine.config(&[]));
            let restored =
                volume.restore_to(&Reference::Checkpoint("before".into()), true, |then, _| then[8] ^= 1).unwrap();
            let pages = restored.done.pages;
            volume.close().unwrap();
            assert!(restored.kept().unwrap().is_some());
            pages
        });
        assert_eq!(restored, 61);
        assert_eq!(taken, 9, "{pages} pages: {:?}", machine.remote.asked());
    }
}

/// Whoever takes a volume found that enough syncs waited to be merged, and began with the large object below them: it read
/// megabytes of it until the command ended, and nothing came of that.
#[test]
fn a_command_reads_nothing_of_a_large_object_in_order_to_merge_it_nor_takes_longer_for_syncs_that_wait() {
    for syncs in [20, 31, 50] {
        let world = World::new(5);
        left(&world, 12_000, syncs);
        change(&world, 12_000, 60);
        let machine = world.machine("b");
        let (taken, ()) = trips(&world, &machine, || {
            let volume = Volume::open_unread(machine.config(&[("compaction_levels_ms", "30000,300000,3600000")]));
            let before = Reference::Checkpoint("before".into());
            volume.restore_to(&before, false, |then, _| then[8] ^= 1).unwrap();
            volume.close().unwrap();
        });
        assert_eq!(taken, 8, "{syncs} syncs: {:?}", machine.remote.asked());
        let brought = machine.remote.brought() >> 10;
        assert!(brought <= 1024, "{brought} KiB, of an object of 6 MiB");
        assert_eq!(world.keys("ltx/1/"), Vec::<String>::new());
    }
}

#[test]
fn a_restore_on_the_host_that_has_the_volume_takes_four_round_trips_however_large_it_is() {
    for pages in [2_000, 12_000] {
        let world = World::new(3);
        left(&world, pages, 20);
        let machine = world.machine("b");
        let volume = machine.open(&[]);
        volume.checkpoint("before", None).unwrap();
        let far: Vec<(u32, u64)> = (1..=60).map(|number| (number * (pages / 61), 7)).collect();
        put(&volume, &far, pages, Level::Durable).unwrap();
        let reference = Reference::Checkpoint("before".into());
        let (taken, restored) =
            trips(&world, &machine, || volume.restore_to(&reference, false, |then, _| then[8] ^= 1).unwrap().done);
        assert_eq!(restored.pages, 61);
        assert_eq!(taken, 4, "{pages} pages: {:?}", machine.remote.asked());
    }
}
