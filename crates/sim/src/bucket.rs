//! The object store itself: strongly consistent, with its own clock, and with one winner per name if it keeps its contract.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use bytes::Bytes;
use plimsoll_host::WallMs;
use plimsoll_ltx::{FileId, Layout};
use plimsoll_store::{Created, Entry, Object};

/// What the store's clock shows at the beginning.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;

/// How long a store works on a create that does not make up its mind at once.
pub(crate) const MAKING: Duration = Duration::from_millis(50);

/// How a store treats the condition that a name is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    /// It keeps it, and hosts know that without asking.
    Vouched,
    /// It keeps it.
    Kept,
    /// It ignores it: every create succeeds and replaces what is there.
    Ignored,
    /// It looks first and writes later: creates that are on their way at the same time all succeed.
    Racing,
}

/// Objects by key, and their layout.
pub(crate) struct Bucket {
    objects: BTreeMap<String, Object>,
    /// When creates of a name began, where later ones do not see that at once.
    begun: BTreeMap<String, Duration>,
    pub(crate) layout: Layout,
    pub(crate) contract: Contract,
}

impl Bucket {
    pub(crate) fn new(layout: Layout) -> Self {
        Bucket { objects: BTreeMap::new(), begun: BTreeMap::new(), layout, contract: Contract::Vouched }
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&mut self, key: &str, bytes: Bytes, now: Duration) {
        let modified = WallMs(EPOCH_MS + u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        self.objects.insert(key.to_owned(), Object { bytes, modified });
    }

    /// Creates an object unless there is one of that name, or as the store's contract says.
    pub(crate) fn create(&mut self, key: &str, bytes: Bytes, now: Duration) -> Created {
        let seen = match self.contract {
            Contract::Vouched | Contract::Kept => true,
            Contract::Ignored => false,
            Contract::Racing => now >= *self.begun.entry(key.to_owned()).or_insert(now) + MAKING,
        };
        if seen && self.objects.contains_key(key) {
            return Created::Exists;
        }
        self.put(key, bytes, now);
        Created::New
    }

    pub(crate) fn get(&self, key: &str) -> Option<Object> {
        self.objects.get(key).cloned()
    }

    /// One page of a listing, and whether there is more.
    pub(crate) fn list(&self, folder: &str, after: Option<&str>, max: usize) -> (Vec<Entry>, bool) {
        let from = match after {
            Some(after) if after >= folder => Bound::Excluded(after),
            _ => Bound::Included(folder),
        };
        let mut found =
            self.objects.range::<str, _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(folder)).map(
                |(key, object)| Entry { key: key.clone(), size: object.bytes.len() as u64, modified: object.modified },
            );
        let entries: Vec<Entry> = found.by_ref().take(max).collect();
        let more = found.next().is_some();
        drop(found);
        (entries, more)
    }

    /// Removes objects, and returns which syncs and merges were among them.
    pub(crate) fn delete(&mut self, keys: &[String]) -> Vec<FileId> {
        keys.iter().filter(|key| self.objects.remove(*key).is_some()).filter_map(|key| self.layout.parse(key)).collect()
    }

    /// Whether there is a sync or merge.
    pub(crate) fn has(&self, id: FileId) -> bool {
        self.objects.contains_key(&self.layout.key(&id))
    }

    /// Every name that begins like none of these.
    pub(crate) fn names_beside(&self, folders: &[&str]) -> Vec<String> {
        self.objects.keys().filter(|key| !folders.iter().any(|folder| key.starts_with(folder))).cloned().collect()
    }

    /// Every sync and merge.
    pub(crate) fn files(&self) -> Vec<FileId> {
        self.objects.keys().filter_map(|key| self.layout.parse(key)).collect()
    }
}
