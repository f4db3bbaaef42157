//! Many threads, few syncs.

mod common;

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use common::{append, open, sim_host};
use plimsoll_host::{File, Files, Host, Lock, OpenMode, sim_disk::SimDisk};
use plimsoll_journal::{Journal, Position};
use plimsoll_model::{ErrorKind, Lsn};

const THREADS: u64 = 8;

/// Holds every file sync up until it is opened.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    syncs: u64,
}

impl Gate {
    fn set(&self, open: bool) {
        self.state.lock().unwrap().open = open;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.syncs += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.open).unwrap());
    }

    fn await_held(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| state.syncs == 0).unwrap());
    }

    fn syncs(&self) -> u64 {
        self.state.lock().unwrap().syncs
    }
}

struct GatedFiles {
    inner: SimDisk,
    gate: Arc<Gate>,
}

struct GatedFile {
    inner: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl File for GatedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_all_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.reserve(offset, len)
    }
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.punch_hole(offset, len)
    }
}

impl Files for GatedFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let inner = self.inner.open(path, mode)?;
        Ok(Arc::new(GatedFile { inner, gate: Arc::clone(&self.gate) }))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.inner.try_lock(path)
    }
}

/// An open journal whose syncs stop at a gate, which is closed now.
fn gated() -> (SimDisk, Arc<Gate>, Host, Journal) {
    let disk = SimDisk::new();
    let gate = Arc::new(Gate::default());
    let files = Arc::new(GatedFiles { inner: disk.clone(), gate: Arc::clone(&gate) });
    let host = Host { files, ..sim_host(&disk, 1) };
    gate.set(true);
    let (journal, _) = open(&host).unwrap();
    *gate.state.lock().unwrap() = GateState::default();
    (disk, gate, host, journal)
}

/// One thread is stopped in its sync; meanwhile the others append.
fn one_ahead_and_the_rest_behind(journal: &Journal, gate: &Gate, wait: impl Fn(Position) + Sync) {
    thread::scope(|scope| {
        let first = append(journal, 1, &[]).map(|_| journal.written()).unwrap();
        let wait = &wait;
        scope.spawn(move || wait(first));
        gate.await_held();
        for lsn in 2..=THREADS {
            let end = append(journal, lsn, &[]).map(|_| journal.written()).unwrap();
            scope.spawn(move || wait(end));
        }
        gate.set(true);
    });
}

#[test]
fn one_sync_serves_all_that_appended_before_it_started() {
    let (disk, gate, host, journal) = gated();
    let ran = AtomicU64::new(0);
    one_ahead_and_the_rest_behind(&journal, &gate, |end| {
        let synced = journal.sync_to(end).unwrap();
        assert!(synced.up_to >= end);
        ran.fetch_add(u64::from(synced.ran), Ordering::SeqCst);
    });
    assert_eq!((gate.syncs(), ran.into_inner()), (2, 2));
    assert_eq!(journal.synced(), journal.written());
    disk.power_loss(&*common::Seeded::new(1));
    assert_eq!(open(&host).unwrap().1.last, Lsn(THREADS));
}

#[test]
fn a_sync_does_not_vouch_for_what_was_appended_after_it_started() {
    let (_, gate, _, journal) = gated();
    thread::scope(|scope| {
        append(&journal, 1, &[]).unwrap();
        let first = journal.written();
        let waiter = scope.spawn(|| journal.sync_to(journal.written()).unwrap());
        gate.await_held();
        append(&journal, 2, &[(1, 1)]).unwrap();
        gate.set(true);
        assert_eq!(waiter.join().unwrap().up_to, first);
        assert_eq!(journal.synced(), first);
        assert!(journal.written() > first);
    });
}

#[test]
fn all_who_wait_for_a_failing_sync_hear_of_it() {
    let (disk, gate, _, journal) = gated();
    disk.fail_syncs(1, 0);
    let failed = AtomicU64::new(0);
    one_ahead_and_the_rest_behind(&journal, &gate, |end| {
        assert_eq!(journal.sync_to(end).unwrap_err().kind(), ErrorKind::Io);
        failed.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!((gate.syncs(), failed.into_inner()), (1, THREADS));
}

#[test]
fn threads_that_append_sync_read_and_release_at_once_agree_in_the_end() {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let (journal, _) = open(&host).unwrap();
    let next = Mutex::new(1u64);
    let reading = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let (lsn, place, end) = {
                        let mut next = next.lock().unwrap();
                        let lsn = *next;
                        let place = append(&journal, lsn, &[(1, lsn)]).unwrap()[0];
                        reading.lock().unwrap().insert(lsn);
                        *next += 1;
                        (lsn, place, journal.written())
                    };
                    assert_eq!(common::read(&journal, place, common::page(1)), common::content(lsn));
                    assert!(journal.sync_to(end).unwrap().up_to >= end);
                    let read = {
                        let mut reading = reading.lock().unwrap();
                        reading.remove(&lsn);
                        reading.first().map_or(lsn, |first| lsn.min(first - 1))
                    };
                    journal.release(Lsn(read)).unwrap();
                }
            });
        }
    });
    disk.power_loss(&*common::Seeded::new(1));
    assert_eq!(open(&host).unwrap().1.last, Lsn(400));
}
