//! The machine, with calls to the file system counted by thread.

use std::{
    cell::Cell,
    io,
    path::Path,
    sync::{Arc, LazyLock},
};

use plimsoll_host::{File, Files, Host, Lock, OpenMode, os};
use plimsoll_metrics::Metrics;
use plimsoll_volume::{Connections, Process};

/// How often the file system was called.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) bytes_written: u64,
    pub(crate) syncs: u64,
}

impl Calls {
    pub(crate) fn since(self, before: Calls) -> Calls {
        Calls {
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            bytes_written: self.bytes_written - before.bytes_written,
            syncs: self.syncs - before.syncs,
        }
    }
}

thread_local! {
    static CALLS: Cell<Calls> = const { Cell::new(Calls { reads: 0, writes: 0, bytes_written: 0, syncs: 0 }) };
}

/// Calls by this thread so far.
pub(crate) fn counted() -> Calls {
    CALLS.get()
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Requests to object stores by this process so far.
pub(crate) fn requests() -> u64 {
    let count = |line: &str| line.rsplit_once(' ').map_or(0, |(_, count)| count.parse::<u64>().unwrap());
    METRICS.encode().lines().filter(|line| line.starts_with("plimsoll_store_requests_total")).map(count).sum()
}

fn note(change: impl FnOnce(&mut Calls)) {
    let mut calls = CALLS.get();
    change(&mut calls);
    CALLS.set(calls);
}

/// Volumes of this process are opened on the counting machine.
pub(crate) fn register() {
    let host = os::host().unwrap();
    let host = Host { files: Arc::new(CountedFiles(Arc::clone(&host.files))), ..host };
    let process = Process {
        host,
        metrics: METRICS.clone(),
        environment: [("HOME".to_owned(), "/nowhere".to_owned())].into(),
        host_name: "here".to_owned(),
        pid: std::process::id(),
        connections: Connections::default(),
    };
    plimsoll_sqlite::register_with(process).unwrap();
}

struct CountedFiles(Arc<dyn Files>);
struct CountedFile(Arc<dyn File>);

impl Files for CountedFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(CountedFile(self.0.open(path, mode)?)))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        note(|calls| calls.syncs += 1);
        self.0.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.0.try_lock(path)
    }
}

impl File for CountedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        note(|calls| calls.reads += 1);
        self.0.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        note(|calls| {
            calls.writes += 1;
            calls.bytes_written += buf.len() as u64;
        });
        self.0.write_all_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        note(|calls| calls.syncs += 1);
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        note(|calls| calls.writes += 1);
        self.0.set_len(len)
    }
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        note(|calls| calls.writes += 1);
        self.0.reserve(offset, len)
    }
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        note(|calls| calls.writes += 1);
        self.0.punch_hole(offset, len)
    }
}
