//! Bytes that change at rest, and files that vanish.

mod common;

use common::{append, config, dir, lsns, open, segments, sim_host, sync};
use plimsoll_host::{Files, sim_disk::SimDisk};
use plimsoll_journal::{Config, Journal};
use plimsoll_model::{ErrorKind, Lsn};

/// Three small segments, the last in a reused file, everything synced.
fn journal_on_disk(close: bool) -> SimDisk {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let config = Config { segment_bytes: 4 << 10, ..config() };
    let (journal, _) = Journal::open(&host, dir(), config).unwrap();
    for lsn in 1..=14 {
        append(&journal, lsn, &[(1, lsn), (2, lsn + 100)]).unwrap();
        sync(&journal);
        if lsn == 10 {
            journal.release(Lsn(8)).unwrap();
            journal.mark(1, b"note").unwrap();
        }
    }
    if close {
        journal.close().unwrap();
    }
    drop(journal);
    disk.kill();
    disk
}

#[test]
fn after_a_clean_close_every_flipped_byte_is_an_error_or_changes_nothing() {
    let disk = journal_on_disk(true);
    let (_, whole) = Journal::inspect(&disk, dir()).unwrap();
    let mut harmless = 0;
    for_each_flip(&disk, |damaged, what| match Journal::inspect(damaged, dir()) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}"),
        // The frame of the close, and what the file held before it was reused.
        Ok((_, replay)) => {
            assert_eq!((&replay.commits, &replay.marks), (&whole.commits, &whole.marks), "{what}");
            harmless += 1;
        }
    });
    assert!(harmless > 48, "there is a reused file with old frames behind the end");
}

#[test]
fn after_a_crash_every_flipped_byte_is_an_error_or_a_reported_cut_or_changes_nothing() {
    let disk = journal_on_disk(false);
    let (_, whole) = Journal::inspect(&disk, dir()).unwrap();
    for_each_flip(&disk, |damaged, what| match Journal::inspect(damaged, dir()) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}"),
        Ok((_, replay)) if replay.cut.is_some() => {
            // Only the last sync has no witness.
            assert_eq!((replay.last, whole.last), (Lsn(13), Lsn(14)), "{what}");
        }
        Ok((_, replay)) => assert_eq!(replay, whole, "{what}"),
    });
}

fn for_each_flip(disk: &SimDisk, mut check: impl FnMut(&SimDisk, &str)) {
    for path in segments(disk) {
        let len = disk.read(&path).unwrap().len() as u64;
        for at in 0..len {
            // One bit of each byte, another one for the byte after.
            let mask = 1 << (at % 8);
            assert!(disk.flip(&path, at, mask));
            check(disk, &format!("{} byte {at}", path.display()));
            disk.flip(&path, at, mask);
        }
    }
}

#[test]
fn a_damaged_journal_is_left_as_it_is() {
    let disk = journal_on_disk(true);
    let host = sim_host(&disk, 2);
    let path = &segments(&disk)[0];
    for at in [0, 90, 130, 1000] {
        disk.flip(path, at, 1);
        let before = disk.copy();
        let error = open(&host).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.object_name(), path.to_str());
        assert!(disk.same_content(&before));
        disk.flip(path, at, 1);
    }
    open(&host).unwrap();
}

#[test]
fn inspecting_changes_nothing_even_with_a_torn_tail() {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let (journal, _) = open(&host).unwrap();
    append(&journal, 1, &[(3, 77)]).unwrap();
    let end = journal.written();
    append(&journal, 2, &[(1, 1)]).unwrap();
    disk.kill();
    // Positions and offsets are the same in the first segment.
    disk.flip(&segments(&disk)[0], end.0 + 60, 1);
    let before = disk.copy();
    let (reader, replay) = Journal::inspect(&disk, dir()).unwrap();
    assert_eq!(lsns(&replay), [1]);
    assert!(replay.cut.is_some() && disk.same_content(&before));
    let mut out = vec![0; common::PAGE];
    let (page, place) = replay.commits[0].pages[0];
    reader.read(place, page, &mut out).unwrap();
    assert_eq!(out, common::content(77));
}

#[test]
fn a_bad_frame_that_a_later_one_knows_as_synced_is_damage_and_otherwise_a_torn_tail() {
    for synced in [false, true] {
        let disk = SimDisk::new();
        let host = sim_host(&disk, 1);
        let (journal, _) = open(&host).unwrap();
        append(&journal, 1, &[(1, 1)]).unwrap();
        let start = journal.written();
        append(&journal, 2, &[(1, 2)]).unwrap();
        if synced {
            sync(&journal);
        }
        append(&journal, 3, &[(1, 3)]).unwrap();
        disk.kill();
        // Positions and offsets are the same in the first segment.
        disk.flip(&segments(&disk)[0], start.0 + 60, 0x80);
        match open(&host) {
            Err(error) => {
                assert!(synced && error.kind() == ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains(&format!("at byte {start}")), "{error}");
            }
            Ok((_, replay)) => {
                assert!(!synced);
                let cut = replay.cut.clone().expect("reported");
                assert_eq!((lsns(&replay), cut.offset), (vec![1], start.0));
                assert_eq!(cut.bytes, 2 * (48 + 512 + 64));
            }
        }
    }
}

#[test]
fn what_was_cut_does_not_come_back() {
    let disk = SimDisk::new();
    let host = sim_host(&disk, 1);
    let (journal, _) = open(&host).unwrap();
    append(&journal, 1, &[(1, 1)]).unwrap();
    let start = journal.written();
    append(&journal, 2, &[(1, 2)]).unwrap();
    append(&journal, 3, &[(1, 3)]).unwrap();
    disk.kill();
    disk.flip(&segments(&disk)[0], start.0 + 60, 0x80);
    let (journal, replay) = open(&host).unwrap();
    assert_eq!(replay.last, Lsn(1));
    append(&journal, 2, &[(1, 22)]).unwrap();
    disk.kill();
    disk.flip(&segments(&disk)[0], start.0 + 60, 0x80);
    let (journal, replay) = open(&host).unwrap();
    assert_eq!((lsns(&replay), replay.cut), (vec![1, 2], None));
    let (page, place) = replay.commits[1].pages[0];
    assert_eq!(common::read(&journal, place, page), common::content(22));
}

#[test]
fn a_missing_segment_in_the_middle_is_damage() {
    let disk = journal_on_disk(true);
    assert!(segments(&disk).len() > 2);
    disk.remove(&segments(&disk)[1]).unwrap();
    let error = open(&sim_host(&disk, 2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn a_read_of_a_damaged_page_names_file_and_offset() {
    let disk = SimDisk::new();
    let (journal, _) = open(&sim_host(&disk, 1)).unwrap();
    let before = journal.written();
    let place = append(&journal, 1, &[(5, 1)]).unwrap()[0];
    let path = &segments(&disk)[0];
    let mut out = vec![0; common::PAGE];
    assert_eq!(journal.read(place, common::page(6), &mut out).unwrap_err().kind(), ErrorKind::Corrupt);
    disk.flip(path, before.0 + 100, 1);
    let error = journal.read(place, common::page(5), &mut out).unwrap_err();
    assert_eq!((error.kind(), error.object_name()), (ErrorKind::Corrupt, path.to_str()));
    assert!(error.to_string().contains(&format!("at byte {before}")), "{error}");
}

/// What closing leaves behind the last commit is all that tells of its sync.
#[test]
fn damage_to_a_closed_journal_is_told_from_a_crash_also_after_the_power_was_lost() {
    for seed in 0..16 {
        let disk = SimDisk::new();
        let host = sim_host(&disk, 1);
        let (journal, _) = open(&host).unwrap();
        append(&journal, 1, &[(1, 1)]).unwrap();
        sync(&journal);
        let before = journal.written();
        append(&journal, 2, &[(1, 2)]).unwrap();
        journal.close().unwrap();
        disk.power_loss(&*common::Seeded::new(seed));
        assert!(disk.flip(&segments(&disk)[0], before.0 + 100, 1));
        let opened = open(&host).map(|(_, replay)| replay.last);
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::Corrupt, "power loss {seed}");
    }
}
