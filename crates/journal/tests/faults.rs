//! Disks that are full or fail.

mod common;

use std::{collections::VecDeque, sync::Mutex};

use common::{append, content, lsns, open, page, read, segments, sim_host, sync};
use plimsoll_host::{Chance, Files as _, OpenMode, sim_disk::SimDisk};
use plimsoll_journal::Journal;
use plimsoll_model::{ErrorKind, Lsn};

fn fresh() -> (SimDisk, plimsoll_host::Host, Journal) {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let (journal, _) = open(&host).unwrap();
    (disk, host, journal)
}

#[test]
fn a_failed_sync_ends_the_handle_and_says_why_ever_after() {
    let (disk, host, journal) = fresh();
    append(&journal, 1, &[(1, 1)]).unwrap();
    sync(&journal);
    append(&journal, 2, &[(1, 2)]).unwrap();
    disk.fail_syncs(1, 0);
    assert_eq!(journal.sync_to(journal.written()).unwrap_err().kind(), ErrorKind::Io);
    for error in [
        journal.sync_to(journal.written()).unwrap_err(),
        append(&journal, 3, &[(1, 3)]).unwrap_err(),
        journal.close().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("simulated sync failure"), "{error}");
    }
    assert!(journal.sync_to(journal.synced()).is_ok(), "what was synced stays so");
    drop(journal);

    // The system takes the lost writes for done. Opening may only promise what it has written anew.
    disk.kill();
    let (_, replay) = open(&host).unwrap();
    assert_eq!(lsns(&replay), [1, 2]);
    disk.power_loss(&*common::Seeded::new(3));
    let (_, replay) = open(&host).unwrap();
    assert_eq!(lsns(&replay), [1, 2]);
}

#[test]
fn a_failed_write_ends_the_handle() {
    let (disk, host, journal) = fresh();
    append(&journal, 1, &[(1, 1)]).unwrap();
    disk.fail_writes(1);
    assert_eq!(append(&journal, 2, &[(1, 2)]).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(append(&journal, 2, &[(1, 2)]).unwrap_err().kind(), ErrorKind::Io);
    disk.kill();
    assert_eq!(lsns(&open(&host).unwrap().1), [1]);
}

#[test]
fn a_full_disk_costs_the_append_that_met_it_and_nothing_else() {
    let (disk, host, journal) = fresh();
    let mut lsn = 0;
    let error = loop {
        // No room for another segment: the next one cannot be made.
        disk.set_capacity(Some(16 << 10));
        match append(&journal, lsn + 1, &[(1, lsn + 1), (2, 0), (3, 0)]) {
            Ok(_) => lsn += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(append(&journal, lsn + 1, &[(1, 7); 4]).unwrap_err().kind(), ErrorKind::Full);
    let survivor = disk.copy();
    assert_eq!(open(&sim_host(&survivor, 5)).unwrap().1.last, Lsn(lsn));

    disk.set_capacity(None);
    append(&journal, lsn + 1, &[(1, 7); 4]).unwrap();
    sync(&journal);
    disk.power_loss(&*common::Seeded::new(3));
    let (journal, replay) = open(&host).unwrap();
    assert_eq!((replay.last, &replay.cut), (Lsn(lsn + 1), &None));
    let (number, place) = replay.commits.last().unwrap().pages[0];
    assert_eq!(read(&journal, place, number), content(7));
}

#[test]
fn frames_of_an_append_that_met_a_full_disk_half_way_are_not_taken_for_those_of_the_next() {
    let (disk, host, journal) = fresh();
    append(&journal, 1, &[(1, 1)]).unwrap();
    sync(&journal);
    // Space was not reserved after all, as on file systems that cannot.
    let path = &segments(&disk)[0];
    let end = journal.written();
    {
        disk.open(path, OpenMode::Write).unwrap().set_len(end.0).unwrap();
    }
    disk.set_capacity(Some(disk.used() + 3 * (48 + 512) + 10));
    let txn = journal.begin();
    let pages: Vec<_> = (1..=5).map(content).collect();
    let borrowed: Vec<_> = pages.iter().zip(1..).map(|(bytes, number)| (page(number), bytes.as_slice())).collect();
    assert_eq!(journal.spill(txn, &borrowed, &mut Vec::new()).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(journal.written(), end);

    disk.set_capacity(None);
    // As long as the first page of the failed call: what that left would follow without a gap.
    journal.spill(txn, &borrowed[4..], &mut Vec::new()).unwrap();
    let survivor = disk.copy();
    assert_eq!(open(&sim_host(&survivor, 5)).unwrap().1.last, Lsn(1));
    journal.append(common::commit(2), &[], Some(txn), &mut Vec::new()).unwrap();
    disk.kill();
    let (_, replay) = open(&host).unwrap();
    let pages: Vec<_> = replay.commits[1].pages.iter().map(|(number, _)| number.get()).collect();
    assert_eq!((pages, replay.cut), (vec![5], None));
}

/// A coin for each piece of what was not synced, as written down.
struct Coins(Mutex<VecDeque<bool>>);

impl Chance for Coins {
    fn bits(&self) -> u64 {
        let stays = self.0.lock().unwrap().pop_front().unwrap_or(false);
        if stays { 0 } else { u64::MAX }
    }
}

/// Otherwise what it left may come back in the place of a page that was lost, and complete a commit.
#[test]
fn what_an_append_left_on_a_full_disk_is_gone_for_good_before_anything_is_written_in_its_place() {
    const FRAME: u64 = 48 + 512;
    let (disk, host, journal) = fresh();
    append(&journal, 1, &[(1, 1)]).unwrap();
    sync(&journal);
    let end = journal.written().0;
    {
        let segment = disk.open(&segments(&disk)[0], OpenMode::Write).unwrap();
        segment.set_len(end).unwrap();
        segment.sync().unwrap();
    }
    disk.set_capacity(Some(disk.used() + 3 * FRAME));
    let txn = journal.begin();
    let pages: Vec<_> = (1..=5).map(content).collect();
    let borrowed: Vec<_> = pages.iter().zip(1..).map(|(bytes, number)| (page(number), bytes.as_slice())).collect();
    assert_eq!(journal.spill(txn, &borrowed, &mut Vec::new()).unwrap_err().kind(), ErrorKind::Full);

    disk.set_capacity(None);
    for at in [4, 3] {
        journal.spill(txn, &borrowed[at..=at], &mut Vec::new()).unwrap();
    }
    journal.append(common::commit(2), &[], Some(txn), &mut Vec::new()).unwrap();
    // If it were not gone for good, it would stay, its removal would be lost, and so would the second page.
    let sectors = |from: u64, bytes: u64| (from / 512..(from + bytes).div_ceil(512)).count();
    let coins = [
        (1, false),
        (sectors(end, 3 * FRAME), true),
        (1, false),
        (sectors(end, FRAME), true),
        (sectors(end + FRAME, FRAME), false),
        (sectors(end + 2 * FRAME, 64), true),
    ];
    let coins = coins.into_iter().flat_map(|(times, stays)| std::iter::repeat_n(stays, times)).collect();
    disk.power_loss(&Coins(Mutex::new(coins)));
    let (_, replay) = open(&host).unwrap();
    for commit in replay.commits.iter().skip(1) {
        let pages: Vec<_> = commit.pages.iter().map(|(number, _)| number.get()).collect();
        assert_eq!(pages, [4, 5]);
    }
}
