//! How long level 0 is kept is the volume's, whatever each host is set to.

use plimsoll_model::Level;
use plimsoll_volume::Role;

use crate::world::{World, marks, put};

const PUSHY: (&str, &str) = ("takeover", "true");
const BRIEF: [(&str, &str); 3] =
    [("l0_retention_ms", "10000"), ("retention_ms", "10000"), ("compaction_levels_ms", "500")];

/// A writer whose sync takes its time once believed it durable, since a host with a short retention had taken over,
/// merged the fence that bore the same name, and removed it.
#[test]
fn a_host_that_is_set_to_a_shorter_retention_collects_nothing_that_a_slow_writer_has_to_run_into() {
    let world = World::new(1);
    let (first, second) = (world.machine("first"), world.machine("second"));
    // Its signs of life are no help.
    let old = first.open(&[("heartbeat_ms", "1000000"), ("holder_ttl_ms", "2000000")]);
    put(&old, &[(1, 1)], 1, Level::Durable).unwrap();
    first.remote.set_latency(110_000);
    put(&old, &[(1, 2)], 1, Level::Buffered).unwrap();
    world.run_for(5_000);
    first.remote.set_latency(0);
    let new = second.open(&[PUSHY, BRIEF[0], BRIEF[1], BRIEF[2]]);
    for mark in 3..6 {
        put(&new, &[(1, mark)], 1, Level::Durable).unwrap();
        world.run_for(15_000);
        new.compact().unwrap();
    }
    world.run_for(100_000);
    assert_eq!((old.status().role, old.status().durable.lsn), (Role::Fenced, 1));
    assert_eq!(old.status().stranded.len(), 1);
    assert_eq!(marks(&world.machine("reader").open_read_only(&[])), [5]);
}

/// It asked for the next sync only, which had been merged and removed since it looked last, and so for ever.
#[test]
fn a_follower_that_is_set_to_a_longer_retention_does_not_take_what_was_collected_for_what_never_was() {
    let world = World::new(2);
    let volume = world.machine("a").open(&BRIEF);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let follower = world.machine("b").open_read_only(&[]);
    for mark in 2..9 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        world.run_for(15_000);
        put(&volume, &[(1, mark * 10)], 1, Level::Durable).unwrap();
        volume.compact().unwrap();
        assert_eq!(marks(&follower), [mark * 10]);
        world.run_for(15_000);
    }
}
