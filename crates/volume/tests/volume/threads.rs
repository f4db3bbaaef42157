//! Real threads on a real disk, where order is up to the machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use plimsoll_host::{Host, os};
use plimsoll_model::{ErrorKind, Level};
use plimsoll_store::{MemoryStore, fault::Op};
use plimsoll_volume::{Config, Receipt, Volume};

use crate::{
    remote::Remote,
    world::{World, get, marks, put},
};

fn open(host: &Host, remote: &Remote, dir: &std::path::Path, values: &[(&str, &str)]) -> Volume {
    let template = World::new(0).machine("a").config(values);
    Volume::open(Config { host: host.clone(), store: Arc::new(remote.clone()), dir: dir.to_owned(), ..template })
        .unwrap()
}

fn real() -> (Host, Remote, tempfile::TempDir) {
    let host = os::host().unwrap();
    let remote = Remote::new(MemoryStore::private(Arc::clone(&host.clock)), Arc::clone(&host.clock));
    (host, remote, tempfile::tempdir().unwrap())
}

fn insist(volume: &Volume, mark: u64, level: Level) -> plimsoll_model::Result<Receipt> {
    loop {
        match put(volume, &[(1, mark)], 1, level) {
            Err(error) if matches!(error.kind(), ErrorKind::Held | ErrorKind::Conflict) => thread::yield_now(),
            other => return other,
        }
    }
}

#[test]
fn those_who_wait_for_durable_at_the_same_time_share_a_sync() {
    let (host, remote, dir) = real();
    let volume = open(&host, &remote, dir.path(), &[("sync_interval_ms", "60000")]);
    insist(&volume, 0, Level::Durable).unwrap();
    remote.set_latency(30);
    remote.asked();
    thread::scope(|scope| {
        for writer in 0..8 {
            let volume = &volume;
            scope.spawn(move || {
                for round in 0..5 {
                    let receipt = insist(volume, writer * 10 + round, Level::Buffered).unwrap();
                    receipt.wait(Level::Durable).unwrap();
                }
            });
        }
    });
    let syncs = remote.asked().iter().filter(|(op, key)| *op == Op::Create && key.ends_with(".ltx")).count();
    assert!(syncs <= 25, "{syncs} syncs for 40 commits");
    assert_eq!(volume.status().durable.lsn, 41);
    volume.close().unwrap();
}

#[test]
fn what_was_acknowledged_beside_a_close_is_there_afterwards() {
    for round in 0..30 {
        let (host, remote, dir) = real();
        let values = [("sync_interval_ms", "1"), ("journal_sync_policy", "manual")];
        let volume = open(&host, &remote, dir.path(), &values);
        let acknowledged = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for mark in 1.. {
                    if insist(&volume, mark, Level::Buffered).is_err() {
                        return;
                    }
                    acknowledged.store(mark, Ordering::Release);
                }
            });
            thread::sleep(Duration::from_millis(round % 7));
            volume.clone().close().unwrap();
        });
        let volume = open(&host, &remote, dir.path(), &values);
        let last = acknowledged.load(Ordering::Acquire);
        assert!(volume.head().0 >= last, "{last} was acknowledged, {} is there", volume.head());
        if last > 0 {
            assert!(marks(&volume)[0] >= last);
        }
        volume.close().unwrap();
    }
}

#[test]
fn readers_see_whole_commits_in_order_while_the_volume_is_let_go_and_taken_again() {
    let (host, remote, dir) = real();
    let values = [("sync_interval_ms", "3"), ("idle_release_ms", "1"), ("follow_interval_ms", "1")];
    let volume = open(&host, &remote, dir.path(), &values);
    put(&volume, &[(1, 0), (2, 0)], 2, Level::Durable).unwrap();
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while done.load(Ordering::Acquire) == 0 {
                    let snapshot = volume.snapshot().unwrap();
                    let seen = (get(&snapshot, 1), get(&snapshot, 2));
                    assert_eq!(seen.0, seen.1, "half a commit");
                    assert!(seen.0 >= last, "from {last} back to {}", seen.0);
                    last = seen.0;
                }
            });
        }
        for mark in 1..=150 {
            while let Err(error) = put(&volume, &[(1, mark), (2, mark)], 2, Level::Buffered) {
                assert!(matches!(error.kind(), ErrorKind::Held | ErrorKind::Conflict), "{error}");
            }
            if mark % 5 == 0 {
                thread::sleep(Duration::from_millis(70));
            }
        }
        done.store(1, Ordering::Release);
    });
    volume.close().unwrap();
}
