//! A machine's way to the object store: it fails by script, breaks down, takes its time, and counts.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::Clock;
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_store::{
    Body, Created, Entry, MemoryStore, Object, Page, Store, Tail,
    fault::{FaultyStore, Op, Script},
};

/// Keys that a request for a listing brings at most.
const PAGE_KEYS: usize = 1000;

/// See the [module](self). A clone is the same way.
#[derive(Clone)]
pub(crate) struct Remote {
    inner: FaultyStore<MemoryStore>,
    pub(crate) script: Script,
    clock: Arc<dyn Clock>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    down: AtomicBool,
    latency_ms: AtomicU64,
    asked: Mutex<Vec<(Op, String)>>,
    brought: AtomicU64,
    listed: AtomicU64,
}

impl Remote {
    pub(crate) fn new(shelf: MemoryStore, clock: Arc<dyn Clock>) -> Self {
        let script = Script::default();
        let inner = FaultyStore::new(shelf, script.clone(), Arc::clone(&clock));
        Remote { inner, script, clock, state: Arc::default() }
    }

    /// Nothing gets through, or everything again.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::Relaxed);
    }

    /// How long each request takes.
    pub(crate) fn set_latency(&self, ms: u64) {
        self.state.latency_ms.store(ms, Ordering::Relaxed);
    }

    /// Requests since the last time this was asked.
    pub(crate) fn asked(&self) -> Vec<(Op, String)> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }

    /// Bytes of objects read so far.
    pub(crate) fn brought(&self) -> u64 {
        self.state.brought.load(Ordering::Relaxed)
    }

    /// Objects named by listings so far.
    pub(crate) fn listed(&self) -> u64 {
        self.state.listed.load(Ordering::Relaxed)
    }

    fn brings(&self, bytes: Option<&Bytes>) {
        self.state.brought.fetch_add(bytes.map_or(0, |bytes| bytes.len() as u64), Ordering::Relaxed);
    }

    async fn pass(&self, op: Op, key: &str) -> Result<()> {
        self.state.asked.lock().unwrap().push((op, key.to_owned()));
        let latency = self.state.latency_ms.load(Ordering::Relaxed);
        if latency > 0 {
            self.clock.sleep(Duration::from_millis(latency)).await;
        }
        if self.state.down.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "asking").object(key.to_owned()).why("the store is down"));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Remote {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        self.pass(Op::Create, key).await?;
        self.inner.create(key, body).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.pass(Op::Put, key).await?;
        self.inner.put(key, body).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.pass(Op::Get, key).await?;
        let found = self.inner.get(key).await;
        self.brings(found.as_ref().ok().and_then(|found| Some(&found.as_ref()?.bytes)));
        found
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.pass(Op::GetRange, key).await?;
        let found = self.inner.get_range(key, range).await;
        self.brings(found.as_ref().ok().and_then(Option::as_ref));
        found
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.pass(Op::GetTail, key).await?;
        let found = self.inner.get_tail(key, bytes).await;
        self.brings(found.as_ref().ok().and_then(|found| Some(&found.as_ref()?.bytes)));
        found
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        let mut listed = self.list_page(folder, after).await?;
        let mut entries = Vec::new();
        while listed.more {
            entries.append(&mut listed.entries);
            let after = entries.last().map(|last: &Entry| last.key.clone());
            listed = self.list_page(folder, after.as_deref()).await?;
        }
        entries.append(&mut listed.entries);
        Ok(entries)
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        self.pass(Op::List, folder).await?;
        let mut entries = self.inner.list(folder, after).await?;
        let more = entries.len() > PAGE_KEYS;
        entries.truncate(PAGE_KEYS);
        self.state.listed.fetch_add(entries.len() as u64, Ordering::Relaxed);
        Ok(Page { entries, more })
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.pass(Op::Delete, keys.first().map_or("", String::as_str)).await?;
        self.inner.delete(keys).await
    }

    fn object_bytes_max(&self) -> u64 {
        self.inner.object_bytes_max()
    }

    fn s3_layout(&self) -> bool {
        self.inner.s3_layout()
    }
}
