//! What forks and checkpoints have others keep for them, when it cannot be kept or nobody knows.

use plimsoll_commitlog::{identity, pins};
use plimsoll_ltx::FileId;
use plimsoll_model::{ErrorKind, Level, Txid};
use plimsoll_store::{
    Store,
    fault::{Fault, Op},
};
use plimsoll_volume::{checkpoint, remove_checkpoint};

use crate::{
    forks::{busy, setup},
    world::{marks, put},
};

/// One of the volumes that it reads from keeps the objects, another one has lost one of them.
#[test]
fn a_fork_that_cannot_be_kept_everywhere_is_kept_nowhere() {
    let (world, machine, places) = setup(21);
    let first = places.open(&machine, "first");
    busy(&world, &first, 1..10);
    places.fork(&world, "first", None, "second").unwrap();
    let second = places.open(&machine, "second");
    put(&second, &[(2, 100)], 4, Level::Durable).unwrap();
    let (_, kept) = world.wait(pins(&places.own("first"))).unwrap().remove(0);
    let lost = kept.unwrap().objects[0].id;
    let own = places.own("first");
    world.wait(own.store().delete(&[own.layout().key(&lost)])).unwrap();

    let error = places.fork(&world, "second", None, "third").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!((places.pins(&world, "first"), places.pins(&world, "second")), (1, 0), "but for the first fork's");
    assert!(world.wait(identity(&places.own("third"))).unwrap().is_none());
}

/// Whoever makes it has listed the objects of the other volume before the fork gave them up.
#[test]
fn a_checkpoint_of_what_a_fork_has_just_given_up_is_none() {
    let (world, machine, places) = setup(22);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    let forked = places.fork(&world, "parent", None, "child").unwrap();
    let child = places.open(&machine, "child");
    put(&child, &[(2, 100)], 4, Level::Durable).unwrap();
    let earlier = places.place("child").context;
    world.wait(checkpoint(&earlier, "before", None, Some(forked.txid))).unwrap();
    world.wait(remove_checkpoint(&earlier, "before", false, &places)).unwrap();
    child.detach().unwrap();

    let error = world.wait(checkpoint(&earlier, "after", None, Some(forked.txid))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(places.pins(&world, "child"), 0);
}

#[test]
fn what_is_kept_for_a_fork_that_cannot_be_asked_for_stays_kept() {
    let (world, machine, places) = setup(23);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    let expected = marks(&parent);
    places.fork(&world, "parent", None, "child").unwrap();
    let own = places.own("parent");
    let (name, _) = world.wait(pins(&own)).unwrap().remove(0);
    // Its record is there, and cannot be read.
    let script = &places.remote("child").script;
    script.once(Op::Get, "volume.json", Fault::FailBefore);
    let error = world.wait(remove_checkpoint(&own, &name, false, &places)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(script.is_used_up());
    assert_eq!(places.pins(&world, "parent"), 1);
    assert_eq!(marks(&places.follow(&machine, "child")), expected);
}

#[test]
fn a_fork_is_not_made_over_what_somebody_else_has_written() {
    let (world, machine, places) = setup(24);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    let own = places.own("child");
    let replica = own.layout().key(&FileId::sync(Txid(1)));
    world.wait(own.store().put(&replica, vec![1].into())).unwrap();
    assert_eq!(places.fork(&world, "parent", None, "child").unwrap_err().kind(), ErrorKind::Conflict);
    assert!(world.wait(identity(&own)).unwrap().is_none());
}

#[test]
fn a_fork_has_nothing_to_collect_of_what_is_in_other_volumes() {
    let (world, machine, places) = setup(25);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = places.open(&machine, "child");
    busy(&world, &child, 20..40);
    for _ in 0..3 {
        child.compact().unwrap();
        world.run_for(5000);
    }
    assert_eq!(child.compact().unwrap().removed, 0);
}
