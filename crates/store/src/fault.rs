//! A store that fails by script, for tests.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::Clock;
use plimsoll_model::{Error, ErrorKind, Result};

use crate::{
    Body, Created, Entry, Folder, Object, Page, Store, Tail,
    key::{check_size, object_url},
};

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not reach the store: [`ErrorKind::Unavailable`], nothing changed.
    FailBefore,
    /// It takes effect, but the answer is lost: [`ErrorKind::Unavailable`].
    AppliedButNoAnswer,
    /// It reaches the store only after this time.
    Delay(Duration),
    /// A read gives only so many of the first bytes, as success. Other operations are left alone.
    Truncate(usize),
}

/// The operations of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// [`Store::create`]
    Create,
    /// [`Store::put`]
    Put,
    /// [`Store::get`]
    Get,
    /// [`Store::get_range`]
    GetRange,
    /// [`Store::get_tail`]
    GetTail,
    /// [`Store::list`]
    List,
    /// [`Store::delete`]
    Delete,
}

/// One line of the script. It is used up when it has struck `times` times.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which operation; `None` for any.
    pub op: Option<Op>,
    /// What the key (the folder of a list, the first key of a delete) contains; empty for any.
    pub key_contains: String,
    /// What happens.
    pub fault: Fault,
    /// How often it happens.
    pub times: u32,
}

/// The script, shared with the test that writes it. The first rule that fits strikes.
#[derive(Clone)]
pub struct Script {
    rules: Arc<Mutex<VecDeque<Rule>>>,
    object_bytes_max: Arc<AtomicU64>,
}

impl Default for Script {
    fn default() -> Self {
        Script { rules: Arc::default(), object_bytes_max: Arc::new(AtomicU64::new(u64::MAX)) }
    }
}

impl Script {
    /// Appends a rule.
    pub fn add(&self, rule: Rule) {
        self.lock().push_back(rule);
    }

    /// Appends a rule for one operation whose key contains a text, once.
    pub fn once(&self, op: Op, key_contains: &str, fault: Fault) {
        self.add(Rule { op: Some(op), key_contains: key_contains.to_owned(), fault, times: 1 });
    }

    /// From now on no larger object can be created, unless the store itself stops earlier.
    pub fn limit_objects(&self, bytes: u64) {
        self.object_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Takes all rules back.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Whether every rule has struck as often as it should.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strike(&self, op: Op, key: &str) -> Option<Fault> {
        let mut rules = self.lock();
        let fits = |rule: &Rule| rule.op.is_none_or(|wanted| wanted == op) && key.contains(&rule.key_contains);
        let at = rules.iter().position(|rule| rule.times > 0 && fits(rule))?;
        let rule = &mut rules[at];
        rule.times -= 1;
        let fault = rule.fault;
        if rule.times == 0 {
            rules.remove(at);
        }
        Some(fault)
    }
}

/// A store with a script of faults in front of it.
#[derive(Clone)]
pub struct FaultyStore<S> {
    inner: S,
    script: Script,
    clock: Arc<dyn Clock>,
}

impl<S: Store> FaultyStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, script: Script, clock: Arc<dyn Clock>) -> Self {
        FaultyStore { inner, script, clock }
    }

    /// Runs an operation as the script says; the size of a cut, if there is one, comes back with it.
    async fn run<T>(
        &self,
        op: Op,
        key: &str,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<(T, Option<usize>)> {
        let lost = |why: &'static str| {
            Error::new(ErrorKind::Unavailable, "asking for").object(object_url(self.inner.url(), key)).why(why)
        };
        match self.script.strike(op, key) {
            None => Ok((operation.await?, None)),
            Some(Fault::FailBefore) => Err(lost("a scripted fault came before the request")),
            Some(Fault::AppliedButNoAnswer) => {
                operation.await?;
                Err(lost("a scripted fault came before the answer"))
            }
            Some(Fault::Delay(time)) => {
                self.clock.sleep(time).await;
                Ok((operation.await?, None))
            }
            Some(Fault::Truncate(bytes)) => Ok((operation.await?, Some(bytes))),
        }
    }
}

fn cut(bytes: &Bytes, to: Option<usize>) -> Bytes {
    bytes.slice(..to.unwrap_or(usize::MAX).min(bytes.len()))
}

#[async_trait]
impl<S: Store> Store for FaultyStore<S> {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        check_size(self.inner.url(), key, body.len(), self.object_bytes_max())?;
        Ok(self.run(Op::Create, key, self.inner.create(key, body)).await?.0)
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.run(Op::Put, key, self.inner.put(key, body)).await.map(drop)
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        let (found, to) = self.run(Op::Get, key, self.inner.get(key)).await?;
        Ok(found.map(|object| Object { bytes: cut(&object.bytes, to), modified: object.modified }))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let (found, to) = self.run(Op::GetRange, key, self.inner.get_range(key, range)).await?;
        Ok(found.map(|bytes| cut(&bytes, to)))
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        let (found, to) = self.run(Op::GetTail, key, self.inner.get_tail(key, bytes)).await?;
        Ok(found.map(|tail| Tail { bytes: cut(&tail.bytes, to), ..tail }))
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        Ok(self.run(Op::List, folder, self.inner.list(folder, after)).await?.0)
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        Ok(self.run(Op::List, folder, self.inner.list_page(folder, after)).await?.0)
    }

    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        Ok(self.run(Op::List, folder, self.inner.list_folder(folder)).await?.0)
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let first = keys.first().map_or("", String::as_str);
        self.run(Op::Delete, first, self.inner.delete(keys)).await.map(drop)
    }

    async fn delete_once(&self, keys: &[String]) -> Result<()> {
        self.run(Op::Delete, keys.first().map_or("", String::as_str), self.inner.delete_once(keys)).await.map(drop)
    }

    fn object_bytes_max(&self) -> u64 {
        self.script.object_bytes_max.load(Ordering::Relaxed).min(self.inner.object_bytes_max())
    }

    fn s3_layout(&self) -> bool {
        self.inner.s3_layout()
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::{Host, os};

    use super::*;
    use crate::MemoryStore;

    fn faulty() -> (Host, Script, FaultyStore<MemoryStore>) {
        let host = os::host().unwrap();
        let script = Script::default();
        let memory = MemoryStore::private(Arc::clone(&host.clock));
        let store = FaultyStore::new(memory, script.clone(), Arc::clone(&host.clock));
        (host, script, store)
    }

    #[test]
    fn a_lost_answer_leaves_the_effect_and_a_failure_before_leaves_none() {
        let (host, script, store) = faulty();
        script.once(Op::Create, "a", Fault::FailBefore);
        script.once(Op::Create, "a", Fault::AppliedButNoAnswer);
        host.tasks.wait(async {
            for there in [false, true] {
                let error = store.create("a", Body::default()).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                assert_eq!(store.get("a").await.unwrap().is_some(), there);
            }
            assert_eq!(store.create("a", Body::default()).await.unwrap(), Created::Exists);
        });
        assert!(script.is_used_up());
    }

    #[test]
    fn a_rule_strikes_only_what_it_names_and_only_so_often() {
        let (host, script, store) = faulty();
        script.add(Rule { op: None, key_contains: "x/".into(), fault: Fault::FailBefore, times: 2 });
        host.tasks.wait(async {
            store.put("y/1", Body::from(vec![1, 2, 3])).await.unwrap();
            store.put("x/1", Body::default()).await.unwrap_err();
            store.get("x/1").await.unwrap_err();
            assert!(store.get("x/1").await.unwrap().is_none());
            script.once(Op::GetRange, "", Fault::Truncate(1));
            assert_eq!(store.get_range("y/1", 0..3).await.unwrap().unwrap().len(), 1);
            assert_eq!(store.get_range("y/1", 0..3).await.unwrap().unwrap().len(), 3);
        });
    }

    #[test]
    fn what_is_larger_than_a_store_says_it_can_create_is_not_created() {
        let (host, script, store) = faulty();
        script.limit_objects(3);
        let store: Arc<dyn Store> = Arc::new(crate::ObservedStore::new(
            crate::RetryStore::new(store, crate::RetryPolicy::default(), &host),
            Arc::new(crate::Unobserved),
            Arc::clone(&host.clock),
        ));
        assert_eq!(store.object_bytes_max(), 3);
        host.tasks.wait(async {
            assert_eq!(store.create("a", Body::from(vec![1, 2, 3])).await.unwrap(), Created::New);
            let error = store.create("b", Body::from(vec![1, 2, 3, 4])).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(store.get("b").await.unwrap().is_none());
        });
    }

    #[test]
    fn a_delay_passes_on_the_given_clock() {
        let (host, script, store) = faulty();
        script.once(Op::List, "", Fault::Delay(Duration::from_millis(20)));
        let start = host.clock.now();
        host.tasks.wait(store.list("", None)).unwrap();
        assert!(host.clock.now().since(start) >= Duration::from_millis(20));
    }
}
