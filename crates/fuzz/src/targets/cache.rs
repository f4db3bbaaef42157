//! A cache: the file that says what is where, and the pages.

use std::{path::Path, sync::Arc};

use plimsoll_cache::{Cache, CacheId, Want};
use plimsoll_host::{Files, Host, OpenMode, sim_disk::SimDisk};
use plimsoll_model::{PageNo, PageSize, Txid};
use xxhash_rust::xxh3::xxh3_64;

use crate::Target;

pub(super) const FILES: Target = Target {
    name: "cache",
    feed: files,
    seeds,
    read: Some(read),
    words: &[b"PLIMMAP1", &[255; 8]],
    bytes_max: 16 << 10,
};

const PAGE_BYTES: usize = 512;

fn dir() -> &'static Path {
    Path::new("/cache")
}

fn id() -> CacheId {
    CacheId { volume: [7; 16], page_size: PageSize::new(PAGE_BYTES as u32).expect("BUG: no page size") }
}

fn open(disk: &SimDisk) -> Cache {
    let host = Host { files: Arc::new(disk.clone()), ..super::real_host() };
    Cache::open(&host, dir(), id(), 1 << 20)
}

fn content(page: u32) -> [u8; PAGE_BYTES] {
    [page as u8; PAGE_BYTES]
}

/// The map, without most of the zeros that follow.
fn seeds() -> Vec<Vec<u8>> {
    let disk = SimDisk::new();
    let cache = open(&disk);
    for number in 1..=9 {
        let page = PageNo::new(number).expect("BUG: no page");
        cache.put(page, &content(number), xxh3_64(&content(number)), Txid(number.into()));
    }
    drop(cache);
    let map = disk.open(&dir().join("map"), OpenMode::Read).expect("BUG: there is a map");
    let mut bytes = vec![0; 12 << 10];
    let read = map.read_at(&mut bytes, 0).expect("BUG: a sound disk");
    bytes.truncate(read);
    vec![bytes]
}

/// A cache with this map, and the pages that a sound one has.
fn with_map(input: &[u8]) -> Cache {
    let disk = SimDisk::new();
    disk.create_dir_all(dir()).expect("BUG: a sound disk");
    let map = disk.open(&dir().join("map"), OpenMode::Create).expect("BUG: a sound disk");
    map.write_all_at(input, 0).expect("BUG: a sound disk");
    let pages = disk.open(&dir().join("pages"), OpenMode::Create).expect("BUG: a sound disk");
    for number in 1..=9u32 {
        pages.write_all_at(&content(number), u64::from(number - 1) * PAGE_BYTES as u64).expect("BUG: a sound disk");
    }
    open(&disk)
}

fn read(input: &[u8]) {
    let cache = with_map(input);
    let mut out = [0; PAGE_BYTES];
    for number in 1..=9 {
        let page = PageNo::new(number).expect("BUG: no page");
        let want = Want { hash: Some(xxh3_64(&content(number))), changed: Txid(1), view: Txid(u64::MAX) };
        assert!(cache.get(page, &want, &mut out).is_some(), "page {number} of an earlier version is a miss");
        assert_eq!(out, content(number));
    }
}

fn files(input: &[u8]) {
    let cache = with_map(input);
    let mut out = [0; PAGE_BYTES];
    for number in (1..=9).chain([1000, u32::MAX]) {
        let page = PageNo::new(number).expect("BUG: no page");
        for hash in [None, Some(xxh3_64(&content(number)))] {
            let want = Want { hash, changed: Txid(1), view: Txid(u64::MAX) };
            // A hit is content with the hash that it claims; anything else is a miss.
            if let Some(found) = cache.get(page, &want, &mut out) {
                assert_eq!(found, xxh3_64(&out));
                assert!(hash.is_none_or(|hash| hash == found));
            }
        }
    }
    let page = PageNo::new(2).expect("BUG: no page");
    cache.put(page, &content(7), xxh3_64(&content(7)), Txid(9));
    let _ = cache.stats();
}
