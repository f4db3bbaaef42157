//! What is done before it is needed.

mod common;

use common::{append, dir, segments, sim_host, sync};
use plimsoll_host::{Files, OpenMode, sim_disk::SimDisk};
use plimsoll_journal::{Config, Journal};
use plimsoll_model::{Lsn, WriterId};

const MIB: u64 = 1 << 20;

fn config() -> Config {
    Config { segment_bytes: 3 * MIB, ..Config::new([7; 16], WriterId(42)) }
}

fn fresh() -> (SimDisk, plimsoll_host::Host, Journal) {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let (journal, _) = Journal::open(&host, dir(), config()).unwrap();
    (disk, host, journal)
}

fn sizes(disk: &SimDisk) -> Vec<u64> {
    let size = |path: &std::path::PathBuf| disk.open(path, OpenMode::Read).unwrap().len().unwrap();
    segments(disk).iter().map(size).collect()
}

/// Commits until it is time to prepare. The last commit.
fn until_needed(journal: &Journal, mut lsn: u64) -> u64 {
    while !journal.needs_preparing() {
        lsn += 1;
        append(journal, lsn, &[(1, lsn); 8]).unwrap();
        sync(journal);
    }
    lsn
}

/// Commits of so many bytes without a sync.
fn in_bulk(journal: &Journal, mut lsn: u64, bytes: u64) -> u64 {
    let before = journal.written().0;
    while journal.written().0 < before + bytes {
        lsn += 1;
        append(journal, lsn, &[(1, lsn); 8]).unwrap();
    }
    lsn
}

#[test]
fn blocks_are_written_ahead_of_commits_that_are_synced_and_in_the_next_segment_too() {
    let (disk, _, journal) = fresh();
    assert_eq!(sizes(&disk), [MIB]);
    let (mut lsn, mut size) = (0, MIB);
    while size < 3 * MIB {
        lsn = until_needed(&journal, lsn);
        journal.prepare().unwrap();
        size += MIB / 4;
        let next = (sizes(&disk).len() > 1).then_some(3 * MIB);
        assert_eq!(sizes(&disk), [size].into_iter().chain(next).collect::<Vec<_>>());
    }
    assert_eq!(sizes(&disk), [3 * MIB; 2]);
    let written = journal.written();
    lsn = until_needed(&journal, lsn);
    assert!(journal.written().0 > written.0 + MIB, "nothing is left to prepare before the next segment is half full");
    journal.prepare().unwrap();
    assert_eq!(sizes(&disk), [3 * MIB; 3]);
    assert!(lsn > 0);
}

#[test]
fn room_that_no_commit_waits_for_is_not_written_twice() {
    let (disk, _, journal) = fresh();
    in_bulk(&journal, 0, 2 * MIB);
    sync(&journal);
    assert!(journal.needs_preparing(), "the next segment is wanted");
    journal.prepare().unwrap();
    assert_eq!(sizes(&disk)[0], journal.written().0);
    assert!(sizes(&disk)[1] < 1 << 10, "{:?}", sizes(&disk));
}

#[test]
fn zeros_behind_the_last_commit_are_nothing_that_was_lost() {
    let (disk, host, journal) = fresh();
    let last = until_needed(&journal, 0);
    journal.prepare().unwrap();
    disk.kill();
    let (journal, replay) = Journal::open(&host, dir(), config()).unwrap();
    assert_eq!((replay.last, &replay.cut), (Lsn(last), &None));
    append(&journal, last + 1, &[(1, 1)]).unwrap();
    assert_eq!(sizes(&disk).last(), Some(&MIB));
}

#[test]
fn what_is_appended_while_zeros_are_written_stays() {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let (journal, _) = Journal::open(&host, dir(), config()).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let last = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                journal.prepare().unwrap();
                std::thread::yield_now();
            }
        });
        let mut lsn = 0;
        while journal.written().0 < 8 * MIB {
            lsn += 1;
            append(&journal, lsn, &[(1, lsn); 8]).unwrap();
            sync(&journal);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        lsn
    });
    drop(journal);
    let (_, replay) = Journal::open(&host, dir(), config()).unwrap();
    assert_eq!((replay.last, replay.commits.len() as u64, replay.cut), (Lsn(last), last, None));
}

#[test]
fn a_sync_of_zeros_that_fails_ends_the_journal_since_it_may_have_been_that_of_a_commit() {
    let (disk, _, journal) = fresh();
    let last = until_needed(&journal, 0);
    append(&journal, last + 1, &[(1, 1)]).unwrap();
    disk.fail_syncs(1, 0);
    journal.prepare().unwrap_err();
    journal.sync_to(journal.written()).unwrap_err();
}
