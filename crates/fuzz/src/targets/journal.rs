//! A journal of one or two segments.

use std::{path::Path, sync::Arc};

use plimsoll_host::{Chance, Files, Host, OpenMode, WallMs, sim_disk::SimDisk};
use plimsoll_journal::{Commit, Config, Journal};
use plimsoll_model::{Lsn, PageCount, PageNo, PageSize, WriterId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::Target;

pub(super) const SEGMENTS: Target = Target {
    name: "journal",
    feed: segments,
    seeds,
    read: Some(read),
    words: &[b"PLIMSWAL", &[255; 8], &[1, 0, 0, 0], &[2, 0, 0, 0]],
    bytes_max: 6 << 10,
};

const HEADER_BYTES: usize = 80;
const FRAME_BYTES: usize = 48;
pub(super) const PAGE_BYTES: usize = 512;

pub(super) fn dir() -> &'static Path {
    Path::new("/journal")
}

pub(super) fn config() -> Config {
    Config { segment_bytes: 4 << 10, spare_segments: 1, ..Config::new([7; 16], WriterId(42)) }
}

struct Same;

impl Chance for Same {
    fn bits(&self) -> u64 {
        0x0102_0304_0506_0708
    }
}

pub(super) fn host(disk: &SimDisk) -> Host {
    Host { files: Arc::new(disk.clone()), chance: Arc::new(Same), ..super::real_host() }
}

pub(super) fn commit(lsn: u64) -> Commit {
    let page_size = PageSize::new(PAGE_BYTES as u32).expect("BUG: no page size");
    Commit { lsn: Lsn(lsn), page_count: PageCount(9), page_size, wall: WallMs(lsn) }
}

fn seeds() -> Vec<Vec<u8>> {
    let disk = SimDisk::new();
    let host = host(&disk);
    let (journal, _) = Journal::open(&host, dir(), config()).expect("BUG: an empty disk");
    for lsn in 1..=3 {
        let page = [lsn as u8; PAGE_BYTES];
        let pages = [(PageNo::FIRST, &page[..]), (PageNo::new(3).expect("BUG: no page"), &page[..])];
        journal.append(commit(lsn), &pages, None, &mut Vec::new()).expect("BUG: a sound commit");
        journal.mark(1, b"note").expect("BUG: a sound mark");
    }
    journal.close().expect("BUG: a sound disk");
    let mut seeds = Vec::new();
    let names = host.files.list(dir()).expect("BUG: a sound disk");
    for name in names.into_iter().filter(|name| name.ends_with(".wal")) {
        let file = host.files.open(&dir().join(&name), OpenMode::Read).expect("BUG: a sound disk");
        let mut bytes = vec![0; file.len().unwrap_or(0) as usize];
        file.read_at(&mut bytes, 0).expect("BUG: a sound disk");
        // Blocks that were written ahead hold nothing yet.
        bytes.truncate(end_of_frames(&bytes));
        // The next one, not begun, is a header.
        if bytes.len() > HEADER_BYTES {
            seeds.push([vec![1], bytes].concat());
        }
    }
    seeds
}

/// The first byte says whether checksums are made right, and whether the segment is there twice, one after the other.
fn segments(input: &[u8]) {
    let Some((how, segment)) = input.split_first() else { return };
    let mut bytes = segment.to_vec();
    let disk = SimDisk::new();
    let host = host(&disk);
    host.files.create_dir_all(dir()).expect("BUG: a sound disk");
    for _ in 0..=usize::from(how & 2 != 0) {
        if how & 1 != 0 {
            seal(&mut bytes);
        }
        let seq = if bytes.len() < HEADER_BYTES { 0 } else { word(&bytes, 16) & 0xffff_ffff };
        let path = dir().join(format!("{seq:016x}.wal"));
        let file = host.files.open(&path, OpenMode::Create).expect("BUG: a sound disk");
        file.write_all_at(&bytes, 0).expect("BUG: a sound disk");
        if bytes.len() >= HEADER_BYTES {
            let base = word(&bytes, 32).wrapping_add(word(&bytes, 40));
            bytes[16..24].copy_from_slice(&seq.wrapping_add(1).to_le_bytes());
            bytes[32..40].copy_from_slice(&base.to_le_bytes());
        }
    }
    check(&disk, &host);
}

/// Opens what is there, and goes on with it.
pub(super) fn check(disk: &SimDisk, host: &Host) {
    let inspected = Journal::inspect(disk, dir());
    let opened = Journal::open(host, dir(), config());
    if let Ok((reader, replay)) = &inspected {
        let mut page = [0; PAGE_BYTES];
        for (number, place) in replay.commits.iter().flat_map(|commit| &commit.pages) {
            drop(reader.read(*place, *number, &mut page));
        }
    }
    // What opens can be gone on with, and is found again.
    let Ok((journal, replay)) = opened else { return };
    assert!(replay.last.is_sound(), "a journal opens whose last commit is {}", replay.last);
    if replay.last == Lsn::CEILING {
        return;
    }
    let next = replay.last.0 + 1;
    let page = [5; PAGE_BYTES];
    if journal.append(commit(next), &[(PageNo::FIRST, &page)], None, &mut Vec::new()).is_err() {
        return;
    }
    drop(journal.close());
    drop(journal);
    let (_, again) =
        Journal::inspect(disk, dir()).unwrap_or_else(|error| panic!("what was opened is refused: {error}"));
    assert_eq!(again.last, Lsn(next));
    assert_eq!(again.commits.len(), replay.commits.len() + 1);
}

fn read(input: &[u8]) {
    let segment = &input[1..];
    let disk = SimDisk::new();
    disk.create_dir_all(dir()).expect("BUG: a sound disk");
    let path = dir().join(format!("{:016x}.wal", word(segment, 16)));
    let file = disk.open(&path, OpenMode::CreateNew).expect("BUG: a sound disk");
    file.write_all_at(segment, 0).expect("BUG: a sound disk");
    let (reader, replay) = Journal::inspect(&disk, dir()).expect("a journal of an earlier version is refused");
    let lsns: Vec<u64> = replay.commits.iter().map(|commit| commit.lsn.0).collect();
    assert_eq!((lsns.as_slice(), replay.marks.len()), (&[1, 2, 3][..], 3));
    for commit in &replay.commits {
        for (page, place) in &commit.pages {
            let mut out = [0; PAGE_BYTES];
            reader.read(*place, *page, &mut out).expect("a page of an earlier version is refused");
            assert_eq!(out, [commit.lsn.0 as u8; PAGE_BYTES]);
        }
    }
}

/// Where the last frame ends. What is written ahead has no checksum.
pub(super) fn end_of_frames(bytes: &[u8]) -> usize {
    let mut at = HEADER_BYTES;
    while let Some(frame) = bytes.get(at..at + FRAME_BYTES).filter(|frame| word(frame, 0) != 0) {
        at += FRAME_BYTES + (word(frame, 8) & 0xffff_ffff) as usize;
    }
    at.min(bytes.len())
}

/// Makes the checksums of the header, and of each frame as long as there is one, right.
pub(super) fn seal(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let check = xxh3_64(&bytes[..72]);
    bytes[72..80].copy_from_slice(&check.to_le_bytes());
    let salt = word(bytes, 24);
    let mut at = HEADER_BYTES;
    while let Some(frame) = bytes.get(at..at + FRAME_BYTES) {
        let len = FRAME_BYTES + (word(frame, 8) & 0xffff_ffff) as usize;
        let Some(frame) = bytes.get_mut(at..at.saturating_add(len)) else { return };
        let check = xxh3_64_with_seed(&frame[8..], salt.wrapping_add(at as u64));
        frame[..8].copy_from_slice(&check.to_le_bytes());
        at += len;
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}
