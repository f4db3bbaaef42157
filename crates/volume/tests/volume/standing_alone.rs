//! Forks that stop to read from the volume that they were made of: because they are told to, or by themselves.

use std::sync::Mutex;

use plimsoll_commitlog::{detaching_key, identity, mark_detached};
use plimsoll_model::{Epoch, ErrorKind, Level};
use plimsoll_pages::compact::Progress;
use plimsoll_store::{
    Store,
    fault::{Fault, Op, Rule},
};
use plimsoll_volume::{Config, DetachState, Reference, Snapshot, Volume, remove, remove_checkpoint};

use crate::{
    forks::{Places, R, busy, setup},
    world::{Machine, World, get, marks, put},
};

/// What is kept for two seconds can be relied upon for so long by a reader who looks ten times a second.
const PINNED_MS: u128 = 1300;
const SHORT: &[(&str, &str)] = &[
    ("compaction_levels_ms", "1000,2000"),
    ("l0_retention_ms", "2000"),
    ("retention_ms", "2000"),
    ("snapshot_interval_ms", "2000"),
    ("follow_interval_ms", "100"),
];

fn open(places: &Places, machine: &Machine, name: &str) -> Volume {
    Volume::open(places.config(machine, name, SHORT)).unwrap()
}

#[test]
fn a_fork_that_has_replaced_everything_stands_by_itself_once_nothing_of_before_is_kept() {
    let (world, machine, places) = setup(31);
    let parent = open(&places, &machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = open(&places, &machine, "child");
    child.checkpoint("early", None).unwrap();
    let early = marks(&child);
    busy(&world, &child, 100..150);
    assert_eq!(places.pins(&world, "parent"), 1, "a checkpoint of the fork is made of what the parent keeps");
    assert_eq!(marks(&places.follow(&world.machine("b"), "child"))[0], 149);
    let at = child.at(&Reference::Checkpoint("early".into())).unwrap();
    assert_eq!(at.page_count().pages().map(|page| get(&at, page.get())).collect::<Vec<_>>(), early);
    drop(at);

    world.wait(remove_checkpoint(&places.place("child").context, "early", false, &places)).unwrap();
    busy(&world, &child, 150..160);
    assert_eq!(places.pins(&world, "parent"), 0);
    // States within the retention are still there, and made of the fork's own.
    let recent = child.status().txid - 3;
    assert!(child.at(&Reference::Txid(plimsoll_model::Txid(recent))).is_ok());
    parent.close().unwrap();
    world.wait(remove(&places.own("parent"), R, false, &places)).unwrap();
    busy(&world, &child, 160..170);
    let expected = marks(&child);
    child.close().unwrap();
    assert_eq!(marks(&places.follow(&world.machine("c"), "child")), expected);
    assert_eq!(marks(&open(&places, &world.machine("d"), "child")), expected);
}

#[test]
fn a_follower_within_the_retention_does_not_notice_that_a_fork_stands_by_itself() {
    let (world, machine, places) = setup(32);
    let parent = open(&places, &machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = open(&places, &machine, "child");
    let config = places.config(&world.machine("b"), "child", SHORT);
    let follower = Volume::open(Config { read_only: true, ..config }).unwrap();
    let mut pinned = Vec::new();
    for mark in 100..170 {
        busy(&world, &child, mark..mark + 1);
        // A reader that stays with a state for nearly the whole retention, and reads it only then.
        pinned.push((world.now(), follower.snapshot().unwrap(), marks(&follower)));
        while pinned.first().is_some_and(|(since, ..)| (world.now() - *since).as_millis() >= PINNED_MS) {
            let (_, snapshot, expected) = pinned.remove(0);
            let found: Vec<u64> = snapshot.page_count().pages().map(|page| get(&snapshot, page.get())).collect();
            assert_eq!(found, expected);
        }
    }
    assert_eq!(places.pins(&world, "parent"), 0, "it stands by itself by now");
}

#[test]
fn a_fork_does_not_stand_by_itself_while_a_reader_of_its_own_process_needs_what_it_started_with() {
    let (world, machine, places) = setup(37);
    let parent = open(&places, &machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = open(&places, &machine, "child");
    let (early, expected) = (child.snapshot().unwrap(), marks(&child));
    busy(&world, &child, 100..150);
    assert_eq!(places.pins(&world, "parent"), 1);
    let found: Vec<u64> = early.page_count().pages().map(|page| get(&early, page.get())).collect();
    assert_eq!(found, expected);
    drop(early);
    busy(&world, &child, 150..160);
    assert_eq!(places.pins(&world, "parent"), 0);
}

#[test]
fn a_detaching_that_a_checkpoint_holds_up_leaves_the_fork_as_it_was() {
    let (world, machine, places) = setup(36);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = places.open(&machine, "child");
    put(&child, &[(1, 100)], 4, Level::Durable).unwrap();
    child.checkpoint("early", None).unwrap();
    assert_eq!(child.detach().unwrap_err().kind(), ErrorKind::Held);
    let own = places.own("child");
    assert!(
        world.wait(own.store().get(detaching_key())).unwrap().is_none(),
        "nobody is told that it is being detached"
    );
    child.detach_in_background().unwrap();
    world.run_for(60_000);
    let told = child.status().detaching.unwrap();
    assert_eq!(told.state, DetachState::Failed);
    assert!(told.error.as_ref().is_some_and(|why| why.contains("early")), "{told:?}");
    world.wait(remove_checkpoint(&places.place("child").context, "early", false, &places)).unwrap();
    child.detach_in_background().unwrap();
    world.run_for(60_000);
    let told = child.status().detaching.unwrap();
    assert_eq!((told.state, told.error), (DetachState::Done, None));
    assert_eq!(places.pins(&world, "parent"), 0);
}

#[test]
fn a_fork_that_cannot_tell_its_parent_that_it_stands_by_itself_tells_it_later() {
    let (world, machine, places) = setup(33);
    let parent = open(&places, &machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = open(&places, &machine, "child");
    let remote = places.remote("parent");
    let fault = Fault::FailBefore;
    remote.script.add(Rule { op: Some(Op::Delete), key_contains: "pins/".into(), fault, times: 1000 });
    busy(&world, &child, 100..150);
    assert!(world.wait(places.remote("child").get("detached.json")).unwrap().is_some());
    assert_eq!(places.pins(&world, "parent"), 1);
    remote.script.clear();
    busy(&world, &child, 150..165);
    assert_eq!(places.pins(&world, "parent"), 0);
}

#[test]
fn a_fork_whose_detaching_was_interrupted_ends_it_by_itself() {
    let (world, machine, places) = setup(34);
    let parent = open(&places, &machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = open(&places, &machine, "child");
    busy(&world, &child, 100..105);
    child.compact().unwrap();
    child.close().unwrap();
    // It died here, and nobody has looked for checkpoints yet.
    world.wait(mark_detached(&places.own("child"), Epoch(1))).unwrap();
    let child = open(&places, &machine, "child");
    assert_eq!(places.pins(&world, "parent"), 1);
    busy(&world, &child, 110..125);
    assert_eq!(places.pins(&world, "parent"), 0);
    let volume = world.wait(identity(&places.own("child"))).unwrap().unwrap();
    assert!(!volume.origins.is_empty(), "it still says what it was made of");
}

#[test]
fn detaching_tells_how_much_is_gathered_of_how_much() {
    let (world, machine, places) = setup(35);
    let parent = open(&places, &machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = open(&places, &machine, "child");
    put(&child, &[(1, 1)], 4, Level::Durable).unwrap();
    let seen: Mutex<Vec<Progress>> = Mutex::default();
    let done = child.detach_watched(&|progress| seen.lock().unwrap().push(progress)).unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted_by(|one, next| one.bytes <= next.bytes && one.of == next.of), "{seen:?}");
    let (first, last) = (seen.first().unwrap(), seen.last().unwrap());
    assert!(first.bytes == 0 && last.of > 0 && last.bytes == last.of, "{seen:?}");
    assert!(done.bytes > last.of, "what was gathered was uploaded: {done:?}, {seen:?}");
    assert_eq!(places.pins(&world, "parent"), 0);
    assert_eq!(child.detach_watched(&|_| panic!("there is nothing to do")).unwrap().txid, None);
    let refused = child.at(&Reference::Txid(plimsoll_model::Txid(3))).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

/// As [`busy`], with a volume of forty pages of which most are never touched.
fn busy_beside_much(world: &World, volume: &Volume, marks: std::ops::Range<u64>) {
    for mark in marks {
        put(volume, &[(1, mark), (2 + (mark % 3) as u32, mark)], 40, Level::Durable).unwrap();
        world.run_for(300);
    }
}

/// Merged all along, and a fork does not replace what it started with by itself.
const MERGED: &[(&str, &str)] = &[
    ("compaction_levels_ms", "1000,5000"),
    ("l0_retention_ms", "2000"),
    ("retention_ms", "2000"),
    ("cache_bytes_max", "0"),
];

/// A fork of a volume of forty pages.
fn fork_of_much(world: &World, places: &Places, machine: &Machine) -> Volume {
    let open = |name| Volume::open(places.config(machine, name, MERGED)).unwrap();
    let parent = open("parent");
    let everything: Vec<(u32, u64)> = (1..=40).map(|number| (number, u64::from(number))).collect();
    put(&parent, &everything, 40, Level::Durable).unwrap();
    busy_beside_much(world, &parent, 1..30);
    parent.close().unwrap();
    places.fork(world, "parent", None, "child").unwrap();
    let child = open("child");
    busy_beside_much(world, &child, 100..105);
    child
}

fn untouched(snapshot: &Snapshot) -> Vec<u64> {
    (5..=40).map(|number| get(snapshot, number)).collect()
}

/// What a process knew of where the pages of its fork are was true for ever, whatever another one did with the fork.
/// It read what was gone, and neither merged nor collected any more, until it was started again.
#[test]
fn a_process_reads_merges_and_collects_on_after_another_one_has_detached_its_fork_and_the_parent_is_gone() {
    let (world, machine, places) = setup(36);
    let long = fork_of_much(&world, &places, &machine);
    let held = long.snapshot().unwrap();
    // The operator's command.
    long.release().unwrap();
    let command = open(&places, &world.machine("b"), "child");
    command.detach().unwrap();
    command.close().unwrap();
    world.wait(remove(&places.own("parent"), R, false, &places)).unwrap();

    put(&long, &[(1, 200)], 40, Level::Durable).unwrap();
    let snapshot = long.snapshot().unwrap();
    // Pages that nobody has read here before.
    assert_eq!(untouched(&snapshot), (5..=40).collect::<Vec<u64>>());
    assert_eq!(untouched(&held), (5..=40).collect::<Vec<u64>>(), "also in a state from before");
    drop((snapshot, held));
    busy_beside_much(&world, &long, 201..240);
    let left = world.wait(places.remote("child").list("ltx/0/", None)).unwrap().len();
    assert!(left < 20, "{left} syncs, of which each should go after two seconds");
    assert_eq!(long.status().trouble, None);
    long.close().unwrap();
    assert_eq!(untouched(&places.follow(&world.machine("c"), "child").snapshot().unwrap())[35], 40);
}

/// The process that detached it was slow, and pushed aside meanwhile.
#[test]
fn a_writer_whose_fork_is_detached_under_it_finds_its_pages_where_they_are_now() {
    let (world, machine, places) = setup(37);
    let writer = fork_of_much(&world, &places, &machine);
    writer.release().unwrap();
    let command = open(&places, &world.machine("b"), "child");
    command.compact().unwrap();
    command.release().unwrap();
    put(&writer, &[(1, 300)], 40, Level::Durable).unwrap();
    let held = writer.snapshot().unwrap();
    world.wait(mark_detached(&places.own("child"), Epoch(1))).unwrap();
    let parent = places.remote("parent");
    let all: Vec<String> = world.wait(parent.list("", None)).unwrap().into_iter().map(|entry| entry.key).collect();
    world.wait(parent.delete(&all)).unwrap();

    put(&writer, &[(1, 301)], 40, Level::Durable).unwrap();
    assert_eq!(untouched(&writer.snapshot().unwrap()), (5..=40).collect::<Vec<u64>>());
    assert_eq!(untouched(&held), (5..=40).collect::<Vec<u64>>());
    // Once for all readers, not by each for itself.
    places.remote("child").asked();
    let again = writer.snapshot().unwrap();
    assert_eq!(untouched(&again), (5..=40).collect::<Vec<u64>>());
    let lists = places.remote("child").asked().into_iter().filter(|(op, _)| *op == Op::List).count();
    assert_eq!(lists, 0);
    busy_beside_much(&world, &writer, 302..330);
    let left = world.wait(places.remote("child").list("ltx/0/", None)).unwrap().len();
    assert!(left < 20, "{left} syncs, of which each should go after two seconds");
}

/// Whatever it reads there could be collected otherwise.
#[test]
fn a_fork_gives_up_what_its_parent_keeps_only_once_all_is_copied_and_that_is_written_down() {
    let (world, machine, places) = setup(36);
    let parent = open(&places, &machine, "parent");
    busy(&world, &parent, 1..20);
    places.fork(&world, "parent", None, "child").unwrap();
    let child = open(&places, &machine, "child");
    child.checkpoint("early", None).unwrap();
    put(&child, &[(1, 1)], 4, Level::Durable).unwrap();
    let expected = marks(&child);
    let remote = places.remote("child");
    let kept = |key: &str| world.wait(remote.get(key)).unwrap().is_some();
    assert_eq!(child.detach().unwrap_err().kind(), ErrorKind::Held);
    assert_eq!((kept("detached.json"), places.pins(&world, "parent")), (false, 1));
    world.wait(remove_checkpoint(&places.place("child").context, "early", false, &places)).unwrap();
    // Otherwise nothing would be left to copy.
    let copies = world.wait(remote.list("ltx/9/", None)).unwrap();
    world.wait(remote.delete(&copies.into_iter().map(|copy| copy.key).collect::<Vec<_>>())).unwrap();
    for step in ["ltx/9/", "detaching.json", "detached.json"] {
        let rule = Rule { op: None, key_contains: step.into(), fault: Fault::FailBefore, times: u32::MAX };
        remote.script.add(rule);
        child.detach().unwrap_err();
        remote.script.clear();
        assert_eq!(places.pins(&world, "parent"), 1, "{step}");
        assert_eq!((kept("detached.json"), marks(&child)), (false, expected.clone()), "{step}");
        let copied = world.wait(remote.list("ltx/9/", None)).unwrap().len();
        assert_eq!(copied > 0, step != "ltx/9/", "{step}");
    }
    // Its parent is asked last, and does not answer.
    let parents = places.remote("parent");
    parents.script.add(Rule {
        op: Some(Op::Delete),
        key_contains: "pins/".into(),
        fault: Fault::FailBefore,
        times: u32::MAX,
    });
    child.detach().unwrap_err();
    parents.script.clear();
    assert!(kept("detached.json"));
    assert_eq!(places.pins(&world, "parent"), 1);
    child.detach().unwrap();
    assert_eq!((places.pins(&world, "parent"), marks(&child)), (0, expected));
}
