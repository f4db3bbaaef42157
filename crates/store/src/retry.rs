//! Trying again, with exponential backoff and full jitter.

use std::{ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::Host;
use plimsoll_model::{Error, ErrorKind, Result};

use crate::{Body, Created, Entry, Folder, Object, Page, Store, Tail};

/// How often, how long and with which pauses an operation is tried again after
/// [`ErrorKind::Unavailable`]. Other errors are final at once.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all; 1 means none again.
    pub attempts_max: u32,
    /// No new try starts later than this after the first one.
    pub total_max: Duration,
    /// Upper bound of the first pause. It doubles with each try.
    pub pause_first: Duration,
    /// Upper bound of every pause.
    pub pause_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts_max: 6,
            total_max: Duration::from_secs(30),
            pause_first: Duration::from_millis(50),
            pause_max: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// One try only.
    pub const NEVER: RetryPolicy = RetryPolicy {
        attempts_max: 1,
        total_max: Duration::ZERO,
        pause_first: Duration::ZERO,
        pause_max: Duration::ZERO,
    };

    /// The upper bound of the pause after so many failed tries.
    fn pause_bound(&self, failed: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.pause_first.saturating_mul(doubled).min(self.pause_max)
    }

    /// How long to wait before the next try, if there is to be one after so many failed tries.
    pub(crate) fn pause(&self, host: &Host, failed: u32, spent: Duration) -> Option<Duration> {
        let bound = u64::try_from(self.pause_bound(failed).as_nanos()).unwrap_or(u64::MAX);
        // Full jitter: writers that failed together do not come back together.
        let pause = Duration::from_nanos(host.chance.below(bound.saturating_add(1)));
        (failed < self.attempts_max && spent.saturating_add(pause) <= self.total_max).then_some(pause)
    }

    /// Runs `attempt` until it gives an answer, or the budget is spent.
    ///
    /// Dropping the future stops it at the try that is under way.
    pub(crate) async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        host: &Host,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let start = host.clock.now();
        let mut failed = 0_u32;
        loop {
            let error = match attempt().await {
                Err(error) if error.kind() == ErrorKind::Unavailable => error,
                answer => return answer,
            };
            failed += 1;
            let spent = host.clock.now().since(start);
            let Some(pause) = self.pause(host, failed, spent) else {
                return Err(given_up(error, failed, spent));
            };
            tracing::debug!(%error, failed, ?pause, "the store did not answer, trying again");
            host.clock.sleep(pause).await;
            let spent = host.clock.now().since(start);
            if spent > self.total_max {
                // The machine slept. What is asked for may have become something else since.
                return Err(given_up(error, failed, spent));
            }
        }
    }
}

/// Adds how hard it was tried.
fn given_up(error: Error, failed: u32, spent: Duration) -> Error {
    if failed < 2 {
        return error;
    }
    let effort = format!("tried {failed} times in {:.1} s", spent.as_secs_f64());
    let hint = error.advice().map_or(effort.clone(), |advice| format!("{effort}; {advice}"));
    error.hint(hint)
}

/// A store whose operations are tried again.
///
/// A create that is tried again may answer [`Created::Exists`] for an object that an earlier try
/// made; telling whose it is takes its content, which this layer does not know.
pub struct RetryStore<S> {
    inner: S,
    policy: RetryPolicy,
    host: Host,
}

impl<S: Store> RetryStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, policy: RetryPolicy, host: &Host) -> Self {
        RetryStore { inner, policy, host: host.clone() }
    }
}

#[async_trait]
impl<S: Store> Store for RetryStore<S> {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        self.policy.run(&self.host, || self.inner.create(key, body.clone())).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.policy.run(&self.host, || self.inner.put(key, body.clone())).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.policy.run(&self.host, || self.inner.get(key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.policy.run(&self.host, || self.inner.get_range(key, range.clone())).await
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.policy.run(&self.host, || self.inner.get_tail(key, bytes)).await
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        self.policy.run(&self.host, || self.inner.list(folder, after)).await
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        self.policy.run(&self.host, || self.inner.list_page(folder, after)).await
    }

    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        self.policy.run(&self.host, || self.inner.list_folder(folder)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.policy.run(&self.host, || self.inner.delete(keys)).await
    }

    async fn delete_once(&self, keys: &[String]) -> Result<()> {
        self.inner.delete_once(keys).await
    }

    fn object_bytes_max(&self) -> u64 {
        self.inner.object_bytes_max()
    }

    fn s3_layout(&self) -> bool {
        self.inner.s3_layout()
    }
}

#[cfg(test)]
mod tests;
