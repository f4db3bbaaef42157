//! Which file has the newest version of each page.

use std::{cmp::Reverse, collections::BinaryHeap};

use plimsoll_model::{PageCount, PageNo};

use crate::Location;

/// Merges page indexes, given oldest first, each with the size of the database after its file.
///
/// Per page the newest source wins; pages beyond the end of the database after the last source are
/// dropped. The result names sources by position, in ascending page order. Each index must be
/// ascending, as every one that this crate decodes is.
///
/// Takes `n log k` steps for `n` entries of `k` sources.
#[must_use]
pub fn merge_indexes(sources: &[(&[Location], PageCount)]) -> Vec<(usize, Location)> {
    let Some(&(_, commit)) = sources.last() else {
        return Vec::new();
    };
    let mut rest: Vec<&[Location]> = sources.iter().map(|(entries, _)| *entries).collect();
    // Smallest page first; of one page's versions, the newest first.
    let mut heads: BinaryHeap<(Reverse<PageNo>, usize)> = rest
        .iter()
        .enumerate()
        .filter_map(|(source, entries)| Some((Reverse(entries.first()?.page), source)))
        .collect();

    let mut merged: Vec<(usize, Location)> = Vec::new();
    while let Some((_, source)) = heads.pop() {
        let (&entry, after) = rest[source].split_first().expect("BUG: a source in the heap has an entry left");
        rest[source] = after;
        if let Some(next) = after.first() {
            heads.push((Reverse(next.page), source));
        }
        if !commit.contains(entry.page) {
            break; // and so is every page after it
        }
        if merged.last().is_none_or(|(_, newest)| newest.page != entry.page) {
            merged.push((source, entry));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pages: &[u32], len: u32) -> Vec<Location> {
        pages
            .iter()
            .map(|page| Location { page: PageNo::new(*page).unwrap(), offset: 100 + u64::from(*page), len })
            .collect()
    }

    fn winners(merged: &[(usize, Location)]) -> Vec<(usize, u32)> {
        merged.iter().map(|(source, entry)| (*source, entry.page.get())).collect()
    }

    #[test]
    fn per_page_the_newest_file_wins() {
        let (old, mid, new) = (entries(&[1, 2, 3, 4], 10), entries(&[2, 4], 20), entries(&[4, 5], 30));
        let merged = merge_indexes(&[(&old, PageCount(4)), (&mid, PageCount(4)), (&new, PageCount(5))]);
        assert_eq!(winners(&merged), [(0, 1), (1, 2), (0, 3), (2, 4), (2, 5)]);
        assert!(merged.iter().all(|(source, entry)| entry.len == [10, 20, 30][*source]));
    }

    #[test]
    fn pages_beyond_the_last_commit_are_dropped() {
        let (old, new) = (entries(&[1, 2, 3, 9], 10), entries(&[1], 20));
        assert_eq!(winners(&merge_indexes(&[(&old, PageCount(9)), (&new, PageCount(2))])), [(1, 1), (0, 2)]);
    }

    #[test]
    fn a_page_that_came_back_is_the_new_one() {
        let (old, shrunk, grown) = (entries(&[1, 2, 3], 10), entries(&[1], 20), entries(&[2, 3], 30));
        let merged = merge_indexes(&[(&old, PageCount(3)), (&shrunk, PageCount(1)), (&grown, PageCount(3))]);
        assert_eq!(winners(&merged), [(1, 1), (2, 2), (2, 3)]);
    }

    #[test]
    fn files_without_pages_still_set_the_size() {
        let old = entries(&[1, 2, 3], 10);
        assert_eq!(winners(&merge_indexes(&[(&old, PageCount(3)), (&[], PageCount(2))])), [(0, 1), (0, 2)]);
        assert!(merge_indexes(&[]).is_empty());
    }
}
