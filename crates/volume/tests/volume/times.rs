//! Times by which earlier states are asked for, and answers that are damaged on their way.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::WallMs;
use plimsoll_model::{Level, Result, Txid};
use plimsoll_store::{Body, Created, Entry, MemoryStore, Object, Store, Tail};
use plimsoll_volume::{Reference, objects};

use crate::world::{World, put};

/// Where the header of an object has a bit of its time that is worth more than two hours.
const TIME_AT: usize = 37;

/// Turns over a bit of one answer, the first to a range of one object.
struct Damaging {
    inner: MemoryStore,
    key: String,
    done: AtomicBool,
}

#[async_trait]
impl Store for Damaging {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        self.inner.create(key, body).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.inner.put(key, body).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let found = self.inner.get_range(key, range).await?;
        if key != self.key || self.done.swap(true, Ordering::Relaxed) {
            return Ok(found);
        }
        let mut bytes = found.unwrap().to_vec();
        bytes[TIME_AT] ^= 0x80;
        Ok(Some(bytes.into()))
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.inner.get_tail(key, bytes).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        self.inner.list(folder, after).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.inner.delete(keys).await
    }

    fn s3_layout(&self) -> bool {
        self.inner.s3_layout()
    }
}

#[test]
fn a_time_that_was_damaged_on_its_way_leads_to_no_other_state() {
    let world = World::new(41);
    let machine = world.machine("a");
    let volume = machine.open(&[]);
    let mut moments = Vec::new();
    for mark in 1..=7 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        moments.push((machine.host().clock.wall(), Txid(volume.status().txid)));
        world.run_for(1000);
    }
    let mut struck = 0;
    for key in world.keys("ltx/0/") {
        for (time, txid) in &moments {
            let inner = world.shelf().clone();
            let damaging = Arc::new(Damaging { inner, key: key.clone(), done: AtomicBool::new(false) });
            let store: Arc<dyn Store> = damaging.clone();
            let reference = Reference::Time(WallMs(time.0));
            let found = world.wait(objects(&store, &machine.host(), &reference)).unwrap();
            assert_eq!(found.last().unwrap().id.max, *txid, "{key}");
            struck += usize::from(damaging.done.load(Ordering::Relaxed));
        }
    }
    assert!(struck > 7, "it is asked for times");
}
