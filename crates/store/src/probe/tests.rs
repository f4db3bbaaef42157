//! Stores that honour the condition, ignore it, or answer too little.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use plimsoll_host::os;

use super::*;
use crate::{
    Entry, MemoryStore, Object, RetryPolicy, RetryStore, Tail,
    fault::{Fault, FaultyStore, Op, Script},
};

/// Pretends to be S3. Counts creates, and may let more than one win.
struct Fake {
    inner: Box<dyn Store>,
    /// From this create on, the condition is ignored.
    ignores_from: usize,
    creates: AtomicUsize,
}

#[async_trait]
impl Store for Fake {
    fn url(&self) -> &str {
        "s3://b/p?endpoint=http://127.0.0.1:1"
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        if self.creates.fetch_add(1, Ordering::Relaxed) < self.ignores_from {
            return self.inner.create(key, body).await;
        }
        self.inner.put(key, body).await?;
        Ok(Created::New)
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.inner.put(key, body).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.inner.get_range(key, range).await
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
        true
    }
}

struct Bench {
    host: Host,
    dir: tempfile::TempDir,
    script: Script,
    fake: Fake,
}

fn bench(ignores_from: usize) -> Bench {
    let host = os::host().unwrap();
    let script = Script::default();
    let memory = MemoryStore::private(Arc::clone(&host.clock));
    let faulty = FaultyStore::new(memory, script.clone(), Arc::clone(&host.clock));
    let inner = Box::new(RetryStore::new(faulty, RetryPolicy::default(), &host));
    let fake = Fake { inner, ignores_from, creates: AtomicUsize::new(0) };
    Bench { host, dir: tempfile::tempdir().unwrap(), script, fake }
}

impl Bench {
    fn ensure(&self, dir: &Path) -> Result<()> {
        let url = VolumeUrl::parse("s3://b/p").unwrap();
        let memory = ProbeMemory::new(dir.to_owned());
        self.host.tasks.wait(ensure_fencing(&url, &self.fake, &memory, &self.host))
    }

    fn creates(&self) -> usize {
        self.fake.creates.load(Ordering::Relaxed)
    }
}

#[test]
fn a_store_that_honours_the_condition_passes_and_is_left_clean() {
    let bench = bench(usize::MAX);
    bench.ensure(bench.dir.path()).unwrap();
    assert_eq!(bench.creates(), 2 + RACES * RACERS);
    assert!(bench.host.tasks.wait(bench.fake.list("", None)).unwrap().is_empty());
}

#[test]
fn a_store_that_ignores_it_is_refused_and_the_setting_is_named() {
    // From the start; from the second create; only in races; only in the last race.
    for ignores_from in [0, 1, 2, 2 + RACERS * (RACES - 1)] {
        let bench = bench(ignores_from);
        let error = bench.ensure(bench.dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("s3://b?endpoint=http://127.0.0.1:1") && text.contains("unsafe_no_fencing"), "{text}");
        assert!(bench.host.tasks.wait(bench.fake.list("", None)).unwrap().is_empty());
        let asked = bench.creates();
        bench.ensure(bench.dir.path()).unwrap_err();
        assert!(bench.creates() > asked, "a refusal is not remembered: the store may have been mended");
    }
}

#[test]
fn the_next_process_remembers_and_a_damaged_file_only_costs_a_probe() {
    let bench = bench(usize::MAX);
    let dir = bench.dir.path().join("not/yet");
    bench.ensure(&dir).unwrap();
    let once = bench.creates();
    bench.ensure(&dir).unwrap();
    assert_eq!(bench.creates(), once);
    std::fs::write(dir.join("store-probes.json"), b"{\"passed\": 7").unwrap();
    bench.ensure(&dir).unwrap();
    assert_eq!(bench.creates(), 2 * once);
    bench.ensure(&dir).unwrap();
    assert_eq!(bench.creates(), 2 * once);
}

#[test]
fn lost_answers_in_one_probe_after_the_other_do_not_condemn_the_store() {
    let bench = bench(usize::MAX);
    // The retry finds its own object: no create of this name was answered with "new". That spoils a probe each time.
    for name in ["-0", "-1", "-2", "-3"] {
        bench.script.once(Op::Create, name, Fault::AppliedButNoAnswer);
    }
    bench.ensure(bench.dir.path()).unwrap();
    assert!(bench.script.is_used_up());
}

#[test]
fn local_stores_are_not_asked() {
    let bench = bench(0);
    let memory = ProbeMemory::new(bench.dir.path().to_owned());
    let url = VolumeUrl::parse("file:///x").unwrap();
    bench.host.tasks.wait(ensure_fencing(&url, &bench.fake, &memory, &bench.host)).unwrap();
    assert_eq!(bench.creates(), 0);
}

#[test]
fn one_winner_whose_bytes_are_there_is_what_counts() {
    let bodies = |of: &[&str]| of.iter().map(|body| body.as_bytes().to_vec()).collect();
    let race = |winners: &[&str], content: Option<&str>| {
        judge(&Race {
            winners: bodies(winners),
            others: bodies(&["b", "c"]),
            content: content.map(|body| body.as_bytes().to_vec()),
        })
    };
    assert_eq!(race(&["a"], Some("a")), Finding::Honoured);
    assert!(matches!(race(&["a"], Some("b")), Finding::Ignored(_)));
    assert!(matches!(race(&["a"], None), Finding::Ignored(_)));
    assert!(matches!(race(&["a", "b"], Some("a")), Finding::Ignored(_)));
    assert_eq!(race(&[], Some("a")), Finding::Spoiled);
}

#[test]
fn an_answer_that_was_damaged_on_its_way_does_not_condemn_the_store() {
    let race =
        |content: &[u8]| Race { winners: vec![b"a".into()], others: vec![b"b".into()], content: Some(content.into()) };
    assert_eq!(judge(&race(b"A")), Finding::Spoiled);
    assert!(matches!(judge(&race(b"b")), Finding::Ignored(_)));
}
