//! The cache itself.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use plimsoll_host::{
    File, Host, OpenMode,
    crash::{self, Point},
};
use plimsoll_model::{
    PageNo, PageSize, Txid,
    step::{Step, taken},
    way::{Way, went},
};
use twox_hash::XxHash3_64;

use crate::{
    census::Census,
    entry::{ENTRY_BYTES, Entry, Seal, Want},
    geometry::{CHUNK_PAGES, Geometry, GroupNo},
    header::{self, HEADER_BYTES},
    stats::{Counters, Stats},
    table::{self, Table},
};

const PAGES_NAME: &str = "pages";
const MAP_NAME: &str = "map";
/// Bytes of the map that are counted at once.
const COUNT_BYTES: usize = 256 << 10;

const _: () = assert!(COUNT_BYTES.is_multiple_of(CHUNK_PAGES * ENTRY_BYTES));

/// Whose pages a cache holds. Files of another identity are started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheId {
    /// The volume's uuid.
    pub volume: [u8; 16],
    /// Bytes per page.
    pub page_size: PageSize,
}

/// Pages of one volume on the local disk. Every method may be called from any thread, and may block on the disk.
///
/// Never authoritative: each method that cannot do its work does less instead, and no page is
/// handed out whose content does not have the hash that was recorded with it.
pub struct Cache {
    pub(crate) geometry: Geometry,
    pub(crate) seal: Seal,
    blocks_max: u64,
    /// `None`: the files could not be made, and every read is a miss.
    pub(crate) files: Option<Opened>,
    pub(crate) table: Table,
    /// Counted from the map file by the first change after an open. Lock it last.
    census: OnceLock<Mutex<Census>>,
    counters: Counters,
}

pub(crate) struct Opened {
    pub(crate) pages: Arc<dyn File>,
    pub(crate) map: Arc<dyn File>,
}

impl Cache {
    /// Opens the cache in `dir`, which is created if missing, with room for `bytes_max` bytes of pages.
    ///
    /// Files that belong to another volume or page size, or whose header is damaged, are emptied.
    /// Where the disk refuses, the cache holds nothing and every read is a miss; that is logged.
    #[must_use]
    pub fn open(host: &Host, dir: &Path, id: CacheId, bytes_max: u64) -> Cache {
        let files = match open_files(host, dir, &id) {
            Ok(files) => Some(files),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "no local cache: every read goes to the object store");
                None
            }
        };
        let geometry = Geometry::new(id.page_size);
        let seal = header::seal(&id);
        Cache {
            geometry,
            seal,
            blocks_max: bytes_max / geometry.block_bytes(),
            files,
            table: Table::new(geometry, seal),
            census: OnceLock::new(),
            counters: Counters::default(),
        }
    }

    /// Reads a page into `out`, which is one page long, and returns the hash of its content.
    ///
    /// `None` is a miss: no content that would do, or its bytes failed the check (then it is
    /// forgotten), or `out` is not one page long. What `out` holds after a miss is unspecified.
    pub fn get(&self, page: PageNo, want: &Want, out: &mut [u8]) -> Option<u64> {
        let hash = if self.holds_pages_of(out.len()) { self.read(page, want, out) } else { None };
        match hash {
            Some(_) => self.counters.hits.add(1),
            None => self.counters.misses.add(1),
        };
        hash
    }

    /// Whether the map says that a [`get`](Self::get) would hit. Reads no page, counts nothing.
    #[must_use]
    pub fn contains(&self, page: PageNo, want: &Want) -> bool {
        let Some(files) = &self.files else { return false };
        self.table.entry(&*files.map, page).is_ok_and(|entry| entry.serves(want))
    }

    /// Keeps a page whose content was `data`, with the given hash (`xxh3_64`), in state `as_of`.
    ///
    /// Does nothing when a newer content is held, when there is no room, when the disk refuses, or when `data` is not
    /// one page long. Not durable: survives the process, and mostly the host.
    pub fn put(&self, page: PageNo, data: &[u8], hash: u64, as_of: Txid) {
        let Some(files) = &self.files else { return };
        if self.holds_pages_of(data.len())
            && let Err(error) = self.keep(files, page, data, Entry { hash, as_of })
        {
            self.refused("writing to the cache", &error);
        }
    }

    /// How long a page is in an object is said by whoever wrote that. It may be another database's by now.
    fn holds_pages_of(&self, bytes: usize) -> bool {
        bytes == self.geometry.page_bytes()
    }

    /// The numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (pages, blocks) = match &self.files {
            Some(files) => {
                let census = self.census(files);
                (census.pages(), census.blocks())
            }
            None => (0, 0),
        };
        Stats {
            pages,
            bytes: blocks * self.geometry.block_bytes(),
            hits: self.counters.hits.get(),
            misses: self.counters.misses.get(),
            evictions: self.counters.evictions.get(),
            corrupt: self.counters.corrupt.get(),
            write_failures: self.counters.write_failures.get(),
        }
    }

    fn read(&self, page: PageNo, want: &Want, out: &mut [u8]) -> Option<u64> {
        let files = self.files.as_ref()?;
        let entry = self.table.use_entry(&*files.map, page, |entry| entry.serves(want)).ok()??;
        let whole = files.pages.read_at(out, self.geometry.page_offset(page)).is_ok_and(|read| read == out.len());
        if whole && (XxHash3_64::oneshot(out) == entry.hash || !taken(Step::CacheHash)) {
            return Some(entry.hash);
        }
        self.distrust(files, page, &entry);
        None
    }

    /// Forgets a page that failed its check, unless it has just been replaced or evicted, which explains it.
    fn distrust(&self, files: &Opened, page: PageNo, seen: &Entry) {
        let _writing = self.table.lock(self.geometry.group(page));
        if self.table.entry(&*files.map, page).is_ok_and(|entry| entry == *seen) {
            self.counters.corrupt.add(1);
            went(Way::CacheDamage);
            self.clear(files, page);
        }
    }

    fn keep(&self, files: &Opened, page: PageNo, data: &[u8], entry: Entry) -> io::Result<()> {
        let (chunk, at, group) = (self.geometry.chunk(page), self.geometry.in_chunk(page), self.geometry.group(page));
        let occupied = self.table.present(&*files.map, chunk, self.geometry.block_in_chunk(page))?.contains(&true);
        let reserved = !occupied;
        if !entry.is_present() || (reserved && !self.reserve(files)) {
            return Ok(());
        }
        let _writing = self.table.lock(group);
        let done = (|| {
            let held = self.table.entry(&*files.map, page)?;
            // Without a promise of room the block must still be occupied.
            let room =
                reserved || self.table.present(&*files.map, chunk, self.geometry.block_in_chunk(page))?.contains(&true);
            if !room || held.as_of > entry.as_of || held == entry {
                return Ok(());
            }
            // The file's entry goes first: after a kill in between, the page counts as held and
            // fails its check, where the other order would leave bytes that nobody counts.
            files.map.write_all_at(&self.seal.encode(page, &entry), self.geometry.entry_offset(page))?;
            if held.hash != entry.hash || !held.is_present() {
                crash::here(Point::CacheMapped);
                // A reader that has seen the entry before fails its check now, and then finds the entry changed.
                files.pages.write_all_at(data, self.geometry.page_offset(page))?;
            }
            self.table.set(&*files.map, chunk, at, &[entry])
        })();
        if done.is_err() {
            self.clear(files, page);
        }
        self.recount(files, group);
        if reserved {
            self.census(files).release();
        }
        done
    }

    /// Removes one page. The caller holds its group's lock.
    pub(crate) fn clear(&self, files: &Opened, page: PageNo) {
        let (chunk, at) = (self.geometry.chunk(page), self.geometry.in_chunk(page));
        // The order in which these fail does not matter: each alone makes the page a miss.
        let _ = self.table.set(&*files.map, chunk, at, &[Entry::ABSENT]);
        let _ = files.map.write_all_at(&[0; ENTRY_BYTES], self.geometry.entry_offset(page));
        let block = self.table.present(&*files.map, chunk, self.geometry.block_in_chunk(page));
        if block.is_ok_and(|block| !block.contains(&true)) {
            let (offset, len) = self.geometry.block_range(page);
            let _ = files.pages.punch_hole(offset, len);
        }
        self.recount(files, self.geometry.group(page));
    }

    /// Promises room for one more block, giving up groups that were not used lately.
    pub(crate) fn reserve(&self, files: &Opened) -> bool {
        let mut spared = 0;
        loop {
            let (victim, groups) = {
                let mut census = self.census(files);
                if census.reserve(self.blocks_max) {
                    return true;
                }
                (census.advance(), census.groups())
            };
            let Some(victim) = victim else { return false };
            // One whole turn at most, however busy the readers are.
            if spared <= groups && self.table.take_reference(victim) {
                spared += 1;
                continue;
            }
            let pages = self.empty(files, victim);
            went(Way::CacheEviction);
            self.counters.evictions.add(pages);
        }
    }

    /// Removes a group and returns how many pages it held.
    fn empty(&self, files: &Opened, group: GroupNo) -> u64 {
        let _writing = self.table.lock(group);
        let (chunk, range) = (self.geometry.chunk_of_group(group), self.geometry.group_in_chunk(group));
        let held = self.table.present(&*files.map, chunk, range.clone()).unwrap_or_default();
        let zeros = [0; CHUNK_PAGES * ENTRY_BYTES];
        let _ = self.table.set(&*files.map, chunk, range.start, &[Entry::ABSENT; CHUNK_PAGES][..range.len()]);
        let offset = self.geometry.chunk_offset(chunk) + (range.start * ENTRY_BYTES) as u64;
        let _ = files.map.write_all_at(&zeros[..range.len() * ENTRY_BYTES], offset);
        let (offset, len) = self.geometry.group_bytes(group);
        let _ = files.pages.punch_hole(offset, len);
        self.census(files).set(group, table::tally(&[], self.geometry));
        held.iter().filter(|present| **present).count() as u64
    }

    pub(crate) fn recount(&self, files: &Opened, group: GroupNo) {
        let (chunk, range) = (self.geometry.chunk_of_group(group), self.geometry.group_in_chunk(group));
        if let Ok(present) = self.table.present(&*files.map, chunk, range) {
            self.census(files).set(group, table::tally(&present, self.geometry));
        }
    }

    pub(crate) fn census(&self, files: &Opened) -> MutexGuard<'_, Census> {
        let census = self.census.get_or_init(|| {
            Mutex::new(count(&*files.map, self.geometry).unwrap_or_else(|error| {
                self.refused("counting the cache", &error);
                Census::default()
            }))
        });
        census.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first refusal is worth a warning; a full disk would otherwise write one per page.
    pub(crate) fn refused(&self, doing: &str, error: &io::Error) {
        if self.counters.write_failures.add(1) == 0 {
            tracing::warn!(%error, "{doing}: pages that do not fit are read from the object store again");
        }
    }
}

/// Opens or makes both files; leaves them empty but for the header unless they are this volume's.
fn open_files(host: &Host, dir: &Path, id: &CacheId) -> io::Result<Opened> {
    host.files.create_dir_all(dir)?;
    let map = host.files.open(&dir.join(MAP_NAME), OpenMode::Create)?;
    let pages = host.files.open(&dir.join(PAGES_NAME), OpenMode::Create)?;
    let expected = header::encode(id);
    let mut found = [0; header::USED_BYTES];
    map.read_at(&mut found, 0)?;
    if found != expected {
        map.set_len(0)?;
        pages.set_len(0)?;
        map.write_all_at(&expected, 0)?;
    }
    Ok(Opened { pages, map })
}

/// Counts what the map file says is held.
fn count(map: &dyn File, geometry: Geometry) -> io::Result<Census> {
    let mut census = Census::default();
    let mut bytes = vec![0; COUNT_BYTES];
    let mut present = Vec::with_capacity(geometry.group_pages());
    let (mut offset, mut group) = (HEADER_BYTES, GroupNo(0));
    loop {
        let read = map.read_at(&mut bytes, offset)?;
        for entries in bytes[..read].chunks(geometry.group_pages() * ENTRY_BYTES) {
            present.clear();
            present.extend(entries.chunks(ENTRY_BYTES).map(|entry| entry.iter().take(8).any(|byte| *byte != 0)));
            census.set(group, table::tally(&present, geometry));
            group = GroupNo(group.0.wrapping_add(1));
        }
        if read < bytes.len() {
            return Ok(census);
        }
        offset += read as u64;
    }
}
