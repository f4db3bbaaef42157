//! Removals that were announced and not carried out: whoever wrote before goes on as if nothing had been.

use std::{sync::Arc, time::Duration};

use plimsoll_commitlog::{
    Context, announce_removal, call_off_removal, decide_removal, delete_volume, end_removal, look,
};
use plimsoll_model::{ErrorKind, Level};
use plimsoll_store::{
    Store as _,
    fault::{Fault, Op, Rule},
};
use plimsoll_volume::Volume;

use crate::world::{World, marks, put};

const LAZY: [(&str, &str); 3] =
    [("sync_interval_ms", "600000"), ("max_loss_window_ms", "600000"), ("heartbeat_ms", "1000")];
const MINUTE: Duration = Duration::from_secs(60);

fn context(world: &World) -> Context {
    Context::new(world.machine("who removes it").host(), Arc::new(world.shelf().clone()), MINUTE)
}

/// Somebody is about to remove the volume, and thinks better of it.
fn called_off(world: &World) {
    let context = context(world);
    let standing = world.wait(look(&context)).unwrap();
    let epoch = world.wait(announce_removal(&context, &standing)).unwrap().unwrap();
    world.wait(call_off_removal(&context, epoch)).unwrap();
}

/// Its commits were kept aside because another writer had taken the volume, and there was none.
#[test]
fn a_writer_whose_volume_was_nearly_removed_leaves_its_commits_to_whoever_opens_the_volume_next_on_its_host() {
    for synced in [false, true] {
        let world = World::new(1);
        let machine = world.machine("a");
        let volume = machine.open(&LAZY);
        if synced {
            put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
        }
        put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
        put(&volume, &[(1, 3)], 1, Level::Buffered).unwrap();
        called_off(&world);
        world.run_for(2000);
        assert!(volume.is_fenced() && volume.dir().stranded().is_empty());
        let error = volume.close().unwrap_err();
        assert!(error.kind() == ErrorKind::Fenced && error.to_string().contains("journal of this host"), "{error}");

        let volume = machine.open(&LAZY);
        assert_eq!((marks(&volume), volume.dir().stranded().len()), (vec![3], 0));
        volume.sync().unwrap();
        let other = world.machine("b").open_read_only(&[]);
        assert_eq!(marks(&other), [3]);
    }
}

#[test]
fn a_writer_whose_volume_is_removed_before_it_notices_has_its_commits_kept_aside_when_it_is_opened_next() {
    let world = World::new(2);
    let machine = world.machine("a");
    let volume = machine.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
    let context = context(&world);
    let standing = world.wait(look(&context)).unwrap();
    let epoch = world.wait(announce_removal(&context, &standing)).unwrap().unwrap();
    let record = standing.volume.unwrap();
    assert!(world.wait(decide_removal(&context, epoch, &record)).unwrap());
    assert!(world.wait(delete_volume(&context, record.uuid)).unwrap());
    world.run_for(2000);
    assert!(volume.is_fenced());
    volume.close().unwrap_err();
    world.wait(world.shelf().delete(&world.keys("ltx/"))).unwrap();
    world.wait(end_removal(&context, epoch)).unwrap();
    let volume = machine.open(&LAZY);
    assert_eq!((volume.exists(), volume.dir().stranded().len()), (false, 1));
}

/// The epoch of the removal was taken for another writer's.
#[test]
fn a_journal_is_replayed_after_a_removal_was_called_off_also_by_the_second_process_that_tries() {
    for dies in [false, true] {
        let world = World::new(3);
        let mut machine = world.machine("a");
        let volume = machine.open(&LAZY);
        put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
        put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
        machine.kill();
        called_off(&world);
        if dies {
            // Its fence is there, and it has not come to look at the journal.
            let rule =
                Rule { op: Some(Op::Put), key_contains: "status/".into(), fault: Fault::FailBefore, times: u32::MAX };
            machine.remote.script.add(rule);
            assert!(Volume::open(machine.config(&LAZY)).is_err());
            assert_eq!(world.keys("ltx/0/").len(), 2);
            machine.kill();
            machine.remote.script.clear();
        }
        let volume = machine.open(&LAZY);
        assert_eq!((marks(&volume), volume.dir().stranded().len()), (vec![2], 0), "{dies}");
    }
}

/// It waited until somebody wrote again.
#[test]
fn a_token_of_commits_that_are_synced_is_reached_though_a_removal_was_called_off_since() {
    let world = World::new(4);
    let volume = world.machine("a").open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    let token = volume.token().unwrap();
    volume.close().unwrap();
    for _ in 0..2 {
        called_off(&world);
        let follower = world.machine("b").open_read_only(&[]);
        follower.wait_token(&token, MINUTE).unwrap();
        assert_eq!(marks(&follower), [2]);
    }
}
