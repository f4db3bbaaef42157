//! Earlier states: looking at them, and going back to them.

use std::time::Duration;

use plimsoll_host::WallMs;
use plimsoll_model::{ErrorKind, Level, PageCount, Txid};
use plimsoll_store::fault::{Fault, Op};
use plimsoll_volume::{Reference, Snapshot, Volume};

use crate::world::{Machine, World, content, get, marks, page, put};

fn all(snapshot: &Snapshot) -> Vec<u64> {
    snapshot.page_count().pages().map(|page| get(snapshot, page.get())).collect()
}

fn at(volume: &Volume, txid: u64) -> Snapshot {
    volume.at(&Reference::Txid(Txid(txid))).unwrap()
}

fn keep(_earlier: &mut [u8], _newest: &[u8]) {}

fn wall(machine: &Machine) -> WallMs {
    machine.host().clock.wall()
}

#[test]
fn every_state_of_the_retention_can_be_looked_at_by_number_and_by_time() {
    let world = World::new(1);
    let machine = world.machine("a");
    let volume = machine.open(&[]);
    let mut moments = Vec::new();
    for mark in 1..=9 {
        let count = if mark < 5 { 3 } else { 2 };
        put(&volume, &[(1, mark), (2, mark * 10)], count, Level::Durable).unwrap();
        moments.push((wall(&machine), volume.status().txid, mark, count));
        world.run_for(1000);
    }
    let reader = world.machine("b").open_read_only(&[]);
    for (time, txid, mark, count) in moments {
        let expected: Vec<u64> = [mark, mark * 10, 0][..count as usize].into();
        assert_eq!(all(&at(&volume, txid)), expected);
        assert_eq!(all(&at(&reader, txid)), expected);
        for later in [0, 999] {
            let seen = reader.at(&Reference::Time(WallMs(time.0 + later))).unwrap();
            assert_eq!((seen.txid(), all(&seen)), (Txid(txid), expected.clone()));
        }
    }
    let before = Reference::Time(WallMs(wall(&machine).0 - 3_600_000));
    assert_eq!(reader.at(&before).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(reader.at(&Reference::Txid(Txid(99))).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(reader.at(&Reference::Checkpoint("none".into())).err().unwrap().kind(), ErrorKind::NotFound);
}

/// It was an error otherwise, which the next try would not have.
#[test]
fn an_earlier_state_whose_objects_go_while_they_are_read_is_read_from_what_they_were_merged_into() {
    let world = World::new(18);
    let home = world.machine("a");
    let volume = home.open(&[("l0_retention_ms", "1000"), ("compaction_levels_ms", "3600000")]);
    for mark in 1..=3 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    let machine = world.machine("b");
    let reader = machine.open_read_only(&[]);
    for seconds in [30, 40, 50] {
        let (host, later) = (home.host(), volume.clone());
        home.host().tasks.spawn(Box::pin(async move {
            host.clock.sleep(Duration::from_secs(seconds)).await;
            host.tasks.spawn_blocking(Box::new(move || {
                later.compact().unwrap();
                drop(put(&later, &[(1, seconds)], 1, Level::Durable).unwrap());
            }));
        }));
    }
    machine.remote.script.once(Op::Get, "1.ltx", Fault::Delay(Duration::from_secs(60)));
    assert_eq!(all(&at(&reader, 3)), [3]);
    assert!(machine.remote.script.is_used_up());
    assert!(!world.keys("ltx/0/").iter().any(|key| key.ends_with("1.ltx")), "{:?}", world.keys("ltx/0/"));
}

#[test]
fn a_state_that_was_merged_away_is_not_found_and_the_one_before_it_answers_for_its_time() {
    let world = World::new(2);
    let machine = world.machine("a");
    let volume = machine.open(&[("l0_retention_ms", "1000"), ("compaction_levels_ms", "3600000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    volume.compact().unwrap();
    world.run_for(3000);
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    let merged = (wall(&machine), volume.status().txid);
    put(&volume, &[(1, 3)], 1, Level::Durable).unwrap();
    world.run_for(5000);
    put(&volume, &[(1, 4)], 1, Level::Durable).unwrap();
    world.run_for(5000);
    volume.compact().unwrap();
    // What was merged stays for the retention after that.
    world.run_for(2000);
    put(&volume, &[(1, 5)], 1, Level::Durable).unwrap();
    volume.compact().unwrap();
    assert_eq!(volume.at(&Reference::Txid(Txid(merged.1))).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(all(&volume.at(&Reference::Time(merged.0)).unwrap()), [1]);
}

#[test]
fn an_earlier_state_that_is_looked_at_stays_while_its_own_process_merges_and_collects() {
    let world = World::new(14);
    let settings = [("l0_retention_ms", "1000"), ("compaction_levels_ms", "3600000"), ("cache_bytes_max", "1")];
    let volume = world.machine("a").open(&settings);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    let txid = volume.status().txid;
    put(&volume, &[(1, 3)], 1, Level::Durable).unwrap();
    let pinned = at(&volume, txid);
    for mark in 4..=6 {
        world.run_for(5000);
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        volume.compact().unwrap();
    }
    assert_eq!(volume.at(&Reference::Txid(Txid(txid - 1))).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(all(&pinned), [2]);
}

#[test]
fn an_earlier_state_is_not_written_to() {
    let world = World::new(3);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let past = at(&volume, volume.status().txid);
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    assert_eq!(volume.begin_write(&past).err().unwrap().kind(), ErrorKind::Conflict);
    assert_eq!((all(&past), marks(&volume)), (vec![1], vec![2]));
}

#[test]
fn a_restore_is_a_commit_that_changes_what_differs_and_can_be_undone() {
    let world = World::new(4);
    let volume = world.machine("a").open(&[]);
    let first: Vec<(u32, u64)> = (1..=300).map(|number| (number, u64::from(number))).collect();
    put(&volume, &first, 300, Level::Durable).unwrap();
    let before = volume.status().txid;
    put(&volume, &[(1, 77), (2, 1000), (200, 2000)], 250, Level::Durable).unwrap();
    // Not durable when the restore begins.
    put(&volume, &[(3, 3000), (260, 9)], 260, Level::Buffered).unwrap();
    let changed = marks(&volume);
    let reader = volume.snapshot().unwrap();
    let other = world.machine("b").open_read_only(&[]);

    let done = volume.restore(&at(&volume, before), |earlier, newest| {
        assert_eq!((earlier.to_vec(), newest.to_vec()), (content(1), content(77)));
        earlier.copy_from_slice(&content(78));
    });
    let done = done.unwrap();
    // Pages 1, 2, 3 and 200, and those that had been cut off.
    assert_eq!((done.to_txid, done.pages), (before, 4 + 50));
    let mut expected: Vec<u64> = (1..=300).collect();
    expected[0] = 78;
    assert_eq!(marks(&volume), expected);
    other.refresh().unwrap();
    assert_eq!(marks(&other), expected, "it is durable");
    assert_eq!(all(&reader), changed, "whoever was reading goes on in its state");

    let undone = volume.restore(&at(&volume, done.from_txid), keep).unwrap();
    // Pages 1, 2, 3 and 200, and those from 251 on: zeros, but for the last, which the restore had put back.
    assert_eq!(undone.pages, 4 + 10);
    assert_eq!(marks(&volume), changed);
}

#[test]
fn a_restore_of_a_state_that_has_another_size_and_the_same_pages_is_a_commit_too() {
    let world = World::new(15);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    let before = volume.status().txid;
    put(&volume, &[(1, 1)], 4, Level::Durable).unwrap();
    assert_eq!(marks(&volume), [1, 2, 0, 0]);
    volume.restore(&at(&volume, before), keep).unwrap();
    assert_eq!(marks(&volume), [1, 2]);
}

/// The list of what it is made of, by which it is named in fewer requests, is outrun by what a process syncs itself.
#[test]
fn the_state_before_a_restore_is_kept_as_it_was_whoever_has_written_it() {
    let world = World::new(16);
    let (machine, other) = (world.machine("a"), world.machine("b"));
    let volume = machine.open(&[]);
    put(&volume, &[(1, 1), (2, 1), (3, 1)], 3, Level::Durable).unwrap();
    let first = Reference::Txid(Txid(volume.status().txid));
    volume.close().unwrap();
    let volume = machine.open(&[]);
    let kept_before = |expected: &[u64]| {
        assert_eq!(marks(&volume), expected);
        let name = volume.restore_to(&first, true, keep).unwrap().kept().unwrap().unwrap();
        let kept = other.open_read_only(&[]).at(&Reference::Checkpoint(name)).unwrap();
        assert_eq!(all(&kept), expected);
        assert_eq!(marks(&volume), [1, 1, 1]);
    };
    // What it has synced itself, and then what was put on top of that by somebody else.
    put(&volume, &[(1, 2)], 3, Level::Durable).unwrap();
    put(&volume, &[(2, 2)], 3, Level::Durable).unwrap();
    kept_before(&[2, 2, 1]);
    put(&volume, &[(3, 3)], 3, Level::Durable).unwrap();
    volume.release().unwrap();
    let elsewhere = world.machine("c").open(&[]);
    put(&elsewhere, &[(1, 4)], 3, Level::Durable).unwrap();
    elsewhere.release().unwrap();
    volume.refresh().unwrap();
    kept_before(&[4, 1, 3]);
}

/// SQLite's change counter goes on from it.
#[test]
fn page_1_of_the_newest_state_is_that_of_the_commits_which_the_restore_has_made_durable() {
    let world = World::new(17);
    let volume = world.machine("a").open(&[("sync_interval_ms", "600000"), ("max_loss_window_ms", "6000000")]);
    put(&volume, &[(1, 1), (2, 1)], 2, Level::Durable).unwrap();
    let past = at(&volume, volume.status().txid);
    put(&volume, &[(1, 2), (2, 2)], 2, Level::Durable).unwrap();
    put(&volume, &[(1, 3), (2, 3)], 2, Level::Buffered).unwrap();
    let done = volume.restore(&past, |earlier, newest| {
        assert_eq!((earlier.to_vec(), newest.to_vec()), (content(1), content(3)));
        earlier.copy_from_slice(&content(4));
    });
    assert_eq!(done.unwrap().pages, 2);
    assert_eq!(marks(&volume), [4, 1]);
}

#[test]
fn a_restore_to_the_newest_state_changes_nothing() {
    let world = World::new(5);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    let (txid, head) = (volume.status().txid, volume.head());
    let done = volume.restore(&at(&volume, txid), |_, _| panic!("nothing differs")).unwrap();
    assert_eq!((done.pages, done.lsn, volume.status().txid), (0, head.0, txid));
}

#[test]
fn a_restore_waits_for_nobody_who_is_writing() {
    let world = World::new(6);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let past = at(&volume, volume.status().txid);
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    let mut txn = volume.begin_write(&volume.snapshot().unwrap()).unwrap();
    assert_eq!(volume.restore(&past, keep).unwrap_err().kind(), ErrorKind::Held);
    txn.write(page(1), &content(3)).unwrap();
    txn.commit(PageCount(1), Level::Durable).unwrap();
    volume.restore(&past, keep).unwrap();
    assert_eq!(marks(&volume), [1]);
}

/// Requests of a restore of some pages all over a volume of so many, and how often one had to wait for another.
fn requests(pages: u32) -> (usize, u128) {
    const CHANGED: u32 = 60;
    const LATENCY_MS: u64 = 20;
    let world = World::new(7);
    let machine = world.machine("a");
    let volume = machine.open(&[]);
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    for number in 1..=pages {
        let noise: Vec<u8> = (0..content(0).len() / 8).flat_map(|_| world.chance().bits().to_le_bytes()).collect();
        txn.write(page(number), &noise).unwrap();
    }
    txn.commit(PageCount(pages), Level::Durable).unwrap().wait(Level::Durable).unwrap();
    let before = volume.status().txid;
    let scattered: Vec<(u32, u64)> = (0..CHANGED).map(|at| (1 + at * (pages / CHANGED), u64::from(at))).collect();
    put(&volume, &scattered, pages, Level::Durable).unwrap();
    // Another host, which has nothing of it.
    volume.close().unwrap();
    let elsewhere = world.machine("b");
    let volume = elsewhere.open(&[]);
    put(&volume, &[(1, 2)], pages, Level::Durable).unwrap();
    elsewhere.remote.asked();
    elsewhere.remote.set_latency(LATENCY_MS);
    let began = world.now();
    assert_eq!(volume.restore(&at(&volume, before), keep).unwrap().pages, u64::from(CHANGED));
    let took = world.now() - began;
    let asked = elsewhere.remote.asked();
    assert!(asked.iter().any(|(op, _)| *op == Op::Create));
    (asked.len(), took.as_millis() / u128::from(LATENCY_MS))
}

#[test]
fn a_restore_costs_as_many_requests_in_a_large_volume_as_in_a_small_one() {
    let ((small, _), (large, trips)) = (requests(2_000), requests(20_000));
    // Far apart, each changed page is a request.
    assert!(large <= small + 60, "{small} and {large}");
    assert!(trips <= 8, "{trips} round trips, {large} requests");
}
