use std::time::Duration;

use plimsoll_model::{ErrorKind, Level};

use crate::world::{Machine, PAGE, World, marks, put};

/// Room for about three commits of one page.
const ROOM: (&str, &str) = ("max_dirty_bytes", "2200");

fn machine(world: &World) -> Machine {
    let machine = world.machine("a");
    machine.remote.set_latency(100);
    machine
}

#[test]
fn at_the_line_a_commit_waits_for_the_sync_that_makes_room() {
    let world = World::new(1);
    let volume = machine(&world).open(&[ROOM, ("sync_interval_ms", "60000")]);
    for mark in 1..=30 {
        put(&volume, &[(1, mark)], 1, Level::Buffered).unwrap();
        let load = volume.status().load;
        assert!(load.bytes <= load.max_dirty_bytes, "{load:?}");
    }
    assert!(volume.status().durable.lsn >= 25);
    assert_eq!(marks(&volume), [30]);
}

/// A transaction that is larger than memory is in the journal before it commits.
#[test]
fn every_page_of_a_large_transaction_is_load() {
    let world = World::new(15);
    let volume = machine(&world).open(&[("sync_interval_ms", "60000"), ("sync_backlog_bytes", "0")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let pages: Vec<(u32, u64)> = (1..=9000).map(|number| (number, 2)).collect();
    put(&volume, &pages, 9000, Level::Buffered).unwrap();
    let load = volume.status().load;
    assert!(load.bytes >= 9000 * PAGE as u64, "{load:?}");
}

#[test]
fn what_a_large_transaction_has_in_the_journal_already_counts_at_the_line() {
    let world = World::new(17);
    let line = [("max_dirty_bytes", "2000000"), ("on_load_line", "fail")];
    let slow = [("sync_interval_ms", "60000"), ("sync_backlog_bytes", "0")];
    let volume = machine(&world).open(&[line, slow].concat());
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    let pages: Vec<(u32, u64)> = (1..=9000).map(|number| (number, 3)).collect();
    assert_eq!(put(&volume, &pages, 9000, Level::Buffered).err().unwrap().kind(), ErrorKind::Full);
    assert_eq!((marks(&volume), volume.status().load.commits), (vec![2], 1));
}

/// It was appended, acknowledged by nobody, and in the way of every later sync for ever.
#[test]
fn what_the_store_cannot_take_as_one_object_is_refused_before_it_is_in_the_journal() {
    let world = World::new(16);
    let machine = machine(&world);
    machine.remote.script.limit_objects(64 * PAGE as u64);
    let volume = machine.open(&[("max_dirty_bytes", "1000000"), ("sync_interval_ms", "60000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    for count in [64, 9000] {
        let pages: Vec<(u32, u64)> = (1..=count).map(|number| (number, 2)).collect();
        let error = put(&volume, &pages, count, Level::Durable).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(error.to_string().contains("one object"), "{error}");
    }
    // What several commits come to is not more than a sync can carry either.
    for mark in 3..=100 {
        let pages: Vec<(u32, u64)> = (1..=10).map(|number| (number + 10 * (mark % 9) as u32, mark)).collect();
        put(&volume, &pages, 100, Level::Buffered).unwrap();
    }
    put(&volume, &[(1, 101)], 100, Level::Durable).unwrap();
    assert_eq!(volume.status().load.commits, 0);
}

#[test]
fn a_commit_that_waits_in_vain_fails_and_leaves_nothing_behind() {
    let world = World::new(2);
    let machine = machine(&world);
    let volume = machine.open(&[ROOM, ("sync_timeout_ms", "5000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.set_down(true);
    let mut mark = 1;
    let error = loop {
        match put(&volume, &[(1, mark + 1)], 1, Level::Buffered) {
            Ok(_) => mark += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!((volume.head().0, marks(&volume)), (mark, vec![mark]));
    machine.remote.set_down(false);
    put(&volume, &[(1, 99)], 1, Level::Durable).unwrap();
    assert_eq!(marks(&volume), [99]);
}

#[test]
fn with_the_policy_fail_a_commit_at_the_line_is_refused_at_once() {
    let world = World::new(3);
    let machine = machine(&world);
    let volume = machine.open(&[ROOM, ("on_load_line", "fail"), ("sync_interval_ms", "60000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let before = world.now();
    let refused = (2..9).find_map(|mark| put(&volume, &[(1, mark)], 1, Level::Buffered).err()).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Full);
    assert_eq!(world.now(), before, "nobody waited");
}

#[test]
fn with_the_policy_write_through_a_commit_at_the_line_is_acknowledged_when_durable() {
    let world = World::new(4);
    let volume = machine(&world).open(&[ROOM, ("on_load_line", "write_through"), ("sync_interval_ms", "60000")]);
    let mut through = 0;
    for mark in 1..=12 {
        put(&volume, &[(1, mark)], 1, Level::Buffered).unwrap();
        let status = volume.status();
        assert!(status.load.bytes <= status.load.max_dirty_bytes, "{:?}", status.load);
        through += u32::from(status.durable.lsn == mark);
    }
    assert!(through >= 2, "{through} of 12");
}

#[test]
fn nothing_is_acknowledged_while_an_older_commit_is_beyond_the_loss_window() {
    let world = World::new(5);
    let machine = machine(&world);
    let volume = machine.open(&[("max_loss_window_ms", "2000"), ("on_load_line", "fail")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.set_down(true);
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    world.run_for(1500);
    put(&volume, &[(1, 3)], 1, Level::Buffered).unwrap();
    world.run_for(600);
    assert_eq!(put(&volume, &[(1, 4)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Full);
    machine.remote.set_down(false);
    world.run_for(15_000);
    put(&volume, &[(1, 4)], 1, Level::Buffered).unwrap();
}

#[test]
fn half_of_the_loss_window_starts_a_sync_whatever_the_interval_is() {
    let world = World::new(6);
    let volume = machine(&world).open(&[("max_loss_window_ms", "2000"), ("sync_interval_ms", "3600000")]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    world.run_for(1500);
    assert_eq!(volume.status().durable.lsn, 1);
}

#[test]
fn a_commit_larger_than_the_line_goes_alone_and_is_acknowledged_when_durable() {
    let world = World::new(7);
    let volume = machine(&world).open(&[ROOM, ("sync_interval_ms", "60000")]);
    let pages: Vec<(u32, u64)> = (1..=20).map(|number| (number, 5)).collect();
    let before = world.now();
    put(&volume, &pages, 20, Level::Buffered).unwrap();
    assert!(world.now() - before >= Duration::from_millis(100));
    assert_eq!(volume.status().durable.lsn, 1);
}

#[test]
fn a_backlog_of_dirty_bytes_brings_the_sync_forward() {
    let world = World::new(8);
    let volume = machine(&world).open(&[("sync_backlog_bytes", "3000"), ("sync_interval_ms", "60000")]);
    for mark in 1..=6 {
        put(&volume, &[(1, mark)], 1, Level::Buffered).unwrap();
    }
    world.run_for(300);
    assert!(volume.status().durable.lsn >= 5, "{:?}", volume.status());
}

#[test]
fn a_commit_that_durable_was_asked_for_in_vain_is_load_once_less_is_promised_for_it() {
    let world = World::new(9);
    let machine = machine(&world);
    let volume = machine.open(&[ROOM, ("on_load_line", "fail"), ("sync_timeout_ms", "5000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.set_down(true);
    let late = put(&volume, &[(1, 2)], 1, Level::Durable).err().unwrap();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
    assert_eq!(volume.status().load.commits, 0, "nothing was promised");
    volume.wait(volume.head(), Level::Journaled).unwrap();
    let load = volume.status().load;
    assert_eq!(load.commits, 1);
    assert!(load.bytes > 0);

    // It takes up room from then on: as many fit as the line says, with it.
    while put(&volume, &[(1, 3)], 1, Level::Buffered).is_ok() {}
    let load = volume.status().load;
    assert!(load.commits >= 2 && load.bytes <= load.max_dirty_bytes, "{load:?}");
    assert_eq!(load.commits, volume.head().0 - 1);
}

#[test]
fn a_commit_that_durable_was_asked_for_in_vain_has_to_become_so_where_the_line_has_no_room_for_it() {
    let world = World::new(10);
    let machine = machine(&world);
    let volume = machine.open(&[ROOM, ("on_load_line", "fail"), ("sync_timeout_ms", "5000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.set_down(true);
    assert!(put(&volume, &[(1, 2)], 1, Level::Durable).is_err());
    let held = volume.head();
    while put(&volume, &[(1, 3)], 1, Level::Buffered).is_ok() {}
    let load = volume.status().load;
    let waited = volume.wait(held, Level::Journaled);
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Unavailable, "{load:?}");
    assert!(volume.status().load.bytes <= load.max_dirty_bytes);
    machine.remote.set_down(false);
    world.run_for(20_000);
    volume.wait(held, Level::Journaled).unwrap();
    assert!(volume.status().durable.lsn >= held.0);
}
