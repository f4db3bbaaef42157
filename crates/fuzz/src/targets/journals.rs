//! A journal of several segments: spilled transactions, what was released, files that are used again, a torn end.

use plimsoll_host::{Files, OpenMode, sim_disk::SimDisk};
use plimsoll_journal::Journal;
use plimsoll_model::{Lsn, PageNo};

use super::journal::{PAGE_BYTES, check, commit, config, dir, end_of_frames, host, seal, word};
use crate::Target;

pub(super) const JOURNALS: Target = Target {
    name: "segments",
    feed: segments,
    seeds,
    read: Some(read),
    words: &[b"PLIMSWAL", &[255; 8], &[1, 0, 0, 0], &[2, 0, 0, 0]],
    bytes_max: 24 << 10,
};

/// A segment is begun anew after about three transactions of two pages.
const RELEASED: u64 = 6;
const LAST: u64 = 12;

/// What a page of a commit holds.
fn content(lsn: u64, page: u32) -> [u8; PAGE_BYTES] {
    [(lsn as u8) << 4 | page as u8; PAGE_BYTES]
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).expect("BUG: no page")
}

/// Transactions of which every fourth is written in pieces while another one, which comes to nothing, is as well.
fn written() -> SimDisk {
    let disk = SimDisk::new();
    let host = host(&disk);
    let (journal, _) = Journal::open(&host, dir(), config()).expect("BUG: an empty disk");
    for lsn in 1..=LAST {
        let pages = [1, 3].map(|number| (page(number), content(lsn, number)));
        let pages = pages.each_ref().map(|(number, content)| (*number, &content[..]));
        let spilled = (lsn % 4 == 0).then(|| {
            let (txn, nothing) = (journal.begin(), journal.begin());
            journal.spill(nothing, &pages[1..], &mut Vec::new()).expect("BUG: a sound disk");
            journal.spill(txn, &pages[..1], &mut Vec::new()).expect("BUG: a sound disk");
            journal.abandon(nothing);
            txn
        });
        let rest = if spilled.is_some() { &pages[1..] } else { &pages[..] };
        let appended = journal.append(commit(lsn), rest, spilled, &mut Vec::new()).expect("BUG: a sound commit");
        journal.sync_to(appended.end).expect("BUG: a sound disk");
        if lsn == RELEASED {
            journal.release(Lsn(lsn)).expect("BUG: a sound disk");
        }
    }
    drop(journal);
    disk
}

/// Each segment with its length before it, in the order of their numbers.
fn packed(disk: &SimDisk) -> Vec<u8> {
    let mut names = disk.list(dir()).expect("BUG: a sound disk");
    names.retain(|name| name.ends_with(".wal"));
    names.sort_unstable();
    let mut packed = Vec::new();
    for name in names {
        let file = disk.open(&dir().join(&name), OpenMode::Read).expect("BUG: a sound disk");
        let mut bytes = vec![0; file.len().unwrap_or(0) as usize];
        file.read_at(&mut bytes, 0).expect("BUG: a sound disk");
        packed.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        packed.extend_from_slice(&bytes);
    }
    packed
}

fn unpacked(mut packed: &[u8]) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk() {
        let (segment, rest) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
        segments.push(segment.to_vec());
        packed = rest;
    }
    segments
}

/// The whole of it, and one whose last frame was half written.
fn seeds() -> Vec<Vec<u8>> {
    let whole = packed(&written());
    let mut torn = unpacked(&whole);
    let last = torn.iter_mut().rfind(|segment| end_of_frames(segment) > 200).expect("BUG: nothing was written");
    let end = end_of_frames(last);
    last[end - 100..].fill(0);
    let torn = torn.iter().flat_map(|one| [&(one.len() as u32).to_le_bytes()[..], one].concat()).collect();
    vec![[vec![0], whole].concat(), [vec![0], torn].concat()]
}

fn placed(segments: &[Vec<u8>]) -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(dir()).expect("BUG: a sound disk");
    for segment in segments {
        let seq = if segment.len() < 24 { 0 } else { word(segment, 16) };
        let file = disk.open(&dir().join(format!("{seq:016x}.wal")), OpenMode::Create).expect("BUG: a sound disk");
        file.write_all_at(segment, 0).expect("BUG: a sound disk");
    }
    disk
}

/// The first byte says whether checksums are made right.
fn segments(input: &[u8]) {
    let Some((how, packed)) = input.split_first() else { return };
    let mut segments = unpacked(packed);
    segments.truncate(8);
    if how & 1 != 0 {
        segments.iter_mut().for_each(|segment| seal(segment));
    }
    let disk = placed(&segments);
    check(&disk, &host(&disk));
}

fn read(input: &[u8]) {
    let disk = placed(&unpacked(&input[1..]));
    let (reader, replay) = Journal::inspect(&disk, dir()).expect("a journal of an earlier version is refused");
    let first = replay.commits.first().expect("commits of an earlier version are not found").lsn.0;
    assert!(first <= RELEASED + 1, "what was not released begins with {first}");
    assert!(replay.last == Lsn(LAST) || replay.last == Lsn(LAST - 1), "it ends with {}", replay.last);
    for commit in &replay.commits {
        assert_eq!(commit.pages.len(), 2);
        for (number, place) in &commit.pages {
            let mut out = [0; PAGE_BYTES];
            reader.read(*place, *number, &mut out).expect("a page of an earlier version is refused");
            assert_eq!(out, content(commit.lsn.0, number.get()));
        }
    }
}
