//! What a cache promises to whoever reads through it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use plimsoll_cache::{Cache, CacheId, Want};
use plimsoll_host::{File, Files, Host, Lock, OpenMode, sim_disk::SimDisk};
use plimsoll_model::{PageNo, PageSize, Txid};
use xxhash_rust::xxh3::xxh3_64;

const PAGE_BYTES: usize = 4096;
const PLENTY: u64 = 1 << 30;
const ID: CacheId = CacheId { volume: [7; 16], page_size: PageSize::DEFAULT };

fn host() -> Host {
    plimsoll_host::os::host().unwrap()
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

/// A page's content in some version, different for each.
fn content(number: u32, version: u64) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_BYTES];
    for (at, word) in bytes.chunks_mut(8).enumerate() {
        word.copy_from_slice(&(u64::from(number) << 40 ^ version << 16 ^ at as u64).to_le_bytes());
    }
    bytes
}

fn put(cache: &Cache, number: u32, version: u64) {
    let data = content(number, version);
    cache.put(page(number), &data, xxh3_64(&data), Txid(version));
}

/// As many pages that follow each other.
fn put_run(cache: &Cache, first: u32, pages: u32, version: u64) {
    let contents: Vec<Vec<u8>> = (first..first + pages).map(|number| content(number, version)).collect();
    let hashes: Vec<u64> = contents.iter().map(|data| xxh3_64(data)).collect();
    cache.put_run(page(first), &contents.concat(), &hashes, Txid(version));
}

/// Content that changed last in `changed`, seen from `view`.
fn want(changed: u64, view: u64) -> Want {
    Want { hash: None, changed: Txid(changed), view: Txid(view) }
}

fn get(cache: &Cache, number: u32, want: &Want) -> Option<Vec<u8>> {
    let mut out = vec![0xEE; PAGE_BYTES];
    let hash = cache.get(page(number), want, &mut out)?;
    assert_eq!(hash, xxh3_64(&out));
    Some(out)
}

struct Place {
    host: Host,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Place { host: host(), dir: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Cache {
        Cache::open(&self.host, self.dir.path(), ID, PLENTY)
    }

    fn bounded(&self, bytes_max: u64) -> Cache {
        Cache::open(&self.host, self.dir.path(), ID, bytes_max)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the page file takes, less what the file system may need to list its extents.
    fn disk_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        (fs::metadata(self.file("pages")).unwrap().blocks() * 512).saturating_sub(16 << 10)
    }
}

/// Small and repeatable; quality does not matter here.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn a_page_is_served_while_nothing_changed_it_since() {
    let place = Place::new();
    let cache = place.open();
    put(&cache, 3, 5);
    assert_eq!(get(&cache, 3, &want(5, 5)), Some(content(3, 5)));
    assert_eq!(get(&cache, 3, &want(4, 9)), Some(content(3, 5)));
    assert_eq!(get(&cache, 3, &want(6, 9)), None, "it changed after it was kept");
    assert_eq!(get(&cache, 3, &want(2, 4)), None, "it may have changed after the view");
    let by_hash = |hash| Want { hash: Some(hash), changed: Txid(9), view: Txid(9) };
    assert_eq!(get(&cache, 3, &by_hash(xxh3_64(&content(3, 5)))), Some(content(3, 5)));
    assert_eq!(get(&cache, 3, &by_hash(1)), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.corrupt, stats.pages, stats.bytes), (3, 3, 0, 1, 4096));
}

#[test]
fn an_older_content_never_replaces_a_newer_one() {
    let place = Place::new();
    let cache = place.open();
    put(&cache, 1, 5);
    put(&cache, 1, 4);
    assert_eq!(get(&cache, 1, &want(5, 5)), Some(content(1, 5)));
    put(&cache, 1, 6);
    assert_eq!(get(&cache, 1, &want(6, 6)), Some(content(1, 6)));
}

#[test]
fn unchanged_content_seen_again_serves_later_views() {
    let place = Place::new();
    let cache = place.open();
    let data = content(1, 5);
    cache.put(page(1), &data, xxh3_64(&data), Txid(5));
    cache.put(page(1), &data, xxh3_64(&data), Txid(8));
    assert_eq!(get(&cache, 1, &want(7, 8)), Some(data));
}

#[test]
fn it_agrees_with_a_model_through_reopens() {
    let place = Place::new();
    let mut dice = Dice(1);
    let mut model: BTreeMap<u32, u64> = BTreeMap::new();
    let mut cache = place.open();
    for step in 1..6000 {
        // Around the edges of chunks and groups, and far away.
        let number = [1, 16, 17, 512, 513, 1025, 9000][dice.below(7) as usize] + dice.below(4) as u32;
        match dice.below(40) {
            0 => cache = place.open(),
            1..6 => {
                let pages = 1 + dice.below(40) as u32;
                put_run(&cache, number, pages, step);
                model.extend((number..number + pages).map(|number| (number, step)));
            }
            6..20 => {
                put(&cache, number, step);
                model.insert(number, step);
            }
            _ => {
                let held = model.get(&number);
                let asked = want(held.copied().unwrap_or(1), step);
                assert_eq!(cache.contains(page(number), &asked), held.is_some());
                assert_eq!(get(&cache, number, &asked), held.map(|version| content(number, *version)));
            }
        }
        if step % 100 == 0 {
            assert_eq!(cache.stats().pages, model.len() as u64);
        }
    }
    assert_eq!(cache.stats().corrupt, 0);
}

#[test]
fn pages_survive_a_reopen() {
    let place = Place::new();
    let cache = place.open();
    for number in 1..=600 {
        put(&cache, number, 2);
    }
    drop(cache);
    let cache = place.open();
    assert_eq!(cache.stats().pages, 600);
    for number in 1..=600 {
        assert_eq!(get(&cache, number, &want(2, 2)), Some(content(number, 2)));
    }
}

#[test]
fn a_flipped_bit_in_a_page_is_a_miss_and_forgotten() {
    let place = Place::new();
    put(&place.open(), 2, 5);
    let mut dice = Dice(9);
    for _ in 0..40 {
        let cache = place.open();
        put(&cache, 2, 5);
        let mut bytes = fs::read(place.file("pages")).unwrap();
        bytes[PAGE_BYTES + dice.below(PAGE_BYTES as u64) as usize] ^= 1 << dice.below(8);
        fs::write(place.file("pages"), bytes).unwrap();
        assert_eq!(get(&cache, 2, &want(5, 5)), None);
        assert_eq!((cache.stats().corrupt, cache.stats().pages), (1, 0));
        assert_eq!(get(&cache, 2, &want(5, 5)), None);
        assert_eq!(cache.stats().corrupt, 1, "it was forgotten the first time");
        let again = place.open();
        assert_eq!((get(&again, 2, &want(5, 5)), again.stats().corrupt), (None, 0), "also on disk");
    }
}

#[test]
fn no_flipped_bit_in_the_map_serves_a_wrong_or_stale_page() {
    let place = Place::new();
    let cache = place.open();
    put(&cache, 1, 5);
    put(&cache, 2, 5);
    drop(cache);
    let whole = fs::read(place.file("map")).unwrap();
    let pages = fs::read(place.file("pages")).unwrap();
    let header = (0..40).step_by(5);
    let entries = 8192..whole.len();
    for byte in header.chain(entries) {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[byte] ^= 1 << bit;
            fs::write(place.file("map"), bytes).unwrap();
            fs::write(place.file("pages"), &pages).unwrap();
            let cache = place.open();
            for number in [1, 2] {
                let read = get(&cache, number, &want(5, 5));
                assert!(read.is_none_or(|read| read == content(number, 5)), "byte {byte} bit {bit}");
                // Whatever the TXID in the entry became: the page changed in 6.
                assert_eq!(get(&cache, number, &want(6, u64::MAX)), None, "byte {byte} bit {bit}");
            }
        }
    }
}

#[test]
fn files_cut_anywhere_are_misses() {
    for name in ["map", "pages"] {
        for keep in [0, 1, 39, 40, 4096, 8192, 8200, 8208, 8300, 20_000] {
            let place = Place::new();
            let cache = place.open();
            (1..=20).for_each(|number| put(&cache, number, 5));
            drop(cache);
            let file = fs::OpenOptions::new().write(true).open(place.file(name)).unwrap();
            if keep < file.metadata().unwrap().len() {
                file.set_len(keep).unwrap();
            }
            let cache = place.open();
            for number in 1..=20 {
                let read = get(&cache, number, &want(5, 5));
                assert!(read.is_none_or(|read| read == content(number, 5)), "{name} cut to {keep}");
                put(&cache, number, 6);
                assert_eq!(get(&cache, number, &want(6, 6)), Some(content(number, 6)), "{name} cut to {keep}");
            }
        }
    }
}

#[test]
fn files_of_another_volume_or_page_size_are_started_anew() {
    let place = Place::new();
    put(&place.open(), 1, 5);
    let size = PageSize::new(512).unwrap();
    for id in [CacheId { volume: [8; 16], ..ID }, CacheId { page_size: size, ..ID }] {
        put(&place.open(), 1, 5);
        let other = Cache::open(&place.host, place.dir.path(), id, PLENTY);
        assert!(!other.contains(page(1), &want(5, 5)));
        assert_eq!(other.stats().pages, 0);
        assert_eq!(get(&place.open(), 1, &want(5, 5)), None);
    }
}

#[test]
fn the_bound_holds_on_disk_also_after_a_reopen() {
    let place = Place::new();
    let bound = 1 << 20;
    let mut dice = Dice(3);
    let mut cache = place.bounded(bound);
    for step in 1..4000 {
        let number = 1 + dice.below(3000) as u32;
        match dice.below(8) {
            0 => put_run(&cache, number, 1 + dice.below(300) as u32, step),
            _ => put(&cache, number, step),
        }
        if step % 500 == 0 {
            cache = place.bounded(bound);
        }
        if step % 50 == 0 {
            assert!(cache.stats().bytes <= bound);
            assert!(place.disk_bytes() <= bound, "{} on disk", place.disk_bytes());
        }
    }
    assert!(cache.stats().bytes > bound / 2, "the bound is used");
    let small = place.bounded(bound / 4);
    put(&small, 4000, 4000);
    assert!(small.stats().bytes <= bound / 4, "a lower bound takes hold with the next page");
    assert!(place.disk_bytes() <= bound / 4);
}

#[test]
fn a_run_whose_own_group_gives_way_to_it_takes_no_more_than_there_is() {
    const GROUP: u32 = 16;
    let bound = u64::from(GROUP) * PAGE_BYTES as u64;
    let place = Place::new();
    let cache = place.bounded(bound);
    put_run(&cache, 1, GROUP / 2, 1);
    put_run(&cache, GROUP + 1, GROUP / 2, 1);
    assert_eq!(cache.stats().bytes, bound);
    // Room is wanted for the half of it that is not there, and made by giving up the half that is.
    put_run(&cache, 1, GROUP, 2);
    assert!(cache.stats().bytes <= bound, "{:?}", cache.stats());
    assert_eq!(get(&cache, GROUP, &want(2, 2)), Some(content(GROUP, 2)));
}

#[test]
fn small_pages_count_as_the_blocks_they_take() {
    let place = Place::new();
    let id = CacheId { page_size: PageSize::new(512).unwrap(), ..ID };
    let cache = Cache::open(&place.host, place.dir.path(), id, 64 << 10);
    for number in (1..8000).step_by(8) {
        let data = vec![number as u8; 512];
        cache.put(page(number), &data, xxh3_64(&data), Txid(1));
        assert!(place.disk_bytes() <= 64 << 10);
    }
    assert_eq!(cache.stats().bytes, 4096 * cache.stats().pages);
    let cache = Cache::open(&place.host, &place.dir.path().join("runs"), id, 64 << 10);
    for first in [3, 12, 4, 1000, 2000] {
        let data = vec![9; 10 * 512];
        cache.put_run(page(first), &data, &[xxh3_64(&data[..512]); 10], Txid(u64::from(first)));
    }
    // Pages 3 to 21 lie in three blocks, and so does each other run.
    assert_eq!((cache.stats().pages, cache.stats().bytes / 4096), (19 + 10 + 10, 3 + 3 + 3));
}

#[test]
fn pages_that_follow_each_other_cost_two_writes_for_each_group_of_them() {
    let disk = SimDisk::new();
    let host = Host { files: Arc::new(disk.clone()), ..host() };
    let cache = Cache::open(&host, Path::new("/cache"), ID, PLENTY);
    let whole = |first: u32| (first..first + 64).all(|number| cache.contains(page(number), &want(5, 5)));
    // Four groups of 64 KiB, and then five of which two in part: it is dead once it has used up its changes.
    disk.die_after(9);
    put_run(&cache, 1, 64, 5);
    assert!(whole(1) && !disk.is_dead());
    disk.die_after(10);
    put_run(&cache, 1006, 64, 5);
    assert!(whole(1006) && disk.is_dead());
}

#[test]
fn of_a_run_only_what_is_not_older_than_what_is_held_is_kept() {
    let place = Place::new();
    let cache = place.open();
    put(&cache, 20, 9);
    put_run(&cache, 1, 40, 5);
    for number in 1..=40 {
        let version = if number == 20 { 9 } else { 5 };
        assert_eq!(get(&cache, number, &want(version, version)), Some(content(number, version)), "page {number}");
    }
    assert_eq!(cache.stats().pages, 40);
}

#[test]
fn pages_that_are_read_stay_longer_than_those_that_are_not() {
    let place = Place::new();
    let cache = place.bounded(64 * PAGE_BYTES as u64);
    (1..=16).for_each(|number| put(&cache, number, 1));
    for number in 17..400 {
        put(&cache, number, 1);
        assert_eq!(get(&cache, 1, &want(1, 1)), Some(content(1, 1)), "lost after {number}");
    }
    assert!(cache.stats().evictions >= 300);
}

#[test]
fn a_cache_without_room_for_one_page_holds_nothing() {
    let place = Place::new();
    let cache = place.bounded(PAGE_BYTES as u64 - 1);
    put(&cache, 1, 1);
    assert_eq!(get(&cache, 1, &want(1, 1)), None);
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn deleting_the_files_while_open_is_harmless() {
    let place = Place::new();
    let cache = place.open();
    put(&cache, 1, 5);
    fs::remove_dir_all(place.dir.path()).unwrap();
    put(&cache, 2, 5);
    for number in [1, 2] {
        assert_eq!(get(&cache, number, &want(5, 5)), Some(content(number, 5)));
    }
    let cache = place.open();
    assert_eq!(get(&cache, 1, &want(5, 5)), None);
    put(&cache, 1, 5);
    assert_eq!(get(&cache, 1, &want(5, 5)), Some(content(1, 5)));
}

#[test]
fn a_directory_that_cannot_be_made_is_a_cache_of_misses() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("taken"), b"").unwrap();
    let cache = Cache::open(&host(), &dir.path().join("taken"), ID, PLENTY);
    put(&cache, 1, 5);
    assert_eq!(get(&cache, 1, &want(5, 5)), None);
    assert_eq!(cache.stats().misses, 1);
}

#[test]
fn a_full_disk_costs_the_page_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let mut host = host();
    host.files = Arc::new(FullFiles { inner: Arc::clone(&host.files), full: Arc::clone(&full) });
    let cache = Cache::open(&host, dir.path(), ID, PLENTY);
    put(&cache, 1, 5);
    put(&cache, 2, 5);
    full.store(true, Ordering::Relaxed);
    put_run(&cache, 1, 1, 6);
    put(&cache, 3, 6);
    assert_eq!(get(&cache, 1, &want(6, 6)), None);
    assert_eq!(get(&cache, 3, &want(6, 6)), None);
    assert_eq!(get(&cache, 2, &want(5, 6)), Some(content(2, 5)));
    assert_eq!((cache.stats().pages, cache.stats().write_failures), (1, 2));
    full.store(false, Ordering::Relaxed);
    put(&cache, 1, 6);
    assert_eq!(get(&cache, 1, &want(6, 6)), Some(content(1, 6)));
}

/// What nobody counts would stay beside all that the cache may hold.
#[test]
fn a_page_that_takes_space_is_counted_wherever_its_process_died() {
    let (mut changes, last) = (0, 43);
    loop {
        let disk = SimDisk::new();
        let host = Host { files: Arc::new(disk.clone()), ..host() };
        let dir = Path::new("/cache");
        let cache = Cache::open(&host, dir, ID, PLENTY);
        put(&cache, 1, 5);
        disk.die_after(changes);
        put_run(&cache, 40, last - 39, 6);
        let survived = !disk.is_dead();
        disk.kill();
        let mut bytes = vec![0; PAGE_BYTES * (last as usize - 39)];
        let pages = disk.open(&dir.join("pages"), OpenMode::Read).unwrap();
        pages.read_at(&mut bytes, 39 * PAGE_BYTES as u64).unwrap();
        let counted = Cache::open(&host, dir, ID, PLENTY).stats().pages;
        let taken = bytes.chunks(PAGE_BYTES).filter(|page| page.iter().any(|byte| *byte != 0)).count() as u64;
        assert!(counted > taken, "after {changes} changes: {counted} of {taken} and the first");
        if survived {
            assert_eq!(counted, 5);
            break;
        }
        changes += 1;
    }
}

#[test]
fn readers_beside_writers_see_a_whole_page_or_a_miss() {
    let place = Place::new();
    let cache = place.bounded(40 * PAGE_BYTES as u64);
    let stop = AtomicBool::new(false);
    let hits = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|seed| {
                let (cache, stop) = (&cache, &stop);
                scope.spawn(move || {
                    let (mut dice, mut hits) = (Dice(seed), 0);
                    while !stop.load(Ordering::Relaxed) {
                        let number = 1 + dice.below(68) as u32;
                        if let Some(read) = get(cache, number, &want(1, u64::MAX)) {
                            let mut word = [0; 8];
                            word.copy_from_slice(&read[..8]);
                            let version = (u64::from_le_bytes(word) ^ u64::from(number) << 40) >> 16;
                            assert!(read == content(number, version), "a page that never existed");
                            hits += 1;
                        }
                    }
                    hits
                })
            })
            .collect();
        let writers: Vec<_> = (0..2)
            .map(|seed| {
                let cache = &cache;
                scope.spawn(move || {
                    let mut dice = Dice(100 + seed);
                    for step in 1..3000 {
                        let number = 1 + dice.below(60) as u32;
                        match dice.below(4) {
                            0 => put_run(cache, number, 1 + dice.below(8) as u32, step),
                            _ => put(cache, number, step),
                        }
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>()
    });
    assert!(hits > 0);
    assert_eq!(cache.stats().corrupt, 0, "a race is not damage");
    assert!(cache.stats().bytes <= 40 * PAGE_BYTES as u64);
}

/// Files whose disk can be filled.
struct FullFiles {
    inner: Arc<dyn Files>,
    full: Arc<AtomicBool>,
}

struct FullFile {
    inner: Arc<dyn File>,
    full: Arc<AtomicBool>,
}

impl Files for FullFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FullFile { inner: self.inner.open(path, mode)?, full: Arc::clone(&self.full) }))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.inner.try_lock(path)
    }
}

impl File for FullFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write_all_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.reserve(offset, len)
    }
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.punch_hole(offset, len)
    }
}
