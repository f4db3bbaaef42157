//! How objects fit together. Pure.

use plimsoll_commitlog::lineage::{Link, trusted_from};
use plimsoll_ltx::{FileId, Layout, SNAPSHOT_LEVEL};
use plimsoll_model::Txid;
use plimsoll_pages::Listing;

use super::{findings::Findings, objects::Checked};

/// Checks the run of each level, and that syncs continue each other. Those up to `base` are of other volumes.
pub(crate) fn check(layout: Layout, listing: &Listing, checked: &[Checked], base: Txid, found: &mut Findings) {
    let ids: Vec<FileId> = listing.files.iter().map(|file| file.id).collect();
    for level in 0..SNAPSHOT_LEVEL {
        runs(layout, &ids, level, found);
    }
    let syncs: Vec<Checked> =
        checked.iter().filter(|object| object.id.level == 0 && object.id.min > base).copied().collect();
    links(layout, &ids, &syncs, found);
    stamps(layout, &syncs, found);
}

/// No transaction is missing between the objects of a level, nor in two syncs.
fn runs(layout: Layout, ids: &[FileId], level: u8, found: &mut Findings) {
    let files: Vec<&FileId> = ids.iter().filter(|id| id.level == level).collect();
    for pair in files.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let key = layout.key(after);
        if after.min <= before.max {
            let what = format!("it overlaps {}", layout.key(before));
            if level == 0 {
                found.problem(&key, what, "something else than Plimsoll syncs there, or used to");
            } else {
                // As where the merge of a writer lands after the next one has chosen what to merge.
                found.note(&key, what, "two writers merged there; both hold the same history");
            }
        } else if after.min.prev() > before.max {
            let what =
                format!("TXIDs {} to {} are missing before it", before.max.0.saturating_add(1), after.min.prev());
            if covered(ids, level, before.max, after.min.prev()) {
                found.note(&key, what, "another level has them");
            } else {
                found.problem(&key, what, "states in between cannot be restored");
            }
        }
    }
}

/// Whether other levels have every transaction after one up to another.
fn covered(ids: &[FileId], but: u8, after: Txid, to: Txid) -> bool {
    let mut reached = after;
    while reached < to {
        let next = ids.iter().filter(|id| id.level != but && id.min.prev() <= reached).map(|id| id.max).max();
        match next {
            Some(next) if next > reached => reached = next,
            _ => return false,
        }
    }
    true
}

/// Each sync links to the one before it.
fn links(layout: Layout, ids: &[FileId], syncs: &[Checked], found: &mut Findings) {
    let links: Vec<Link> = syncs
        .iter()
        .map(|sync| Link {
            txid: sync.id.max,
            checksum: sync.checksum,
            link: sync.header.stamp.map(|_| sync.header.link),
        })
        .collect();
    let Some(trusted) = trusted_from(&links) else { return };
    // One that is damaged was reported. Its link is unknown, which says nothing against those before it.
    let unknown = |id: &&FileId| id.level == 0 && id.max.next() == trusted && !syncs.iter().any(|sync| sync.id == **id);
    if let Some(damaged) = ids.iter().find(unknown) {
        let before = syncs.iter().filter(|sync| sync.id.max < trusted).count();
        if before > 0 {
            let what = format!("its link is not known, so the links of {before} before it could not be followed");
            found.note(&layout.key(damaged), what, "what is wrong with it is said above");
        }
        return;
    }
    for sync in syncs.iter().filter(|sync| sync.id.max < trusted) {
        let key = layout.key(&sync.id);
        let what = format!("the run of links that ends with the newest sync begins at {trusted}, after it");
        if covered(ids, 0, sync.id.min.prev(), sync.id.max) {
            found.note(&key, what, "it may be a stray of a fenced writer; another level has its TXID");
        } else {
            found.problem(&key, what, "the history may have been changed behind it");
        }
    }
}

/// Epochs only rise along the history, and so do the commits of one writer.
fn stamps(layout: Layout, syncs: &[Checked], found: &mut Findings) {
    let stamped: Vec<_> = syncs.iter().filter_map(|sync| Some((sync, sync.header.stamp?))).collect();
    for pair in stamped.windows(2) {
        let ((_, before), (sync, after)) = (pair[0], pair[1]);
        let what = if after.epoch < before.epoch {
            format!("it is of epoch {}, the one before it of {}", after.epoch, before.epoch)
        } else if after.writer == before.writer && after.lsn < before.lsn {
            format!("it goes up to commit {}, the one before it to {}", after.lsn, before.lsn)
        } else {
            continue;
        };
        found.problem(&layout.key(&sync.id), what, "a fenced writer may have gone on: commits may be missing");
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::WallMs;
    use plimsoll_ltx::Header;
    use plimsoll_model::{Epoch, Lsn, PageCount, PageSize, Stamp, WriterId};
    use plimsoll_pages::Listed;

    use super::*;

    /// A sync whose checksum is ten times its TXID, linked to the one before.
    fn sync(txid: u64, epoch: u32, lsn: u64) -> Checked {
        let stamp = Stamp { writer: WriterId(1), epoch: Epoch(epoch), lsn: Lsn(lsn) };
        let header = Header {
            page_size: PageSize::DEFAULT,
            commit: PageCount(1),
            min: Txid(txid),
            max: Txid(txid),
            timestamp: WallMs(0),
            stamp: Some(stamp),
            link: (txid - 1) * 10,
        };
        Checked { id: FileId::sync(Txid(txid)), header, checksum: txid * 10 }
    }

    fn merged(level: u8, min: u64, max: u64) -> FileId {
        FileId { level, min: Txid(min), max: Txid(max) }
    }

    /// Severity words and keys' last digits, for syncs and further objects.
    fn found(syncs: &[Checked], others: &[FileId]) -> Vec<String> {
        let ids = syncs.iter().map(|sync| sync.id).chain(others.iter().copied());
        let mut files: Vec<Listed> = ids.map(|id| Listed { id, size: 1, modified: WallMs(0) }).collect();
        files.sort_unstable_by_key(|file| (file.id.level, file.id.min, file.id.max));
        let mut found = Findings::default();
        check(Layout::Other, &Listing { files }, syncs, Txid::ZERO, &mut found);
        found.all().iter().map(|finding| format!("{} {}", finding.severity.word(), finding.what)).collect()
    }

    #[test]
    fn a_history_without_breaks_gives_no_findings() {
        assert!(found(&[sync(1, 1, 1), sync(2, 1, 3), sync(3, 2, 3)], &[merged(1, 1, 2), merged(9, 1, 3)]).is_empty());
    }

    #[test]
    fn a_missing_sync_is_a_problem_unless_it_was_merged() {
        let syncs = [sync(1, 1, 1), sync(3, 1, 3)];
        let alone = found(&syncs, &[]);
        assert!(alone[0].starts_with("problem TXIDs 2 to 2 are missing"), "{alone:?}");
        assert!(found(&syncs, &[merged(1, 1, 2)]).iter().all(|finding| finding.starts_with("note")));
    }

    #[test]
    fn a_link_to_something_else_is_a_problem() {
        let mut stray = sync(2, 1, 2);
        stray.checksum = 99;
        let broken = found(&[sync(1, 1, 1), stray, sync(3, 1, 3)], &[]);
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken.iter().all(|finding| finding.starts_with("problem the run of links")), "{broken:?}");
    }

    #[test]
    fn a_damaged_sync_says_nothing_against_those_before_it() {
        let damaged = FileId::sync(Txid(3));
        let notes = found(&[sync(1, 1, 1), sync(2, 1, 2), sync(4, 1, 4)], &[damaged]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("note its link is not known"), "{notes:?}");
    }

    #[test]
    fn epochs_and_commits_that_go_back_are_problems() {
        assert!(found(&[sync(1, 2, 1), sync(2, 1, 2)], &[])[0].contains("it is of epoch 1"));
        assert!(found(&[sync(1, 1, 5), sync(2, 1, 4)], &[])[0].contains("up to commit 4"));
    }

    #[test]
    fn merges_of_two_writers_that_overlap_are_no_problem_and_syncs_that_do_are_one() {
        assert!(found(&[], &[merged(1, 1, 3), merged(1, 3, 5)])[0].starts_with("note it overlaps"));
        assert!(found(&[], &[merged(0, 1, 3), merged(0, 3, 5)])[0].starts_with("problem it overlaps"));
    }
}
