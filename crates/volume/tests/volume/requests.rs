//! What reading costs.

use std::time::Duration;

use plimsoll_model::{Level, PageCount};
use plimsoll_store::fault::{Fault, Op, Rule};
use plimsoll_volume::Volume;

use crate::world::{Machine, PAGE, World, get, marks, page, put};

fn reads(asked: &[(Op, String)]) -> usize {
    asked.iter().filter(|(op, _)| matches!(op, Op::Get | Op::GetRange | Op::GetTail)).count()
}

fn noise(world: &World) -> Vec<u8> {
    (0..PAGE / 8).flat_map(|_| world.chance().bits().to_le_bytes()).collect()
}

/// One object that is too large to be fetched whole: pages that do not compress.
pub(crate) fn fill(world: &World, volume: &Volume, pages: u32) {
    fill_from(world, volume, 1, pages);
}

fn fill_from(world: &World, volume: &Volume, first: u32, pages: u32) {
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    for number in first..=pages {
        txn.write(page(number), &noise(world)).unwrap();
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

/// A reader behind a store that takes ten milliseconds, which has opened the database and nothing else.
fn far_away(world: &World, values: &[(&str, &str)]) -> (Machine, Volume) {
    let reader = world.machine("b");
    let follower = reader.open_read_only(values);
    follower.snapshot().unwrap().read(page(1), &mut [0; PAGE]).unwrap();
    reader.remote.asked();
    reader.remote.set_latency(10);
    (reader, follower)
}

/// Reads pages up to one, and takes a millisecond for each so many.
fn scan(world: &World, volume: &Volume, pages: u32, pages_per_ms: u32) {
    let snapshot = volume.snapshot().unwrap();
    for number in 1..=pages {
        snapshot.read(page(number), &mut [0; PAGE]).unwrap();
        if number % pages_per_ms == 0 {
            world.run_for(1);
        }
    }
}

#[test]
fn a_scan_waits_for_its_first_round_trips_and_for_none_after_them_however_long_it_is() {
    let world = World::new(31);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 24_000);
    let waits = [4_000, 8_000, 24_000].map(|pages| {
        let (reader, follower) = far_away(&world, &[("read_ahead_bytes", "65536")]);
        let began = world.now();
        // A request is read in about three milliseconds.
        scan(&world, &follower, pages, 40);
        let asked = reads(&reader.remote.asked());
        ((world.now() - began).as_millis() as u32 - pages / 40, asked)
    });
    assert!(waits.iter().all(|(ms, _)| *ms < 60), "milliseconds of waiting, and requests: {waits:?}");
    assert!(waits[2].0 == waits[1].0 && waits[2].1 > 60, "milliseconds of waiting, and requests: {waits:?}");
}

#[test]
fn a_scan_that_outruns_the_store_waits_for_one_round_trip_in_eight_requests() {
    let world = World::new(31);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 24_000);
    let (reader, follower) = far_away(&world, &[("read_ahead_bytes", "65536")]);
    let began = world.now();
    scan(&world, &follower, 24_000, u32::MAX);
    let trips = (world.now() - began).as_millis() / 10;
    let asked = reads(&reader.remote.asked()) as u128;
    assert!(asked > 60 && trips < asked / 8 + 8, "{trips} round trips, {asked} requests");
}

#[test]
fn a_scan_that_stops_leaves_at_most_eight_requests_behind_and_asks_for_nothing_more() {
    let world = World::new(32);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 24_000);
    let (reader, follower) = far_away(&world, &[("read_ahead_bytes", "65536")]);
    scan(&world, &follower, 8_000, 40);
    world.run_for(5_000);
    reader.remote.asked();
    let before = reader.remote.brought();
    let snapshot = follower.snapshot().unwrap();
    for number in [7_000, 23_000, 2_000, 20_000] {
        snapshot.read(page(number), &mut [0; PAGE]).unwrap();
        world.run_for(1_000);
    }
    // A follower looks for the next sync now and then, which is not there.
    let asked = reader.remote.asked().iter().filter(|(op, _)| *op == Op::GetRange).count();
    let brought = reader.remote.brought() - before;
    assert!(asked <= 2 && brought <= 10 << 10, "{asked} requests and {brought} bytes after a scan");
    // What was on its way when it stopped is there, and no more than that.
    let local = |number: u32| {
        snapshot.read(page(number), &mut [0; PAGE]).unwrap();
        reads(&reader.remote.asked()) == 0
    };
    let far = (8_000..24_000).step_by(50).take_while(|number| local(*number)).count() * 50;
    assert!((500..3_000).contains(&far), "{far} pages are there ahead of the scan");
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

/// Of the objects that a run goes over, all but the one that was read were taken for brought.
#[test]
fn hydration_also_brings_large_objects_whose_pages_lie_between_those_of_others() {
    let world = World::new(11);
    let volume = world.machine("a").open(&[]);
    fill(&world, &volume, 6000);
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    for number in (2..=6000).step_by(2) {
        txn.write(page(number), &noise(&world)).unwrap();
    }
    txn.commit(PageCount(6000), Level::Durable).unwrap().wait(Level::Durable).unwrap();
    let reader = world.machine("b");
    let follower = reader.open_read_only(&[("hydrate", "true")]);
    world.run_for(60_000);
    reader.remote.set_down(true);
    read_all(&follower);
}

/// Everything behind that stayed away until the next sync, and then it was begun anew.
#[test]
fn hydration_goes_on_with_the_newest_state_when_what_it_was_bringing_was_collected() {
    let world = World::new(12);
    let values = [("compaction_levels_ms", "10000000"), ("l0_retention_ms", "1000"), ("retention_ms", "1000")];
    let volume = world.machine("a").open(&values);
    for part in 0..4 {
        let base = volume.snapshot().unwrap();
        let mut txn = volume.begin_write(&base).unwrap();
        for number in part * 2000 + 1..=(part + 1) * 2000 {
            txn.write(page(number), &noise(&world)).unwrap();
        }
        txn.commit(PageCount((part + 1) * 2000), Level::Durable).unwrap().wait(Level::Durable).unwrap();
    }
    let reader = world.machine("b");
    let syncs = world.keys("ltx/0/");
    reader.remote.script.once(Op::GetRange, &syncs[1], Fault::Delay(Duration::from_secs(60)));
    let follower = reader.open_read_only(&[("hydrate", "true")]);
    for mark in 1..3 {
        volume.compact().unwrap();
        world.run_for(5000);
        put(&volume, &[(1, mark)], 8000, Level::Durable).unwrap();
    }
    volume.compact().unwrap();
    assert!(syncs.iter().all(|sync| !world.keys("ltx/0/").contains(sync)));
    follower.refresh().unwrap();
    assert!(reader.remote.script.is_used_up());
    world.run_for(120_000);
    reader.remote.set_down(true);
    read_all(&follower);
}

/// A host on which hydration of twelve thousand pages has begun, which takes some seconds.
fn hydrating(world: &World) -> (Volume, Machine, Volume) {
    let volume = world.machine("a").open(&[]);
    fill(world, &volume, 12_000);
    let reader = world.machine("b");
    let follower = reader.open_read_only(&[("hydrate", "true")]);
    reader.remote.set_latency(1000);
    let before = reader.remote.brought();
    while reader.remote.brought() < before + (1 << 20) {
        world.run_for(100);
    }
    assert!(reader.remote.brought() < 10_000 * PAGE as u64, "there is more");
    (volume, reader, follower)
}

/// Whether everything comes to be here: with what was brought before.
fn all_comes(world: &World, reader: &Machine, follower: &Volume) {
    reader.remote.set_latency(0);
    follower.refresh().unwrap();
    world.run_for(120_000);
    reader.remote.set_down(true);
    read_all(follower);
    reader.remote.set_down(false);
}

#[test]
fn what_is_synced_while_hydration_is_under_way_is_brought_too() {
    let world = World::new(13);
    let (volume, reader, follower) = hydrating(&world);
    reader.remote.script.once(Op::GetRange, ".ltx", Fault::Delay(Duration::from_secs(60)));
    reader.remote.set_latency(0);
    fill_from(&world, &volume, 1, 8000);
    follower.refresh().unwrap();
    assert!(reader.remote.brought() < 10_000 * PAGE as u64, "it is under way");
    all_comes(&world, &reader, &follower);
}

#[test]
fn what_a_hydration_that_failed_has_not_brought_comes_with_the_next_state_and_what_one_has_brought_comes_once() {
    let world = World::new(14);
    let (volume, reader, follower) = hydrating(&world);
    let fault = Fault::FailBefore;
    reader.remote.script.add(Rule { op: Some(Op::GetRange), key_contains: ".ltx".into(), fault, times: u32::MAX });
    world.run_for(60_000);
    reader.remote.script.clear();
    put(&volume, &[(1, 1)], 12_000, Level::Durable).unwrap();
    all_comes(&world, &reader, &follower);
    let before = reader.remote.brought();
    fill_from(&world, &volume, 5000, 12_000);
    all_comes(&world, &reader, &follower);
    let bytes = reader.remote.brought() - before;
    assert!((7000 * PAGE as u64..9000 * PAGE as u64).contains(&bytes), "{bytes} bytes");
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
