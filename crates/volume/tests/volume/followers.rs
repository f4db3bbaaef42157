use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use plimsoll_host::{Host, Tasks};
use plimsoll_model::{ErrorKind, Level, PageCount};
use plimsoll_store::{
    Store,
    fault::{Fault, Op},
};
use plimsoll_volume::{Config, Volume};

use crate::world::{PAGE, World, content, get, marks, page, put, try_get};

const BUSY: [(&str, &str); 5] = [
    ("sync_interval_ms", "50"),
    ("compaction_levels_ms", "300,900"),
    ("l0_retention_ms", "1000"),
    ("retention_ms", "4000"),
    ("snapshot_interval_ms", "2000"),
];
const NO_CACHE: (&str, &str) = ("cache_bytes_max", "0");

#[test]
fn a_follower_keeps_up_and_never_goes_back() {
    let world = World::new(1);
    let volume = world.machine("a").open(&BUSY);
    let follower = world.machine("b").open_read_only(&[("follow_interval_ms", "100")]);
    let mut last = 0;
    for mark in 1..=100 {
        put(&volume, &[(1, mark), (2, mark)], 2, Level::Buffered).unwrap();
        world.run_for(60);
        let snapshot = follower.snapshot().unwrap();
        if snapshot.page_count().0 == 0 {
            continue;
        }
        let seen = get(&snapshot, 1);
        assert_eq!(seen, get(&snapshot, 2), "half a commit");
        assert!(seen >= last, "from {last} back to {seen}");
        assert!(seen + 8 >= mark, "{seen} is far behind {mark}");
        last = seen;
    }
}

#[test]
fn a_follower_that_reads_a_large_sync_by_its_sidecar_knows_which_commit_it_is_at() {
    let world = World::new(5);
    let volume = world.machine("a").open(&[]);
    let follower = world.machine("b").open_read_only(&[("follow_interval_ms", "100")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    follower.refresh().unwrap();
    // Bytes that do not shrink, so that the object is too large to be read whole.
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    for number in 1..=1500 {
        let noise: Vec<u8> = (0..content(0).len() / 8).flat_map(|_| world.below(u64::MAX).to_le_bytes()).collect();
        txn.write(page(number), &noise).unwrap();
    }
    txn.commit(PageCount(1500), Level::Durable).unwrap().wait(Level::Durable).unwrap();
    world.run_for(2000);
    follower.refresh().unwrap();
    assert_eq!(world.wait(world.shelf().list("index/", None)).unwrap().len(), 1, "the sync was small after all");
    assert_eq!(follower.snapshot().unwrap().lsn(), volume.head());
}

#[test]
fn a_follower_finds_its_pages_after_they_were_merged_and_collected_though_nothing_new_was_synced() {
    let world = World::new(2);
    let volume = world.machine("a").open(&BUSY);
    put(&volume, &[(1, 1), (2, 2), (3, 3)], 3, Level::Durable).unwrap();
    let follower = world.machine("b").open_read_only(&[NO_CACHE]);
    let pinned = follower.snapshot().unwrap();
    for mark in 10..20 {
        put(&volume, &[(1, mark)], 3, Level::Durable).unwrap();
        world.run_for(10);
        follower.refresh().unwrap();
    }
    world.run_for(1500);
    put(&volume, &[(1, 20)], 3, Level::Durable).unwrap();
    world.run_for(1500);
    follower.refresh().unwrap();
    volume.compact().unwrap();
    volume.compact().unwrap();
    assert_eq!(marks(&follower), [20, 2, 3]);
    // What has not changed since is found for the older reader too; what has is said to be gone.
    assert_eq!((get(&pinned, 2), get(&pinned, 3)), (2, 3));
    match crate::world::try_get(&pinned, 1) {
        Ok(mark) => assert_eq!(mark, 1),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
    }
}

/// Each of them listed and read all that an opening does.
#[test]
fn once_the_state_of_a_reader_is_found_in_merges_its_further_pages_are_read_from_there() {
    let world = World::new(6);
    let values = [("compaction_levels_ms", "500,600000"), ("l0_retention_ms", "2000"), ("retention_ms", "600000")];
    let volume = world.machine("a").open(&values);
    for number in 1..=3 {
        put(&volume, &[(number, u64::from(number))], 3, Level::Durable).unwrap();
    }
    let reader = world.machine("b");
    let pinned = reader.open_read_only(&[NO_CACHE, values[1]]).snapshot().unwrap();
    world.run_for(2000);
    for number in 1..=3 {
        put(&volume, &[(number, 10)], 3, Level::Durable).unwrap();
    }
    for mark in 11..=15 {
        world.run_for(2000);
        put(&volume, &[(1, mark)], 3, Level::Durable).unwrap();
    }
    world.run_for(1000);
    let gone = |key: &String| key.starts_with("ltx/0/0000000000000003-");
    assert!(!world.keys("ltx/0/").iter().any(gone), "{:?}", world.keys("ltx/"));
    assert_eq!(get(&pinned, 1), 1);
    assert!(reader.remote.asked().iter().any(|(op, _)| *op == Op::List));
    assert_eq!((get(&pinned, 2), get(&pinned, 3)), (2, 3));
    let asked = reader.remote.asked();
    assert!(!asked.iter().any(|(op, _)| *op == Op::List), "{asked:?}");
}

#[test]
fn a_fresh_view_stays_readable_when_the_old_syncs_under_it_are_merged_and_collected() {
    let world = World::new(5);
    let values = [("sync_interval_ms", "50"), ("compaction_levels_ms", "500"), ("l0_retention_ms", "10000")];
    let volume = world.machine("a").open(&values);
    put(&volume, &[(1, 1), (2, 1)], 2, Level::Durable).unwrap();
    let follower = world.machine("b").open_read_only(&[NO_CACHE, values[2]]);
    // A quiet spell: the first sync is older than the retention when the next one has it merged and collected.
    for _ in 0..10 {
        world.run_for(3_000);
        follower.refresh().unwrap();
    }
    put(&volume, &[(1, 2)], 2, Level::Durable).unwrap();
    follower.refresh().unwrap();
    let pinned = follower.snapshot().unwrap();
    put(&volume, &[(2, 3)], 2, Level::Durable).unwrap();
    world.run_for(3_000);
    volume.compact().unwrap();
    follower.refresh().unwrap();
    let kept = world.wait(world.shelf().list("ltx/0/", None)).unwrap();
    assert!(!kept.is_empty() && !kept.iter().any(|entry| entry.key.starts_with("ltx/0/0000000000000001-")), "{kept:?}");
    assert_eq!((get(&pinned, 1), get(&pinned, 2)), (2, 1));
}

#[test]
fn a_follower_that_slept_longer_than_the_retention_wakes_up_in_the_newest_state() {
    let world = World::new(3);
    let volume = world.machine("a").open(&BUSY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let follower = world.machine("b").open_read_only(&[NO_CACHE, BUSY[2]]);
    assert_eq!(marks(&follower), [1]);
    for mark in 2..80 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        world.run_for(200);
    }
    assert_eq!(marks(&follower), [79]);
}

#[test]
fn a_view_inside_the_retention_window_stays_readable_when_a_snapshot_replaces_the_merges_under_it() {
    let world = World::new(4);
    let values = [
        ("sync_interval_ms", "50"),
        ("compaction_levels_ms", "200"),
        ("l0_retention_ms", "300"),
        ("retention_ms", "60000"),
        ("snapshot_interval_ms", "3000"),
    ];
    let volume = world.machine("a").open(&values);
    for mark in 1..=10 {
        put(&volume, &[(1, mark), (2, mark)], 2, Level::Durable).unwrap();
        world.run_for(300);
    }
    let follower = world.machine("b").open_read_only(&[NO_CACHE]);
    let pinned = follower.snapshot().unwrap();
    let expected = [get(&pinned, 1), get(&pinned, 2)];
    for mark in 11..=40 {
        put(&volume, &[(1, mark), (2, mark)], 2, Level::Durable).unwrap();
        world.run_for(300);
    }
    volume.compact().unwrap();
    assert!(volume.status().txid > 30);
    // Its own sync may be gone after the retention of level 0, but not what had been merged when it was pinned.
    for (number, mark) in [(1, expected[0]), (2, expected[1])] {
        match crate::world::try_get(&pinned, number) {
            Ok(found) => assert_eq!(found, mark),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
}

/// It put the next sync of the new volume on its state of the old one, and took pages of the one for the other's, since
/// only names were compared.
#[test]
fn a_follower_of_a_volume_that_was_removed_and_made_again_shows_nothing_of_the_new_one() {
    let world = World::new(6);
    let old = world.machine("a").open(&[]);
    for mark in 1..=3 {
        put(&old, &[(1, mark), (2, mark)], 2, Level::Durable).unwrap();
    }
    let follower = world.machine("b").open_read_only(&[NO_CACHE]);
    follower.refresh().unwrap();
    old.close().unwrap();
    world.wait(world.shelf().delete(&world.keys(""))).unwrap();
    let new = world.machine("c").open(&[]);
    for mark in 11..=16 {
        put(&new, &[(u32::try_from(mark % 2).unwrap() + 1, mark)], 2, Level::Durable).unwrap();
    }
    for _ in 0..100 {
        world.run_for(2_000);
        let snapshot = follower.snapshot().unwrap();
        for number in [1, 2] {
            match try_get(&snapshot, number) {
                Ok(mark) => assert_eq!(mark, 3),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
        }
    }
    assert!(follower.status().trouble.is_some_and(|trouble| trouble.contains("was removed")));
}

/// No next sync looked like no news.
#[test]
fn a_follower_of_a_volume_that_was_removed_finds_that_out() {
    let world = World::new(7);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let follower = world.machine("b").open_read_only(&[]);
    assert_eq!(marks(&follower), [1]);
    volume.close().unwrap();
    world.wait(world.shelf().delete(&world.keys(""))).unwrap();
    for _ in 0..200 {
        world.run_for(1_000);
        assert_eq!(marks(&follower), [1]);
    }
    assert!(follower.status().trouble.is_some_and(|trouble| trouble.contains("was removed")));
    assert!(follower.refresh().is_err());
}

/// Pages of another size made the follower's task panic, which nobody saw: it showed the volume that was gone for ever.
#[test]
fn a_follower_of_a_volume_that_was_made_again_with_another_page_size_says_so() {
    let world = World::new(8);
    let old = world.machine("a").open(&[]);
    for mark in 1..=3 {
        put(&old, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    let follower = world.machine("b").open_read_only(&[]);
    assert_eq!(marks(&follower), [3]);
    old.close().unwrap();
    world.wait(world.shelf().delete(&world.keys(""))).unwrap();
    let new = world.machine("c").open(&[]);
    for mark in 1..=8 {
        let mut txn = new.begin_write(&new.snapshot().unwrap()).unwrap();
        txn.write(page(1), &[mark; 2 * PAGE]).unwrap();
        txn.commit(PageCount(1), Level::Durable).unwrap().wait(Level::Durable).unwrap();
    }
    for _ in 0..100 {
        world.run_for(2_000);
        assert_eq!(marks(&follower), [3]);
    }
    assert!(follower.status().trouble.is_some_and(|trouble| trouble.contains("was removed")));
}

/// A machine that loses what it was to do.
struct Forgetful(Arc<dyn Tasks>, Arc<AtomicBool>);

impl Tasks for Forgetful {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        if !self.1.load(Ordering::Relaxed) {
            self.0.spawn(future);
        }
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(job);
    }

    fn block_on(&self, future: BoxFuture<'_, ()>) {
        self.0.block_on(future);
    }
}

#[test]
fn a_follower_whose_task_came_to_no_end_looks_again() {
    let world = World::new(9);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let machine = world.machine("b");
    let forgets = Arc::new(AtomicBool::new(false));
    let config = machine.config(&[("hydrate", "true")]);
    let tasks = Arc::new(Forgetful(Arc::clone(&config.host.tasks), forgets.clone()));
    let host = Host { tasks, ..config.host.clone() };
    let follower = Volume::open(Config { read_only: true, host, ..config }).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    forgets.store(true, Ordering::Relaxed);
    world.run_for(60_000);
    assert_eq!(marks(&follower), [1]);
    forgets.store(false, Ordering::Relaxed);
    world.run_for(60_000);
    assert_eq!(marks(&follower), [2]);
}

/// It once took the state that it had read until then for the newest.
#[test]
fn a_reader_that_is_told_late_that_there_is_nothing_newer_lists_what_there_is() {
    let world = World::new(40);
    let home = world.machine("a");
    let writer = home.open(&BUSY);
    put(&writer, &[(1, 1)], 1, Level::Durable).unwrap();
    let machine = world.machine("b");
    let reader = machine.open_read_only(&[BUSY[2]]);
    assert_eq!(reader.status().txid, 1);
    for mark in [2, 3] {
        put(&writer, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    let (host, later) = (home.host(), writer.clone());
    home.host().tasks.spawn(Box::pin(async move {
        host.clock.sleep(Duration::from_secs(30)).await;
        host.tasks.spawn_blocking(Box::new(move || drop(put(&later, &[(1, 4)], 1, Level::Durable).unwrap())));
    }));
    // It sleeps before its request for the next sync has arrived.
    machine.remote.script.once(Op::GetTail, "ltx/0", Fault::Delay(Duration::from_secs(60)));
    reader.refresh().unwrap();
    assert!(machine.remote.script.is_used_up());
    assert!(!world.keys("ltx/0/").iter().any(|key| key.ends_with("2.ltx")), "{:?}", world.keys("ltx/0/"));
    assert_eq!(reader.status().txid, 4);
}

/// As after objects were put back from a copy. It was taken for the same state, read from where it is now.
#[test]
fn another_history_that_ends_with_the_same_number_is_another_state_for_readers_and_for_who_writes_next() {
    let world = World::new(21);
    let first = world.machine("a").open(&[]);
    put(&first, &[(1, 1), (2, 1)], 2, Level::Durable).unwrap();
    put(&first, &[(1, 2)], 2, Level::Durable).unwrap();
    first.close().unwrap();
    let [reader, writer] = ["b", "c"].map(|name| world.machine(name).open(&[NO_CACHE]));
    assert_eq!((marks(&reader), marks(&writer)), (vec![2, 1], vec![2, 1]));
    let (pinned, before) = (reader.snapshot().unwrap(), reader.snapshot().unwrap().version());
    let newest = world.keys("ltx/0/").pop().unwrap();
    world.wait(world.shelf().delete(&[newest])).unwrap();
    let other = world.machine("d").open(&[]);
    // Its fence takes the number, so that it is without its sync.
    drop(other.begin_write(&other.snapshot().unwrap()));
    other.release().unwrap();
    assert_eq!(world.keys("ltx/0/").len(), 2);
    let stale = put(&writer, &[(2, 7)], 2, Level::Durable).err().unwrap();
    assert_eq!(stale.kind(), ErrorKind::Conflict, "it began to read another one");
    put(&writer, &[(2, 7)], 2, Level::Durable).unwrap();
    assert_eq!(marks(&writer), [1, 7]);
    let last = world.keys("ltx/0/").split_off(2);
    world.wait(world.shelf().delete(&last)).unwrap();
    world.run_for(600_000);
    reader.refresh().unwrap();
    assert_eq!(marks(&reader), [1, 1]);
    assert!(reader.snapshot().unwrap().version() > before);
    assert_ne!(try_get(&pinned, 1).ok(), Some(1), "what has the number of its state by now is another one");
}

/// The newest sync is asked what the state's commit and checksum are, and a merge of it does not know.
#[test]
fn a_listing_that_shows_a_merge_and_not_the_sync_in_it_is_asked_for_again() {
    let world = World::new(41);
    let home = world.machine("a");
    let writer = home.open(&BUSY);
    for mark in [1, 2] {
        put(&writer, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    let (host, later) = (home.host(), writer.clone());
    home.host().tasks.spawn(Box::pin(async move {
        host.clock.sleep(Duration::from_secs(30)).await;
        host.tasks.spawn_blocking(Box::new(move || drop(put(&later, &[(1, 3)], 1, Level::Durable).unwrap())));
    }));
    let machine = world.machine("b");
    // The merges are listed long after the syncs, and there is another one by then.
    machine.remote.script.once(Op::List, "ltx/1", Fault::Delay(Duration::from_secs(60)));
    let reader = machine.open_read_only(&[]);
    assert_eq!(marks(&reader), [3]);
    assert!(machine.remote.script.is_used_up());
    assert_eq!((reader.status().txid, reader.status().lsn), (writer.status().txid, 3));
}
