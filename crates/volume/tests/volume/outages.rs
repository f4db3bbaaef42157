use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use plimsoll_model::{ErrorKind, Level};
use plimsoll_store::fault::{Fault, Op};
use plimsoll_volume::Volume;

use crate::world::{Machine, World, marks, put};

#[test]
fn a_sync_whose_answer_was_lost_is_found_to_be_ours_and_the_history_goes_on() {
    let world = World::new(1);
    let machine = world.machine("a");
    let volume = machine.open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    for mark in 2..6 {
        machine.remote.script.once(Op::Create, ".ltx", Fault::AppliedButNoAnswer);
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        assert!(machine.remote.script.is_used_up());
        assert_eq!(volume.status().txid, mark, "one object for each sync");
    }
    assert_eq!(marks(&world.machine("b").open_read_only(&[])), [5]);
}

#[test]
fn commits_go_on_through_an_outage_and_are_synced_after_it() {
    let world = World::new(2);
    let machine = world.machine("a");
    let volume = machine.open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.set_down(true);
    for mark in 2..20 {
        put(&volume, &[(1, mark)], 1, Level::Journaled).unwrap();
        world.run_for(1000);
        assert_eq!(marks(&volume), [mark]);
    }
    let status = volume.status();
    assert_eq!((status.durable.lsn, status.load.commits), (1, 18));
    assert!(status.trouble.is_some_and(|trouble| trouble.contains("down")));
    machine.remote.set_down(false);
    world.run_for(15_000);
    assert_eq!((volume.status().durable.lsn, volume.status().load.commits), (19, 0));
    assert_eq!(volume.status().trouble, None, "it is over");
}

#[test]
fn a_reader_speaks_of_an_outage_until_it_has_looked_again() {
    let world = World::new(11);
    let machine = world.machine("a");
    put(&machine.open(&[]), &[(1, 1)], 1, Level::Durable).unwrap();
    let reader = world.machine("b");
    let follower = reader.open_read_only(&[]);
    assert_eq!(marks(&follower), [1]);
    reader.remote.set_down(true);
    world.run_for(10_000);
    assert_eq!(marks(&follower), [1]);
    assert!(follower.status().trouble.is_some_and(|trouble| trouble.contains("down")));
    reader.remote.set_down(false);
    world.run_for(60_000);
    assert_eq!(marks(&follower), [1]);
    assert_eq!(follower.status().trouble, None);
}

#[test]
fn a_sync_that_was_under_way_in_an_outage_is_asked_for_again_before_anything_newer() {
    let world = World::new(3);
    let machine = world.machine("a");
    let volume = machine.open(&[("sync_timeout_ms", "500")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    // It gets there, but nobody hears of it for long, and more is committed meanwhile.
    machine.remote.script.once(Op::Create, ".ltx", Fault::AppliedButNoAnswer);
    let error = {
        let waited = put(&volume, &[(1, 2)], 1, Level::Durable).err();
        machine.remote.set_down(true);
        waited
    };
    put(&volume, &[(1, 3)], 1, Level::Buffered).unwrap();
    world.run_for(5000);
    machine.remote.set_down(false);
    world.run_for(15_000);
    assert_eq!(volume.status().durable.lsn, 3, "{error:?}");
    assert_eq!(volume.status().txid, 3);
    assert_eq!(marks(&world.machine("b").open_read_only(&[])), [3]);
}

#[test]
fn a_close_that_cannot_sync_says_so_and_the_next_open_syncs_it() {
    let world = World::new(4);
    let machine = world.machine("a");
    let volume = machine.open(&[("close_timeout_ms", "3000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.set_down(true);
    let late = put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    put(&volume, &[(1, 3)], 1, Level::Buffered).unwrap();
    let before = world.now();
    let error = volume.close().unwrap_err();
    assert_eq!(world.now() - before, Duration::from_millis(3000));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("2 commits"), "{error}");
    // Whoever waits is told at once.
    assert_eq!(late.wait(Level::Durable).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(world.now() - before, Duration::from_millis(3000));

    machine.remote.set_down(false);
    let again = machine.beside();
    let volume = again.open(&[]);
    assert_eq!(marks(&volume), [3]);
    world.run_for(3000);
    assert_eq!(volume.status().durable.lsn, 3);
}

/// It once waited for as long as the store kept the taking waiting.
#[test]
fn a_close_beside_a_taking_that_stands_still_ends_in_time_and_what_was_taken_is_given_back() {
    let (mut refused, mut went_on) = (0, 0);
    for after_ms in (0..).step_by(130) {
        let world = World::new(7);
        let mut machine = world.machine("a");
        let volume = machine.open(&[]);
        put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
        machine.remote.set_down(true);
        put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
        machine.kill();
        machine.remote.set_down(false);
        machine.remote.set_latency(100);
        let volume = Volume::open_unread(machine.config(&[("close_timeout_ms", "3000")]));
        let closed = Arc::new(Mutex::new(None));
        let (of, host, outcome) = (volume.clone(), machine.host(), Arc::clone(&closed));
        // Another thread: as long as it closes, the one that takes the volume gets nowhere.
        machine.host().tasks.spawn(Box::pin(async move {
            host.clock.sleep(Duration::from_millis(after_ms)).await;
            let began = host.clock.now();
            let error = of.close().err();
            *outcome.lock().unwrap() = Some((error, host.clock.now().since(began)));
        }));
        let error = put(&volume, &[(1, 3)], 1, Level::Buffered).err().unwrap();
        if error.kind() == ErrorKind::Conflict {
            // It was taken, with what was in the journal, before it was closed.
            break;
        }
        assert_eq!(error.kind(), ErrorKind::Closed, "{after_ms}: {error}");
        let (error, took) = closed.lock().unwrap().take().expect("it closes while the volume is taken");
        // Nothing was begun yet if it closed while it was only read.
        let Some(error) = error else { continue };
        refused += 1;
        assert_eq!((error.kind(), took), (ErrorKind::Unavailable, Duration::from_millis(3000)), "{after_ms}: {error}");
        world.run_for(5000);
        if volume.dir().has_journal().unwrap() {
            // Not taken yet when it was closed. The journal is for whoever opens it next on this host.
            volume_of_this_host_goes_on(&machine);
        } else {
            went_on += 1;
        }
        // Nobody has to wait until the holder counts as dead.
        let other = world.machine("b").open(&[]);
        assert_eq!(marks(&other), [2], "{after_ms}");
        put(&other, &[(1, 4)], 1, Level::Durable).unwrap();
    }
    assert!(refused > 5 && went_on > 0, "{refused}, {went_on}");
}

fn volume_of_this_host_goes_on(machine: &Machine) {
    let volume = machine.beside().open(&[]);
    assert_eq!(marks(&volume), [2]);
    volume.close().unwrap();
}

#[test]
fn a_close_after_an_outage_does_not_sit_out_the_pause_of_the_last_failure() {
    let world = World::new(5);
    let machine = world.machine("a");
    let volume = machine.open(&[("close_timeout_ms", "1000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.set_down(true);
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    world.run_for(60_000);
    machine.remote.set_down(false);
    volume.close().unwrap();
}

#[test]
fn a_journal_that_failed_does_not_keep_a_close_from_making_everything_durable() {
    let world = World::new(6);
    let mut machine = world.machine("a");
    let volume = machine.open(&[("journal_sync_policy", "manual"), ("sync_interval_ms", "60000")]);
    put(&volume, &[(1, 1)], 1, Level::Journaled).unwrap();
    machine.disk.fail_syncs(1, 0);
    assert_eq!(put(&volume, &[(1, 2)], 1, Level::Journaled).err().unwrap().kind(), ErrorKind::Io);
    assert_eq!(put(&volume, &[(1, 3)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Io, "it accepts no more");
    volume.close().unwrap();
    machine.lose_power();
    assert_eq!(marks(&machine.open(&[])), [2]);
}

#[test]
fn a_reader_reads_on_from_what_is_local_while_the_store_is_away() {
    let world = World::new(7);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    let machine = world.machine("b");
    let follower = machine.open_read_only(&[]);
    assert_eq!(marks(&follower), [1, 2]);
    machine.remote.set_down(true);
    for _ in 0..20 {
        world.run_for(2000);
        assert_eq!(marks(&follower), [1, 2]);
    }
    machine.remote.set_down(false);
    put(&volume, &[(1, 3)], 2, Level::Durable).unwrap();
    world.run_for(3000);
    assert_eq!(marks(&follower), [3, 2]);
}

#[test]
fn a_closed_volume_refuses_to_work_and_says_that_it_is_closed() {
    let world = World::new(8);
    let volume = world.machine("a").open(&[]);
    let receipt = put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    let base = volume.snapshot().unwrap();
    volume.clone().close().unwrap();
    receipt.wait(Level::Durable).unwrap();
    assert_eq!(volume.snapshot().err().unwrap().kind(), ErrorKind::Closed);
    assert_eq!(volume.begin_write(&base).err().unwrap().kind(), ErrorKind::Closed);
    volume.close().unwrap();
}

#[test]
fn a_transaction_that_was_open_at_the_close_cannot_commit_after_it() {
    let world = World::new(9);
    let mut machine = world.machine("a");
    let volume = machine.open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    txn.write(crate::world::page(1), &crate::world::content(2)).unwrap();
    volume.close().unwrap();
    let error = txn.commit(plimsoll_model::PageCount(1), Level::Buffered).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Closed);
    machine.kill();
    assert_eq!(marks(&machine.open(&[])), [1]);
}

/// They queued behind one request that nobody answered.
#[test]
fn a_reader_with_a_state_to_show_does_not_wait_for_a_store_that_never_answers() {
    let world = World::new(10);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let machine = world.machine("b");
    let follower = machine.open_read_only(&[]);
    assert_eq!(marks(&follower), [1]);
    machine.remote.set_latency(40_000);
    machine.remote.set_down(true);
    world.run_for(10_000);
    let mut waited = Duration::ZERO;
    for _ in 0..20 {
        let before = world.now();
        assert_eq!(marks(&follower), [1]);
        waited += world.now() - before;
        world.run_for(1_000);
    }
    assert!(waited <= Duration::from_secs(2), "{waited:?} in all");
    machine.remote.set_down(false);
    machine.remote.set_latency(0);
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    world.run_for(50_000);
    assert_eq!(marks(&follower), [2]);
}

#[test]
fn an_answer_that_is_late_says_nothing_of_what_the_store_held_since_it_was_asked() {
    let world = World::new(12);
    let machine = world.machine("a");
    let volume = machine.open(&[("heartbeat_ms", "1000000"), ("holder_ttl_ms", "2000000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.script.once(Op::Create, ".ltx", Fault::AppliedButNoAnswer);
    machine.remote.script.once(Op::Create, ".ltx", Fault::Delay(Duration::from_secs(20)));
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    assert!(machine.remote.script.is_used_up());
    let looked_ms = volume.status().looked_ms.unwrap();
    assert!(looked_ms >= 20_000, "whoever took the volume meanwhile may have merged and collected: {looked_ms} ms");
}
