//! Pins and collections side by side, request by request, in every order.

mod support;

use std::{
    collections::HashMap,
    ops::Range,
    sync::Arc,
    task::{Context as Cx, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, executor::block_on, future::BoxFuture, task::noop_waker};
use plimsoll_commitlog::{Context, PinRecord, Pinned, PinnedObject, Pins, epoch_key, pin, pins, sweep, unpin};
use plimsoll_host::Chance as _;
use plimsoll_ltx::{FileId, Layout};
use plimsoll_model::{Epoch, ErrorKind, Result, Txid};
use plimsoll_store::{Body, Created, Entry, MemoryStore, Object, Store, Tail};
use support::{Dice, R, VirtualClock};

/// Lets somebody else have a turn before each request.
struct Stepped(MemoryStore);

/// Gives way once.
async fn turn() {
    let mut given = false;
    futures::future::poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[async_trait]
impl Store for Stepped {
    fn url(&self) -> &str {
        self.0.url()
    }
    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        turn().await;
        self.0.create(key, body).await
    }
    async fn put(&self, key: &str, body: Body) -> Result<()> {
        turn().await;
        self.0.put(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Option<Object>> {
        turn().await;
        self.0.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        turn().await;
        self.0.get_range(key, range).await
    }
    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        turn().await;
        self.0.get_tail(key, bytes).await
    }
    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        turn().await;
        self.0.list(folder, after).await
    }
    async fn delete(&self, keys: &[String]) -> Result<()> {
        turn().await;
        // One object after the other, as a store may do it.
        for key in keys {
            self.0.delete(std::slice::from_ref(key)).await?;
            turn().await;
        }
        Ok(())
    }
    fn s3_layout(&self) -> bool {
        self.0.s3_layout()
    }
}

/// Five syncs, merged: the syncs but the last are garbage, and somebody wants the state after the third.
struct World {
    shelf: MemoryStore,
    context: Context,
    clock: VirtualClock,
}

fn object(txid: u64) -> PinnedObject {
    PinnedObject { id: FileId::sync(Txid(txid)), bytes: 1 }
}

fn garbage() -> Vec<PinnedObject> {
    (1..=4).map(object).collect()
}

fn record(nonce: u64) -> PinRecord {
    PinRecord {
        txid: Txid(3),
        created_ms: 0,
        note: None,
        bytes: 1,
        fork: None,
        objects: (1..=3).map(object).collect(),
        nonce,
    }
}

impl World {
    fn new() -> Self {
        let clock = VirtualClock::default();
        let shelf = MemoryStore::private(Arc::new(clock.clone()));
        let mut host = plimsoll_host::os::host().unwrap();
        host.clock = Arc::new(clock.clone());
        host.chance = Arc::new(Dice::new(1));
        let context = Context::new(host, Arc::new(Stepped(shelf.clone())), R);
        let world = World { shelf, context, clock };
        for txid in 1..=5 {
            world.put(&world.key(txid));
        }
        world.put(&epoch_key(Epoch(1)));
        world
    }

    fn layout(&self) -> Layout {
        self.context.layout()
    }

    fn key(&self, txid: u64) -> String {
        self.layout().key(&FileId::sync(Txid(txid)))
    }

    fn put(&self, key: &str) {
        block_on(self.shelf.put(key, Body::from(vec![0]))).unwrap();
    }

    fn there(&self, key: &str) -> bool {
        block_on(self.shelf.get(key)).unwrap().is_some()
    }

    fn collect(&self, epoch: u32) -> BoxFuture<'static, Result<Vec<FileId>>> {
        let context = self.context.clone();
        async move {
            context.store().create(&epoch_key(Epoch(epoch)), Body::from(vec![0])).await?;
            sweep(&context, Epoch(epoch), &Pins::default(), garbage()).await
        }
        .boxed()
    }

    fn pin(&self) -> BoxFuture<'static, Result<Pinned>> {
        let context = self.context.clone();
        async move { pin(&context, "mine", &record(7), &HashMap::new()).await }.boxed()
    }

    /// What must hold once everybody is done or dead, and one more collector has come by.
    fn judge(&self, kept: Option<Pinned>, story: &str) {
        block_on(self.collect(9)).unwrap_or_else(|error| panic!("{story}: {error}"));
        for txid in 1..=5 {
            let wanted = txid == 5 || (kept == Some(Pinned::Kept) && txid <= 3);
            let there = self.there(&self.key(txid));
            // A pin whose maker died may hold or not, but its objects stay if they were there.
            assert!(there || !wanted, "{story}: sync {txid} is gone, and the pin {kept:?}");
            assert!(!there || wanted || kept.is_none(), "{story}: sync {txid} is left over, and the pin {kept:?}");
        }
        assert_eq!(block_on(self.shelf.list("gc/", None)).unwrap(), [], "{story}");
        let named = self.there("pins/mine.json");
        assert!(kept.is_none() || named == (kept == Some(Pinned::Kept)), "{story}: {kept:?} {named}");
    }
}

/// Somebody who does one request at a time.
enum Runner<T> {
    Running(BoxFuture<'static, Result<T>>),
    Done(Result<T>),
    Dead,
}

impl<T> Runner<T> {
    fn step(&mut self) {
        if let Runner::Running(future) = self
            && let Poll::Ready(outcome) = future.poll_unpin(&mut Cx::from_waker(&noop_waker()))
        {
            *self = Runner::Done(outcome);
        }
    }

    fn is_running(&self) -> bool {
        matches!(self, Runner::Running(_))
    }
}

fn outcome(pinner: &Runner<Pinned>) -> Option<Pinned> {
    match pinner {
        Runner::Done(outcome) => Some(*outcome.as_ref().unwrap()),
        _ => None,
    }
}

/// The third sync was merged and collected since it was listed, and a late request of a dead writer has its name.
#[test]
fn what_took_the_name_of_a_listed_object_is_not_pinned() {
    let listed = |world: &World| -> HashMap<FileId, plimsoll_host::WallMs> {
        let entries = block_on(world.shelf.list("", None)).unwrap();
        entries.iter().filter_map(|entry| Some((world.layout().parse(&entry.key)?, entry.modified))).collect()
    };
    let world = World::new();
    let seen = listed(&world);
    assert_eq!(block_on(pin(&world.context, "mine", &record(7), &seen)).unwrap(), Pinned::Kept);
    world.clock.advance(R);
    world.put(&world.key(3));
    assert_eq!(block_on(pin(&world.context, "younger", &record(8), &seen)).unwrap(), Pinned::Collected);
    let seen = listed(&world);
    block_on(world.shelf.put(&world.key(2), Body::from(vec![0; 2]))).unwrap();
    assert_eq!(block_on(pin(&world.context, "larger", &record(9), &HashMap::new())).unwrap(), Pinned::Collected);
    assert_eq!(block_on(pin(&world.context, "larger", &record(9), &seen)).unwrap(), Pinned::Collected);
    assert_eq!(block_on(pins(&world.context)).unwrap().len(), 1);
}

#[test]
fn a_pin_that_holds_keeps_its_objects_whenever_a_collector_comes_in_between() {
    // One after the other for so many turns, then the other to its end, then the first: the pinner cuts in at
    // each point and for each length.
    for before in 0..40 {
        for length in 0..24 {
            let world = World::new();
            let mut collector = Runner::Running(world.collect(1));
            let mut pinner = Runner::Running(world.pin());
            (0..before).for_each(|_| collector.step());
            (0..length).for_each(|_| pinner.step());
            while collector.is_running() {
                collector.step();
            }
            while pinner.is_running() {
                pinner.step();
            }
            world.judge(outcome(&pinner), &format!("{before} {length}"));
        }
    }
}

#[test]
fn whoever_dies_or_is_slow_no_pin_that_holds_loses_an_object_and_no_garbage_stays() {
    let (mut kept, mut collected, mut died) = (0, 0, 0);
    for seed in 0..4000 {
        let dice = Dice::new(seed);
        let world = World::new();
        let mut first = Runner::Running(world.collect(1));
        let mut second = Runner::Running(world.collect(2));
        let mut pinner = Runner::Running(world.pin());
        let mut late = dice.below(30);
        while first.is_running() || second.is_running() || pinner.is_running() {
            match dice.below(100) {
                0..40 => first.step(),
                // Its epoch begins once the first has been at work for a while.
                40..70 if late == 0 => second.step(),
                40..70 => late -= 1,
                70..98 => pinner.step(),
                98 if dice.one_in(2) => first = Runner::Dead,
                99 if dice.one_in(4) => pinner = Runner::Dead,
                _ => {}
            }
        }
        if let Runner::Done(Err(error)) = &first {
            assert_eq!(error.kind(), ErrorKind::Held, "{seed}: {error}");
        }
        match outcome(&pinner) {
            Some(Pinned::Kept) => kept += 1,
            Some(Pinned::Collected) => collected += 1,
            None => died += 1,
        }
        world.judge(outcome(&pinner), &format!("seed {seed}"));
    }
    assert!(kept > 100 && collected > 100 && died > 20, "{kept} {collected} {died}");
}

/// A collector reads an announcement; another one takes it back, after which a pin holds; then the first, overtaken long
/// ago, comes to its decision, for which the name is free again. It must not be taken for one about what was announced.
#[test]
fn a_decision_that_comes_after_its_announcement_was_taken_back_removes_nothing() {
    for slow in 0..16 {
        for third in 0..8 {
            let world = World::new();
            let mut collectors = [1, 2, 3].map(|epoch| Runner::Running(world.collect(epoch)));
            let mut pinner = Runner::Running(world.pin());
            let listed = || block_on(world.shelf.list("gc/", None)).unwrap();
            let decided = || listed().iter().any(|entry| entry.key.ends_with(".go"));
            let announced = || listed().iter().any(|entry| entry.key.ends_with(".json"));
            (0..slow).for_each(|_| collectors[0].step());
            // The pin is there, and nothing was looked for yet.
            (0..2).for_each(|_| pinner.step());
            while collectors[1].is_running() && !decided() {
                collectors[1].step();
            }
            (0..third).for_each(|_| collectors[2].step());
            while collectors[1].is_running() && announced() {
                collectors[1].step();
            }
            while pinner.is_running() {
                pinner.step();
            }
            for at in [1, 0, 2] {
                while collectors[at].is_running() {
                    collectors[at].step();
                }
            }
            world.judge(outcome(&pinner), &format!("{slow} {third}"));
        }
    }
}

/// The one that was overtaken must find that nothing is its to decide, and the next one must not take a decision back.
#[test]
fn a_slow_collector_takes_nothing_from_a_pin_that_is_made_while_the_next_one_settles_what_it_had_begun() {
    for slow in 0..24 {
        for settled in 0..24 {
            let world = World::new();
            let (mut first, mut second) = (Runner::Running(world.collect(1)), Runner::Running(world.collect(2)));
            let mut pinner = Runner::Running(world.pin());
            (0..slow).for_each(|_| first.step());
            (0..settled).for_each(|_| second.step());
            while pinner.is_running() {
                pinner.step();
            }
            while second.is_running() {
                second.step();
            }
            while first.is_running() {
                first.step();
            }
            world.judge(outcome(&pinner), &format!("{slow} {settled}"));
        }
    }
}

#[test]
fn a_name_is_given_once_and_can_be_given_again_after_it_was_removed() {
    let world = World::new();
    assert_eq!(block_on(world.pin()).unwrap(), Pinned::Kept);
    assert_eq!(block_on(world.pin()).unwrap(), Pinned::Kept, "the same pin, asked for again");
    let other = block_on(pin(&world.context, "mine", &record(8), &HashMap::new())).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
    assert!(block_on(unpin(&world.context, "mine")).unwrap());
    assert!(!block_on(unpin(&world.context, "mine")).unwrap());
    assert_eq!(block_on(pin(&world.context, "mine", &record(8), &HashMap::new())).unwrap(), Pinned::Kept);
    for name in ["", "a/b", "fork-0"] {
        assert_eq!(
            block_on(pin(&world.context, name, &record(8), &HashMap::new())).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    let all = block_on(pins(&world.context)).unwrap();
    assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["mine"]);
}

#[test]
fn a_pin_of_something_that_is_gone_is_none() {
    let world = World::new();
    block_on(world.shelf.delete(&[world.key(2)])).unwrap();
    assert_eq!(block_on(world.pin()).unwrap(), Pinned::Collected);
    assert!(!world.there("pins/mine.json"));
}

#[test]
fn a_damaged_pin_stops_collection_rather_than_losing_what_it_may_have_named() {
    let world = World::new();
    world.put("pins/broken.json");
    assert_eq!(block_on(world.collect(1)).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!((1..=5).all(|txid| world.there(&world.key(txid))));
    block_on(unpin(&world.context, "broken")).unwrap();
    assert_eq!(block_on(world.collect(2)).unwrap().len(), 4);
}

#[test]
fn a_pin_is_read_once_however_often_somebody_collects_and_again_if_it_was_replaced() {
    let world = World::new();
    assert_eq!(block_on(world.pin()).unwrap(), Pinned::Kept);
    let known = Pins::default();
    for _ in 0..3 {
        assert_eq!(block_on(known.all(&world.context)).unwrap()[0].record.nonce, 7);
        world.clock.advance(std::time::Duration::from_secs(3));
    }
    block_on(unpin(&world.context, "mine")).unwrap();
    assert_eq!(block_on(pin(&world.context, "mine", &record(8), &HashMap::new())).unwrap(), Pinned::Kept);
    assert_eq!(block_on(known.all(&world.context)).unwrap()[0].record.nonce, 8);
}

/// Its key, its time and its length are those of the one that was read before.
#[test]
fn a_pin_that_was_replaced_within_a_moment_is_read_again() {
    let world = World::new();
    assert_eq!(block_on(world.pin()).unwrap(), Pinned::Kept);
    let known = Pins::default();
    assert_eq!(block_on(known.all(&world.context)).unwrap()[0].record.nonce, 7);
    block_on(unpin(&world.context, "mine")).unwrap();
    assert_eq!(block_on(pin(&world.context, "mine", &record(8), &HashMap::new())).unwrap(), Pinned::Kept);
    assert_eq!(block_on(known.all(&world.context)).unwrap()[0].record.nonce, 8);
}
