//! Giving up segments, and using their files again.

mod common;

use common::{append, content, dir, lsns, open, page, read, segments, sim_host, sync};
use plimsoll_host::{Files, sim_disk::SimDisk};
use plimsoll_journal::{Journal, Place};
use plimsoll_model::{ErrorKind, Lsn};

fn fresh() -> (SimDisk, plimsoll_host::Host, Journal) {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let (journal, _) = open(&host).unwrap();
    (disk, host, journal)
}

fn fill(journal: &Journal, lsns: std::ops::RangeInclusive<u64>) -> Vec<Place> {
    let places = lsns.map(|lsn| append(journal, lsn, &[(1, lsn), (2, lsn)]).unwrap()[0]).collect();
    sync(journal);
    places
}

#[test]
fn only_segments_whose_commits_are_all_released_go() {
    let (_, host, journal) = fresh();
    let places = fill(&journal, 1..=40);
    journal.release(Lsn(20)).unwrap();
    for (lsn, place) in (1..).zip(&places).skip(20) {
        assert_eq!(read(&journal, *place, page(1)), content(lsn));
    }
    let mut out = vec![0; common::PAGE];
    assert_eq!(journal.read(places[0], page(1), &mut out).unwrap_err().kind(), ErrorKind::NotFound);
    drop(journal);
    let (_, replay) = open(&host).unwrap();
    let lsns = lsns(&replay);
    assert!((10..=21).contains(&lsns[0]) && lsns.last() == Some(&40), "{lsns:?}");
}

/// It went with the first segment, and nothing in the journal said any more under which epoch it was written.
#[test]
fn the_newest_mark_stays_as_long_as_there_are_commits_after_it() {
    let (disk, host, journal) = fresh();
    journal.mark(7, b"older").unwrap();
    journal.mark(7, b"newest").unwrap();
    for lsn in 1..=40 {
        fill(&journal, lsn..=lsn);
        journal.release(Lsn(lsn.saturating_sub(3))).unwrap();
        let (_, replay) = Journal::inspect(&disk, dir()).unwrap();
        assert_eq!(replay.marks.last().map(|mark| mark.payload.as_slice()), Some(b"newest".as_slice()), "after {lsn}");
    }
    drop(journal);
    assert!(lsns(&open(&host).unwrap().1)[0] > 10);
}

#[test]
fn a_full_disk_does_not_keep_a_mark_from_going_with_its_segment_and_it_comes_back_with_space() {
    let (disk, _, journal) = fresh();
    journal.mark(7, b"newest").unwrap();
    fill(&journal, 1..=40);
    let before = segments(&disk).len();
    disk.set_capacity(Some(0));
    journal.release(Lsn(40)).unwrap();
    assert!(segments(&disk).len() < before);
    disk.set_capacity(None);
    journal.release(Lsn(40)).unwrap();
    let (_, replay) = Journal::inspect(&disk, dir()).unwrap();
    assert_eq!(replay.marks.last().map(|mark| mark.payload.as_slice()), Some(b"newest".as_slice()));
}

#[test]
fn pages_of_an_open_transaction_stay_and_those_of_an_abandoned_one_do_not() {
    let (disk, _, journal) = fresh();
    let txn = journal.begin();
    let mut places = Vec::new();
    journal.spill(txn, &[(page(9), &content(99))], &mut places).unwrap();
    fill(&journal, 1..=40);
    let before = segments(&disk).len();
    journal.release(Lsn(40)).unwrap();
    assert_eq!(segments(&disk).len(), before);
    assert_eq!(read(&journal, places[0], page(9)), content(99));
    journal.abandon(txn);
    journal.release(Lsn(40)).unwrap();
    assert!(segments(&disk).len() <= 2);
}

#[test]
fn a_commit_keeps_the_segments_that_its_early_pages_are_in() {
    let (disk, _, journal) = fresh();
    let txn = journal.begin();
    journal.spill(txn, &[(page(9), &content(99))], &mut Vec::new()).unwrap();
    fill(&journal, 1..=40);
    journal.append(common::commit(41), &[], Some(txn), &mut Vec::new()).unwrap();
    fill(&journal, 42..=60);
    let survivor = sim_host(&disk.copy(), 2);
    let (reopened, replay) = open(&survivor).unwrap();
    for journal in [journal, reopened] {
        let (number, place) = replay.commits[40].pages[0];
        journal.release(Lsn(40)).unwrap();
        assert_eq!(read(&journal, place, number), content(99));
        journal.release(Lsn(41)).unwrap();
        let mut out = vec![0; common::PAGE];
        assert_eq!(journal.read(place, number, &mut out).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_reused_file_never_replays_what_it_held_before() {
    let (disk, host, journal) = fresh();
    fill(&journal, 1..=40);
    journal.release(Lsn(40)).unwrap();
    let spares = |disk: &SimDisk| disk.list(dir()).unwrap().iter().filter(|name| name.ends_with(".spare")).count();
    assert_eq!(spares(&disk), 1);
    let used = disk.used();
    // The same lengths as before, so that old frames lie exactly where new ones would follow.
    let mut lsn = 40;
    while spares(&disk) > 0 {
        lsn += 1;
        append(&journal, lsn, &[(1, lsn), (2, lsn)]).unwrap();
    }
    // The file is in use now, with old frames behind the first few new ones.
    lsn += 1;
    append(&journal, lsn, &[(1, lsn), (2, lsn)]).unwrap();
    assert!(disk.used() <= used);
    disk.kill();
    let (_, replay) = open(&host).unwrap();
    assert_eq!((replay.last, &replay.cut), (Lsn(lsn), &None));
    assert!(replay.commits[0].lsn > Lsn(30));
}

#[test]
fn no_more_files_are_kept_than_asked_for() {
    let (disk, host, journal) = fresh();
    fill(&journal, 1..=100);
    assert!(segments(&disk).len() > 10);
    journal.release(Lsn(100)).unwrap();
    assert!(disk.list(dir()).unwrap().len() <= 3, "{disk:?}");
    drop(journal);
    let config = plimsoll_journal::Config { spare_segments: 0, ..common::config() };
    let (_journal, _) = Journal::open(&host, dir(), config).unwrap();
    assert!(disk.list(dir()).unwrap().iter().all(|name| name.ends_with(".wal")), "{disk:?}");
}

#[test]
fn a_spare_file_is_not_written_to_while_it_may_still_come_back_as_a_segment() {
    for changes in 1..24 {
        for seed in 0..16 {
            let (disk, host, journal) = fresh();
            fill(&journal, 1..=20);
            // The first process dies between the renaming of a released segment and its sync.
            disk.die_after(1);
            journal.release(Lsn(10)).unwrap_err();
            disk.kill();
            // The second one uses the file, and loses power somewhere on the way.
            disk.die_after(changes);
            let _ = open(&host);
            disk.power_loss(&*common::Seeded::new(seed));
            assert_eq!(open(&host).unwrap().1.last, Lsn(20), "after {changes} changes, power loss {seed}");
        }
    }
}

/// Its begin frame says after which commit the journal goes on. Without either, numbers would begin anew.
#[test]
fn a_segment_is_not_given_up_while_the_begin_of_the_next_one_may_be_lost_with_the_power() {
    for seed in 0..16 {
        let (disk, host, journal) = fresh();
        let mut last = 0;
        while segments(&disk).len() < 2 {
            sync(&journal);
            last += 1;
            append(&journal, last, &[(1, last), (2, last)]).unwrap();
        }
        // The last one is the first of its segment, and not synced.
        let synced = last - 1;
        journal.release(Lsn(synced)).unwrap();
        disk.power_loss(&*common::Seeded::new(seed));
        let found = open(&host).unwrap().1.last;
        assert!(found >= Lsn(synced), "commit {found} after {synced} were synced, power loss {seed}");
    }
}

#[test]
fn what_comes_before_a_commit_whose_early_pages_were_released_was_released_too() {
    let (_, host, journal) = fresh();
    let txn = journal.begin();
    journal.spill(txn, &[(page(9), &content(99))], &mut Vec::new()).unwrap();
    // Into the next segment, where two commits are before its own.
    let mut last = 0;
    while last < 2 || segments_of(&journal) < 3 {
        fill(&journal, last + 1..=last + 1);
        last += 1;
    }
    fill(&journal, last + 1..=last + 1);
    journal.append(common::commit(last + 2), &[], Some(txn), &mut Vec::new()).unwrap();
    fill(&journal, last + 3..=last + 3);
    journal.release(Lsn(last + 2)).unwrap();
    drop(journal);
    let (_, replay) = open(&host).unwrap();
    assert_eq!((lsns(&replay), replay.last), (vec![last + 3], Lsn(last + 3)));
}

/// How many segments its frames so far take, a part of one counted as one.
fn segments_of(journal: &Journal) -> u64 {
    journal.written().0.div_ceil(common::config().segment_bytes)
}
