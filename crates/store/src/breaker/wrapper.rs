//! The breaker around a store.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::Clock;
use plimsoll_model::{
    Error, ErrorKind, Result,
    way::{Way, went},
};

use super::{Admission, BreakerPolicy, BreakerState, Machine, Outcome};
use crate::{Body, Created, Entry, Folder, Object, Page, Store, Tail, key::object_url};

/// The breaker of one store. Cheap to clone; all clones are the same breaker.
#[derive(Clone)]
pub struct Breaker {
    machine: Arc<Mutex<Machine>>,
    clock: Arc<dyn Clock>,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy, clock: Arc<dyn Clock>) -> Self {
        Breaker { machine: Arc::new(Mutex::new(Machine::new(policy))), clock }
    }

    /// What it does with operations now.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.lock().state()
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an operation, unless the breaker is open. `object` is named in the refusal.
    pub(super) async fn guard<T>(&self, url: &str, key: &str, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let now = self.clock.now();
        let admission = self.lock().admit(now);
        if let Admission::Refuse { wait } = admission {
            return Err(refusal(url, key, wait));
        }
        let mut pending = Pending { breaker: self, admission, outcome: Outcome::Abandoned };
        let answer = operation.await;
        pending.outcome = match &answer {
            Err(error) if error.kind() == ErrorKind::Unavailable => Outcome::NoAnswer,
            _ => Outcome::Answered,
        };
        answer
    }
}

fn refusal(url: &str, key: &str, wait: Duration) -> Error {
    let object = if key.is_empty() { url.to_owned() } else { object_url(url, key) };
    Error::new(ErrorKind::Unavailable, "asking for")
        .object(object)
        .why("not sent, since the store did not answer the last operations")
        .hint(format!("it is asked again in {:.1} s", wait.as_secs_f64()))
}

/// Records the outcome, also when the operation is dropped half-way.
struct Pending<'a> {
    breaker: &'a Breaker,
    admission: Admission,
    outcome: Outcome,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let now = self.breaker.clock.now();
        let mut machine = self.breaker.lock();
        let before = machine.state();
        machine.record(now, self.admission, self.outcome);
        let after = machine.state();
        drop(machine);
        if before != after {
            match (before, after) {
                (_, BreakerState::Closed) => went(Way::BreakerClosed),
                (BreakerState::Closed, _) => went(Way::BreakerOpened),
                _ => went(Way::BreakerReopened),
            }
            tracing::info!(%before, %after, "the store's circuit breaker changed");
        }
    }
}

/// A store that fails fast, with [`ErrorKind::Unavailable`], while the one below does not answer.
pub struct BreakerStore<S> {
    inner: S,
    breaker: Breaker,
}

impl<S: Store> BreakerStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, breaker: Breaker) -> Self {
        BreakerStore { inner, breaker }
    }

    async fn guard<T>(&self, key: &str, operation: impl Future<Output = Result<T>>) -> Result<T> {
        self.breaker.guard(self.inner.url(), key, operation).await
    }
}

#[async_trait]
impl<S: Store> Store for BreakerStore<S> {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        self.guard(key, self.inner.create(key, body)).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.guard(key, self.inner.put(key, body)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.guard(key, self.inner.get(key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.guard(key, self.inner.get_range(key, range)).await
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.guard(key, self.inner.get_tail(key, bytes)).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        self.guard(folder, self.inner.list(folder, after)).await
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        self.guard(folder, self.inner.list_page(folder, after)).await
    }

    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        self.guard(folder, self.inner.list_folder(folder)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.guard(keys.first().map_or("", String::as_str), self.inner.delete(keys)).await
    }

    async fn delete_once(&self, keys: &[String]) -> Result<()> {
        self.guard(keys.first().map_or("", String::as_str), self.inner.delete_once(keys)).await
    }

    fn object_bytes_max(&self) -> u64 {
        self.inner.object_bytes_max()
    }

    fn s3_layout(&self) -> bool {
        self.inner.s3_layout()
    }
}
