//! Real threads on a real disk, where order is up to the machine.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use plimsoll_host::{File, Files, Host, Lock, OpenMode, os};
use plimsoll_model::{ErrorKind, Level, Txid};
use plimsoll_store::{MemoryStore, fault::Op};
use plimsoll_volume::{Config, Receipt, Reference, Volume};

use crate::{
    remote::Remote,
    world::{World, content, get, marks, put},
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

/// Whoever has got a cache folder waits until another thread has got one, too.
struct Meeting {
    files: Arc<dyn Files>,
    got: Mutex<usize>,
    both: Condvar,
}

impl Files for Meeting {
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let lock = self.files.try_lock(path)?;
        if lock.is_some() && path.parent().is_some_and(|dir| dir.to_string_lossy().contains("cache-")) {
            let mut got = self.got.lock().unwrap();
            *got += 1;
            self.both.notify_all();
            let (_got, late) = self.both.wait_timeout_while(got, Duration::from_secs(120), |got| *got < 2).unwrap();
            assert!(!late.timed_out(), "only one thread opens a cache");
        }
        Ok(lock)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.files.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.files.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.files.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.files.sync_dir(path)
    }
}

#[test]
fn of_two_threads_that_open_the_cache_at_the_same_moment_one_lets_its_folder_go_and_nothing_is_kept_there() {
    let (host, remote, dir) = real();
    let writer = open(&host, &remote, &dir.path().join("writer"), &[]);
    put(&writer, &[(1, 11), (2, 12)], 2, Level::Durable).unwrap();
    let meeting = Arc::new(Meeting { files: Arc::clone(&host.files), got: Mutex::default(), both: Condvar::new() });
    let reader = Volume::open_unread(Config {
        host: Host { files: meeting, ..host.clone() },
        store: Arc::new(remote.clone()),
        dir: dir.path().join("reader"),
        read_only: true,
        ..World::new(0).machine("a").config(&[])
    });
    let first = Reference::Txid(Txid(1));
    let snapshots = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| reader.at(&first).unwrap()));
        threads.map(|thread| thread.join().unwrap())
    });
    for snapshot in &snapshots {
        assert_eq!((get(snapshot, 1), get(snapshot, 2)), (11, 12));
    }
    let (mut used, mut free) = (0, 0);
    for name in ["cache-0", "cache-1"] {
        let folder = dir.path().join("reader").join(name);
        let pages = host.files.read(&folder.join("pages")).unwrap();
        let kept = pages.windows(8).any(|bytes| bytes == &content(11)[..8]);
        match host.files.try_lock(&folder.join("lock")).unwrap() {
            None => {
                used += 1;
                assert!(kept, "what was read is not in {name}");
            }
            Some(_lock) => {
                free += 1;
                assert!(!kept, "{name} is anybody's, and what was read is there");
            }
        }
    }
    assert_eq!((used, free), (1, 1));
    reader.close().unwrap();
    writer.close().unwrap();
}
