//! Volumes that start as a state of another one, without copying its data.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use plimsoll_commitlog::{Context, pins};
use plimsoll_host::Host;
use plimsoll_ltx::Layout;
use plimsoll_model::{Error, ErrorKind, Level, Result, Txid};
use plimsoll_pages::list;
use plimsoll_store::{
    MemoryStore, Store,
    fault::{Fault, Op, Rule},
};
use plimsoll_volume::{
    Config, Elsewhere, Forked, OriginStore, Place, Reference, Volume, fork, remove, remove_checkpoint,
};

use crate::{
    remote::Remote,
    requests::fill,
    world::{Machine, World, get, marks, put},
};

const SHORT: &[(&str, &str)] =
    &[("compaction_levels_ms", "1000,5000"), ("l0_retention_ms", "2000"), ("retention_ms", "2000")];
pub(crate) const R: Duration = Duration::from_secs(2);

/// Several volumes in one world, by name.
#[derive(Clone)]
pub(crate) struct Places {
    shelves: Arc<Mutex<BTreeMap<String, Remote>>>,
    host: Host,
}

impl Elsewhere for Places {
    fn store(&self, url: &str) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.remote(url)))
    }
}

impl Places {
    pub(crate) fn new(machine: &Machine) -> Self {
        Places { shelves: Arc::default(), host: machine.host() }
    }

    pub(crate) fn remote(&self, name: &str) -> Remote {
        let clock = Arc::clone(&self.host.clock);
        let shelf = || Remote::new(MemoryStore::private(Arc::clone(&clock)), Arc::clone(&clock));
        self.shelves.lock().unwrap().entry(name.to_owned()).or_insert_with(shelf).clone()
    }

    pub(crate) fn place(&self, name: &str) -> Place {
        let store = Arc::new(OriginStore::new(Arc::new(self.remote(name)), Arc::new(self.clone())));
        Place { context: Context::new(self.host.clone(), store, R), address: name.to_owned() }
    }

    pub(crate) fn own(&self, name: &str) -> Context {
        Context::new(self.host.clone(), Arc::new(self.remote(name)), R)
    }

    pub(crate) fn config(&self, machine: &Machine, name: &str, values: &[(&str, &str)]) -> Config {
        let config = machine.config(values);
        let dir = format!("/state/{name}").into();
        Config { store: Arc::new(self.remote(name)), elsewhere: Arc::new(self.clone()), dir, ..config }
    }

    pub(crate) fn open(&self, machine: &Machine, name: &str) -> Volume {
        Volume::open(self.config(machine, name, SHORT)).unwrap()
    }

    pub(crate) fn follow(&self, machine: &Machine, name: &str) -> Volume {
        Volume::open(Config { read_only: true, ..self.config(machine, name, SHORT) }).unwrap()
    }

    pub(crate) fn fork(&self, world: &World, parent: &str, at: Option<&Reference>, child: &str) -> Result<Forked> {
        world.wait(fork(&self.place(parent), at, &self.place(child), self))
    }

    pub(crate) fn pins(&self, world: &World, name: &str) -> usize {
        world.wait(pins(&self.own(name))).unwrap().len()
    }
}

pub(crate) fn setup(seed: u64) -> (World, Machine, Places) {
    let world = World::new(seed);
    let machine = world.machine("a");
    let places = Places::new(&machine);
    (world, machine, places)
}

/// Commits marks, with merges all along.
pub(crate) fn busy(world: &World, volume: &Volume, marks: std::ops::Range<u64>) {
    for mark in marks {
        put(volume, &[(1, mark), (2 + (mark % 3) as u32, mark)], 4, Level::Durable).unwrap();
        world.run_for(300);
    }
}

#[test]
fn a_fork_starts_as_the_state_of_its_parent_and_both_go_their_own_ways() {
    let (world, machine, places) = setup(1);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    let forked = places.fork(&world, "parent", None, "child").unwrap();
    assert_eq!(forked.txid, Txid(parent.status().txid));
    let at_fork = marks(&parent);
    let child = places.open(&machine, "child");
    assert_eq!(marks(&child), at_fork);
    put(&child, &[(2, 1000)], 5, Level::Durable).unwrap();
    assert!(child.status().txid > forked.txid.0);
    busy(&world, &parent, 20..60);
    parent.compact().unwrap();
    let mut expected = at_fork;
    expected[1] = 1000;
    expected.push(0);
    assert_eq!(marks(&child), expected);
    assert_eq!(marks(&places.follow(&world.machine("b"), "child")), expected, "without a cache");
    assert_eq!(get(&parent.snapshot().unwrap(), 1), 59);
    child.close().unwrap();
    assert_eq!(marks(&places.open(&machine, "child")), expected);
}

#[test]
fn a_fork_of_an_old_state_is_read_and_written_long_after_its_parent_has_merged_everything() {
    let (world, machine, places) = setup(2);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..12);
    parent.checkpoint("old", None).unwrap();
    let old = marks(&parent);
    busy(&world, &parent, 12..40);
    parent.compact().unwrap();
    busy(&world, &parent, 40..60);
    let at = Reference::Checkpoint("old".into());
    places.fork(&world, "parent", Some(&at), "child").unwrap();
    world.wait(remove_checkpoint(&places.own("parent"), "old", false, &places)).unwrap();
    busy(&world, &parent, 60..80);
    parent.compact().unwrap();
    let child = places.open(&world.machine("b"), "child");
    assert_eq!(marks(&child), old);
    busy(&world, &child, 100..140);
    child.compact().unwrap();
    busy(&world, &child, 140..150);
    let newest = marks(&child);
    assert_eq!(newest[0], 149);
    assert_eq!(marks(&places.follow(&world.machine("c"), "child")), newest);
    let error = places.fork(&world, "parent", Some(&at), "other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = places.fork(&world, "parent", Some(&Reference::Txid(Txid(3))), "other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(places.fork(&world, "parent", None, "child").unwrap_err().kind(), ErrorKind::Conflict);
    // Nor does the child need anything by now: it has a snapshot of its own, older than what is kept.
    assert_eq!(places.pins(&world, "parent"), 0, "an attempt that failed leaves nothing behind");
}

#[test]
fn a_follower_keeps_up_with_a_fork() {
    let (world, machine, places) = setup(3);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let follower = places.follow(&world.machine("b"), "child");
    assert_eq!(get(&follower.snapshot().unwrap(), 1), 19);
    let child = places.open(&machine, "child");
    for mark in 100..130 {
        busy(&world, &child, mark..mark + 1);
        follower.refresh().unwrap();
        assert_eq!(get(&follower.snapshot().unwrap(), 1), mark);
    }
    child.compact().unwrap();
    world.run_for(10_000);
    follower.refresh().unwrap();
    assert_eq!(marks(&follower), marks(&child));
}

#[test]
fn a_fork_of_a_fork_reads_from_both_and_needs_the_one_between_no_longer_than_its_objects() {
    let (world, machine, places) = setup(4);
    let first = places.open(&machine, "first");
    busy(&world, &first, 1..10);
    places.fork(&world, "first", None, "second").unwrap();
    // Nothing was written in between: the third reads from the first alone.
    places.fork(&world, "second", None, "twin").unwrap();
    assert_eq!((places.pins(&world, "first"), places.pins(&world, "second")), (2, 0));
    let second = places.open(&machine, "second");
    put(&second, &[(2, 500)], 4, Level::Durable).unwrap();
    let expected = marks(&second);
    places.fork(&world, "second", None, "third").unwrap();
    assert_eq!((places.pins(&world, "first"), places.pins(&world, "second")), (3, 1));
    busy(&world, &first, 10..40);
    first.compact().unwrap();
    busy(&world, &second, 600..640);
    second.compact().unwrap();
    let third = places.open(&world.machine("b"), "third");
    assert_eq!(marks(&third), expected);
    put(&third, &[(1, 900)], 4, Level::Durable).unwrap();
    third.detach().unwrap();
    assert_eq!((places.pins(&world, "first"), places.pins(&world, "second")), (2, 0));
    assert_eq!(get(&places.follow(&world.machine("c"), "third").snapshot().unwrap(), 2), 500);
    assert_eq!(marks(&places.open(&machine, "twin"))[0], 9);
}

#[test]
fn a_fork_of_a_fork_starts_as_any_state_that_the_one_between_has_from_its_own_parent() {
    let (world, machine, places) = setup(14);
    let open = |machine: &Machine, name: &str| Volume::open(places.config(machine, name, &[])).unwrap();
    let first = open(&machine, "first");
    for mark in 1..8 {
        put(&first, &[(1, mark)], mark as u32, Level::Durable).unwrap();
    }
    places.fork(&world, "first", None, "second").unwrap();
    let second = open(&machine, "second");
    for mark in 101..105 {
        put(&second, &[(1, mark)], 9, Level::Durable).unwrap();
    }
    places.fork(&world, "second", None, "third").unwrap();
    // Within what the third has of the first, and of the second, and where each of them begins by itself.
    for txid in [5, 7, 8, 10, 12, 13] {
        let (name, at) = (format!("at-{txid}"), Reference::Txid(Txid(txid)));
        let forked = places.fork(&world, "third", Some(&at), &name).unwrap();
        let parent = open(&machine, "third");
        let snapshot = parent.at(&at).unwrap();
        let expected: Vec<u64> = snapshot.page_count().pages().map(|page| get(&snapshot, page.get())).collect();
        let child = open(&world.machine("b"), &name);
        assert_eq!((forked.txid, marks(&child)), (Txid(txid), expected.clone()), "{txid}");
        put(&child, &[(1, 900)], 3, Level::Durable).unwrap();
        child.detach().unwrap();
        let count = expected.len().min(3);
        assert_eq!(marks(&places.follow(&world.machine("c"), &name))[1..count], expected[1..count], "{txid}");
    }
}

#[test]
fn a_fork_is_read_whatever_the_clock_of_its_parents_store_says() {
    let (world, machine, places) = setup(15);
    let parent = Volume::open(places.config(&machine, "parent", &[])).unwrap();
    for mark in 1..8 {
        put(&parent, &[(1, mark)], 2, Level::Durable).unwrap();
    }
    places.fork(&world, "parent", None, "child").unwrap();
    // As after a restore of the parent's bucket from a backup.
    world.run_for(60_000);
    let remote = places.remote("parent");
    for entry in world.wait(remote.list("", None)).unwrap() {
        let object = world.wait(remote.get(&entry.key)).unwrap().unwrap();
        world.wait(remote.put(&entry.key, object.bytes.into())).unwrap();
    }
    assert_eq!(marks(&places.follow(&world.machine("b"), "child")), [7, 0]);
}

#[test]
fn a_fork_merges_its_syncs_though_only_the_levels_above_have_what_it_started_with() {
    let (world, machine, places) = setup(16);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    parent.compact().unwrap();
    places.fork(&world, "parent", None, "child").unwrap();
    let rare = [("compaction_levels_ms", "1000,3600000")];
    let child = Volume::open(places.config(&machine, "child", &rare)).unwrap();
    busy(&world, &child, 100..110);
    world.run_for(2000);
    let own = world.wait(list(&(Arc::new(places.remote("child")) as Arc<dyn Store>), Layout::Other)).unwrap();
    assert!(own.level(1).next().is_some(), "{:?}", own.files);
}

#[test]
fn a_detached_fork_is_opened_and_removed_without_asking_for_what_it_was_made_of() {
    let (world, machine, places) = setup(17);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = places.open(&machine, "child");
    child.detach().unwrap();
    let expected = marks(&child);
    child.close().unwrap();
    places.remote("parent").set_down(true);
    assert_eq!(marks(&places.follow(&world.machine("b"), "child")), expected, "it refuses");
    places.remote("parent").set_down(false);
    places.remote("parent").set_latency(3_600_000);
    let before = world.now();
    assert_eq!(marks(&places.follow(&world.machine("c"), "child")), expected, "it does not answer");
    assert!(world.now() - before < Duration::from_secs(3600));
    places.remote("parent").set_latency(0);
    places.remote("parent").set_down(true);
    world.wait(remove(&places.own("child"), R, false, &places)).unwrap();
}

#[test]
fn a_detached_fork_stands_by_itself() {
    let (world, machine, places) = setup(5);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = places.open(&machine, "child");
    busy(&world, &child, 100..110);
    child.checkpoint("early", None).unwrap();
    let held = child.detach().unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Held);
    assert!(held.to_string().contains("early"), "{held}");
    assert_eq!(places.pins(&world, "parent"), 1);
    world.wait(remove_checkpoint(&places.place("child").context, "early", false, &places)).unwrap();
    assert!(child.detach().unwrap().txid.is_some());
    assert_eq!(places.pins(&world, "parent"), 0);
    assert_eq!(child.detach().unwrap().txid, None);
    child.checkpoint("late", None).unwrap();
    parent.close().unwrap();
    assert!(world.wait(remove(&places.own("parent"), R, false, &places)).unwrap() > 0);
    busy(&world, &child, 110..140);
    let newest = marks(&child);
    child.close().unwrap();
    assert_eq!(marks(&places.follow(&world.machine("b"), "child")), newest);
    let child = places.open(&world.machine("c"), "child");
    busy(&world, &child, 140..160);
    child.compact().unwrap();
    assert_eq!(marks(&child)[0], 159);
}

#[test]
fn a_volume_with_living_forks_is_not_removed_and_half_a_volume_is_not_opened() {
    let (world, machine, places) = setup(6);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = places.open(&machine, "child");
    put(&child, &[(2, 500)], 4, Level::Durable).unwrap();
    child.close().unwrap();
    let own = places.own("parent");
    let held = Duration::from_secs(3600);
    let error = world.wait(remove(&own, held, false, &places)).unwrap_err();
    assert!(error.kind() == ErrorKind::Held && error.to_string().contains("holds it for writing"), "{error}");
    parent.close().unwrap();
    let error = world.wait(remove(&own, held, false, &places)).unwrap_err();
    assert!(error.kind() == ErrorKind::Held && error.to_string().contains("child"), "{error}");
    let pin = world.wait(pins(&own)).unwrap()[0].0.clone();
    let error = world.wait(remove_checkpoint(&own, &pin, false, &places)).unwrap_err();
    assert!(error.kind() == ErrorKind::Held && error.to_string().contains("child"), "{error}");

    // The fork goes first. Until something of it is gone it is read, and never written to once it is decided.
    let remote = places.remote("child");
    let fails = |key: &str| {
        let fault = Fault::FailBefore;
        remote.script.add(Rule { op: Some(Op::Delete), key_contains: key.to_owned(), fault, times: 1000 });
        assert!(world.wait(remove(&places.own("child"), held, false, &places)).is_err());
        remote.script.clear();
    };
    fails("volume.json");
    let child = places.open(&world.machine("b"), "child");
    assert_eq!(marks(&child)[0], 9);
    assert_eq!(put(&child, &[(1, 99)], 4, Level::Durable).err().unwrap().kind(), ErrorKind::NotFound);
    fails("ltx/");
    for name in ["b", "c"] {
        let opened = Volume::open(places.config(&world.machine(name), "child", SHORT));
        assert_eq!(opened.err().unwrap().kind(), ErrorKind::NotFound);
    }
    fails("epoch/");
    let opened = Volume::open(places.config(&world.machine("d"), "child", SHORT));
    assert_eq!(opened.err().unwrap().kind(), ErrorKind::NotFound);
    let forked = places.fork(&world, "parent", None, "child").unwrap_err();
    assert_eq!(forked.kind(), ErrorKind::NotFound, "{forked}");
    world.wait(remove(&places.own("child"), held, false, &places)).unwrap();
    assert_eq!(places.pins(&world, "parent"), 0);
    world.wait(remove(&own, held, false, &places)).unwrap();
    let again = world.wait(remove(&own, held, false, &places)).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
}

#[test]
fn a_fork_that_fails_has_nobody_keep_anything() {
    let (world, machine, places) = setup(18);
    let first = places.open(&machine, "first");
    busy(&world, &first, 1..5);
    places.fork(&world, "first", None, "second").unwrap();
    let second = places.open(&machine, "second");
    put(&second, &[(2, 500)], 4, Level::Durable).unwrap();
    let script = places.remote("second").script;
    let fault = Fault::FailBefore;
    script.add(Rule { op: Some(Op::Create), key_contains: "pins/".into(), fault, times: 1000 });
    places.fork(&world, "second", None, "third").unwrap_err();
    script.clear();
    assert_eq!((places.pins(&world, "first"), places.pins(&world, "second")), (1, 0));
    places.fork(&world, "second", None, "third").unwrap();
    assert_eq!((places.pins(&world, "first"), places.pins(&world, "second")), (2, 1));
}

#[test]
fn a_fork_whose_parent_was_replaced_is_not_read_as_something_else() {
    let (world, machine, places) = setup(7);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    places.fork(&world, "parent", None, "child").unwrap();
    parent.close().unwrap();
    world.wait(remove(&places.own("parent"), R, true, &places)).unwrap();
    let other = places.open(&world.machine("b"), "parent");
    busy(&world, &other, 1..10);
    let error: Error = Volume::open(places.config(&machine, "child", SHORT)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("another volume is now"), "{error}");
}

#[test]
fn a_fork_costs_the_same_after_ten_syncs_and_after_nine_hundred_and_opens_one_round_trip_later() {
    let mut costs = Vec::new();
    for syncs in [10, 900] {
        let (world, machine, places) = setup(8);
        let parent = Volume::open(places.config(&machine, "parent", &[])).unwrap();
        for mark in 1..=syncs {
            put(&parent, &[(1, mark)], 1, Level::Durable).unwrap();
        }
        let remotes = [places.remote("parent"), places.remote("child")];
        for remote in &remotes {
            remote.asked();
            remote.set_latency(20);
        }
        let before = world.now();
        places.fork(&world, "parent", None, "child").unwrap();
        let asked: usize = remotes.iter().map(|remote| remote.asked().len()).sum();
        costs.push((asked, world.now() - before));
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0].1.as_millis() <= 200, "{costs:?}");

    let (world, machine, places) = setup(9);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let opening = |name: &str, host: &str| {
        for remote in ["parent", "child"] {
            places.remote(remote).set_latency(20);
        }
        let before = world.now();
        let volume = places.follow(&world.machine(host), name);
        assert_eq!(get(&volume.snapshot().unwrap(), 1), 19);
        (world.now() - before).as_millis()
    };
    let (first, second) = (opening("parent", "b"), opening("child", "c"));
    assert!(second <= first + 20, "{first} ms, {second} ms");
}

#[test]
fn a_fork_takes_eight_round_trips_and_of_a_checkpoint_ten() {
    let (world, machine, places) = setup(31);
    let parent = places.open(&machine, "parent");
    fill(&world, &parent, 3000);
    put(&parent, &[(2, 1)], 3000, Level::Durable).unwrap();
    parent.checkpoint("named", None).unwrap();
    put(&parent, &[(1, 1)], 3000, Level::Durable).unwrap();
    parent.close().unwrap();
    let trips = |at: Option<Reference>, child: &str| {
        for name in ["parent", child] {
            places.remote(name).set_latency(1000);
        }
        let before = world.now();
        places.fork(&world, "parent", at.as_ref(), child).unwrap();
        (world.now() - before).as_secs()
    };
    assert_eq!(trips(None, "newest"), 8, "{:?}", places.remote("parent").asked());
    assert_eq!(
        trips(Some(Reference::Checkpoint("named".into())), "earlier"),
        10,
        "{:?}",
        places.remote("parent").asked()
    );
}
