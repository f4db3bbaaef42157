//! What a writer merges: what it knows to be its own history, and nothing beyond.

use std::time::Duration;

use plimsoll_model::{ErrorKind, Level, Txid};
use plimsoll_store::fault::{Fault, Op};
use plimsoll_volume::Role;

use crate::world::{World, marks, put};

#[test]
fn nothing_is_merged_beside_what_another_writer_has_put_on_the_newest_sync() {
    let world = World::new(1);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[("heartbeat_ms", "1000000"), ("holder_ttl_ms", "2000000")]);
    for mark in 1..4 {
        put(&old, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    put(&second.open(&[("takeover", "true")]), &[(1, 4)], 1, Level::Durable).unwrap();
    let error = old.compact().unwrap_err();
    assert!(error.kind() == ErrorKind::Held && error.to_string().contains("is not of this writer"), "{error}");
    assert_eq!(world.keys("ltx/1/"), Vec::<String>::new());
    assert_eq!((old.status().role, marks(&old)), (Role::Writer, vec![3]), "it does not know yet");
}

#[test]
fn a_sync_whose_answer_is_not_here_yet_is_merged_once_it_is() {
    let world = World::new(2);
    let machine = world.machine("a");
    let volume = machine.open(&[]);
    for mark in 1..3 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    machine.remote.script.once(Op::Create, ".ltx", Fault::AppliedButNoAnswer);
    machine.remote.script.once(Op::Create, ".ltx", Fault::Delay(Duration::from_secs(20)));
    put(&volume, &[(1, 3)], 1, Level::Buffered).unwrap();
    world.run_for(10_000);
    assert_eq!((world.keys("ltx/0/").len(), volume.status().durable.lsn), (3, 2), "it is there, and unanswered");
    let up_to = |volume: &plimsoll_volume::Volume| {
        volume.compact().unwrap().merged.iter().map(|id| id.max).collect::<Vec<Txid>>()
    };
    assert!(up_to(&volume).iter().all(|max| *max == Txid(2)), "nothing beyond what is known to be durable");
    world.run_for(30_000);
    assert_eq!(volume.status().durable.lsn, 3);
    assert!(up_to(&volume).contains(&Txid(3)));
}
