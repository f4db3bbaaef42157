//! The map in memory: chunks of entries, loaded from the map file when they are first touched.

use std::{
    collections::hash_map::Entry as Slot,
    io,
    ops::Range,
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use plimsoll_host::File;
use plimsoll_model::PageNo;
use rustc_hash::FxHashMap;

use crate::{
    census::Tally,
    entry::{ENTRY_BYTES, Entry, Seal},
    geometry::{CHUNK_PAGES, Geometry, GroupNo},
};

/// Enough that threads which read different parts rarely meet.
const SHARDS: usize = 64;

pub(crate) struct Table {
    geometry: Geometry,
    seal: Seal,
    shards: [Shard; SHARDS],
}

#[derive(Default)]
struct Shard {
    /// `None` is a chunk without entries.
    chunks: RwLock<FxHashMap<u32, Option<Box<Chunk>>>>,
    /// Held by whoever changes entries and the bytes they describe.
    writing: Mutex<()>,
}

struct Chunk {
    entries: [Entry; CHUNK_PAGES],
    /// A bit per group (at its first page): read since the hand last came by.
    referenced: [AtomicU64; CHUNK_PAGES / 64],
}

impl Chunk {
    fn empty() -> Box<Self> {
        Box::new(Chunk { entries: [Entry::ABSENT; CHUNK_PAGES], referenced: Default::default() })
    }
}

impl Table {
    pub(crate) fn new(geometry: Geometry, seal: Seal) -> Self {
        Table { geometry, seal, shards: std::array::from_fn(|_| Shard::default()) }
    }

    fn shard(&self, chunk: u32) -> &Shard {
        &self.shards[chunk as usize % SHARDS]
    }

    /// Excludes every other change to the chunk that holds this group. Readers go on.
    pub(crate) fn lock(&self, group: GroupNo) -> MutexGuard<'_, ()> {
        let shard = self.shard(self.geometry.chunk_of_group(group));
        shard.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a page.
    ///
    /// # Errors
    /// When the map file cannot be read.
    pub(crate) fn entry(&self, map: &dyn File, page: PageNo) -> io::Result<Entry> {
        self.with(map, self.geometry.chunk(page), |chunk| {
            chunk.map_or(Entry::ABSENT, |chunk| chunk.entries[self.geometry.in_chunk(page)])
        })
    }

    /// The entry of a page if it is one that `accept` takes; its group then counts as used.
    pub(crate) fn use_entry(
        &self,
        map: &dyn File,
        page: PageNo,
        accept: impl Fn(&Entry) -> bool,
    ) -> io::Result<Option<Entry>> {
        self.with(map, self.geometry.chunk(page), |chunk| {
            let chunk = chunk?;
            let entry = chunk.entries[self.geometry.in_chunk(page)];
            if !accept(&entry) {
                return None;
            }
            let (word, bit) = self.reference(self.geometry.group(page));
            // Mostly set already: looking first spares the cores a fight over the cache line.
            if chunk.referenced[word].load(Relaxed) & bit == 0 {
                chunk.referenced[word].fetch_or(bit, Relaxed);
            }
            Some(entry)
        })
    }

    /// Whether a group was used since this was last asked. A chunk that is not loaded was not.
    pub(crate) fn take_reference(&self, group: GroupNo) -> bool {
        let number = self.geometry.chunk_of_group(group);
        let chunks = self.shard(number).chunks.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Some(chunk)) = chunks.get(&number) else { return false };
        let (word, bit) = self.reference(group);
        chunk.referenced[word].fetch_and(!bit, Relaxed) & bit != 0
    }

    /// Replaces entries of one chunk in memory, from the one at `at` on. The caller holds the group's
    /// [`lock`](Self::lock).
    pub(crate) fn set(&self, map: &dyn File, chunk: u32, at: usize, entries: &[Entry]) -> io::Result<()> {
        self.with(map, chunk, |_| ())?;
        let mut chunks = self.shard(chunk).chunks.write().unwrap_or_else(PoisonError::into_inner);
        let slot = chunks.entry(chunk).or_default();
        if slot.is_some() || entries.iter().any(Entry::is_present) {
            slot.get_or_insert_with(Chunk::empty).entries[at..at + entries.len()].copy_from_slice(entries);
        }
        Ok(())
    }

    /// The entries of a chunk's range.
    pub(crate) fn entries(&self, map: &dyn File, chunk: u32, range: Range<usize>) -> io::Result<Vec<Entry>> {
        self.with(map, chunk, |chunk| match chunk {
            Some(chunk) => chunk.entries[range].to_vec(),
            None => vec![Entry::ABSENT; range.len()],
        })
    }

    /// Which pages of a chunk's range are present.
    pub(crate) fn present(&self, map: &dyn File, chunk: u32, range: Range<usize>) -> io::Result<Vec<bool>> {
        self.with(map, chunk, |chunk| match chunk {
            Some(chunk) => chunk.entries[range].iter().map(Entry::is_present).collect(),
            None => vec![false; range.len()],
        })
    }

    fn reference(&self, group: GroupNo) -> (usize, u64) {
        let first = self.geometry.group_in_chunk(group).start;
        (first / 64, 1 << (first % 64))
    }

    /// Looks at a chunk, loading it first if need be.
    fn with<T>(&self, map: &dyn File, number: u32, look: impl FnOnce(Option<&Chunk>) -> T) -> io::Result<T> {
        let shard = self.shard(number);
        {
            let chunks = shard.chunks.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(chunk) = chunks.get(&number) {
                return Ok(look(chunk.as_deref()));
            }
        }
        let mut chunks = shard.chunks.write().unwrap_or_else(PoisonError::into_inner);
        let chunk = match chunks.entry(number) {
            // Somebody else loaded it meanwhile, and may have changed it.
            Slot::Occupied(there) => there.into_mut(),
            Slot::Vacant(free) => free.insert(self.load(map, number)?),
        };
        Ok(look(chunk.as_deref()))
    }

    fn load(&self, map: &dyn File, number: u32) -> io::Result<Option<Box<Chunk>>> {
        let mut bytes = [0; CHUNK_PAGES * ENTRY_BYTES];
        map.read_at(&mut bytes, self.geometry.chunk_offset(number))?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut chunk = Chunk::empty();
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        for (index, raw) in entries.iter().enumerate() {
            if let Some(page) = PageNo::from_index(number as usize * CHUNK_PAGES + index) {
                chunk.entries[index] = self.seal.decode(page, raw);
            }
        }
        Ok(Some(chunk))
    }
}

/// Counts a group.
pub(crate) fn tally(present: &[bool], geometry: Geometry) -> Tally {
    let blocks = present.chunks(geometry.block_pages()).filter(|block| block.contains(&true)).count();
    let pages = present.iter().filter(|present| **present).count();
    Tally { pages: pages as u32, blocks: blocks as u32 }
}
