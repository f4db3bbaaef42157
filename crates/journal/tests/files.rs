//! The journal on the real file system.

use plimsoll_host::WallMs;
use plimsoll_journal::{Commit, Config, Journal};
use plimsoll_model::{ErrorKind, Lsn, PageCount, PageNo, PageSize, WriterId};

fn config() -> Config {
    Config { segment_bytes: 64 << 10, ..Config::new([7; 16], WriterId(42)) }
}

fn commit(lsn: u64) -> Commit {
    Commit { lsn: Lsn(lsn), page_count: PageCount(9), page_size: PageSize::DEFAULT, wall: WallMs(lsn) }
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

#[test]
fn what_was_appended_is_there_after_reopening_without_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("journal");
    let host = plimsoll_host::os::host().unwrap();
    let (journal, replay) = Journal::open(&host, &dir, config()).unwrap();
    assert_eq!((replay.writer, replay.last, replay.commits.len()), (WriterId(42), Lsn::ZERO, 0));
    for lsn in 1..=100u64 {
        let (a, b) = (vec![lsn as u8; 4096], vec![!lsn as u8; 4096]);
        let mut places = Vec::new();
        journal.append(commit(lsn), &[(page(1), &a), (page(3), &b)], None, &mut places).unwrap();
        let mut out = vec![0; 4096];
        journal.read(places[1], page(3), &mut out).unwrap();
        assert_eq!(out, b);
    }
    drop(journal);

    let other = Config { writer: WriterId(1), ..config() };
    let (journal, replay) = Journal::open(&host, &dir, other).unwrap();
    assert_eq!((replay.writer, replay.last, replay.cut), (WriterId(42), Lsn(100), None));
    assert_eq!(replay.commits.iter().map(|commit| commit.lsn.0).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    for commit in &replay.commits {
        let (number, place) = commit.pages[0];
        let mut out = vec![0; 4096];
        journal.read(place, number, &mut out).unwrap();
        assert_eq!((number, out), (page(1), vec![commit.lsn.0 as u8; 4096]));
    }
}

#[test]
fn another_volumes_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let host = plimsoll_host::os::host().unwrap();
    drop(Journal::open(&host, dir.path(), config()).unwrap());
    let other = Config { volume: [8; 16], ..config() };
    let error = Journal::open(&host, dir.path(), other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn releasing_frees_the_disk_and_keeps_a_few_files_for_reuse() {
    let dir = tempfile::tempdir().unwrap();
    let host = plimsoll_host::os::host().unwrap();
    let (journal, _) = Journal::open(&host, dir.path(), config()).unwrap();
    let names = || {
        let mut names = host.files.list(dir.path()).unwrap();
        names.sort();
        let spare = names.iter().filter(|name| name.ends_with(".spare")).count();
        (names.len() - spare, spare)
    };
    let bytes = vec![5; 4096];
    for lsn in 1..=100 {
        journal.append(commit(lsn), &[(page(1), &bytes)], None, &mut Vec::new()).unwrap();
    }
    journal.sync_to(journal.written()).unwrap();
    assert!(names().0 > 6);
    journal.release(Lsn(100)).unwrap();
    assert_eq!(names().1, 2);
    assert!(names().0 <= 2, "the active segment and the next one");
}
