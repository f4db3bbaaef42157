use std::time::Duration;

use plimsoll_commitlog::Context;
use plimsoll_journal::Journal;
use plimsoll_model::{ErrorKind, Level, PageCount};
use plimsoll_store::Store as _;
use plimsoll_volume::{Nowhere, remove};

use crate::world::{World, content, get, marks, page, put, try_get};

const LAZY: (&str, &str) = ("sync_interval_ms", "60000");

#[test]
fn after_a_crash_the_same_host_goes_on_exactly_where_it_was() {
    let world = World::new(1);
    let mut machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1), (2, 2), (3, 3)], 3, Level::Durable).unwrap();
    put(&volume, &[(2, 4)], 3, Level::Buffered).unwrap();
    put(&volume, &[(1, 5)], 2, Level::Buffered).unwrap();
    put(&volume, &[(4, 6)], 4, Level::Buffered).unwrap();
    for _ in 0..3 {
        machine.kill();
        let volume = machine.open(&[LAZY]);
        assert_eq!((volume.head().0, marks(&volume)), (4, vec![5, 4, 0, 6]));
        assert_eq!(volume.status().load.commits, 3);
    }
    let volume = machine.open_read_only(&[]);
    assert_eq!(marks(&volume), [1, 2, 3], "only what is synced, without the journal");
}

/// It counted as absent: the next process began a new one in the same place, gave the numbers out again, and removed all
/// of it when it let go.
#[test]
fn a_journal_that_cannot_be_listed_for_a_moment_is_not_taken_for_none() {
    let mut failed = 0;
    for listings in 0..16 {
        let world = World::new(5);
        let mut machine = world.machine("a");
        let volume = machine.open(&[LAZY]);
        put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
        put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
        machine.kill();
        machine.disk.fail_listing_after(listings);
        let volume = match machine.try_open(&[LAZY]) {
            Ok(volume) => volume,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                failed += 1;
                machine.open(&[LAZY])
            }
        };
        assert_eq!(marks(&volume), [2], "after {listings} listings");
        put(&volume, &[(2, 3)], 2, Level::Journaled).unwrap();
        volume.close().unwrap();
        assert_eq!(marks(&world.machine("b").open(&[])), [2, 3], "after {listings} listings");
    }
    assert!(failed > 2, "{failed} opens failed");
}

/// The mark of the epoch went with the first segment, and what is beside the journal is one small file.
#[test]
fn a_journal_of_many_segments_is_replayed_also_if_the_epoch_beside_it_is_damaged() {
    let world = World::new(6);
    let mut machine = world.machine("a");
    let values = [LAZY, ("max_dirty_bytes", "1048576")];
    let volume = machine.open(&values);
    let pages: Vec<(u32, u64)> = (1..=60).map(|page| (page, 1)).collect();
    for _ in 0..5 {
        for _ in 0..5 {
            put(&volume, &pages, 60, Level::Journaled).unwrap();
        }
        put(&volume, &pages, 60, Level::Durable).unwrap();
    }
    put(&volume, &[(1, 2)], 60, Level::Journaled).unwrap();
    world.run_for(1_000);
    let first = std::path::Path::new("/state/volume/journal/0000000000000001.wal");
    machine.kill();
    assert!(!machine.disk.flip(first, 0, 0), "the first segment was given up");
    assert!(machine.disk.flip(std::path::Path::new("/state/volume/epoch.json"), 22, 1));
    let volume = machine.open(&values);
    assert_eq!((marks(&volume)[0], volume.status().stranded.len()), (2, 0));
}

#[test]
fn what_was_synced_before_the_journal_reached_the_disk_is_there_after_power_loss() {
    for seed in 0..20 {
        let world = World::new(seed);
        let mut machine = world.machine("a");
        let values = [("journal_sync_policy", "manual"), LAZY];
        let volume = machine.open(&values);
        for mark in 1..=3 {
            put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        }
        machine.lose_power();
        let volume = machine.open(&values);
        assert_eq!((volume.head().0, marks(&volume)), (3, vec![3]));
        put(&volume, &[(1, 4)], 1, Level::Durable).unwrap();
        assert_eq!(marks(&world.machine("b").open_read_only(&[])), [4]);
        assert_eq!(volume.status().stranded.len(), 0);
    }
}

#[test]
fn the_journal_of_another_volume_at_the_same_url_is_kept_aside() {
    let world = World::new(2);
    let mut machine = world.machine("a");
    put(&machine.open(&[LAZY]), &[(1, 1)], 1, Level::Journaled).unwrap();
    machine.kill();
    let keys: Vec<String> =
        world.wait(world.shelf().list("", None)).unwrap().into_iter().map(|entry| entry.key).collect();
    world.wait(world.shelf().delete(&keys)).unwrap();
    let other = world.machine("b").open(&[]);
    put(&other, &[(1, 9)], 1, Level::Durable).unwrap();
    other.close().unwrap();

    let volume = machine.open(&[]);
    assert_eq!((marks(&volume), volume.status().stranded.len()), (vec![9], 1));
    put(&volume, &[(1, 10)], 1, Level::Durable).unwrap();
}

/// Whoever only opened the URL, or wanted what was left to be synced, has made a volume there instead, only to find
/// that what was left was not of it.
#[test]
fn the_journal_of_a_volume_that_was_removed_makes_no_new_one_at_its_url() {
    for other_is_there in [false, true] {
        for how in 0..3 {
            let world = World::new(3);
            let mut machine = world.machine("a");
            let volume = machine.open(&[LAZY]);
            put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
            put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
            // Of a second process that was there all along.
            let beside = machine.beside();
            let follower = (how > 0).then(|| beside.open(&[LAZY]));
            machine.kill();
            world.run_for(120_000);
            let other = world.machine("b");
            let context = Context::new(other.host(), std::sync::Arc::new(other.remote), Duration::from_secs(300));
            world.wait(remove(&context, Duration::from_secs(30), false, &Nowhere)).unwrap();
            if other_is_there {
                let other = world.machine("b").open(&[]);
                put(&other, &[(1, 9)], 1, Level::Durable).unwrap();
                other.close().unwrap();
            }
            let before = world.keys("");
            let kept = match follower {
                None => {
                    let opened = machine.open(&[]);
                    assert_eq!(opened.exists(), other_is_there);
                    opened.dir().stranded().len()
                }
                Some(follower) => {
                    let done = if how == 1 { follower.sync().map(drop) } else { follower.release().map(drop) };
                    // Another process has the volume open that is gone; that it is gone is said where it asks.
                    assert!(done.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::Fenced), "{done:?}");
                    follower.dir().stranded().len()
                }
            };
            assert_eq!(kept, 1, "other: {other_is_there}, how: {how}");
            assert_eq!(world.keys(""), before, "other: {other_is_there}, how: {how}");
        }
    }
}

#[test]
fn an_empty_journal_of_a_volume_that_was_removed_is_dropped() {
    let world = World::new(4);
    let mut machine = world.machine("a");
    let volume = machine.open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    volume.release().unwrap();
    // It takes the volume, and dies before it commits anything.
    volume.compact().unwrap();
    assert!(volume.dir().has_journal().unwrap());
    machine.kill();
    world.wait(world.shelf().delete(&world.keys(""))).unwrap();
    let opened = machine.open(&[]);
    assert!(!opened.exists() && world.keys("").is_empty());
    assert!(opened.dir().stranded().is_empty() && !opened.dir().has_journal().unwrap());
}

#[test]
fn what_a_crash_left_is_as_old_as_it_was_before() {
    let world = World::new(16);
    let mut machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
    machine.kill();
    world.run_for(20_000);
    let load = machine.open(&[LAZY, ("max_loss_window_ms", "3600000")]).status().load;
    assert!(load.commits == 1 && load.age_ms >= 20_000, "{load:?}");
}

#[test]
fn a_transaction_that_is_given_up_leaves_nothing_in_the_way_of_the_journal() {
    let world = World::new(17);
    let machine = world.machine("a");
    // Small segments, so that each of these transactions is in many of them.
    let volume = machine.open(&[("max_dirty_bytes", "2000000"), ("cache_bytes_max", "0")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    for mark in 2..5 {
        let mut given_up = volume.begin_write(&volume.snapshot().unwrap()).unwrap();
        for number in 1..=9000 {
            given_up.write(page(number), &content(mark)).unwrap();
        }
        drop(given_up);
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        // The timer syncs the journal, of which nothing goes before.
        world.run_for(100);
    }
    put(&volume, &[(1, 9)], 1, Level::Durable).unwrap();
    let used = machine.disk.used();
    assert!(used < 8 << 20, "{used} bytes");
}

#[test]
fn a_journal_that_another_writer_went_past_is_stranded_at_the_next_open() {
    let world = World::new(3);
    let mut machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
    machine.kill();
    let other = world.machine("b").open(&[("takeover", "true")]);
    put(&other, &[(1, 3)], 1, Level::Durable).unwrap();
    other.close().unwrap();
    let volume = machine.open(&[]);
    assert_eq!((marks(&volume), volume.status().stranded.len()), (vec![3], 1));
}

#[test]
fn what_was_kept_aside_after_a_crash_survives_power_loss_though_it_was_never_synced_before() {
    let world = World::new(13);
    let mut machine = world.machine("a");
    let volume = machine.open(&[LAZY, ("journal_sync_policy", "manual")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    machine.kill();
    let other = world.machine("b").open(&[("takeover", "true")]);
    put(&other, &[(1, 3)], 1, Level::Durable).unwrap();
    other.close().unwrap();
    let stranded = machine.open(&[]).status().stranded;
    machine.lose_power();
    let (_, kept) = Journal::inspect(&machine.disk, stranded[0].as_ref()).unwrap();
    assert_eq!(kept.last.0, 2);
}

#[test]
fn a_finished_journal_is_not_stranded_even_if_much_was_written_since_it_was_opened() {
    let world = World::new(4);
    let mut machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    // More than a segment, so that the one in which the journal says whose it is has been given up.
    for round in 0..3 {
        let base = volume.snapshot().unwrap();
        let mut txn = volume.begin_write(&base).unwrap();
        for number in 1..=200 {
            txn.write(page(number), &vec![round; 65_536]).unwrap();
        }
        txn.commit(PageCount(200), Level::Durable).unwrap().wait(Level::Durable).unwrap();
    }
    machine.kill();
    let other = world.machine("b").open(&[("takeover", "true")]);
    let base = other.snapshot().unwrap();
    let mut txn = other.begin_write(&base).unwrap();
    txn.write(page(1), &vec![9; 65_536]).unwrap();
    txn.commit(PageCount(200), Level::Durable).unwrap().wait(Level::Durable).unwrap();
    other.close().unwrap();
    assert_eq!(machine.open(&[]).status().stranded.len(), 0);
}

#[test]
fn a_page_that_was_cut_off_and_grown_over_is_zeros_here_and_everywhere() {
    let world = World::new(5);
    let volume = world.machine("a").open(&[LAZY]);
    put(&volume, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    let pinned = volume.snapshot().unwrap();
    put(&volume, &[(1, 3), (9, 9)], 9, Level::Buffered).unwrap();
    put(&volume, &[(1, 4)], 1, Level::Buffered).unwrap();
    put(&volume, &[(1, 5)], 9, Level::Buffered).unwrap();
    let expected = [5, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(marks(&volume), expected);
    volume.sync().unwrap();
    assert_eq!(marks(&volume), expected);
    assert_eq!(marks(&world.machine("b").open_read_only(&[])), expected);
    // Again, with a reader for whom the old versions are kept.
    put(&volume, &[(1, 6), (9, 9)], 9, Level::Buffered).unwrap();
    put(&volume, &[(1, 7)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 8)], 9, Level::Buffered).unwrap();
    assert_eq!(get(&volume.snapshot().unwrap(), 9), 0);
    assert_eq!((get(&pinned, 1), get(&pinned, 2)), (1, 2));
}

#[test]
fn the_page_that_sqlite_never_stores_is_refused_before_it_can_stop_a_sync() {
    let world = World::new(6);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    let lock_page = plimsoll_model::PageSize::new(512).unwrap().lock_page();
    assert_eq!(txn.write(lock_page, &[1; 512]).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_full_disk_fails_the_commit_and_leaves_the_volume_as_it_was() {
    let world = World::new(7);
    let machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.disk.set_capacity(Some(machine.disk.used() + (1 << 20)));
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    let large = || -> plimsoll_model::Result<()> {
        for number in 1..=60_000 {
            txn.write(page(number), &crate::world::content(u64::from(number)))?;
        }
        txn.commit(PageCount(60_000), Level::Buffered).map(drop)
    };
    assert_eq!(large().unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(marks(&volume), [1]);
    machine.disk.set_capacity(None);
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    assert_eq!(marks(&world.machine("b").open_read_only(&[])), [2]);
}

/// It waited for space that only its own success could have given back.
#[test]
fn a_sync_that_finds_no_room_on_the_disk_that_its_commits_have_filled_is_built_in_memory() {
    let world = World::new(8);
    let machine = world.machine("a");
    let volume = machine.open(&[LAZY, ("sync_timeout_ms", "3000")]);
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    let mut noise = 1_u64;
    for number in 1..=600 {
        let mut bytes = Vec::with_capacity(65_536);
        while bytes.len() < 65_536 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend((noise >> 8).to_be_bytes());
        }
        txn.write(page(number), &bytes).unwrap();
    }
    let receipt = txn.commit(PageCount(600), Level::Journaled).unwrap();
    machine.disk.set_capacity(Some(machine.disk.used() + (1 << 20)));
    receipt.wait(Level::Durable).unwrap();
    assert_eq!(volume.status().durable.lsn, 1);
}

#[test]
fn a_snapshot_stays_readable_while_its_pages_are_replaced_synced_merged_and_collected() {
    let world = World::new(9);
    let values = [
        ("sync_interval_ms", "50"),
        ("compaction_levels_ms", "300,900"),
        ("l0_retention_ms", "500"),
        ("retention_ms", "1000"),
        ("snapshot_interval_ms", "1500"),
        ("cache_bytes_max", "0"),
    ];
    let volume = world.machine("a").open(&values);
    let pages: Vec<(u32, u64)> = (1..=40).map(|number| (number, u64::from(number))).collect();
    put(&volume, &pages, 40, Level::Durable).unwrap();
    let pinned = volume.snapshot().unwrap();
    for mark in 100..200 {
        put(&volume, &[(1 + (mark % 40) as u32, mark)], 40, Level::Buffered).unwrap();
        world.run_for(100);
    }
    volume.compact().unwrap();
    for (number, mark) in pages {
        assert_eq!(try_get(&pinned, number).unwrap(), mark);
    }
}

#[test]
fn a_page_that_was_written_beyond_the_end_of_its_commit_is_zeros_once_the_volume_grows_over_it() {
    let world = World::new(18);
    let volume = world.machine("a").open(&[LAZY]);
    put(&volume, &[(1, 1), (5, 9)], 3, Level::Buffered).unwrap();
    put(&volume, &[(1, 2)], 5, Level::Buffered).unwrap();
    assert_eq!(marks(&volume), [2, 0, 0, 0, 0]);
    volume.sync().unwrap();
    assert_eq!(marks(&world.machine("b").open_read_only(&[])), [2, 0, 0, 0, 0]);
}

/// The cut is not in the store yet, and the sync before it has just given up what the journal had of the commits before.
#[test]
fn a_page_that_was_cut_off_during_a_sync_is_zeros_once_the_volume_grows_over_it() {
    let world = World::new(19);
    let machine = world.machine("a");
    let volume = machine.open(&[("sync_interval_ms", "10")]);
    put(&volume, &[(1, 1), (2, 1), (3, 1), (4, 1)], 4, Level::Durable).unwrap();
    machine.remote.set_latency(1000);
    put(&volume, &[(4, 2)], 4, Level::Buffered).unwrap();
    world.run_for(500);
    put(&volume, &[(1, 3)], 2, Level::Buffered).unwrap();
    world.run_for(1000);
    let durable = volume.status().durable.lsn;
    put(&volume, &[(1, 4)], 4, Level::Buffered).unwrap();
    assert_eq!((durable, marks(&volume)), (2, vec![4, 1, 0, 0]));
}

/// One object that could not be merged once kept everything else from being merged and collected.
#[test]
fn a_damaged_merge_keeps_nobody_from_collecting_syncs() {
    let world = World::new(29);
    let machine = world.machine("a");
    let volume = machine.open(&[
        ("compaction_levels_ms", "1000,5000"),
        ("l0_retention_ms", "2000"),
        ("retention_ms", "2000"),
        ("cache_bytes_max", "0"),
    ]);
    let mut damaged = Vec::new();
    put(&volume, &[(1, 1), (2, 1)], 2, Level::Durable).unwrap();
    for mark in 1..=100 {
        put(&volume, &[(1, mark)], 2, Level::Durable).unwrap();
        world.run_for(300);
        if damaged.is_empty() {
            damaged = world.keys("ltx/1/");
            for key in &damaged {
                world.wait(world.shelf().put(key, vec![7; 100].into())).unwrap();
            }
        }
    }
    assert_eq!((damaged.len(), world.keys("ltx/2/").len()), (1, 0), "its merge cannot be made");
    let left = world.keys("ltx/0/").len();
    assert!(left < 60, "{left} of a hundred syncs, of which each should go after two seconds");
}

/// They once were left out of a commit that then said nothing of it.
#[test]
fn pages_of_a_large_transaction_that_met_a_full_disk_are_part_of_it_once_there_is_room() {
    let world = World::new(31);
    let machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    // Spare files and segments that are there have room; another one cannot be made.
    machine.disk.set_capacity(Some(machine.disk.used()));
    let (mut number, mut refused) = (0_u32, 0);
    while refused < 3 {
        match txn.write(page(number + 1), &content(u64::from(number + 1))) {
            Ok(()) => number += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full);
                refused += 1;
            }
        }
    }
    machine.disk.set_capacity(None);
    number += 1;
    txn.write(page(number), &content(u64::from(number))).unwrap();
    txn.commit(PageCount(number), Level::Durable).unwrap().wait(Level::Durable).unwrap();
    let snapshot = world.machine("b").open_read_only(&[]).snapshot().unwrap();
    assert_eq!(snapshot.page_count().0, number);
    for number in (1..=number).step_by(97).chain([1, number]) {
        assert_eq!(get(&snapshot, number), u64::from(number));
    }
}

/// The journal once took one, and no sync ever succeeded after it.
#[test]
fn a_commit_that_leaves_no_page_is_refused() {
    let world = World::new(32);
    let volume = world.machine("a").open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Journaled).unwrap();
    assert_eq!(put(&volume, &[(1, 2)], 0, Level::Journaled).err().unwrap().kind(), ErrorKind::Invalid);
    put(&volume, &[(1, 3)], 1, Level::Durable).unwrap();
    assert_eq!(marks(&world.machine("b").open_read_only(&[])), [3]);
}

/// Each try took an epoch, a sign of life and a fence, which every host had to read from then on.
#[test]
fn a_host_whose_disk_is_full_takes_the_volume_once_at_most_and_goes_on_when_there_is_room() {
    // Without any room, and with some that is not enough for a journal.
    for (room, taken) in [(0, 0), (1000, 1)] {
        let world = World::new(33);
        let other = world.machine("a").open(&[]);
        put(&other, &[(1, 1)], 1, Level::Durable).unwrap();
        other.close().unwrap();
        let before = (world.keys("epoch/").len(), world.keys("ltx/0/").len());
        let machine = world.machine("b");
        let volume = machine.open(&[]);
        assert_eq!(marks(&volume), [1]);
        machine.disk.set_capacity(Some(machine.disk.used() + room));
        for _ in 0..5 {
            assert_eq!(put(&volume, &[(1, 2)], 1, Level::Durable).err().unwrap().kind(), ErrorKind::Full);
        }
        let after = (world.keys("epoch/").len(), world.keys("ltx/0/").len());
        assert_eq!(after, (before.0 + taken, before.1 + taken), "with {room} bytes");
        machine.disk.set_capacity(None);
        put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
        assert_eq!(marks(&world.machine("c").open_read_only(&[])), [2]);
    }
}
