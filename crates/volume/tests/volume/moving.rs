//! Moving to another host: letting go, taking over, and what that says of what is lost.

use std::sync::Arc;

use plimsoll_host::Host;
use plimsoll_model::{ErrorKind, Level};
use plimsoll_store::fault::{Fault, Op, Rule};
use plimsoll_volume::{Config, Losses, Role, Volume};

use crate::{
    meanwhile::{Act, Locked, Meanwhile},
    world::{Machine, World, marks, put},
};

const LAZY: [(&str, &str); 2] = [("sync_interval_ms", "600000"), ("max_loss_window_ms", "600000")];

#[test]
fn after_a_release_another_host_writes_at_once_and_misses_nothing() {
    let world = World::new(1);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let volume = first.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    let released = volume.release().unwrap();
    assert_eq!((released.commits, released.epoch), (1, Some(1)));
    assert!(released.bytes > 0);
    assert_eq!(volume.status().role, Role::Follower);
    let before = world.now();
    let other = second.open(&[]);
    assert_eq!(marks(&other), [2]);
    put(&other, &[(1, 3)], 1, Level::Durable).unwrap();
    assert!((world.now() - before).as_millis() < 1000, "it waited: {:?}", world.now() - before);
    assert_eq!(other.status().losses, Losses::default(), "nobody was pushed aside");
}

#[test]
fn a_release_syncs_what_a_process_that_was_killed_left_in_the_journal() {
    let world = World::new(2);
    let mut first = world.machine("first");
    let volume = first.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
    first.kill();
    let released = first.open(&LAZY).release().unwrap();
    assert_eq!((released.commits, released.epoch), (1, Some(2)));
    let other = world.machine("second").open(&[]);
    assert_eq!(marks(&other), [2]);
    put(&other, &[(1, 3)], 1, Level::Durable).unwrap();
}

#[test]
fn another_process_of_the_host_is_asked_to_let_go() {
    let world = World::new(3);
    let first = world.machine("first");
    let volume = first.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    let beside = first.beside().open(&LAZY);
    assert_eq!(beside.release().unwrap_err().kind(), ErrorKind::Held);
    world.run_for(1000);
    beside.release().unwrap();
    assert_eq!(volume.status().role, Role::Follower);
    put(&world.machine("second").open(&[]), &[(1, 2)], 1, Level::Durable).unwrap();
}

#[test]
fn what_another_host_holds_is_not_released_here_and_the_holder_is_named() {
    let world = World::new(4);
    let volume = world.machine("first").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let other = world.machine("second").open(&[]);
    let error = other.release().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held);
    assert!(error.to_string().contains("on host first"), "{error}");
    volume.close().unwrap();
    assert_eq!(other.release().unwrap().epoch, None, "it was free already");
}

#[test]
fn a_release_that_the_store_does_not_take_is_an_error_and_the_commits_stay() {
    let world = World::new(5);
    let first = world.machine("first");
    let volume = first.open(&[LAZY[0], LAZY[1], ("close_timeout_ms", "3000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
    first.remote.set_down(true);
    assert_eq!(volume.release().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(volume.status().role, Role::Writer);
    first.remote.set_down(false);
    assert_eq!(volume.release().unwrap().commits, 1);
    assert_eq!(marks(&world.machine("second").open(&[])), [2]);
}

#[test]
fn a_takeover_says_what_the_dead_writer_last_advertised_and_the_history_lacks() {
    let world = World::new(6);
    let mut first = world.machine("first");
    let volume = first.open(&[LAZY[0], LAZY[1], ("heartbeat_ms", "1000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    for mark in 2..=4 {
        put(&volume, &[(1, mark)], 1, Level::Buffered).unwrap();
        world.run_for(400);
    }
    world.run_for(1500);
    put(&volume, &[(1, 5)], 1, Level::Buffered).unwrap();
    first.kill();

    let other = world.machine("second").open(&[]);
    let loss = other.take_over().unwrap().known.remove(0);
    assert_eq!((loss.epoch, loss.host.as_str()), (1, "first"));
    assert_eq!((loss.held, loss.acknowledged, loss.commits), (1, 4, 3), "the fifth was never advertised");
    assert!(loss.settled && loss.bytes > 0, "{loss:?}");
    assert!((800..=900).contains(&loss.window_ms), "{loss:?}");
    assert_eq!(other.status().losses, Losses { known: vec![loss], unknown: None });
    assert_eq!(marks(&other), [1]);
}

#[test]
fn a_takeover_from_a_writer_that_had_synced_everything_says_that_nothing_advertised_is_lost() {
    let world = World::new(7);
    let mut first = world.machine("first");
    put(&first.open(&[]), &[(1, 1)], 1, Level::Durable).unwrap();
    first.kill();
    let other = world.machine("second").open(&[]);
    let loss = other.take_over().unwrap().known.remove(0);
    assert_eq!((loss.commits, loss.bytes, loss.window_ms), (0, 0, 0));
    other.release().unwrap();
    assert_eq!(world.machine("third").open(&[]).take_over().unwrap(), Losses::default());
}

#[test]
fn what_another_host_has_left_open_is_not_released_here_however_long_it_is_silent() {
    let world = World::new(13);
    let mut first = world.machine("first");
    put(&first.open(&[]), &[(1, 1)], 1, Level::Durable).unwrap();
    first.kill();
    world.run_for(600_000);
    let error = world.machine("second").open(&[]).release().unwrap_err();
    assert!(error.kind() == ErrorKind::Held && error.to_string().contains("host first"), "{error}");
}

#[test]
fn an_epoch_that_a_release_could_not_close_is_closed_by_the_next_one() {
    let world = World::new(13);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let volume = first.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let rule = Rule { op: Some(Op::Put), key_contains: "status/".into(), fault: Fault::FailBefore, times: u32::MAX };
    first.remote.script.add(rule);
    assert_eq!(volume.release().unwrap_err().kind(), ErrorKind::Unavailable);
    first.remote.script.clear();
    assert_eq!(put(&second.open(&LAZY), &[(1, 2)], 1, Level::Durable).err().unwrap().kind(), ErrorKind::Held);
    volume.release().unwrap();
    put(&second.open(&LAZY), &[(1, 2)], 1, Level::Durable).unwrap();
}

/// Whoever takes the volume in between would find the journal, and have it removed under his feet.
#[test]
fn nobody_else_of_this_host_has_the_volume_before_the_journal_is_gone() {
    let world = World::new(12);
    let (first, second) = (world.machine("a"), world.machine("b"));
    let locked = Locked::default();
    let open = |machine: &Machine| {
        let files = Meanwhile { disk: machine.disk.clone(), act: Act::default(), locked: Arc::clone(&locked) };
        let config = machine.config(&[("sync_interval_ms", "60000"), ("takeover", "true")]);
        Volume::open(Config { host: Host { files: Arc::new(files), ..machine.host() }, ..config }).unwrap()
    };
    let volume = open(&first);
    put(&volume, &[(1, 1)], 1, Level::Journaled).unwrap();
    volume.release().unwrap();
    put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
    volume.close().unwrap();
    let volume = open(&first);
    put(&volume, &[(1, 3)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 4)], 1, Level::Journaled).unwrap();
    put(&open(&second), &[(1, 9)], 1, Level::Durable).unwrap();
    assert!(volume.sync().is_err());
    world.run_for(1000);
    assert_eq!(*locked.lock().unwrap(), [true; 3], "released, closed, kept aside");
}
