//! Commits, transactions, marks, closing.

mod common;

use common::{append, commit, config, content, dir, lsns, open, page, read, segments, sim_host, sync};
use plimsoll_host::sim_disk::SimDisk;
use plimsoll_journal::{Config, Journal, Mark};
use plimsoll_model::{ErrorKind, Lsn};

fn fresh() -> (SimDisk, plimsoll_host::Host, Journal) {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let (journal, _) = open(&host).unwrap();
    (disk, host, journal)
}

#[test]
fn an_append_is_one_write_and_no_sync() {
    let (disk, _, journal) = fresh();
    let before = disk.counts();
    for lsn in 1..=3 {
        append(&journal, lsn, &[(1, 1), (2, 2), (3, 3)]).unwrap();
    }
    let after = disk.counts();
    assert_eq!((after.writes - before.writes, after.syncs, after.dir_syncs), (3, before.syncs, before.dir_syncs));
}

#[test]
fn a_segment_that_was_made_ahead_costs_the_append_that_needs_it_no_sync() {
    let (disk, _, journal) = fresh();
    for lsn in 1..=20 {
        let before = disk.counts();
        append(&journal, lsn, &[(1, 1), (2, 2)]).unwrap();
        assert_eq!(disk.counts().syncs, before.syncs, "commit {lsn}");
        journal.prepare().unwrap();
    }
    assert!(segments(&disk).len() > 2);
}

#[test]
fn numbers_must_be_dense() {
    let (_, _, journal) = fresh();
    assert_eq!(append(&journal, 0, &[]).unwrap_err().kind(), ErrorKind::Invalid);
    append(&journal, 41, &[]).unwrap();
    for lsn in [40, 41, 43] {
        let error = append(&journal, lsn, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("BUG"), "{error}");
    }
    append(&journal, 42, &[]).unwrap();
}

#[test]
fn numbers_go_on_after_everything_was_released_and_the_journal_reopened() {
    let (disk, host, journal) = fresh();
    for lsn in 1..=40 {
        append(&journal, lsn, &[(1, lsn)]).unwrap();
    }
    journal.close().unwrap();
    drop(journal);
    let (journal, _) = open(&host).unwrap();
    journal.release(Lsn(40)).unwrap();
    assert_eq!(segments(&disk).len(), 1);
    drop(journal);
    let (journal, replay) = open(&host).unwrap();
    assert_eq!((replay.last, replay.commits.len(), replay.cut), (Lsn(40), 0, None));
    assert!(append(&journal, 1, &[]).is_err());
    append(&journal, 41, &[]).unwrap();
}

#[test]
fn the_last_frame_of_a_page_in_a_transaction_wins() {
    let (_, host, journal) = fresh();
    let txn = journal.begin();
    let (a, b, c) = (content(1), content(2), content(3));
    journal.spill(txn, &[(page(1), &a), (page(2), &a)], &mut Vec::new()).unwrap();
    append(&journal, 1, &[(9, 9)]).unwrap();
    journal.spill(txn, &[(page(1), &b)], &mut Vec::new()).unwrap();
    journal.append(commit(2), &[(page(2), &b), (page(2), &c)], Some(txn), &mut Vec::new()).unwrap();
    assert_eq!(journal.spill(txn, &[], &mut Vec::new()).unwrap_err().kind(), ErrorKind::Invalid);
    drop(journal);
    let (journal, replay) = open(&host).unwrap();
    let pages = &replay.commits[1].pages;
    assert_eq!(lsns(&replay), [1, 2]);
    assert_eq!(pages.iter().map(|(page, _)| page.get()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(pages.iter().map(|(page, place)| read(&journal, *place, *page)).collect::<Vec<_>>(), [b, c]);
    assert_eq!(replay.commits[1].bytes, 5 * (48 + 512) + 64);
}

#[test]
fn a_transaction_without_its_commit_is_skipped_and_its_number_not_used_again() {
    let (_, host, journal) = fresh();
    let lost = journal.begin();
    journal.spill(lost, &[(page(1), &content(1))], &mut Vec::new()).unwrap();
    drop(journal);
    let (journal, replay) = open(&host).unwrap();
    assert_eq!((replay.commits.len(), replay.cut), (0, None));
    let txn = journal.begin();
    assert_ne!(txn, lost);
    journal.append(commit(1), &[(page(2), &content(2))], Some(txn), &mut Vec::new()).unwrap();
    drop(journal);
    let (_, replay) = open(&host).unwrap();
    assert_eq!(replay.commits[0].pages.len(), 1);
}

#[test]
fn a_transaction_may_be_larger_than_a_segment() {
    let (disk, host, journal) = fresh();
    let pages: Vec<_> = (1..=60).map(|number| (number, u64::from(number))).collect();
    let places = append(&journal, 1, &pages).unwrap();
    assert!(segments(&disk).len() > 3);
    for ((number, fill), place) in pages.iter().zip(&places) {
        assert_eq!(read(&journal, *place, page(*number)), content(*fill));
    }
    sync(&journal);
    disk.power_loss(&*common::Seeded::new(1));
    let (_, replay) = open(&host).unwrap();
    assert_eq!(replay.commits[0].pages.iter().map(|(_, place)| *place).collect::<Vec<_>>(), places);
}

#[test]
fn a_mark_is_synced_and_tells_which_commit_it_follows() {
    let (disk, host, journal) = fresh();
    append(&journal, 1, &[(1, 1)]).unwrap();
    journal.mark(7, b"epoch 3").unwrap();
    assert_eq!(journal.synced(), journal.written());
    assert_eq!(journal.mark(7, &[0; 5000]).unwrap_err().kind(), ErrorKind::Invalid);
    disk.power_loss(&*common::Seeded::new(1));
    let (_, replay) = open(&host).unwrap();
    assert_eq!(replay.marks, [Mark { after: Lsn(1), kind: 7, payload: b"epoch 3".to_vec() }]);
}

#[test]
fn nothing_is_appended_after_a_close_and_nothing_is_lost_by_one() {
    let (disk, host, journal) = fresh();
    append(&journal, 1, &[(1, 1)]).unwrap();
    journal.close().unwrap();
    journal.close().unwrap();
    assert_eq!(append(&journal, 2, &[]).unwrap_err().kind(), ErrorKind::Closed);
    disk.power_loss(&*common::Seeded::new(1));
    assert_eq!(lsns(&open(&host).unwrap().1), [1]);
}

#[test]
fn opening_and_closing_without_a_write_does_not_pile_up_segments() {
    let (disk, host, journal) = fresh();
    append(&journal, 1, &[(1, 1)]).unwrap();
    journal.close().unwrap();
    drop(journal);
    for _ in 0..5 {
        let (journal, replay) = open(&host).unwrap();
        assert_eq!((lsns(&replay), replay.cut), (vec![1], None));
        journal.close().unwrap();
    }
    assert!(segments(&disk).len() <= 3, "{:?}", segments(&disk));
}

#[test]
fn a_page_that_no_segment_can_hold_is_refused() {
    let disk = SimDisk::new();
    let config = Config { segment_bytes: 4096, ..config() };
    let (journal, _) = Journal::open(&sim_host(&disk, 1), dir(), config).unwrap();
    let error = journal.spill(journal.begin(), &[(page(1), &[0; 4096])], &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let config = Config { segment_bytes: 100, ..common::config() };
    assert_eq!(Journal::open(&sim_host(&disk, 1), dir(), config).unwrap_err().kind(), ErrorKind::Invalid);
}
