//! Segments that are made before they are needed.

mod common;

use common::{PAGE, append, dir, segments, sim_host, sync};
use plimsoll_host::{Files, OpenMode, sim_disk::SimDisk};
use plimsoll_journal::{Config, Journal};
use plimsoll_model::{Lsn, WriterId};

fn config() -> Config {
    Config { segment_bytes: 256 << 10, first_segment_bytes: 8 << 10, ..Config::new([7; 16], WriterId(42)) }
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

/// Commits until it is time for the next segment. The last commit.
fn half_fill(journal: &Journal, mut lsn: u64, syncs: bool) -> u64 {
    while !journal.needs_next() {
        lsn += 1;
        append(journal, lsn, &[(1, lsn)]).unwrap();
        if syncs {
            sync(journal);
        }
    }
    lsn
}

#[test]
fn a_segment_after_one_that_is_synced_often_has_its_blocks_written_and_is_larger() {
    let (disk, _, journal) = fresh();
    let mut lsn = 0;
    for kib in [32, 128, 256, 256] {
        lsn = half_fill(&journal, lsn, true);
        journal.prepare().unwrap();
        assert!(!journal.needs_next());
        assert_eq!(sizes(&disk).last(), Some(&(kib << 10)));
        // Until the next one is in use.
        let before = segments(&disk).len();
        let used = |disk: &SimDisk| segments(disk).len() + usize::from(journal.needs_next()) > before;
        while !used(&disk) {
            lsn += 1;
            append(&journal, lsn, &[(1, lsn)]).unwrap();
            sync(&journal);
        }
    }
}

#[test]
fn room_that_commits_do_not_wait_for_is_not_written_twice() {
    let (disk, _, journal) = fresh();
    let mut lsn = half_fill(&journal, 0, true);
    journal.prepare().unwrap();
    // Into the second segment and through it without a sync.
    for _ in 0..2 * (32 << 10) / PAGE {
        lsn += 1;
        append(&journal, lsn, &[(1, lsn)]).unwrap();
    }
    half_fill(&journal, lsn, false);
    journal.prepare().unwrap();
    assert!(*sizes(&disk).last().unwrap() < 1 << 10, "{:?}", sizes(&disk));
}

#[test]
fn zeros_behind_the_last_commit_are_nothing_that_was_lost() {
    let (disk, host, journal) = fresh();
    let last = half_fill(&journal, 0, true);
    journal.prepare().unwrap();
    disk.kill();
    let (journal, replay) = Journal::open(&host, dir(), config()).unwrap();
    assert_eq!((replay.last, &replay.cut), (Lsn(last), &None));
    append(&journal, last + 1, &[(1, 1)]).unwrap();
    assert_eq!(sizes(&disk).last(), Some(&(8 << 10)), "opening makes a small one, with its blocks written");
}

#[test]
fn a_file_that_is_used_again_for_a_larger_segment_is_filled_up() {
    let (disk, _, journal) = fresh();
    let mut lsn = half_fill(&journal, 0, true);
    journal.prepare().unwrap();
    while segments(&disk).len() < 2 || !journal.needs_next() {
        lsn += 1;
        append(&journal, lsn, &[(1, lsn)]).unwrap();
        sync(&journal);
    }
    journal.release(Lsn(lsn), None).unwrap();
    assert_eq!(sizes(&disk), [32 << 10]);
    journal.prepare().unwrap();
    assert_eq!(sizes(&disk), [32 << 10, 128 << 10], "made of the 8 KiB that were given up");
    assert!(disk.list(dir()).unwrap().iter().all(|name| name.ends_with(".wal")));
}
