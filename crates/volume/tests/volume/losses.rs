//! What writers took with them that were pushed aside, when more than one of them was.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use plimsoll_host::{Clock, Tasks};
use plimsoll_ltx::Header;
use plimsoll_model::{Level, Txid};
use plimsoll_store::{
    Store as _,
    fault::{Fault, Op, Rule},
};
use plimsoll_volume::{Losses, Volume};

use crate::world::{Machine, World, put};

const LAZY: [(&str, &str); 3] =
    [("sync_interval_ms", "600000"), ("max_loss_window_ms", "600000"), ("heartbeat_ms", "1000")];

/// A writer that had said that three of its commits were not durable, and is gone.
fn lost(world: &World, name: &str) -> Machine {
    let mut machine = world.machine(name);
    let volume = machine.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    for mark in 2..=4 {
        put(&volume, &[(1, mark)], 1, Level::Buffered).unwrap();
    }
    world.run_for(1500);
    machine.kill();
    machine
}

/// Another one, that writes two commits, of which one is durable, and is gone before it says how it is.
fn short_lived(world: &World, name: &str) -> Losses {
    let mut machine = world.machine(name);
    let volume = machine.open(&[("max_dirty_bytes", "1000000")]);
    let losses = volume.take_over().unwrap();
    let rule = Rule { op: Some(Op::Put), key_contains: "status/".into(), fault: Fault::FailBefore, times: u32::MAX };
    machine.remote.script.add(rule);
    put(&volume, &[(1, 10)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 11)], 1, Level::Buffered).unwrap();
    machine.kill();
    losses
}

fn told(losses: &Losses) -> Vec<(&str, u64)> {
    losses.known.iter().map(|loss| (loss.host.as_str(), loss.commits)).collect()
}

/// A program that was idle for a minute after it had taken over showed nothing.
#[test]
fn what_was_lost_with_another_writer_stays_in_the_status_when_the_volume_is_let_go_and_taken_again() {
    let world = World::new(9);
    lost(&world, "first");
    let volume = world.machine("second").open(&[]);
    assert_eq!(told(&volume.take_over().unwrap()), [("first", 3)]);
    volume.release().unwrap();
    put(&volume, &[(1, 10)], 1, Level::Durable).unwrap();
    assert_eq!(told(&volume.status().losses), [("first", 3)]);
}

/// The one before it was reported a second time, and it was not mentioned.
#[test]
fn a_writer_that_is_gone_soon_after_it_took_over_is_accounted_for_and_the_one_before_it_is_not_again() {
    let world = World::new(1);
    lost(&world, "first");
    let mut machine = world.machine("second");
    let volume = machine.open(&[("max_dirty_bytes", "1000000")]);
    assert_eq!(told(&volume.take_over().unwrap()), [("first", 3)]);
    put(&volume, &[(1, 10)], 1, Level::Durable).unwrap();
    world.run_for(200);
    put(&volume, &[(1, 11)], 1, Level::Buffered).unwrap();
    machine.kill();
    let losses = world.machine("third").open(&[]).take_over().unwrap();
    assert_eq!(told(&losses), [("second", 0)]);
    assert_eq!(losses.known[0].line_bytes, Some(1_000_000), "so much more it may have taken");
}

#[test]
fn a_writer_that_is_gone_before_it_could_say_that_it_has_accounted_for_another_is_accounted_for_beside_that() {
    let world = World::new(2);
    lost(&world, "first");
    assert_eq!(told(&short_lived(&world, "second")), [("first", 3)]);
    let losses = world.machine("third").open(&[]).take_over().unwrap();
    assert_eq!(told(&losses), [("first", 3), ("second", 0)]);
    assert_eq!((losses.known[1].held, losses.unknown), (2, None));
}

/// It was said that nobody had held the volume, and nobody came back to it.
#[test]
fn what_could_not_be_found_out_at_a_takeover_is_not_called_nothing_and_is_found_out_by_the_next_one() {
    let world = World::new(3);
    lost(&world, "first");
    short_lived(&world, "second");
    let third = world.machine("third");
    let volume = third.open(&[]);
    let rule = Rule { op: Some(Op::List), key_contains: "status".into(), fault: Fault::FailBefore, times: u32::MAX };
    third.remote.script.add(rule);
    let losses = volume.take_over().unwrap();
    assert_eq!(told(&losses), [("second", 0)]);
    assert!(losses.unknown.is_some() && volume.status().losses == losses, "{losses:?}");
    third.remote.script.clear();
    world.run_for(30_000);
    volume.release().unwrap();
    let losses = world.machine("fourth").open(&[]).take_over().unwrap();
    assert_eq!((told(&losses), losses.unknown.as_deref()), (vec![("first", 3), ("second", 0)], None));
}

/// It was what the last writer had found, with the commits of the others.
#[test]
fn what_is_kept_for_the_commits_of_a_lost_host_is_what_they_stand_on_also_if_others_have_written_since() {
    let world = World::new(4);
    let first = lost(&world, "first");
    let base = |volume: &Volume| {
        let pins = volume.pins().unwrap();
        pins.into_iter().map(|(_, pin)| pin.unwrap().txid).collect::<Vec<_>>()
    };
    let second = world.machine("second");
    let volume = second.open(&[]);
    let never = |op, key: &str| {
        let (key_contains, fault) = (key.to_owned(), Fault::FailBefore);
        second.remote.script.add(Rule { op: Some(op), key_contains, fault, times: u32::MAX });
    };
    never(Op::Create, "pins/");
    volume.take_over().unwrap();
    assert_eq!(base(&volume), [], "nothing is kept by the second one");
    never(Op::Put, "status/");
    put(&volume, &[(1, 10)], 1, Level::Durable).unwrap();
    let third = world.machine("third").open(&[]);
    assert_eq!(told(&third.take_over().unwrap()), [("first", 3), ("second", 0)]);
    assert_eq!(base(&third), [Txid(1)]);
    drop((first, volume));
}

/// A pool of threads that is busy: what is to be done there waits.
struct Busy {
    tasks: Arc<dyn Tasks>,
    clock: Arc<dyn Clock>,
}

impl Tasks for Busy {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.spawn(task);
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        let (tasks, free) = (Arc::clone(&self.tasks), self.clock.sleep(Duration::from_millis(50)));
        self.tasks.spawn(Box::pin(async move {
            free.await;
            tasks.spawn_blocking(job);
        }));
    }

    fn block_on(&self, future: BoxFuture<'_, ()>) {
        self.tasks.block_on(future);
    }
}

/// The time was taken when the sync was encoded, and commits made since it was cut were not in it.
#[test]
fn what_was_acknowledged_before_the_time_of_a_sync_is_in_it() {
    let world = World::new(7);
    let machine = world.machine("first");
    let mut config = machine.config(&[("sync_interval_ms", "100")]);
    config.host.tasks = Arc::new(Busy { tasks: config.host.tasks, clock: Arc::clone(&config.host.clock) });
    let volume = Volume::open(config).unwrap();
    // More pages than are encoded at once.
    let pages: Vec<_> = (1..=20).map(|page| (page, 1)).collect();
    let clock = machine.host().clock;
    let mut acknowledged = Vec::new();
    for _ in 0..100 {
        let commit = put(&volume, &pages, 20, Level::Buffered).unwrap();
        acknowledged.push((commit.lsn(), clock.wall()));
        world.run_for(7);
    }
    let syncs = world.keys("ltx/0/");
    assert!(syncs.len() > 3, "{syncs:?}");
    for key in syncs {
        let object = world.wait(world.shelf().get(&key)).unwrap().unwrap();
        let header = Header::decode(&object.bytes).unwrap();
        let held = header.stamp.unwrap().lsn;
        let missing = acknowledged.iter().find(|(lsn, at)| *lsn > held && *at < header.timestamp);
        assert_eq!(missing, None, "{key} is of {} and goes up to {held}", header.timestamp);
    }
}

/// What they had acknowledged is in its journal, or kept aside.
#[test]
fn what_earlier_processes_of_this_host_had_acknowledged_is_no_loss_that_others_took() {
    let world = World::new(9);
    let machine = lost(&world, "first");
    // Gone before it could say that it has accounted for the first.
    assert_eq!(told(&short_lived(&world, "second")), [("first", 3)]);
    let back = machine.open(&[]);
    assert_eq!(told(&back.take_over().unwrap()), [("second", 0)], "it had said nothing yet");
}
