//! Indexes of objects that this process has made, so that merging these costs no request for them.

use std::{collections::BTreeMap, sync::Arc};

use plimsoll_ltx::FileId;

use crate::load::Index;

/// Pages that the indexes in memory have at most, 32 bytes each. Those of the oldest objects are read again rather than kept.
const KNOWN_PAGES_MAX: usize = 512 << 10;
/// What an index costs whatever it holds, in pages.
const INDEX_PAGES: usize = 8;

/// See the [module](self). Each sync adds one, so adding one looks at no other.
#[derive(Default)]
pub struct Known {
    indexes: BTreeMap<FileId, Arc<Index>>,
    /// What they cost together.
    pages: usize,
}

fn cost(index: &Index) -> usize {
    index.entries.len() + INDEX_PAGES
}

impl Known {
    /// Adds one, and gives up the oldest beyond the bound.
    pub(super) fn insert(&mut self, index: Arc<Index>) {
        self.pages += cost(&index);
        if let Some(before) = self.indexes.insert(index.object.id, index) {
            self.pages -= cost(&before);
        }
        while self.pages > KNOWN_PAGES_MAX
            && let Some((_, oldest)) = self.indexes.pop_first()
        {
            self.pages -= cost(&oldest);
        }
    }

    /// Gives some up.
    pub(super) fn remove(&mut self, gone: &[FileId]) {
        for id in gone {
            if let Some(index) = self.indexes.remove(id) {
                self.pages -= cost(&index);
            }
        }
    }

    /// The index of an object.
    pub(super) fn get(&self, id: &FileId) -> Option<&Arc<Index>> {
        self.indexes.get(id)
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::WallMs;
    use plimsoll_ltx::IndexEntry;
    use plimsoll_model::{PageCount, PageNo, PageSize, Txid};

    use super::*;
    use crate::Object;

    fn index(txid: u64, pages: usize) -> Arc<Index> {
        let entry = IndexEntry { page: PageNo::FIRST, offset: 0, len: 1, hash: 1 };
        Arc::new(Index {
            object: Arc::new(Object { id: FileId::sync(Txid(txid)), size: 1 }),
            count: PageCount(1),
            page_size: PageSize::DEFAULT,
            lsn: None,
            checksum: 0,
            link: None,
            timestamp: WallMs(0),
            entries: Arc::new(vec![entry; pages].into()),
        })
    }

    /// They were kept until their objects were collected, and with merging turned off that is never.
    #[test]
    fn indexes_of_objects_that_are_not_merged_take_bounded_memory_and_the_newest_stay() {
        let mut known = Known::default();
        (1..=200).for_each(|txid| known.insert(index(txid, 10_000)));
        let kept: Vec<u64> = known.indexes.keys().map(|id| id.max.0).collect();
        assert_eq!(kept, (200 - kept.len() as u64 + 1..=200).collect::<Vec<_>>());
        assert!((40..=52).contains(&kept.len()), "{}", kept.len());
    }

    #[test]
    fn what_indexes_cost_is_known_without_looking_at_all_of_them_also_after_some_are_replaced_or_gone() {
        let mut known = Known::default();
        (1..=300).for_each(|txid| known.insert(index(1 + txid % 90, 9_000 + txid as usize)));
        known.remove(&[3, 40, 41, 40, 500].map(|txid| FileId::sync(Txid(txid))));
        assert!(known.get(&FileId::sync(Txid(41))).is_none());
        assert_eq!(known.pages, known.indexes.values().map(|index| cost(index)).sum::<usize>());
        let ids: Vec<FileId> = known.indexes.keys().copied().collect();
        known.remove(&ids);
        assert_eq!(known.pages, 0);
    }
}
