//! A process that has no file descriptor left for a while.

mod common;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use common::{append, lsns, open, sim_host, sync};
use plimsoll_host::{File, Files, Host, Lock, OpenMode, sim_disk::SimDisk};
use plimsoll_journal::Journal;
use plimsoll_model::{ErrorKind, Lsn};

/// A disk on which nothing can be opened, nothing renamed, or no name synced, for a while.
#[derive(Default)]
struct Starved {
    disk: SimDisk,
    opens_fail: AtomicBool,
    renames_fail: AtomicBool,
    syncs_of_names_fail: AtomicBool,
}

fn unless(fails: &AtomicBool) -> io::Result<()> {
    const EMFILE: i32 = 24;
    if fails.load(Ordering::Relaxed) { Err(io::Error::from_raw_os_error(EMFILE)) } else { Ok(()) }
}

impl Files for Starved {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        unless(&self.opens_fail)?;
        self.disk.open(path, mode)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        unless(&self.renames_fail)?;
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        unless(&self.syncs_of_names_fail)?;
        self.disk.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.try_lock(path)
    }
}

fn fresh() -> (Arc<Starved>, Host, Journal) {
    let files = Arc::new(Starved::default());
    let host = Host { files: Arc::clone(&files) as Arc<dyn Files>, ..sim_host(&files.disk, 1) };
    let (journal, _) = open(&host).unwrap();
    (files, host, journal)
}

/// It once ended the handle for good, with everything that was not synced yet.
#[test]
fn a_segment_that_could_not_be_made_costs_the_append_that_needs_it_and_nothing_else() {
    let (files, host, journal) = fresh();
    files.opens_fail.store(true, Ordering::Relaxed);
    let mut lsn = 0;
    let refused = loop {
        match append(&journal, lsn + 1, &[(1, lsn + 1)]) {
            Ok(_) => lsn += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Io);
    sync(&journal);
    assert_eq!(append(&journal, lsn + 1, &[(1, 7)]).unwrap_err().kind(), ErrorKind::Io);
    files.opens_fail.store(false, Ordering::Relaxed);
    for _ in 0..50 {
        lsn += 1;
        append(&journal, lsn, &[(1, lsn)]).unwrap();
    }
    journal.close().unwrap();
    assert_eq!(lsns(&open(&host).unwrap().1), (1..=lsn).collect::<Vec<_>>());
}

#[test]
fn a_segment_that_could_not_be_given_up_is_given_up_later() {
    let (files, host, journal) = fresh();
    let count = || files.disk.list(common::dir()).unwrap().len();
    for lsn in 1..=100 {
        append(&journal, lsn, &[(1, lsn)]).unwrap();
        sync(&journal);
    }
    files.renames_fail.store(true, Ordering::Relaxed);
    assert_eq!(journal.release(Lsn(100)).unwrap_err().kind(), ErrorKind::Io);
    append(&journal, 101, &[(1, 101)]).unwrap();
    sync(&journal);
    let before = count();
    files.renames_fail.store(false, Ordering::Relaxed);
    journal.release(Lsn(101)).unwrap();
    assert!(count() < before, "{before} files, then {}", count());
    journal.close().unwrap();
    assert_eq!(lsns(&open(&host).unwrap().1).last(), Some(&101));
}

/// A journal with a spare file, about to need the next segment. Its last commit.
fn with_a_spare(files: &Starved, journal: &Journal) -> u64 {
    let spare = || files.disk.list(common::dir()).unwrap().iter().any(|name| name.ends_with(".spare"));
    let mut lsn = 0;
    while !spare() || !journal.needs_preparing() {
        lsn += 1;
        append(journal, lsn, &[(1, lsn)]).unwrap();
        sync(journal);
        journal.release(Lsn(lsn)).unwrap();
    }
    lsn
}

fn goes_on(host: &Host, journal: Journal, lsn: u64) {
    for lsn in lsn + 1..=lsn + 100 {
        append(&journal, lsn, &[(1, lsn)]).unwrap();
        sync(&journal);
    }
    journal.close().unwrap();
    drop(journal);
    assert_eq!(lsns(&open(host).unwrap().1).last(), Some(&(lsn + 100)));
}

/// Every later append once failed, for a file that had been given another name.
#[test]
fn a_segment_that_was_made_ahead_and_whose_name_could_not_be_synced_is_made_again() {
    let (files, host, journal) = fresh();
    let mut lsn = with_a_spare(&files, &journal);
    loop {
        files.syncs_of_names_fail.store(true, Ordering::Relaxed);
        let prepared = journal.prepare();
        files.syncs_of_names_fail.store(false, Ordering::Relaxed);
        if prepared.is_err() {
            break;
        }
        lsn += 1;
        append(&journal, lsn, &[(1, lsn)]).unwrap();
        sync(&journal);
    }
    goes_on(&host, journal, lsn);
}

#[test]
fn a_spare_file_that_somebody_removed_is_not_missed() {
    let (files, host, journal) = fresh();
    let lsn = with_a_spare(&files, &journal);
    for name in files.disk.list(common::dir()).unwrap().iter().filter(|name| name.ends_with(".spare")) {
        files.disk.remove(&common::dir().join(name)).unwrap();
    }
    goes_on(&host, journal, lsn);
}
