//! What reading costs.

use plimsoll_model::{Level, PageCount};
use plimsoll_store::fault::{Fault, Op};
use plimsoll_volume::Volume;

use crate::world::{PAGE, World, get, marks, page, put};

fn reads(asked: &[(Op, String)]) -> usize {
    asked.iter().filter(|(op, _)| matches!(op, Op::Get | Op::GetRange | Op::GetTail)).count()
}

/// One object that is too large to be fetched whole: pages that do not compress.
pub(crate) fn fill(world: &World, volume: &Volume, pages: u32) {
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    for number in 1..=pages {
        let mut bytes = Vec::with_capacity(PAGE);
        while bytes.len() < PAGE {
            bytes.extend(world.chance().bits().to_le_bytes());
        }
        txn.write(page(number), &bytes).unwrap();
    }
    txn.commit(PageCount(pages), Level::Durable).unwrap().wait(Level::Durable).unwrap();
}

fn read_all(volume: &Volume) {
    let snapshot = volume.snapshot().unwrap();
    let mut bytes = vec![0; PAGE];
    for number in snapshot.page_count().pages() {
        snapshot.read(number, &mut bytes).unwrap();
    }
}

#[test]
fn what_this_host_wrote_is_read_without_a_request_also_after_a_restart() {
    let world = World::new(1);
    let mut machine = world.machine("a");
    let volume = machine.open(&[]);
    fill(&world, &volume, 3000);
    for mark in 1..20 {
        put(&volume, &[(mark, u64::from(mark))], 3000, Level::Durable).unwrap();
    }
    machine.remote.asked();
    read_all(&volume);
    assert_eq!(machine.remote.asked(), []);
    volume.close().unwrap();
    machine.kill();
    let volume = machine.open(&[]);
    machine.remote.asked();
    read_all(&volume);
    assert_eq!(machine.remote.asked(), []);
}

#[test]
fn the_first_page_of_a_volume_is_a_few_round_trips_away_however_many_syncs_there_are() {
    let world = World::new(2);
    let volume = world.machine("a").open(&[("compaction_levels_ms", "1000,5000")]);
    fill(&world, &volume, 3000);
    for mark in 1..200 {
        put(&volume, &[(mark, u64::from(mark))], 3000, Level::Durable).unwrap();
        world.run_for(50);
    }
    let reader = world.machine("b");
    reader.remote.set_latency(100);
    let before = world.now();
    let follower = reader.open_read_only(&[]);
    assert_eq!(get(&follower.snapshot().unwrap(), 150), 150);
    let took = (world.now() - before).as_millis();
    assert!(took <= 300, "{took} ms at 100 ms per request: {:?}", reader.remote.asked());
}

/// Such a volume was opened in as many requests one after the other as it has syncs, by thirty-two, and read all of what
/// was written in the last minute.
#[test]
fn syncs_in_quick_succession_neither_make_opening_longer_nor_have_more_than_some_megabytes_read_for_it() {
    let world = World::new(7);
    let machine = world.machine("a");
    let volume = machine.open(&[("compaction_levels_ms", "30000")]);
    let base = 3000;
    fill(&world, &volume, base);
    for sync in 0..90 {
        let mut txn = volume.begin_write(&volume.snapshot().unwrap()).unwrap();
        for number in 0..400 {
            let bytes: Vec<u8> = (0..PAGE / 8).flat_map(|_| world.chance().bits().to_le_bytes()).collect();
            txn.write(page(1 + (sync * 400 + number) % base), &bytes).unwrap();
        }
        txn.commit(PageCount(base), Level::Durable).unwrap().wait(Level::Durable).unwrap();
        world.run_for(20);
    }
    let reader = world.machine("b");
    reader.remote.set_latency(100);
    let before = world.now();
    let follower = reader.open_read_only(&[("hydrate", "false")]);
    follower.snapshot().unwrap().read(page(150), &mut [0; PAGE]).unwrap();
    let took = (world.now() - before).as_millis();
    assert!(took <= 400, "{took} ms at 100 ms per request: {:?}", reader.remote.asked());
    let brought = reader.remote.brought() >> 20;
    assert!(brought <= 10, "{brought} MiB, of {} that were written", (90 * 400 * PAGE) >> 20);
}

/// The root of a table stands before all that is below it: that was a round trip for each first row.
#[test]
fn the_first_pages_come_while_a_volume_is_opened_and_are_the_newest_ones() {
    let world = World::new(9);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 3000);
    put(&volume, &[(3, 5)], 3000, Level::Durable).unwrap();
    let reader = world.machine("b");
    reader.remote.set_latency(100);
    let before = world.now();
    let follower = reader.open_read_only(&[]);
    assert_eq!((world.now() - before).as_millis(), 200);
    let snapshot = follower.snapshot().unwrap();
    reader.remote.asked();
    let (mut there, mut here) = ([0; PAGE], [0; PAGE]);
    for number in 1..=8 {
        snapshot.read(page(number), &mut here).unwrap();
        volume.snapshot().unwrap().read(page(number), &mut there).unwrap();
        assert_eq!(here, there, "page {number}");
    }
    assert_eq!(get(&snapshot, 3), 5);
    assert_eq!(reader.remote.asked(), []);
}

/// It is read only because it may be wanted soon: one that is damaged is not taken for what is there.
#[test]
fn first_pages_that_are_damaged_on_their_way_are_asked_for_again() {
    let world = World::new(10);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 3000);
    let reader = world.machine("b");
    reader.remote.script.once(Op::GetRange, ".ltx", Fault::Truncate(1000));
    let follower = reader.open_read_only(&[]);
    let (mut there, mut here) = ([0; PAGE], [0; PAGE]);
    for number in 1..=8 {
        follower.snapshot().unwrap().read(page(number), &mut here).unwrap();
        volume.snapshot().unwrap().read(page(number), &mut there).unwrap();
        assert_eq!(here, there, "page {number}");
    }
}

#[test]
fn a_read_by_key_brings_a_few_kilobytes() {
    let world = World::new(8);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 30_000);
    let reader = world.machine("b");
    let follower = reader.open_read_only(&[("hydrate", "false")]);
    let snapshot = follower.snapshot().unwrap();
    snapshot.read(page(1), &mut [0; PAGE]).unwrap();
    let before = reader.remote.brought();
    for number in 1..=100 {
        snapshot.read(page(number * 299), &mut [0; PAGE]).unwrap();
    }
    let each = (reader.remote.brought() - before) / 100;
    assert!(each <= 5 << 10, "{each} bytes for a page of {PAGE}");
}

#[test]
fn a_scan_asks_for_more_and_more_at_once_and_for_nothing_twice() {
    let world = World::new(3);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 8000);
    let reader = world.machine("b");
    let follower = reader.open_read_only(&[]);
    reader.remote.asked();
    read_all(&follower);
    let asked = reads(&reader.remote.asked());
    assert!(asked <= 14, "{asked} requests for 4 MB");
    read_all(&follower);
    assert_eq!(reads(&reader.remote.asked()), 0);
}

#[test]
fn a_long_scan_waits_for_one_round_trip_in_four_requests() {
    let world = World::new(31);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 16_000);
    let reader = world.machine("b");
    let follower = reader.open_read_only(&[("hydrate", "false"), ("read_ahead_bytes", "65536")]);
    let snapshot = follower.snapshot().unwrap();
    snapshot.read(page(1), &mut [0; PAGE]).unwrap();
    reader.remote.asked();
    reader.remote.set_latency(10);
    let began = world.now();
    read_all(&follower);
    let trips = (world.now() - began).as_millis() / 10;
    let asked = reads(&reader.remote.asked()) as u128;
    assert!(asked > 40 && trips < asked / 4 + 8, "{trips} round trips, {asked} requests");
}

#[test]
fn without_read_ahead_a_page_costs_a_request_and_brings_no_other() {
    let world = World::new(4);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 3000);
    let reader = world.machine("b");
    let follower = reader.open_read_only(&[("read_ahead_bytes", "0")]);
    reader.remote.asked();
    let snapshot = follower.snapshot().unwrap();
    for number in 1..=5 {
        snapshot.read(page(number * 100), &mut [0; PAGE]).unwrap();
        snapshot.read(page(number * 100 + 1), &mut [0; PAGE]).unwrap();
    }
    assert_eq!(reads(&reader.remote.asked()), 10);
}

#[test]
fn hydration_brings_everything_in_the_background_and_nothing_when_it_is_off() {
    for (hydrate, requests) in [("true", true), ("false", false)] {
        let world = World::new(5);
        let volume = world.machine("a").open(&[]);
        fill(&world, &volume, 3000);
        let reader = world.machine("b");
        let follower = reader.open_read_only(&[("hydrate", hydrate)]);
        reader.remote.asked();
        world.run_for(30_000);
        let background = reads(&reader.remote.asked());
        assert_eq!(background > 0, requests, "hydrate = {hydrate}: {background} requests");
        if requests {
            read_all(&follower);
            let asked = reader.remote.asked();
            assert!(asked.iter().all(|(op, _)| *op != Op::GetRange), "{asked:?}");
        }
    }
}

#[test]
fn a_held_volume_without_writes_costs_its_heartbeats_and_nothing_else() {
    let world = World::new(6);
    let machine = world.machine("a");
    let volume = machine.open(&[("compaction_levels_ms", "1000,5000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    world.run_for(20_000);
    machine.remote.asked();
    world.run_for(60_000);
    assert_eq!(marks(&volume), [1]);
    let asked = machine.remote.asked();
    assert!(asked.len() <= 12, "two requests each ten seconds: {asked:?}");
}
