//! What a writer merges: what it knows to be its own history, and nothing beyond.

use std::time::Duration;

use plimsoll_commitlog::decode_status;
use plimsoll_model::{ErrorKind, Level, PageCount, Txid};
use plimsoll_store::{
    Store as _,
    fault::{Fault, Op, Rule},
};
use plimsoll_volume::{Role, Volume};

use crate::world::{PAGE, World, marks, page, put};

#[test]
fn nothing_is_merged_beside_what_another_writer_has_put_on_the_newest_sync() {
    let world = World::new(1);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[("heartbeat_ms", "1000000"), ("holder_ttl_ms", "2000000")]);
    for mark in 1..4 {
        put(&old, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    put(&second.open(&[("takeover", "true")]), &[(1, 4)], 1, Level::Durable).unwrap();
    let error = old.compact().unwrap_err();
    assert!(error.kind() == ErrorKind::Held && error.to_string().contains("is not of this writer"), "{error}");
    assert_eq!(world.keys("ltx/1/"), Vec::<String>::new());
    assert_eq!((old.status().role, marks(&old)), (Role::Writer, vec![3]), "it does not know yet");
}

#[test]
fn a_sync_whose_answer_is_not_here_yet_is_merged_once_it_is() {
    let world = World::new(2);
    let machine = world.machine("a");
    let volume = machine.open(&[]);
    for mark in 1..3 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    machine.remote.script.once(Op::Create, ".ltx", Fault::AppliedButNoAnswer);
    machine.remote.script.once(Op::Create, ".ltx", Fault::Delay(Duration::from_secs(20)));
    put(&volume, &[(1, 3)], 1, Level::Buffered).unwrap();
    world.run_for(10_000);
    assert_eq!((world.keys("ltx/0/").len(), volume.status().durable.lsn), (3, 2), "it is there, and unanswered");
    let up_to = |volume: &Volume| volume.compact().unwrap().merged.iter().map(|id| id.max).collect::<Vec<Txid>>();
    assert!(up_to(&volume).iter().all(|max| *max == Txid(2)), "nothing beyond what is known to be durable");
    world.run_for(30_000);
    assert_eq!(volume.status().durable.lsn, 3);
    assert!(up_to(&volume).contains(&Txid(3)));
}

#[test]
fn many_syncs_are_merged_without_listing_those_again_that_are_merged() {
    let world = World::new(3);
    let machine = world.machine("a");
    machine.remote.set_latency(1);
    let volume = machine.open(&[("compaction_levels_ms", "3600000,7200000")]);
    // The first round of a writer looks at all there is.
    for mark in 1..=100 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    let syncs = 4000;
    let listed = machine.remote.listed();
    for mark in 1..=syncs {
        put(&volume, &[(1, mark), (2 + u32::try_from(mark).unwrap() % 50, mark)], 60, Level::Durable).unwrap();
    }
    world.run_for(1000);
    let merged = world.keys("ltx/1/");
    assert!(merged.len() > 8, "merged again and again: {merged:?}");
    let listed = machine.remote.listed() - listed;
    assert!(listed < syncs * 6, "{listed} names were listed for {syncs} syncs");
    drop(volume);
    let elsewhere = world.machine("b").open(&[("takeover", "true")]);
    assert_eq!(marks(&elsewhere)[0], syncs);
}

#[test]
fn what_many_syncs_have_changed_is_in_the_cache_once_the_volume_is_let_go() {
    let world = World::new(4);
    let machine = world.machine("a");
    let volume = machine.open(&[]);
    for mark in 1..40 {
        put(&volume, &[(1, mark), (2, mark + 1), (3 + u32::try_from(mark).unwrap(), mark)], 50, Level::Durable)
            .unwrap();
    }
    let seen = marks(&volume);
    volume.release().unwrap();
    let brought = machine.remote.brought();
    assert_eq!(marks(&volume), seen);
    assert_eq!(machine.remote.brought() - brought, 0, "bytes that were fetched of what was written here");
}

/// There is no cache before the first sync, and whoever had taken the volume then merged without one for good.
#[test]
fn what_the_first_writer_of_a_volume_has_synced_is_not_fetched_to_merge_it() {
    let world = World::new(14);
    let machine = world.machine("a");
    let volume = machine.open(&[("compaction_levels_ms", "3600000,7200000")]);
    for mark in 1..10 {
        let pages: Vec<_> = (1..=40).map(|page| (page, mark * 100 + u64::from(page))).collect();
        put(&volume, &pages, 40, Level::Durable).unwrap();
    }
    world.run_for(5000);
    let brought = machine.remote.brought();
    assert!(!volume.compact().unwrap().merged.is_empty());
    assert_eq!(machine.remote.brought() - brought, 0, "bytes that were fetched of what was written here");
}

/// What such a writer began to merge it did not finish: nothing was ever merged, and opening took as many requests as there
/// had been commands.
#[test]
fn writers_that_are_there_for_a_moment_only_merge_between_them_what_they_write() {
    let world = World::new(5);
    for mark in 1..=60 {
        // Each on a host that knows nothing of the others.
        let mut machine = world.machine("a");
        machine.remote.set_latency(20);
        let volume = machine.open(&[("compaction_levels_ms", "30000,300000,3600000")]);
        put(&volume, &[(1, mark), (2 + u32::try_from(mark).unwrap() % 50, mark)], 60, Level::Durable).unwrap();
        volume.close().unwrap();
        machine.kill();
        world.run_for(100);
    }
    let reader = world.machine("b");
    let volume = reader.open_read_only(&[]);
    assert_eq!(marks(&volume)[0], 60);
    let asked = reader.remote.asked();
    let read = asked.iter().filter(|(_, key)| key.contains(".ltx")).count();
    assert!(read <= 40, "{read} objects after 60 writers, each with a fence and a sync: {asked:?}");
    let merges = world.keys("ltx/1/").len();
    assert!((2..8).contains(&merges), "{merges}");
}

#[test]
fn a_large_object_and_what_waits_behind_it_are_merged_before_their_time_by_a_writer_that_stays() {
    let world = World::new(6);
    let volume = world.machine("a").open(&[]);
    put_noise(&world, &volume, 1..9001, 9000);
    for mark in 1..40 {
        put(&volume, &[(1, mark)], 9000, Level::Durable).unwrap();
    }
    volume.close().unwrap();
    let machine = world.machine("b");
    let volume = machine.open(&[("compaction_levels_ms", "3600000")]);
    put(&volume, &[(1, 40)], 9000, Level::Durable).unwrap();
    world.run_for(4000);
    assert_eq!(world.keys("ltx/1/"), Vec::<String>::new());
    world.run_for(2000);
    assert_eq!(world.keys("ltx/1/").len(), 1);
}

/// It was written once more for each level.
#[test]
fn an_import_is_written_once_more_as_a_snapshot_and_into_no_level() {
    let world = World::new(7);
    let machine = world.machine("a");
    let volume = machine.open(&[("compaction_levels_ms", "30000,60000,120000")]);
    put_noise(&world, &volume, 1..2001, 2000);
    let done = volume.compact().unwrap();
    let made: Vec<(u8, u64, u64)> = done.merged.iter().map(|id| (id.level, id.min.0, id.max.0)).collect();
    assert_eq!(made, [(9, 1, 1)]);
    for mark in 1..=20 {
        put(&volume, &[(1, mark), (2000, mark + 1)], 2000, Level::Durable).unwrap();
        world.run_for(10_000);
    }
    let sizes = |level: &str| world.wait(world.shelf().list(level, None)).unwrap().iter().map(|found| found.size).sum();
    for level in ["ltx/1/", "ltx/2/", "ltx/3/"] {
        let bytes: u64 = sizes(level);
        assert!((1..100_000).contains(&bytes), "{bytes} in {level} after an import of {}", 2000 * PAGE);
    }
    let elsewhere = world.machine("b").open_read_only(&[]);
    let (there, here) = (elsewhere.snapshot().unwrap(), volume.snapshot().unwrap());
    let (mut one, mut two) = (vec![0; PAGE], vec![0; PAGE]);
    for number in 1..=2000 {
        there.read(page(number), &mut one).unwrap();
        here.read(page(number), &mut two).unwrap();
        assert_eq!(one, two, "page {number}");
    }
}

/// Where only the newest syncs and merges were listed, nothing showed how new that snapshot was: it went at once, beside those
/// who read from it.
#[test]
fn what_a_volume_began_with_stays_as_long_after_its_snapshot_as_any_sync_after_its_merge() {
    let world = World::new(8);
    let imports = world.machine("a").open(&[]);
    put_noise(&world, &imports, 1..2001, 2000);
    imports.close().unwrap();
    let first = world.keys("ltx/0/").remove(0);
    world.run_for(3_600_000);
    let volume = world.machine("b").open(&[("compaction_levels_ms", "30000,300000,3600000")]);
    let is_there = || world.keys("ltx/0/").contains(&first);
    let mut made = 0;
    for seconds in (10..).step_by(10) {
        put(&volume, &[(1, seconds)], 2000, Level::Durable).unwrap();
        world.run_for(10_000);
        if made == 0 && !world.keys("ltx/9/").is_empty() {
            made = seconds;
        }
        if !is_there() {
            assert!(made > 0 && seconds - made >= 290, "there since {made} s, gone after {seconds} s");
            break;
        }
        assert!(seconds < 2000, "it is never collected");
    }
}

/// Pages that nothing can compress.
fn put_noise(world: &World, volume: &Volume, pages: std::ops::Range<u32>, count: u32) {
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    for number in pages {
        let noise: Vec<u8> = (0..PAGE / 8).flat_map(|_| world.chance().bits().to_le_bytes()).collect();
        txn.write(page(number), &noise).unwrap();
    }
    txn.commit(PageCount(count), Level::Durable).unwrap().wait(Level::Durable).unwrap();
}

/// A snapshot that did not fit into one object any more was made again every ten seconds, and nothing was removed.
#[test]
fn where_a_snapshot_would_be_too_large_syncs_are_merged_in_parts_and_collected_and_it_is_rarely_tried() {
    const LARGEST: u64 = 20_000;
    let world = World::new(3);
    let machine = world.machine("a");
    machine.remote.script.limit_objects(LARGEST);
    let volume = machine.open(&[
        ("compaction_levels_ms", "30000,60000"),
        ("snapshot_interval_ms", "60000"),
        ("l0_retention_ms", "100000"),
    ]);
    for commit in 0..12 {
        put_noise(&world, &volume, commit * 8 + 1..commit * 8 + 9, commit * 8 + 8);
    }
    world.run_for(300_000);
    put_noise(&world, &volume, 1..2, 96);
    machine.remote.asked();
    world.run_for(3_600_000);
    let asked = machine.remote.asked();
    let times = |op: Op, folder: &str| asked.iter().filter(|(with, key)| *with == op && key.contains(folder)).count();
    assert_eq!(times(Op::Create, "ltx/9/"), 0, "what it would be is known before it is made");
    assert!(times(Op::List, "ltx/9/") < 20, "{}", times(Op::List, "ltx/9/"));
    assert!(world.keys("ltx/0/").len() < 3, "{:?}", world.keys("ltx/0/"));
    let merged = world.wait(world.shelf().list("ltx/1/", None)).unwrap();
    assert!(merged.len() >= 3 && merged.iter().all(|object| object.size <= LARGEST), "{merged:?}");
    let told = volume.status().upkeep_trouble;
    assert!(told.as_ref().is_some_and(|told| told.contains("20000") && told.contains("several volumes")), "{told:?}");
    let sign = world.wait(world.shelf().get(&world.keys("status/")[0])).unwrap().unwrap();
    assert_eq!(decode_status(&sign.bytes).unwrap().trouble, told, "others are told, too");
    let error = volume.compact().err().map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("20000")), "{error:?}");
    let there = |volume: &Volume| {
        let (snapshot, mut data) = (volume.snapshot().unwrap(), vec![0; PAGE]);
        let pages = (1..=96).map(|number| snapshot.read(page(number), &mut data).map(|()| data.clone()).unwrap());
        pages.collect::<Vec<_>>()
    };
    assert_eq!(there(&world.machine("b").open_read_only(&[])), there(&volume));
}

/// What it had merged was forgotten, so all there is was listed for each of the next merges.
#[test]
fn where_nothing_may_be_removed_merging_goes_on_as_before_and_the_status_says_so() {
    let world = World::new(9);
    let slow = [("compaction_levels_ms", "3600000,7200000")];
    let before = world.machine("a").open(&slow);
    let syncs = 1000;
    for mark in 1..=syncs {
        put(&before, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    before.close().unwrap();
    world.run_for(400_000);
    let machine = world.machine("b");
    let refused = Rule { op: Some(Op::Delete), key_contains: String::new(), fault: Fault::FailBefore, times: u32::MAX };
    machine.remote.script.add(refused);
    let volume = machine.open(&slow);
    let write = |round: u64| {
        for mark in 1..=40 {
            put(&volume, &[(1, syncs + round * 40 + mark)], 1, Level::Durable).unwrap();
        }
        world.run_for(20_000);
    };
    write(0);
    let (listed, merged) = (machine.remote.listed(), world.keys("ltx/1/").len());
    let told = volume.status().upkeep_trouble;
    assert!(told.as_ref().is_some_and(|told| told.contains("scripted")), "{told:?}");
    (1..=20).for_each(write);
    let listed = machine.remote.listed() - listed;
    assert!(world.keys("ltx/1/").len() >= merged + 20, "{merged} {:?}", world.keys("ltx/1/"));
    assert!(listed < 10 * (syncs + 20 * 40), "{listed} names were listed for twenty merges");
    machine.remote.script.clear();
    world.run_for(300_000);
    assert_eq!(volume.status().upkeep_trouble, None);
    assert!(world.keys("ltx/0/").len() < syncs as usize, "{}", world.keys("ltx/0/").len());
}

#[test]
fn a_merge_of_something_damaged_is_tried_less_and_less_often() {
    let world = World::new(4);
    let before = world.machine("a").open(&[]);
    for mark in 1..5 {
        put(&before, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    before.close().unwrap();
    let machine = world.machine("b");
    let volume = machine.open(&[("compaction_levels_ms", "30000")]);
    let damaged = world.keys("ltx/0/")[1].clone();
    let mut bytes = world.wait(world.shelf().get(&damaged)).unwrap().unwrap().bytes.to_vec();
    bytes[110] ^= 1;
    world.wait(world.shelf().put(&damaged, bytes.into())).unwrap();
    machine.remote.asked();
    for mark in 5..125 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        world.run_for(60_000);
    }
    let reads = machine.remote.asked().iter().filter(|(_, key)| *key == damaged).count();
    assert!((2..60).contains(&reads), "{reads}");
    assert_eq!(world.keys("ltx/1/"), Vec::<String>::new());
}

/// What it had read for the merge was for nothing, and a merge that took longer than a writer is patient never ended.
#[test]
fn a_writer_that_merges_is_not_idle() {
    let world = World::new(5);
    let machine = world.machine("a");
    let volume = machine.open(&[("compaction_levels_ms", "500,3600000"), ("idle_release_ms", "1000")]);
    for mark in 1..4 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    machine.remote.script.once(Op::List, "ltx/0/", Fault::Delay(Duration::from_secs(20)));
    world.run_for(10_000);
    assert_eq!((volume.status().role, world.keys("ltx/1/").len()), (Role::Writer, 0), "it is under way");
    world.run_for(30_000);
    assert_eq!((volume.status().role, world.keys("ltx/1/").len()), (Role::Follower, 1));
}

const USUAL: [(&str, &str); 5] = [
    ("compaction_levels_ms", "30000,300000,3600000"),
    ("snapshot_interval_ms", "7200000"),
    ("retention_ms", "7200000"),
    ("l0_retention_ms", "300000"),
    ("idle_release_ms", "60000"),
];

/// Snapshots, and what rests on them, came only after five minutes with the volume in hand. Who wrote less often than
/// once a minute never got there: merges and the records of writers were kept for ever.
#[test]
fn a_writer_that_lets_go_each_time_gets_snapshots_too_and_everything_is_collected() {
    let world = World::new(6);
    let machine = world.machine("a");
    let volume = machine.open(&USUAL);
    for mark in 1..=300 {
        put(&volume, &[(1, mark), (2 + u32::try_from(mark).unwrap() % 20, mark)], 30, Level::Durable).unwrap();
        world.run_for(120_000);
        assert_eq!(volume.status().role, Role::Follower);
    }
    let count = |folder: &str| world.keys(folder).len();
    assert!((1..4).contains(&count("ltx/9/")), "{:?}", world.keys("ltx/9/"));
    assert!(count("ltx/1/") < 130 && count("ltx/2/") < 40 && count("ltx/0/") < 10, "{:?}", world.keys("ltx/"));
    assert!(count("epoch/") < 270 && count("status/") < 270, "{} {}", count("epoch/"), count("status/"));
    assert_eq!(marks(&world.machine("b").open_read_only(&[]))[0], 300);
}

/// A command that is over in a moment has no time to wait for a timer: what it leaves is tidied by the one among many
/// that merges.
#[test]
fn commands_that_write_once_leave_no_more_than_others() {
    let world = World::new(7);
    let machine = world.machine("a");
    machine.remote.set_latency(20);
    for mark in 1..=400 {
        let volume = machine.open(&USUAL);
        put(&volume, &[(1, mark), (2 + u32::try_from(mark).unwrap() % 20, mark)], 30, Level::Durable).unwrap();
        volume.close().unwrap();
        world.run_for(60_000);
    }
    let count = |folder: &str| world.keys(folder).len();
    assert!((1..4).contains(&count("ltx/9/")), "{:?}", world.keys("ltx/9/"));
    assert!(count("ltx/1/") < 130 && count("ltx/2/") < 40 && count("ltx/0/") < 80, "{:?}", world.keys("ltx/"));
    assert!(count("epoch/") < 300 && count("status/") < 300, "{} {}", count("epoch/"), count("status/"));
}
