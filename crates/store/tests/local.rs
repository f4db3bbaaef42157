//! The store contract, kept by the local stores and by every wrapper.

mod support;

use std::{
    fs::File,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use plimsoll_host::{Host, os};
use plimsoll_store::{
    Breaker, BreakerPolicy, BreakerState, BreakerStore, Environment, FileStore, MemoryStore, ObservedStore, Observer,
    RetryPolicy, RetryStore, Store, StoreOptions, Unobserved, VolumeUrl, open, open_observed,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::contract;

fn host() -> Host {
    os::host().unwrap()
}

#[test]
fn memory_keeps_the_contract() {
    let host = host();
    contract::check(&MemoryStore::private(Arc::clone(&host.clock)), &host);
}

#[test]
fn files_keep_the_contract() {
    let host = host();
    let dir = tempfile::tempdir().unwrap();
    contract::check(&FileStore::new(dir.path().join("v"), "file:///v", &host), &host);
}

#[test]
fn a_directory_that_does_not_answer_leaves_room_for_other_work_of_the_process() {
    const READS: usize = 40;
    let host = host();
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::new(dir.path().to_owned(), "file:///v", &host);
    // Opening a pipe for reading waits until somebody writes to it.
    let pipes: Vec<_> = (0..READS).map(|number| dir.path().join(format!("pipe-{number}"))).collect();
    for pipe in &pipes {
        let made = mknodat(CWD, pipe, FileType::Fifo, Mode::RWXU, 0);
        made.unwrap();
    }
    let (ended, reads) = mpsc::channel();
    for number in 0..READS {
        let (store, ended) = (store.clone(), ended.clone());
        host.tasks.spawn(Box::pin(async move {
            ended.send(store.get(&format!("pipe-{number}")).await.map(|found| found.is_some())).unwrap();
        }));
    }
    let (told, heard) = mpsc::channel();
    for number in 0..READS {
        let told = told.clone();
        host.tasks.spawn_blocking(Box::new(move || told.send(number).unwrap()));
    }
    let others = (0..READS).take_while(|_| heard.recv_timeout(Duration::from_secs(60)).is_ok()).count();
    // Whoever reads is let go, whatever became of it: one opening for both lets a reader in.
    let opened: Vec<_> = pipes.iter().map(|pipe| File::options().read(true).write(true).open(pipe)).collect();
    for _ in 0..READS {
        assert!(!reads.recv_timeout(Duration::from_secs(120)).unwrap().unwrap(), "a pipe is no object");
    }
    drop(opened);
    assert_eq!(others, READS, "work that has nothing to do with the directory waits for it");
}

#[test]
fn every_wrapper_keeps_the_contract() {
    let host = host();
    let memory = || MemoryStore::private(Arc::clone(&host.clock));
    let breaker = Breaker::new(BreakerPolicy::default(), Arc::clone(&host.clock));
    contract::check(&RetryStore::new(memory(), RetryPolicy::default(), &host), &host);
    contract::check(&BreakerStore::new(memory(), breaker), &host);
    contract::check(&ObservedStore::new(memory(), Arc::new(Unobserved), Arc::clone(&host.clock)), &host);
    contract::check(&Arc::new(memory()), &host);
}

#[test]
fn an_opened_directory_keeps_the_contract_under_its_canonical_url() {
    let host = host();
    let dir = tempfile::tempdir().unwrap();
    let url = VolumeUrl::parse_at("./a b/", dir.path()).unwrap();
    let store = open(&url, &StoreOptions::default(), &host).unwrap();
    assert_eq!(store.url(), url.canonical());
    assert!(!store.s3_layout());
    assert!(!dir.path().join("a b").exists(), "opening writes nothing");
    contract::check(&*store, &host);
    assert!(dir.path().join("a b").is_dir());
}

#[test]
fn memory_of_one_name_is_shared_in_the_process() {
    let host = host();
    let store = |name: &str| open(&VolumeUrl::parse(name).unwrap(), &StoreOptions::default(), &host).unwrap();
    host.tasks.wait(async {
        store("memory:///shared").put("a", vec![1].into()).await.unwrap();
        assert!(store("memory:///shared").get("a").await.unwrap().is_some());
        assert!(store("memory:///other").get("a").await.unwrap().is_none());
    });
}

#[derive(Default)]
struct Count(Mutex<Vec<&'static str>>);

impl Observer for Count {
    fn request(&self, op: &'static str, _outcome: &'static str, _seconds: f64) {
        self.0.lock().unwrap().push(op);
    }
}

#[test]
fn an_opened_store_tells_its_observer_and_shows_its_breaker() {
    let host = host();
    let url = VolumeUrl::parse("memory:///observed").unwrap();
    let count = Arc::new(Count::default());
    let environment = Environment::default();
    let opened = open_observed(&url, &StoreOptions::default(), &environment, &host, Arc::clone(&count) as _).unwrap();
    host.tasks.wait(opened.store.list("", None)).unwrap();
    assert_eq!(*count.0.lock().unwrap(), ["list"]);
    assert_eq!(opened.breaker_state(), BreakerState::Closed);
}
