//! `memory:///name`: objects in the memory of this process, for tests.

use std::{
    collections::{BTreeMap, HashMap},
    ops::{Bound, Range},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::{Clock, WallMs};
use plimsoll_model::{Error, Result};

use crate::{Body, Created, Entry, Object, Store, Tail, key};

type Shelf = Arc<Mutex<BTreeMap<String, Object>>>;

/// Every named store of this process. They live until it ends.
static SHELVES: LazyLock<Mutex<HashMap<String, Shelf>>> = LazyLock::new(Mutex::default);

/// Strongly consistent; a create has one winner. Gone with the process.
#[derive(Clone)]
pub struct MemoryStore {
    url: Arc<str>,
    shelf: Shelf,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    /// The store of that name, shared by all who ask for it in this process.
    #[must_use]
    pub fn named(name: &str, clock: Arc<dyn Clock>) -> Self {
        let shelf = Arc::clone(lock(&SHELVES).entry(name.to_owned()).or_default());
        MemoryStore { url: format!("memory:///{name}").into(), shelf, clock }
    }

    /// A store of its own, for one test.
    #[must_use]
    pub fn private(clock: Arc<dyn Clock>) -> Self {
        MemoryStore { url: "memory:///private".into(), shelf: Shelf::default(), clock }
    }

    fn object(&self, key: &str, body: &Body) -> Result<Object> {
        let failed = |error| Error::io("reading what is to become", error).object(key::object_url(&self.url, key));
        Ok(Object { bytes: body.to_bytes().map_err(failed)?, modified: self.clock.wall() })
    }

    fn find(&self, key: &str) -> Result<Option<Object>> {
        key::check(&self.url, key)?;
        Ok(lock(&self.shelf).get(key).cloned())
    }
}

/// Nobody panics while holding these locks half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for MemoryStore {
    fn url(&self) -> &str {
        &self.url
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        key::check(&self.url, key)?;
        let object = self.object(key, &body)?;
        let mut shelf = lock(&self.shelf);
        if shelf.contains_key(key) {
            return Ok(Created::Exists);
        }
        shelf.insert(key.to_owned(), object);
        Ok(Created::New)
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        key::check(&self.url, key)?;
        let object = self.object(key, &body)?;
        lock(&self.shelf).insert(key.to_owned(), object);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.find(key)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let Some(object) = self.find(key)? else { return Ok(None) };
        let size = object.bytes.len();
        let within = |at: u64| usize::try_from(at).ok().filter(|at| *at <= size);
        match (within(range.start), within(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(Some(object.bytes.slice(start..end))),
            _ => Err(key::beyond_the_end(&self.url, key, &range, Some(size as u64))),
        }
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        let Some(object) = self.find(key)? else { return Ok(None) };
        let size = object.bytes.len();
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX).min(size);
        let bytes = object.bytes.slice(size - wanted..);
        Ok(Some(Tail { bytes, size: size as u64, modified: object.modified }))
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        key::check_folder(&self.url, folder)?;
        let shelf = lock(&self.shelf);
        let from = match after {
            Some(after) if after >= folder => Bound::Excluded(after),
            _ => Bound::Included(folder),
        };
        Ok(shelf
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(folder))
            .map(|(key, object)| Entry {
                key: key.clone(),
                size: object.bytes.len() as u64,
                modified: WallMs(object.modified.0),
            })
            .collect())
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            key::check(&self.url, key)?;
        }
        let mut shelf = lock(&self.shelf);
        for key in keys {
            shelf.remove(key);
        }
        Ok(())
    }

    fn s3_layout(&self) -> bool {
        false
    }
}
