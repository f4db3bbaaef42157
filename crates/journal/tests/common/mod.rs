//! A host with a simulated disk and seeded chance, and words for writing commits.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use plimsoll_host::{Chance, Files, Host, WallMs, sim_disk::SimDisk};
use plimsoll_journal::{Commit, Config, Journal, Place, Replay};
use plimsoll_model::{Lsn, PageCount, PageNo, PageSize, Result, WriterId};

pub const PAGE: usize = 512;

/// SplitMix64.
pub struct Seeded(AtomicU64);

impl Seeded {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Seeded(AtomicU64::new(seed)))
    }
}

impl Chance for Seeded {
    fn bits(&self) -> u64 {
        let z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The same host with other files and chance.
pub fn host_with(base: &Host, files: Arc<dyn Files>, chance: Arc<dyn Chance>) -> Host {
    Host { files, chance, ..base.clone() }
}

pub fn sim_host(disk: &SimDisk, seed: u64) -> Host {
    host_with(&plimsoll_host::os::host().unwrap(), Arc::new(disk.clone()), Seeded::new(seed))
}

pub fn dir() -> &'static Path {
    Path::new("/state/volume/journal")
}

pub fn config() -> Config {
    Config { segment_bytes: 8 << 10, spare_segments: 1, ..Config::new([7; 16], WriterId(42)) }
}

pub fn open(host: &Host) -> Result<(Journal, Replay)> {
    Journal::open(host, dir(), config())
}

pub fn commit(lsn: u64) -> Commit {
    Commit {
        lsn: Lsn(lsn),
        page_count: PageCount(99),
        page_size: PageSize::new(PAGE as u32).unwrap(),
        wall: WallMs(lsn * 1000),
    }
}

pub fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

/// A page's content, different for each `fill`.
pub fn content(fill: u64) -> Vec<u8> {
    let chance = Seeded::new(fill);
    (0..PAGE / 8).flat_map(|_| chance.bits().to_le_bytes()).collect()
}

/// Appends a commit of pages `(number, fill)`.
pub fn append(journal: &Journal, lsn: u64, pages: &[(u32, u64)]) -> Result<Vec<Place>> {
    let bytes: Vec<_> = pages.iter().map(|(_, fill)| content(*fill)).collect();
    let pages: Vec<_> =
        pages.iter().zip(&bytes).map(|((number, _), bytes)| (page(*number), bytes.as_slice())).collect();
    let mut places = Vec::new();
    journal.append(commit(lsn), &pages, None, &mut places)?;
    Ok(places)
}

pub fn sync(journal: &Journal) {
    journal.sync_to(journal.written()).unwrap();
    assert_eq!(journal.synced(), journal.written());
}

pub fn read(journal: &Journal, place: Place, number: PageNo) -> Vec<u8> {
    let mut out = vec![0; PAGE];
    journal.read(place, number, &mut out).unwrap();
    out
}

pub fn lsns(replay: &Replay) -> Vec<u64> {
    replay.commits.iter().map(|commit| commit.lsn.0).collect()
}

/// The live segments, ascending.
pub fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let names = disk.list(dir()).unwrap();
    names.into_iter().filter(|name| name.ends_with(".wal")).map(|name| dir().join(name)).collect()
}
