use std::{sync::Arc, time::Duration};

use plimsoll_host::Host;
use plimsoll_model::{ErrorKind, Level, Lsn, PageCount};
use plimsoll_store::fault::{Fault, Op};
use plimsoll_volume::{Config, Volume};

use crate::{
    meanwhile::{Act, Locked, Meanwhile},
    world::{World, content, marks, page, put},
};

const SOON: Duration = Duration::from_millis(50);

#[test]
fn a_wait_for_durable_syncs_at_once_and_does_not_sit_out_the_timer() {
    let world = World::new(1);
    let volume = world.machine("a").open(&[("sync_interval_ms", "60000")]);
    for mark in 1..=3 {
        let before = world.now();
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        assert!(world.now() - before < SOON);
        assert_eq!(volume.status().durable.lsn, mark);
    }
}

#[test]
fn a_wait_for_journaled_syncs_the_journal_at_once_and_survives_power_loss() {
    let world = World::new(2);
    let mut machine = world.machine("a");
    let values = [("journal_sync_interval_ms", "60000"), ("sync_interval_ms", "60000")];
    let volume = machine.open(&values);
    let before = world.now();
    put(&volume, &[(1, 7)], 1, Level::Journaled).unwrap();
    assert!(world.now() - before < SOON);
    machine.lose_power();
    assert_eq!(marks(&machine.open(&values)), [7]);
}

#[test]
fn what_is_committed_while_the_journal_is_synced_is_not_journaled_by_that() {
    let world = World::new(9);
    let machine = world.machine("a");
    let act = Act::default();
    let files = Arc::new(Meanwhile { disk: machine.disk.clone(), act: Arc::clone(&act), locked: Locked::default() });
    let config = machine.config(&[("journal_sync_policy", "manual"), ("sync_interval_ms", "60000")]);
    let volume = Volume::open(Config { host: Host { files, ..machine.host() }, ..config }).unwrap();
    let receipt = put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    let beside = volume.clone();
    *act.lock().unwrap() = Some(Box::new(move || drop(put(&beside, &[(1, 2)], 1, Level::Buffered).unwrap())));
    receipt.wait(Level::Journaled).unwrap();
    let status = volume.status();
    assert_eq!((status.appended.lsn, status.journaled.lsn), (2, 1));
}

#[test]
fn a_buffered_commit_survives_the_process_and_costs_no_sync_of_the_disk() {
    let world = World::new(3);
    let mut machine = world.machine("a");
    let values = [("journal_sync_policy", "manual"), ("sync_interval_ms", "60000")];
    let volume = machine.open(&values);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    let before = machine.disk.counts().syncs;
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    assert_eq!(machine.disk.counts().syncs, before);
    machine.kill();
    assert_eq!(marks(&machine.open(&values)), [2]);
}

#[test]
fn under_the_immediate_policy_every_commit_is_journaled_before_it_is_acknowledged() {
    let world = World::new(4);
    let mut machine = world.machine("a");
    let values = [("journal_sync_policy", "immediate"), ("sync_interval_ms", "60000")];
    let volume = machine.open(&values);
    for mark in 1..=5 {
        put(&volume, &[(1, mark)], 1, Level::Buffered).unwrap();
    }
    machine.lose_power();
    assert_eq!(marks(&machine.open(&values)), [5]);
}

#[test]
fn the_timers_bring_a_commit_to_the_journal_and_to_the_store_by_themselves() {
    let world = World::new(5);
    let volume = world.machine("a").open(&[("journal_sync_interval_ms", "40"), ("sync_interval_ms", "1000")]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    assert_eq!(volume.status().journaled.lsn, 0);
    world.run_for(60);
    assert_eq!((volume.status().journaled.lsn, volume.status().durable.lsn), (1, 0));
    world.run_for(1000);
    assert_eq!(volume.status().durable.lsn, 1);
    assert_eq!(volume.status().load.commits, 0);
}

#[test]
fn watermarks_never_go_back_and_keep_their_order() {
    let world = World::new(6);
    let volume = world.machine("a").open(&[("journal_sync_policy", "manual"), ("sync_interval_ms", "100")]);
    let mut last = (0, 0, 0);
    for mark in 0..60 {
        put(&volume, &[(1, mark)], 1, [Level::Buffered, Level::Journaled][mark as usize % 2]).unwrap();
        world.run_for(world.below(40));
        let status = volume.status();
        let now = (status.appended.lsn, status.journaled.lsn, status.durable.lsn);
        assert!(now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2, "{last:?} {now:?}");
        assert!(now.1 <= now.0 && now.2 <= now.0, "{now:?}");
        last = now;
    }
}

#[test]
fn nobody_can_wait_for_a_commit_that_was_never_made() {
    let world = World::new(7);
    let volume = world.machine("a").open(&[("sync_timeout_ms", "100")]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    for level in [Level::Journaled, Level::Durable] {
        volume.wait(Lsn(9), level).unwrap_err();
    }
    let follower = world.machine("b").open_read_only(&[]);
    assert_eq!(follower.wait(Lsn(9), Level::Buffered).unwrap_err().kind(), ErrorKind::Invalid);
}

/// Each later commit was synced at once, until that number was reached.
#[test]
fn waiting_for_a_commit_that_is_still_to_come_does_not_sync_each_one_before_it_at_once() {
    let world = World::new(21);
    let machine = world.machine("a");
    let volume = machine.open(&[("sync_interval_ms", "20000"), ("sync_timeout_ms", "1000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let late = volume.wait(Lsn(1_000), Level::Durable).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable, "{late}");
    let before = world.keys("ltx/0/").len();
    for mark in 2..6 {
        put(&volume, &[(1, mark)], 1, Level::Buffered).unwrap();
        world.run_for(1_000);
    }
    assert_eq!(world.keys("ltx/0/").len(), before);
}

/// Foreign readers know by the counter in page 1 that something has changed, so each sync has to bring a new one.
#[test]
fn a_page_is_left_to_the_next_sync_only_if_no_sync_under_way_has_it() {
    let world = World::new(12);
    let machine = world.machine("a");
    let volume = machine.open(&[("sync_interval_ms", "1000")]);
    put(&volume, &[(1, 1), (2, 1)], 2, Level::Durable).unwrap();
    let put_without_first = |mark| {
        let mut txn = volume.begin_write(&volume.snapshot().unwrap()).unwrap();
        txn.write(page(1), &content(mark)).unwrap();
        txn.write(page(2), &content(mark)).unwrap();
        txn.leave_out(page(1));
        drop(txn.commit(PageCount(2), Level::Buffered).unwrap());
    };
    put_without_first(2);
    assert_eq!(marks(&volume), [2, 2], "nothing else brings it");
    put_without_first(3);
    assert_eq!(marks(&volume), [2, 3], "the next sync brings it");
    let mut alone = volume.begin_write(&volume.snapshot().unwrap()).unwrap();
    alone.write(page(1), &content(5)).unwrap();
    alone.leave_out(page(1));
    drop(alone.commit(PageCount(2), Level::Buffered).unwrap());
    assert_eq!(marks(&volume), [5, 3], "nothing else was written");

    machine.remote.script.once(Op::Create, ".ltx", Fault::Delay(Duration::from_secs(10)));
    world.run_for(5000);
    assert_eq!(volume.status().durable.lsn, 1, "a sync is under way");
    put_without_first(4);
    world.run_for(20_000);
    assert_eq!(volume.status().durable.lsn, 5);
    assert_eq!(marks(&world.machine("b").open_read_only(&[])), [4, 4]);
}
