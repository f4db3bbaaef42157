//! Removing volumes, forks and pins while others are making or using them.

use std::time::Duration;

use futures::future::join;
use plimsoll_commitlog::{epoch_key, identity, mark_detached, mark_removed, pins};
use plimsoll_model::{Epoch, ErrorKind, Level};
use plimsoll_store::{
    Store,
    fault::{Fault, Op, Rule},
};
use plimsoll_volume::{Reference, Volume, fork, remove, remove_checkpoint};

use crate::{
    forks::{R, busy, setup},
    world::{marks, put},
};

#[test]
fn of_a_fork_and_a_removal_at_the_same_time_at_most_one_succeeds() {
    let mut outcomes = [0, 0];
    for delay in 0..24 {
        let (world, machine, places) = setup(8);
        let parent = places.open(&machine, "parent");
        busy(&world, &parent, 1..10);
        let expected = marks(&parent);
        parent.close().unwrap();
        let request = Duration::from_millis(10);
        for name in ["parent", "child"] {
            places.remote(name).set_latency(10);
        }
        // Every other time a fork may come into being between the look for forks and the mark.
        let slow = Fault::Delay(request * 4 * (delay % 2));
        places.remote("parent").script.add(Rule {
            op: Some(Op::Put),
            key_contains: "volume.json".into(),
            fault: slow,
            times: 1,
        });
        let (own, from, to) = (places.own("parent"), places.place("parent"), places.place("child"));
        let clock = machine.host().clock;
        let removal = async {
            clock.sleep(request * delay / 2).await;
            remove(&own, R, false, &places).await
        };
        let (forked, removed) = world.wait(join(fork(&from, None, &to, &places), removal));
        assert!(forked.is_err() || removed.is_err(), "after {delay} half requests both succeeded");
        outcomes[0] += u32::from(forked.is_ok());
        outcomes[1] += u32::from(removed.is_ok());
        match forked {
            Ok(_) => assert_eq!(marks(&places.follow(&machine, "child")), expected),
            Err(_) => assert!(world.wait(identity(&places.own("child"))).unwrap().is_none()),
        }
    }
    assert!(outcomes.iter().all(|times| *times > 0), "{outcomes:?}");
}

#[test]
fn of_a_fork_and_the_removal_of_its_pin_at_the_same_time_at_most_one_succeeds() {
    let mut outcomes = [0, 0];
    for delay in 0..24 {
        let (world, machine, places) = setup(9);
        let parent = places.open(&machine, "parent");
        busy(&world, &parent, 1..10);
        let expected = marks(&parent);
        parent.close().unwrap();
        let request = Duration::from_millis(10);
        for name in ["parent", "child"] {
            places.remote(name).set_latency(10);
        }
        let slow = Fault::Delay(request * 4 * (delay % 3));
        places.remote("child").script.add(Rule {
            op: Some(Op::Create),
            key_contains: "volume.json".into(),
            fault: slow,
            times: 1,
        });
        let (own, from, to) = (places.own("parent"), places.place("parent"), places.place("child"));
        let clock = machine.host().clock;
        let removal = async {
            let pin = loop {
                if let Some((name, _)) = pins(&own).await?.into_iter().next() {
                    break name;
                }
            };
            clock.sleep(request * delay / 3).await;
            remove_checkpoint(&own, &pin, false, &places).await
        };
        let (forked, removed) = world.wait(join(fork(&from, None, &to, &places), removal));
        assert!(forked.is_err() || removed.is_err(), "after {delay} thirds of a request both succeeded");
        outcomes[0] += u32::from(forked.is_ok());
        outcomes[1] += u32::from(removed.is_ok());
        match forked {
            Ok(_) => {
                assert_eq!(places.pins(&world, "parent"), 1);
                assert_eq!(marks(&places.follow(&machine, "child")), expected);
            }
            Err(_) => assert!(world.wait(places.remote("child").get("volume.json")).unwrap().is_none()),
        }
    }
    assert!(outcomes.iter().all(|times| *times > 0), "{outcomes:?}");
}

#[test]
fn what_a_removal_has_left_that_died_half_way_is_not_opened() {
    let (world, machine, places) = setup(15);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    parent.close().unwrap();
    let script = &places.remote("parent").script;
    script.add(Rule { op: Some(Op::Delete), key_contains: "ltx/".into(), fault: Fault::FailBefore, times: u32::MAX });
    assert!(world.wait(remove(&places.own("parent"), R, false, &places)).is_err());
    let opened = Volume::open(places.config(&world.machine("b"), "parent", &[]));
    assert_eq!(opened.err().unwrap().kind(), ErrorKind::NotFound);
    script.clear();
    world.wait(remove(&places.own("parent"), R, false, &places)).unwrap();
}

#[test]
fn a_removal_leaves_alone_what_is_below_the_volume_and_is_not_of_it() {
    let (world, machine, places) = setup(10);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    parent.checkpoint("kept", None).unwrap();
    parent.close().unwrap();
    let remote = places.remote("parent");
    let others = [
        "notes.txt",
        "staging/0000/0000000000000001-0000000000000001.ltx",
        "staging/pins/kept.json",
        "staging/volume.json",
    ];
    for key in others {
        world.wait(remote.put(key, vec![1].into())).unwrap();
    }
    world.wait(remove(&places.own("parent"), R, false, &places)).unwrap();
    let left: Vec<String> = world.wait(remote.list("", None)).unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(left, others);
}

/// Between its epoch and its first sign of life it may have looked for the mark of a removal already.
#[test]
fn a_volume_that_is_just_being_opened_for_writing_is_not_removed() {
    let (world, machine, places) = setup(12);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    parent.close().unwrap();
    let remote = places.remote("parent");
    let taken = world.wait(remote.list("epoch/", None)).unwrap().len() as u32;
    world.wait(remote.put(&epoch_key(Epoch(taken + 1)), b"{}".to_vec().into())).unwrap();
    let own = places.own("parent");
    let held = Duration::from_secs(60);
    let error = world.wait(remove(&own, held, false, &places)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held, "{error}");
    assert!(!world.wait(identity(&own)).unwrap().unwrap().removed);
    world.wait(machine.host().clock.sleep(held));
    world.wait(remove(&own, held, false, &places)).unwrap();
}

/// The one that made the mark may have died before it looked for whoever opened the volume in between.
#[test]
fn a_removal_that_goes_on_from_another_ones_mark_asks_who_holds_the_volume() {
    let (world, machine, places) = setup(13);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    let own = places.own("parent");
    let volume = world.wait(identity(&own)).unwrap().unwrap();
    world.wait(mark_removed(&own, &volume, true)).unwrap();
    let held = Duration::from_secs(60);
    let error = world.wait(remove(&own, held, false, &places)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held, "{error}");
    // The mark is not ours to take back.
    assert_eq!(world.wait(identity(&own)).unwrap_err().kind(), ErrorKind::NotFound);
    parent.close().unwrap();
    world.wait(remove(&own, held, false, &places)).unwrap();
}

#[test]
fn whoever_has_a_volume_open_that_was_removed_commits_nothing_to_it() {
    let (world, machine, places) = setup(11);
    let volume = places.open(&machine, "parent");
    busy(&world, &volume, 1..10);
    volume.release().unwrap();
    world.wait(remove(&places.own("parent"), R, false, &places)).unwrap();
    let error = put(&volume, &[(1, 99)], 4, Level::Durable).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    // Nor if there is another one by now.
    let other = places.open(&world.machine("b"), "parent");
    busy(&world, &other, 1..20);
    other.release().unwrap();
    let error = put(&volume, &[(1, 99)], 4, Level::Durable).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(marks(&places.follow(&world.machine("c"), "parent"))[0], 19);
}

#[test]
fn a_detach_that_died_before_it_looked_at_checkpoints_loses_none_when_it_is_repeated() {
    let (world, machine, places) = setup(12);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = places.open(&machine, "child");
    let early = marks(&child);
    child.checkpoint("early", None).unwrap();
    busy(&world, &child, 100..110);
    child.compact().unwrap();
    child.close().unwrap();
    world.wait(mark_detached(&places.own("child"), Epoch(1))).unwrap();
    let child = places.open(&machine, "child");
    let held = child.detach().unwrap_err();
    assert!(held.kind() == ErrorKind::Held && held.to_string().contains("early"), "{held}");
    assert_eq!(places.pins(&world, "parent"), 1);
    let at = child.at(&Reference::Checkpoint("early".into())).unwrap();
    let found: Vec<u64> = at.page_count().pages().map(|page| crate::world::get(&at, page.get())).collect();
    assert_eq!(found, early);
}
