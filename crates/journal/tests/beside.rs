//! What happens in the middle of something else.

mod common;

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use common::{append, config, dir, lsns, open, sim_host, sync};
use plimsoll_host::{File, Files, Host, Lock, OpenMode, sim_disk::SimDisk};
use plimsoll_journal::{Config, Journal};
use plimsoll_model::{ErrorKind, Lsn};

type Deed = Box<dyn FnOnce() + Send>;

/// A disk on which something else happens when somebody is about to read a file, or to write zeros, and when a file is synced. That
/// sync fails, as one does that is told of bytes which could not be written: the next one is not told.
#[derive(Default, Clone)]
struct Stage {
    disk: SimDisk,
    before_reading: Arc<Mutex<Option<(String, Deed)>>>,
    before_zeros: Arc<Mutex<Option<Deed>>>,
    in_failing_sync: Arc<Mutex<Option<Deed>>>,
    /// Unless zero, reading fails each time in another way.
    flickers: Arc<AtomicU64>,
}

impl Stage {
    fn before_reading(&self, name: &str, deed: impl FnOnce() + Send + 'static) {
        *self.before_reading.lock().unwrap() = Some((name.to_owned(), Box::new(deed)));
    }
}

struct Prop(Arc<dyn File>, Stage);

impl File for Prop {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let zeros = buf.iter().all(|byte| *byte == 0);
        let deed = if zeros { self.1.before_zeros.lock().unwrap().take() } else { None };
        if let Some(deed) = deed {
            deed();
        }
        self.0.write_all_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        let Some(deed) = self.1.in_failing_sync.lock().unwrap().take() else { return self.0.sync() };
        deed();
        Err(io::Error::other("the disk is broken"))
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.reserve(offset, len)
    }
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.punch_hole(offset, len)
    }
}

impl Files for Stage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if mode == OpenMode::Read && self.flickers.load(Ordering::Relaxed) > 0 {
            return Err(io::Error::other(format!("trouble {}", self.flickers.fetch_add(1, Ordering::Relaxed))));
        }
        let due = |(name, _): &mut (String, Deed)| mode == OpenMode::Read && path.ends_with(&*name);
        let deed = self.before_reading.lock().unwrap().take_if(due);
        if let Some((_, deed)) = deed {
            deed();
        }
        Ok(Arc::new(Prop(self.disk.open(path, mode)?, self.clone())))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.try_lock(path)
    }
}

fn host(stage: &Stage) -> Host {
    Host { files: Arc::new(stage.clone()), ..sim_host(&stage.disk, 1) }
}

/// The live segments.
fn segments(stage: &Stage) -> Vec<String> {
    common::segments(&stage.disk).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn commit(journal: &Journal, lsn: u64) {
    append(journal, lsn, &[(1, lsn), (2, lsn)]).unwrap();
    sync(journal);
}

/// It once was no journal at all, and whoever looked was told that there is nothing to sync.
#[test]
fn a_journal_of_which_segments_are_given_up_while_it_is_read_is_read_from_what_is_left() {
    let stage = Stage::default();
    let (journal, _) = open(&host(&stage)).unwrap();
    let mut last = 0;
    while segments(&stage).len() < 4 {
        last += 1;
        commit(&journal, last);
    }
    let second = segments(&stage)[1].clone();
    stage.before_reading(&second, move || {
        journal.release(Lsn(last)).unwrap();
        last += 1;
        commit(&journal, last);
    });
    let (_, replay) = Journal::inspect(&stage, dir()).unwrap();
    assert_eq!((replay.last, &replay.cut), (Lsn(last + 1), &None));
    assert!(segments(&stage).len() < 4, "some were given up");
    assert!(replay.commits.iter().any(|commit| commit.lsn == Lsn(last + 1)));
}

/// It once was damage, with the advice to go on from another host.
#[test]
fn a_segment_that_is_filled_after_its_end_was_read_is_not_damaged() {
    let stage = Stage::default();
    let (journal, _) = open(&host(&stage)).unwrap();
    let mut last = 0;
    while !journal.needs_preparing() {
        last += 1;
        commit(&journal, last);
    }
    journal.prepare().unwrap();
    let [first, second] = <[String; 2]>::try_from(segments(&stage)).unwrap();
    assert_ne!(first, second);
    let (done, end) = mpsc::channel();
    stage.before_reading(&second, move || {
        // Over into the next one, and on.
        for lsn in last + 1..=last + 8 {
            commit(&journal, lsn);
        }
        done.send(last + 8).unwrap();
    });
    let (_, replay) = Journal::inspect(&stage, dir()).unwrap();
    let last = end.try_recv().expect("it happened");
    assert_eq!(lsns(&replay), (1..=last).collect::<Vec<_>>());
}

#[test]
fn a_journal_that_never_looks_the_same_twice_is_said_to_be_in_use() {
    let stage = Stage::default();
    let (journal, _) = open(&host(&stage)).unwrap();
    commit(&journal, 1);
    drop(journal);
    stage.flickers.store(1, Ordering::Relaxed);
    assert_eq!(Journal::inspect(&stage, dir()).unwrap_err().kind(), ErrorKind::Held);
}

/// The system tells only one of two who sync at the same time that bytes were not written.
#[test]
fn bytes_that_a_sync_beside_it_was_told_are_lost_are_not_acknowledged() {
    let stage = Stage::default();
    let config = Config { segment_bytes: 3 << 20, ..config() };
    let (journal, _) = Journal::open(&host(&stage), dir(), config).unwrap();
    let mut lsn = 0;
    while !journal.needs_preparing() {
        lsn += 1;
        append(&journal, lsn, &[(1, lsn); 8]).unwrap();
        sync(&journal);
    }
    append(&journal, lsn + 1, &[(1, 1)]).unwrap();
    let (begin, beginning) = mpsc::channel();
    *stage.in_failing_sync.lock().unwrap() = Some(Box::new(move || {
        begin.send(()).unwrap();
        // Time for it to go wrong. It has to wait, so nothing ends this early.
        thread::sleep(Duration::from_millis(200));
    }));
    thread::scope(|scope| {
        let journal = &journal;
        let acknowledged = scope.spawn(move || {
            beginning.recv().unwrap();
            journal.sync_to(journal.written()).is_ok()
        });
        journal.prepare().unwrap_err();
        assert!(!acknowledged.join().unwrap());
    });
}

/// They would be written over it.
#[test]
fn what_would_reach_to_where_zeros_are_just_being_written_is_appended_once_they_are() {
    let stage = Stage::default();
    let config = || Config { segment_bytes: 3 << 20, ..config() };
    let (journal, _) = Journal::open(&host(&stage), dir(), config()).unwrap();
    let mut lsn = 0;
    while !journal.needs_preparing() {
        lsn += 1;
        append(&journal, lsn, &[(1, lsn); 8]).unwrap();
        sync(&journal);
    }
    let (begin, beginning) = mpsc::channel();
    let (done, end) = mpsc::channel();
    *stage.before_zeros.lock().unwrap() = Some(Box::new(move || {
        begin.send(()).unwrap();
        // Time for it to go wrong. It has to wait, so nothing ends this early.
        let _ = end.recv_timeout(Duration::from_millis(200));
    }));
    let pages: Vec<_> = (1..=1100).map(|number| (number, u64::from(number))).collect();
    thread::scope(|scope| {
        let (journal, pages) = (&journal, &pages);
        scope.spawn(move || {
            beginning.recv().unwrap();
            append(journal, lsn + 1, pages).unwrap();
            let _ = done.send(());
        });
        journal.prepare().unwrap();
    });
    assert!(stage.before_zeros.lock().unwrap().is_none());
    sync(&journal);
    drop(journal);
    let (_, replay) = Journal::open(&host(&stage), dir(), config()).unwrap();
    assert_eq!((replay.last, replay.commits.last().unwrap().pages.len()), (Lsn(lsn + 1), pages.len()));
}
