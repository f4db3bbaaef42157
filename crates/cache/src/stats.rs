//! What a cache counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A moment's numbers. Counters start at zero with each open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Pages held.
    pub pages: u64,
    /// Disk space they take.
    pub bytes: u64,
    /// Reads answered from here.
    pub hits: u64,
    /// Reads that were not.
    pub misses: u64,
    /// Pages given up to stay within the bound.
    pub evictions: u64,
    /// Pages whose content was not what their entry named, or could not be read. Each is also a miss.
    pub corrupt: u64,
    /// Writes the disk refused. Each is a page that is not held.
    pub write_failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) evictions: Counter,
    pub(crate) corrupt: Counter,
    pub(crate) write_failures: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Returns the count before.
    pub(crate) fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Relaxed)
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
