//! Counting and timing operations.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::Clock;
use plimsoll_model::{ErrorKind, Result};

use crate::{Body, Created, Entry, Folder, Object, Page, Store, Tail};

/// Is told about every operation, retries included in its time. Must not block.
pub trait Observer: Send + Sync {
    /// `op` is the method's name. `outcome` is `ok`, `exists` (a create that lost), `missing` (a read
    /// of nothing), `unavailable`, `denied` or `error`. Operations that are dropped are not told.
    fn request(&self, op: &'static str, outcome: &'static str, seconds: f64);
}

/// An observer that looks away.
pub struct Unobserved;

impl Observer for Unobserved {
    fn request(&self, _op: &'static str, _outcome: &'static str, _seconds: f64) {}
}

/// A store whose operations an [`Observer`] is told about.
pub struct ObservedStore<S> {
    inner: S,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
}

impl<S: Store> ObservedStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, observer: Arc<dyn Observer>, clock: Arc<dyn Clock>) -> Self {
        ObservedStore { inner, observer, clock }
    }

    async fn watch<T>(
        &self,
        op: &'static str,
        key: &str,
        found: impl FnOnce(&T) -> &'static str,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let start = self.clock.now();
        let answer = operation.await;
        let seconds = self.clock.now().since(start).as_secs_f64();
        let outcome = match &answer {
            Ok(value) => found(value),
            Err(error) => match error.kind() {
                ErrorKind::Unavailable => "unavailable",
                ErrorKind::Denied => "denied",
                _ => "error",
            },
        };
        tracing::trace!(op, key, outcome, seconds, url = self.inner.url(), "store");
        self.observer.request(op, outcome, seconds);
        answer
    }
}

fn ok<T>(_: &T) -> &'static str {
    "ok"
}

fn present<T>(value: &Option<T>) -> &'static str {
    if value.is_some() { "ok" } else { "missing" }
}

#[async_trait]
impl<S: Store> Store for ObservedStore<S> {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        let outcome = |created: &Created| match created {
            Created::New => "ok",
            Created::Exists => "exists",
        };
        self.watch("create", key, outcome, self.inner.create(key, body)).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.watch("put", key, ok, self.inner.put(key, body)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.watch("get", key, present, self.inner.get(key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.watch("get_range", key, present, self.inner.get_range(key, range)).await
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.watch("get_tail", key, present, self.inner.get_tail(key, bytes)).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        self.watch("list", folder, ok, self.inner.list(folder, after)).await
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        self.watch("list", folder, ok, self.inner.list_page(folder, after)).await
    }

    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        self.watch("list", folder, ok, self.inner.list_folder(folder)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let first = keys.first().map_or("", String::as_str);
        self.watch("delete", first, ok, self.inner.delete(keys)).await
    }

    async fn delete_once(&self, keys: &[String]) -> Result<()> {
        let first = keys.first().map_or("", String::as_str);
        self.watch("delete", first, ok, self.inner.delete_once(keys)).await
    }

    fn object_bytes_max(&self) -> u64 {
        self.inner.object_bytes_max()
    }

    fn s3_layout(&self) -> bool {
        self.inner.s3_layout()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use plimsoll_host::os;

    use super::*;
    use crate::MemoryStore;

    #[derive(Default)]
    struct Notes(Mutex<Vec<(&'static str, &'static str)>>);

    impl Observer for Notes {
        fn request(&self, op: &'static str, outcome: &'static str, seconds: f64) {
            assert!(seconds >= 0.0);
            self.0.lock().unwrap().push((op, outcome));
        }
    }

    #[test]
    fn every_operation_is_told_with_its_outcome() {
        let host = os::host().unwrap();
        let notes = Arc::new(Notes::default());
        let memory = MemoryStore::private(Arc::clone(&host.clock));
        let store = ObservedStore::new(memory, Arc::clone(&notes) as _, Arc::clone(&host.clock));
        host.tasks.wait(async {
            store.create("a", Body::default()).await.unwrap();
            store.create("a", Body::default()).await.unwrap();
            store.put("a", Body::default()).await.unwrap();
            store.get("a").await.unwrap();
            store.get("b").await.unwrap();
            store.get_range("a", 0..9).await.unwrap_err();
            store.get_tail("b", 1).await.unwrap();
            store.list("", None).await.unwrap();
            store.list_page("", None).await.unwrap();
            store.list_folder("").await.unwrap();
            store.delete(&["a".into()]).await.unwrap();
        });
        assert_eq!(
            *notes.0.lock().unwrap(),
            [
                ("create", "ok"),
                ("create", "exists"),
                ("put", "ok"),
                ("get", "ok"),
                ("get", "missing"),
                ("get_range", "error"),
                ("get_tail", "missing"),
                ("list", "ok"),
                ("list", "ok"),
                ("list", "ok"),
                ("delete", "ok"),
            ]
        );
    }
}
