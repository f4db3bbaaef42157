//! Removing volumes, forks and pins while others are making or using them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join;
use plimsoll_commitlog::{
    Context, announce_removal, decide_removal, epoch_key, identity, look, mark_detaching, pins, read_pin,
};
use plimsoll_model::{Epoch, ErrorKind, Level, Result};
use plimsoll_pages::compact::Retention;
use plimsoll_store::{
    Body, Created, Entry, Object, RetryPolicy, RetryStore, Store, Tail,
    fault::{Fault, Op, Rule},
};
use plimsoll_volume::{Elsewhere, Losses, Reference, Volume, checkpoint, fork, remove, remove_checkpoint, usage};

use crate::{
    forks::{Places, R, busy, setup},
    remote::Remote,
    world::{get, marks, put},
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
        // Every other time a fork may come into being between the look for forks and the announcement.
        let slow = Fault::Delay(request * 4 * (delay % 2));
        places.remote("parent").script.add(Rule {
            op: Some(Op::Create),
            key_contains: "epoch/".into(),
            fault: slow,
            times: 1,
        });
        let (own, from, to) = (places.own("parent"), places.place("parent"), places.place("child"));
        let clock = machine.host().clock;
        let removal = async {
            clock.sleep(request * delay / 2).await;
            remove(&own, R, false, &places).await
        };
        let forking = async {
            clock.sleep(request * 6).await;
            fork(&from, None, &to, &places).await
        };
        let (forked, removed) = world.wait(join(forking, removal));
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
    // So that a writer of the volume that wakes up later finds out.
    let (stays, left): (Vec<String>, Vec<String>) = left.into_iter().partition(|key| key.starts_with("epoch/"));
    assert_eq!((stays.len(), left), (1, others.map(str::to_owned).to_vec()));
}

#[test]
fn a_removal_that_is_not_decided_harms_nobody_and_is_repeated_with_every_check() {
    let (world, machine, places) = setup(14);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    places.fork(&world, "parent", None, "child").unwrap();
    parent.close().unwrap();
    let (own, child) = (places.own("parent"), places.own("child"));
    let announce = |context| {
        let standing = world.wait(look(context)).unwrap();
        (world.wait(announce_removal(context, &standing)).unwrap().unwrap(), standing.volume.unwrap())
    };
    // A fork that may not be removed after all keeps what it reads.
    let (epoch, volume) = announce(&child);
    for force in [false, false] {
        assert_eq!(world.wait(remove(&own, R, force, &places)).unwrap_err().kind(), ErrorKind::Held);
        let pin = world.wait(pins(&own)).unwrap()[0].0.clone();
        let kept = world.wait(remove_checkpoint(&own, &pin, force, &places)).unwrap_err();
        assert_eq!(kept.kind(), ErrorKind::Held);
    }
    // Whoever opens it goes on at once, and the removal finds that out.
    let opened = places.open(&machine, "child");
    put(&opened, &[(1, 77)], 4, Level::Durable).unwrap();
    assert!(!world.wait(decide_removal(&child, epoch, &volume)).unwrap());
    let again = world.wait(remove(&child, Duration::from_secs(3600), false, &places)).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Held, "the second try looks who holds it");
    put(&opened, &[(1, 78)], 4, Level::Durable).unwrap();
    opened.close().unwrap();
    assert_eq!(marks(&places.follow(&world.machine("b"), "child"))[0], 78);
    // One whose answers were all lost is forgotten.
    let fault = Fault::AppliedButNoAnswer;
    let script = places.remote("child").script;
    script.add(Rule { op: Some(Op::Create), key_contains: "epoch/".into(), fault, times: 4 });
    world.wait(remove(&child, R, false, &places)).unwrap_err();
    script.clear();
    let opened = places.open(&machine, "child");
    put(&opened, &[(1, 79)], 4, Level::Durable).unwrap();
    opened.close().unwrap();
    world.wait(remove(&child, R, false, &places)).unwrap();
    world.wait(remove(&own, R, false, &places)).unwrap();
}

#[test]
fn what_was_removed_is_made_anew_and_removed_again_with_ever_higher_epochs() {
    let (world, machine, places) = setup(15);
    let own = places.own("parent");
    let mut last = Epoch::ZERO;
    for round in 1..4 {
        let volume = places.open(&world.machine(&format!("host {round}")), "parent");
        busy(&world, &volume, round * 100..round * 100 + 9);
        assert_eq!(marks(&places.follow(&machine, "parent"))[0], round * 100 + 8);
        assert_eq!(volume.take_over().unwrap(), Losses::default(), "nothing is lost by a removal");
        volume.close().unwrap();
        let epoch = world.wait(look(&own)).unwrap().epoch;
        assert!(epoch > last);
        last = epoch;
        world.wait(remove(&own, R, false, &places)).unwrap();
        assert_eq!(world.wait(remove(&own, R, false, &places)).unwrap_err().kind(), ErrorKind::NotFound);
    }
    // Also as a fork.
    let other = places.open(&machine, "other");
    busy(&world, &other, 1..5);
    places.fork(&world, "other", None, "parent").unwrap();
    let volume = places.open(&machine, "parent");
    busy(&world, &volume, 5..8);
    assert_eq!(marks(&volume)[0], 7);
}

/// A store that says that it has created what it has overwritten.
struct Careless(Remote);

#[async_trait]
impl Store for Careless {
    fn url(&self) -> &str {
        self.0.url()
    }
    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        self.0.put(key, body).await.map(|()| Created::New)
    }
    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.0.put(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.0.get(key).await
    }
    async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Option<Bytes>> {
        self.0.get_range(key, range).await
    }
    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.0.get_tail(key, bytes).await
    }
    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        self.0.list(folder, after).await
    }
    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.0.delete(keys).await
    }
    fn s3_layout(&self) -> bool {
        self.0.s3_layout()
    }
}

struct CarelessPlaces(Places);

impl Elsewhere for CarelessPlaces {
    fn store(&self, url: &str) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(Careless(self.0.remote(url))))
    }
}

#[test]
fn where_creates_are_not_exclusive_no_live_fork_and_no_checkpoint_is_replaced() {
    let (world, machine, places) = setup(16);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    places.fork(&world, "parent", None, "child").unwrap();
    let expected = marks(&places.follow(&machine, "child"));
    let careless = CarelessPlaces(places.clone());
    let context = Context::new(machine.host(), careless.store("parent").unwrap(), R).unfenced(true);
    let pin = world.wait(pins(&context)).unwrap()[0].0.clone();
    let error = world.wait(remove_checkpoint(&context, &pin, false, &careless)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Held, "{error}");
    assert_eq!(marks(&places.follow(&world.machine("b"), "child")), expected);
    let made = world.wait(checkpoint(&context, "mine", None, None)).unwrap();
    busy(&world, &parent, 10..12);
    let taken = world.wait(checkpoint(&context, "mine", None, None)).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict, "{taken}");
    assert_eq!(world.wait(read_pin(&**context.store(), "mine")).unwrap(), Some(made));
}

/// It has taken an epoch, and not yet said that it is alive.
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
    assert!(world.wait(identity(&own)).unwrap().is_some());
    world.wait(machine.host().clock.sleep(held));
    world.wait(remove(&own, held, false, &places)).unwrap();
}

#[test]
fn whoever_has_a_volume_open_that_was_removed_commits_nothing_to_it() {
    let (world, machine, places) = setup(11);
    let volume = places.open(&machine, "parent");
    busy(&world, &volume, 1..10);
    volume.release().unwrap();
    world.wait(remove(&places.own("parent"), R, false, &places)).unwrap();
    let keys = || world.wait(places.remote("parent").list("", None)).unwrap().into_iter().map(|entry| entry.key);
    let left: Vec<String> = keys().collect();
    let error = put(&volume, &[(1, 99)], 4, Level::Durable).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(keys().collect::<Vec<String>>(), left, "the refused commit has made a volume");
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
    world.wait(mark_detaching(&places.own("child"), Epoch(1))).unwrap();
    let child = places.open(&machine, "child");
    let read = |child: &Volume| {
        let at = child.at(&Reference::Checkpoint("early".into())).unwrap();
        at.page_count().pages().map(|page| get(&at, page.get())).collect::<Vec<u64>>()
    };
    // Once it could not be read until somebody repeated the detaching.
    assert_eq!(read(&child), early);
    let held = child.detach().unwrap_err();
    assert!(held.kind() == ErrorKind::Held && held.to_string().contains("early"), "{held}");
    assert_eq!(places.pins(&world, "parent"), 1);
    assert_eq!(read(&child), early);
}

#[test]
fn a_thousand_forks_of_one_volume_cost_each_the_same_and_their_parent_asks_for_each_once() {
    const FORKS: usize = 1000;
    let (world, machine, places) = setup(13);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..10);
    let (from, to) = (places.remote("parent"), |number: usize| format!("child-{number}"));
    let mut costs = Vec::new();
    for number in 0..FORKS {
        from.asked();
        places.fork(&world, "parent", None, &to(number)).unwrap();
        let child = places.remote(&to(number));
        costs.push((from.asked().len(), child.asked().len()));
        let keys = world.wait(child.list("", None)).unwrap();
        let bytes: u64 = keys.iter().map(|entry| entry.size).sum();
        assert!(keys.len() <= 3 && bytes < 4000, "a fork is very little: {keys:?}");
    }
    assert_eq!(costs[0], costs[FORKS - 1]);
    assert_eq!(places.pins(&world, "parent"), FORKS);

    // What everything is kept for.
    let own = places.own("parent");
    let all = || (0..FORKS).map(|number| places.remote(&to(number)).asked().len()).sum::<usize>();
    all();
    from.asked();
    let keep = Retention { level0: R, snapshots: R };
    let used = world.wait(usage(&own, keep, &places)).unwrap();
    assert!(used.pins.len() == FORKS && used.pins.iter().all(|pin| pin.alive == Some(true)));
    let (asked, of_forks) = (from.asked().len(), all());
    assert!(asked <= FORKS + 20 && of_forks == FORKS, "{asked} requests to the parent, {of_forks} to its forks");
    // Many at a time.
    from.set_latency(20);
    (0..FORKS).for_each(|number| places.remote(&to(number)).set_latency(20));
    let before = world.now();
    let refused = world.wait(remove(&own, Duration::ZERO, false, &places)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Held);
    assert!((world.now() - before).as_millis() < 20 * FORKS as u128 / 5, "{:?}", world.now() - before);
    from.set_latency(0);

    // Its collector reads each pin until it can tell that nothing took its place, then no more, and no fork ever.
    all();
    from.asked();
    let read = || from.asked().into_iter().filter(|(op, key)| *op == Op::Get && key.starts_with("pins/")).count();
    busy(&world, &parent, 10..30);
    let first = read();
    assert!((FORKS..=5 * FORKS).contains(&first), "{first} pins were read");
    busy(&world, &parent, 30..50);
    assert_eq!((read(), all()), (0, 0));
}

/// The first remover's request was sent again by itself, after the second one had come to the end.
#[test]
fn a_remover_that_was_slow_removes_nothing_of_what_was_made_there_after_another_one_was_done() {
    for fault in [Fault::FailBefore, Fault::AppliedButNoAnswer] {
        for delete in 0..4 {
            let (world, machine, places) = setup(17);
            let parent = places.open(&machine, "parent");
            busy(&world, &parent, 1..10);
            parent.close().unwrap();
            let patient = |name: &str| {
                let store = RetryStore::new(places.remote(name), RetryPolicy::default(), &machine.host());
                Context::new(machine.host(), Arc::new(store), R)
            };
            let (slow, quick) = (patient("parent"), places.own("parent"));
            let script = &places.remote("parent").script;
            let rule = |fault, times| Rule { op: Some(Op::Delete), key_contains: "ltx/".into(), fault, times };
            if delete > 0 {
                script.add(rule(Fault::Delay(Duration::from_millis(1)), delete));
            }
            script.add(rule(fault, 1));
            let both = join(remove(&slow, R, false, &places), async {
                while !script.is_used_up() {
                    machine.host().clock.sleep(Duration::from_millis(1)).await;
                    if world.now() > Duration::from_secs(600) {
                        break;
                    }
                }
                let done = remove(&quick, R, false, &places).await;
                let other = plimsoll_volume::Place { context: quick.clone(), address: "parent".into() };
                let made = create(&other).await;
                (done, made)
            });
            let (first, (second, made)) = world.wait(both);
            assert!(made.is_ok(), "{first:?} {second:?} {made:?}");
            let keys = world.wait(places.remote("parent").list("ltx/", None)).unwrap();
            assert_eq!(keys.len(), 3, "{fault:?} {delete}: {first:?} {second:?}");
        }
    }
}

/// Makes the first syncs of a new volume.
async fn create(place: &plimsoll_volume::Place) -> Result<()> {
    let (store, layout) = (place.context.store(), place.context.layout());
    let record = plimsoll_commitlog::VolumeRecord::new(
        plimsoll_commitlog::Kind::Sqlite,
        None,
        R,
        place.context.host().clock.wall(),
        &*place.context.host().chance,
    );
    let standing = look(&place.context).await?;
    let epoch = standing.epoch.next();
    store.create(&epoch_key(epoch), b"{}".to_vec().into()).await?;
    plimsoll_commitlog::create_volume(&place.context, &record).await?;
    for txid in 1..=3 {
        let key = layout.key(&plimsoll_ltx::FileId::sync(plimsoll_model::Txid(txid)));
        assert_eq!(store.create(&key, vec![1].into()).await?, Created::New);
    }
    Ok(())
}

#[test]
fn what_is_forced_away_is_taken_for_that_as_by_any_other_removal() {
    let (world, machine, places) = setup(18);
    let parent = places.open(&machine, "parent");
    busy(&world, &parent, 1..4);
    parent.close().unwrap();
    let own = places.own("parent");
    world.wait(remove(&own, R, false, &places)).unwrap();
    let late = own.layout().key(&plimsoll_ltx::FileId::sync(plimsoll_model::Txid(9)));
    world.wait(own.store().create(&late, vec![1].into())).unwrap();
    assert_eq!(world.wait(remove(&own, R, false, &places)).unwrap_err().kind(), ErrorKind::Invalid);
    let before = world.wait(look(&own)).unwrap().epoch;
    // Somebody makes a volume there while it looks what there is.
    let script = &places.remote("parent").script;
    script.add(Rule {
        op: Some(Op::List),
        key_contains: "ltx/0/".into(),
        fault: Fault::Delay(Duration::from_secs(1)),
        times: 2,
    });
    let place = plimsoll_volume::Place { context: own.clone(), address: "parent".into() };
    let both = join(remove(&own, R, true, &places), async {
        machine.host().clock.sleep(Duration::from_millis(1500)).await;
        create(&place).await
    });
    let (forced, made) = world.wait(both);
    made.unwrap();
    assert_eq!(forced.unwrap_err().kind(), ErrorKind::Held);
    assert_eq!(world.wait(own.store().list("ltx/", None)).unwrap().len(), 4);
    assert!(world.wait(look(&own)).unwrap().epoch > before.next());
}
