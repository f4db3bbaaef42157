//! What to merge and what to remove. Pure.

use std::{collections::HashSet, time::Duration};

use plimsoll_host::WallMs;
use plimsoll_ltx::{FileId, SNAPSHOT_LEVEL as SNAPSHOT, plan::Target};
use plimsoll_model::{
    Result, Txid,
    step::{Step, taken},
};

use plimsoll_proof::WHOLE_BYTES_MAX;

use crate::{Listed, Listing};

/// Merges of one level that wait for the next one no longer than until there are so many: who opens the volume reads the
/// index of each. By the usual timers there are a few more at most, so those decide unless syncs come in quick succession.
pub const CROWD: usize = 8;

/// How long what is kept, by the store's clock.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Syncs, after they were made and after they were merged.
    pub level0: Duration,
    /// Snapshots, and with them the merges that lead from one to the next.
    pub snapshots: Duration,
}

impl Retention {
    /// How long every state is kept. A follower looks anew for where its state is as often as level 0 demands, so what
    /// that is made of stays for as long at least.
    fn states(&self) -> Duration {
        self.level0.max(self.snapshots)
    }
}

/// The objects of level `to - 1` that level `to` does not cover yet, and the name of their merge.
/// `None`: nothing new, or no level for merges.
///
/// Only an unbroken run from the end of level `to` on is taken. Where two writers have merged the same syncs into
/// objects that overlap, the one that covers furthest goes on: it holds the newest content of all its pages, so what
/// it repeats does no harm, and the merge is named after what is new in it, which keeps ranges aligned.
#[must_use]
pub fn merge_inputs(listing: &Listing, to: u8) -> Option<(FileId, Vec<Listed>)> {
    if to >= SNAPSHOT {
        // Snapshots are made of a whole state, and a merge there would pass for one.
        return None;
    }
    let covered = listing.level(to).map(|file| file.id.max).max();
    let covered = covered.unwrap_or_else(|| begins_behind(listing, to));
    let mut inputs: Vec<Listed> = Vec::new();
    let mut end = covered;
    let mut files = listing.level(to - 1).peekable();
    loop {
        let mut furthest: Option<&Listed> = None;
        while let Some(file) = files.next_if(|file| file.id.min <= end.next()) {
            // Of two that cover as far, the later one repeats less.
            if file.id.max > end && furthest.is_none_or(|best| file.id.max >= best.id.max) {
                furthest = Some(file);
            }
        }
        let Some(file) = furthest else { break };
        end = file.id.max;
        inputs.push(*file);
    }
    (!inputs.is_empty()).then_some((FileId { level: to, min: covered.next(), max: end }, inputs))
}

/// Whether so many merges wait for this level that its time has come, whatever a timer says. There are levels for that
/// between those that have a timer and the snapshots, so what makes up a state grows with the logarithm of the syncs.
#[must_use]
pub fn is_crowded(listing: &Listing, to: u8) -> bool {
    (2..SNAPSHOT).contains(&to) && merge_inputs(listing, to).is_some_and(|(_, inputs)| inputs.len() >= CROWD)
}

/// As much of a merge as is sure to fit into one object of so many bytes: nothing that is merged becomes larger than its
/// parts. The rest is for the next merge.
#[must_use]
pub fn fitting((id, mut inputs): (FileId, Vec<Listed>), bytes_max: u64) -> (FileId, Vec<Listed>) {
    let mut bytes: u64 = 0;
    let fit = inputs.iter().take_while(|file| {
        bytes = bytes.saturating_add(file.size);
        bytes <= bytes_max
    });
    let fit = fit.count().max(1);
    inputs.truncate(fit);
    let max = inputs.last().map_or(id.max, |file| file.id.max);
    (FileId { max, ..id }, inputs)
}

/// Where a level that has nothing yet begins: at the first transaction, or behind what stands in the levels above for the
/// first object below, such as an import and its snapshot, or, in a fork and what became of one, for everything before
/// that. A fork names only what its state is made of, so a level may be missing that its parent has.
fn begins_behind(listing: &Listing, to: u8) -> Txid {
    let Some(lowest) = listing.level(to - 1).next() else { return Txid::ZERO };
    let is_repeated =
        |file: &Listed| file.id.level > to && (file.id.min, file.id.max) == (lowest.id.min, lowest.id.max);
    if listing.files.iter().any(is_repeated) {
        return lowest.id.max;
    }
    let first = lowest.id.min.prev();
    let stands = listing.files.iter().any(|file| file.id.level > to && file.id.max >= first);
    if stands { first } else { Txid::ZERO }
}

/// The snapshot with which merging begins where a volume begins with a large object, as after an import: levels begin
/// behind it, and so none of them has all of that once more.
#[must_use]
pub fn first_snapshot(listing: &Listing) -> Option<(FileId, Vec<Listed>)> {
    let first = listing.files.first()?;
    let alone = listing.files.iter().all(|file| file.id.level == 0);
    let is_large = first.id.min == Txid(1) && first.size > WHOLE_BYTES_MAX;
    (alone && is_large).then(|| (FileId { level: SNAPSHOT, ..first.id }, vec![*first]))
}

/// The objects that a new snapshot is made of, and its name. `None`: the newest snapshot is the newest state.
///
/// # Errors
/// `Corrupt`: syncs are missing.
pub fn snapshot_inputs(listing: &Listing) -> Result<Option<(FileId, Vec<Listed>)>> {
    let head = listing.head();
    let newest = listing.snapshots().map(|file| file.id.max).max().unwrap_or(Txid::ZERO);
    if head == newest {
        return Ok(None);
    }
    let inputs = listing.restore(Target::Latest)?;
    Ok(Some((FileId { level: SNAPSHOT, min: Txid(1), max: head }, inputs)))
}

/// The objects that neither the newest state, nor the retention window, nor `needed` calls for.
///
/// Ages are differences of modification times, so of one clock, the store's: `now` is [`Listing::now`].
#[must_use]
pub fn garbage(listing: &Listing, now: WallMs, keep: Retention, needed: impl Fn(&FileId) -> bool) -> Vec<FileId> {
    let older = |file: &Listed, than: Duration| u128::from(now.0.saturating_sub(file.modified.0)) >= than.as_millis();
    let last = |level: u8| listing.level(level).map(|file| file.id).max_by_key(|id| id.max);
    let covered = last(1).map_or(Txid::ZERO, |id| id.max);

    // The state after a sync is the newest until the next one is made, however long that takes, and can be had from level
    // 0 alone once both are merged. So the age of the merge counts too: a follower may have seen that state a moment ago.
    let older_merges = |file: &Listed| {
        let merges = listing.level(1).filter(|merge| merge.id.min <= file.id.max && file.id.max <= merge.id.max);
        // Of what a volume began with there is a snapshot instead.
        let same =
            listing.snapshots().filter(|snapshot| (snapshot.id.min, snapshot.id.max) == (file.id.min, file.id.max));
        merges.chain(same).all(|merge| older(merge, keep.level0))
    };

    // The window begins in the middle of something: what it begins with is the newest snapshot that is older, or, where
    // there is none or it ends before, the merges that were there by then and lead from the first transaction on. From
    // there on every state can be had again; what only leads up to it is not needed.
    let old: Vec<&Listed> = listing.files.iter().filter(|file| older(file, keep.states())).collect();
    let bases = (1..=SNAPSHOT).map(|level| stood_for(old.iter().copied().filter(|file| file.id.level >= level)));
    let bases: Vec<Txid> = bases.collect();
    // Of level 1 as an index: what stands above level 1.
    let base = |level: u8| bases[usize::from(level)];
    let newest_base = base(SNAPSHOT - 1);

    let gone = |file: &&Listed| match file.id.level {
        0 => {
            let merged = file.id.max <= covered || !taken(Step::OnlyMerged);
            merged && ((older(file, keep.level0) && older_merges(file)) || !taken(Step::KeepWindow))
        }
        SNAPSHOT => file.id.max < newest_base,
        level => file.id.max <= base(level),
    };
    listing
        .files
        .iter()
        .filter(gone)
        .map(|file| file.id)
        .filter(|id| Some(*id) != last(id.level) && !needed(id))
        .collect()
}

/// How far these objects lead from the first transaction on without a gap. What lies at the level of the snapshots and is
/// none stands for nothing.
fn stood_for<'a>(files: impl Iterator<Item = &'a Listed>) -> Txid {
    let mut ids: Vec<FileId> = files.map(|file| file.id).filter(|id| id.level < SNAPSHOT || id.is_snapshot()).collect();
    ids.sort_unstable_by_key(|id| id.min);
    ids.iter().fold(Txid::ZERO, |end, id| if id.min <= end.next() { end.max(id.max) } else { end })
}

/// Whether nothing that is kept is made of these objects any more: a snapshot that is none of them has stood for all
/// that they lead to, for as long as any state is kept.
#[must_use]
pub fn superseded(listing: &Listing, keep: Retention, objects: &HashSet<FileId>) -> bool {
    let Some(last) = objects.iter().map(|id| id.max).max() else { return true };
    let (now, kept) = (listing.now(), keep.states().as_millis());
    listing
        .snapshots()
        .any(|file| !objects.contains(&file.id) && file.id.max >= last && u128::from(now.0 - file.modified.0) >= kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn garbage(listing: &Listing, keep: Retention, needed: impl Fn(&FileId) -> bool) -> Vec<FileId> {
        super::garbage(listing, listing.now(), keep, needed)
    }

    fn file(level: u8, min: u64, max: u64, modified: u64) -> Listed {
        Listed { id: FileId { level, min: Txid(min), max: Txid(max) }, size: 1, modified: WallMs(modified) }
    }

    fn listing(mut files: Vec<Listed>) -> Listing {
        files.sort_unstable_by_key(|file| (file.id.level, file.id.min, file.id.max));
        Listing { files }
    }

    fn ranges(ids: &[FileId]) -> Vec<(u8, u64, u64)> {
        ids.iter().map(|id| (id.level, id.min.0, id.max.0)).collect()
    }

    const KEEP: Retention = Retention { level0: Duration::from_millis(300), snapshots: Duration::from_millis(1000) };

    #[test]
    fn a_merge_takes_all_that_is_newer_than_the_level_above() {
        let files = listing(vec![file(1, 1, 2, 0), file(0, 2, 2, 0), file(0, 3, 3, 0), file(0, 4, 4, 0)]);
        let (id, inputs) = merge_inputs(&files, 1).unwrap();
        assert_eq!((id.level, id.min, id.max), (1, Txid(3), Txid(4)));
        assert_eq!(inputs.len(), 2);
        assert!(merge_inputs(&listing(vec![file(1, 1, 2, 0), file(0, 2, 2, 0)]), 1).is_none());
    }

    #[test]
    fn a_level_is_crowded_once_eight_merges_wait_for_it_but_syncs_and_snapshots_crowd_nobody() {
        let files = |level: u8, count: u64| -> Vec<Listed> {
            (1..=count).map(|at| file(level, at * 10 + 1, at * 10 + 10, 0)).collect()
        };
        let covered = |level: u8| file(level, 1, 20, 0);
        assert!(is_crowded(&listing([files(1, 9), vec![covered(2)]].concat()), 2));
        assert!(!is_crowded(&listing([files(1, 8), vec![covered(2)]].concat()), 2), "seven of them are not covered");
        assert!(is_crowded(&listing([files(7, 9), vec![covered(8)]].concat()), 8));
        assert!(!is_crowded(&listing([files(8, 9), vec![covered(9)]].concat()), 9));
        assert!(!is_crowded(&listing([files(0, 9), vec![covered(1)]].concat()), 1));
    }

    #[test]
    fn a_merge_ends_before_it_is_larger_than_an_object_can_be() {
        let sized = |max: u64, size: u64| Listed { size, ..file(0, max, max, 0) };
        let files = || listing(vec![sized(1, 40), sized(2, 40), sized(3, 40), sized(4, 500), sized(5, 1)]);
        let cut = |covered: Vec<Listed>| {
            let files = listing([files().files, covered].concat());
            let (id, inputs) = fitting(merge_inputs(&files, 1).unwrap(), 100);
            (ranges(&[id])[0], inputs.len())
        };
        assert_eq!(cut(vec![]), ((1, 1, 2), 2));
        assert_eq!(cut(vec![file(1, 1, 2, 0)]), ((1, 3, 3), 1));
        assert_eq!(cut(vec![file(1, 1, 3, 0)]), ((1, 4, 4), 1), "what is there can be");
        assert_eq!(cut(vec![file(1, 1, 4, 0)]), ((1, 5, 5), 1));
        assert_eq!(fitting(merge_inputs(&files(), 1).unwrap(), u64::MAX).0.max, Txid(5));
    }

    #[test]
    fn objects_are_superseded_once_a_snapshot_of_another_kind_is_older_than_anything_kept() {
        let inherited = [file(9, 1, 4, 0), file(0, 5, 5, 0)];
        let ids: HashSet<FileId> = inherited.iter().map(|file| file.id).collect();
        let after = |snapshot: Listed, now: u64| {
            let files = inherited.iter().copied().chain([snapshot, file(0, 9, 9, now)]);
            superseded(&listing(files.collect()), KEEP, &ids)
        };
        assert!(after(file(9, 1, 8, 500), 1500));
        assert!(!after(file(9, 1, 8, 500), 1499), "states from before the snapshot are still kept");
        assert!(!after(file(1, 1, 8, 500), 1500), "a merge is no snapshot");
        assert!(!after(file(9, 1, 3, 0), 9_999_999), "it stands for a part of them only, however old it is");
        assert!(!superseded(&listing(inherited.into_iter().chain([file(0, 9, 9, 5000)]).collect()), KEEP, &ids));
        assert!(superseded(&listing(vec![]), KEEP, &HashSet::new()));
    }

    #[test]
    fn a_merge_never_bridges_a_gap() {
        let files = listing(vec![file(0, 1, 1, 0), file(0, 2, 2, 0), file(0, 4, 4, 0)]);
        assert_eq!(merge_inputs(&files, 1).unwrap().0.max, Txid(2));
        assert!(merge_inputs(&listing(vec![file(1, 1, 2, 0), file(0, 4, 4, 0)]), 1).is_none());
    }

    #[test]
    fn merging_goes_on_from_what_covers_furthest_where_the_merges_of_two_writers_overlap() {
        let level1 = [file(1, 1, 4, 0), file(1, 5, 8, 0), file(1, 5, 10, 0), file(1, 7, 10, 0), file(1, 11, 14, 0)];
        let inputs = |mut files: Vec<Listed>| {
            files.extend(level1);
            let (id, inputs) = merge_inputs(&listing(files), 2)?;
            let ids: Vec<FileId> = inputs.iter().map(|file| file.id).collect();
            Some((ranges(&[id])[0], ranges(&ids)))
        };
        assert_eq!(inputs(vec![]), Some(((2, 1, 14), vec![(1, 1, 4), (1, 5, 10), (1, 11, 14)])));
        // One of them was merged before the other was there.
        assert_eq!(inputs(vec![file(2, 1, 8, 0)]), Some(((2, 9, 14), vec![(1, 7, 10), (1, 11, 14)])));
        assert_eq!(inputs(vec![file(2, 1, 12, 0)]), Some(((2, 13, 14), vec![(1, 11, 14)])));
        assert_eq!(inputs(vec![file(2, 1, 14, 0), file(2, 1, 8, 0)]), None);
    }

    #[test]
    fn a_level_without_anything_begins_behind_the_snapshot_that_a_fork_started_with() {
        let files = listing(vec![file(9, 1, 7, 0), file(0, 8, 8, 0), file(0, 9, 9, 0)]);
        let (id, inputs) = merge_inputs(&files, 1).unwrap();
        assert_eq!((id.level, id.min, id.max, inputs.len()), (1, Txid(8), Txid(9), 2));
        let gap = listing(vec![file(9, 1, 6, 0), file(0, 8, 8, 0)]);
        assert!(merge_inputs(&gap, 1).is_none());
        assert!(merge_inputs(&listing(vec![file(9, 1, 7, 0)]), 1).is_none());
    }

    #[test]
    fn a_volume_that_begins_with_a_large_object_has_a_snapshot_of_that_and_levels_that_begin_behind_it() {
        let sized = |size: u64| listing(vec![Listed { size, ..file(0, 1, 1, 0) }, file(0, 2, 2, 0), file(0, 3, 3, 0)]);
        assert_eq!(first_snapshot(&sized(WHOLE_BYTES_MAX)), None);
        assert_eq!(first_snapshot(&listing(vec![])), None);
        let mut large = sized(WHOLE_BYTES_MAX + 1);
        let (id, inputs) = first_snapshot(&large).unwrap();
        assert_eq!((ranges(&[id]), inputs.len()), (vec![(9, 1, 1)], 1));
        large.files.push(file(9, 1, 1, 0));
        assert_eq!(first_snapshot(&large), None);
        let (id, inputs) = merge_inputs(&large, 1).unwrap();
        assert_eq!((ranges(&[id]), inputs.len()), (vec![(1, 2, 3)], 2));
        let only = listing(vec![file(0, 1, 1, 0), file(9, 1, 1, 0)]);
        assert_eq!(merge_inputs(&only, 1), None);
        // A snapshot of more than that begins no level in the middle of what can still be had.
        let later = listing(vec![file(0, 1, 1, 0), file(0, 2, 2, 0), file(0, 3, 3, 0), file(9, 1, 2, 0)]);
        assert_eq!(ranges(&[merge_inputs(&later, 1).unwrap().0]), [(1, 1, 3)]);
    }

    #[test]
    fn a_level_without_anything_begins_behind_the_merge_that_a_fork_started_with() {
        // Its parent had just merged level 1 into level 2.
        let files = listing(vec![file(9, 1, 5, 0), file(2, 2, 300, 0), file(0, 301, 301, 0), file(0, 302, 302, 0)]);
        let (id, inputs) = merge_inputs(&files, 1).unwrap();
        assert_eq!((id.level, id.min, id.max, inputs.len()), (1, Txid(301), Txid(302), 2));
        let gap = listing(vec![file(9, 1, 5, 0), file(2, 2, 299, 0), file(0, 301, 301, 0)]);
        assert!(merge_inputs(&gap, 1).is_none());
    }

    #[test]
    fn a_sync_goes_once_it_is_merged_and_old_but_never_the_newest() {
        let files = listing(vec![
            file(1, 1, 3, 690),
            file(0, 1, 1, 0),
            file(0, 2, 2, 650),
            file(0, 3, 3, 0),
            file(0, 4, 4, 1000),
        ]);
        assert_eq!(ranges(&garbage(&files, KEEP, |_| false)), [(0, 1, 1), (0, 2, 2), (0, 3, 3)]);
        assert_eq!(ranges(&garbage(&files, KEEP, |id| id.min == Txid(1))), [(0, 2, 2), (0, 3, 3)]);
        let only = listing(vec![file(1, 1, 3, 690), file(0, 3, 3, 0)]);
        assert!(garbage(&only, KEEP, |_| false).is_empty());
        let unmerged = listing(vec![file(0, 1, 1, 0), file(0, 2, 2, 5000)]);
        assert!(garbage(&unmerged, KEEP, |_| false).is_empty());
    }

    /// A writer came back after a day, wrote once more and merged: followers had read the old state until then.
    #[test]
    fn what_was_the_newest_state_a_moment_ago_stays_although_its_sync_is_old() {
        let files = |now| {
            let syncs = [file(0, 1, 1, 0), file(0, 2, 2, 5000), file(0, 3, 3, now)];
            listing(syncs.into_iter().chain([file(1, 1, 2, 5100)]).collect())
        };
        assert!(garbage(&files(5399), KEEP, |_| false).is_empty());
        assert_eq!(ranges(&garbage(&files(5400), KEEP, |_| false)), [(0, 1, 1), (0, 2, 2)]);
        let import = |now| {
            let begun = [file(0, 1, 1, 0), file(9, 1, 1, 5100), file(0, 2, 2, 0), file(0, 3, 3, 0), file(0, 4, 4, now)];
            listing(begun.into_iter().chain([file(1, 2, 3, 4000)]).collect())
        };
        assert_eq!(ranges(&garbage(&import(5399), KEEP, |_| false)), [(0, 2, 2), (0, 3, 3)], "not the import");
        assert_eq!(ranges(&garbage(&import(5400), KEEP, |_| false)), [(0, 1, 1), (0, 2, 2), (0, 3, 3)]);
    }

    #[test]
    fn merges_go_once_the_snapshot_before_the_window_covers_them_but_one_stays_per_level() {
        let files = listing(vec![
            file(9, 1, 5, 0),
            file(9, 1, 9, 500),
            file(9, 1, 20, 2000),
            file(1, 22, 30, 2100),
            file(1, 1, 4, 0),
            file(1, 5, 8, 0),
            file(1, 9, 21, 2000),
            file(2, 1, 8, 0),
        ]);
        // The window begins at 1100, with the state of 9; what led up to it can go.
        assert_eq!(ranges(&garbage(&files, KEEP, |_| false)), [(1, 1, 4), (1, 5, 8), (9, 1, 5)]);
    }

    #[test]
    fn a_new_snapshot_takes_away_nothing_that_the_window_or_a_reader_in_it_needs() {
        let files = listing(vec![
            file(1, 1, 4, 0),
            file(1, 5, 8, 500),
            file(1, 9, 9, 900),
            file(2, 1, 4, 500),
            file(2, 5, 8, 900),
            file(9, 1, 9, 1000),
        ]);
        assert!(garbage(&files, KEEP, |_| false).is_empty());
    }

    /// Where states were kept for less time than level 0, merges went the moment there was a snapshot, while followers
    /// read from them.
    #[test]
    fn merges_stay_as_long_as_level_0_although_no_state_is_to_be_kept() {
        let at_once = Retention { snapshots: Duration::ZERO, ..KEEP };
        let files = |now| {
            let old = [file(1, 1, 4, 0), file(1, 5, 8, 500), file(1, 9, 9, 900)];
            listing(old.into_iter().chain([file(9, 1, 9, 1000), file(0, 10, 10, now)]).collect())
        };
        assert!(garbage(&files(1299), at_once, |_| false).is_empty());
        assert_eq!(ranges(&garbage(&files(1300), at_once, |_| false)), [(1, 1, 4), (1, 5, 8)]);
    }

    /// A state that no single object can hold has no snapshot, and its merges were kept for ever.
    #[test]
    fn without_a_snapshot_merges_go_once_merges_above_them_stand_for_all_that_is_older_than_the_window() {
        let merged = |gap: u64| {
            let low = [file(1, 1, 4, 0), file(1, 5, 8, 100), file(1, 9, 12, 900), file(1, 13, 16, 5000)];
            let high = [file(2, 1, 4 - gap, 100), file(2, 5, 8, 3999), file(2, 9, 12, 4001), file(0, 17, 17, 5000)];
            listing(low.into_iter().chain(high).collect())
        };
        assert_eq!(ranges(&garbage(&merged(0), KEEP, |_| false)), [(1, 1, 4), (1, 5, 8)], "level 2 has no level above");
        assert!(garbage(&merged(1), KEEP, |_| false).is_empty(), "nothing stands for what comes after a gap");
        let above = |modified: u64| listing([merged(0).files, vec![file(3, 1, 8, modified)]].concat());
        assert_eq!(ranges(&garbage(&above(4001), KEEP, |_| false)), [(1, 1, 4), (1, 5, 8)]);
        let all = [(1, 1, 4), (1, 5, 8), (2, 1, 4), (2, 5, 8)];
        assert_eq!(ranges(&garbage(&above(4000), KEEP, |_| false)), all);
    }

    #[test]
    fn what_is_left_of_every_level_leads_to_each_state_of_the_window() {
        use plimsoll_ltx::plan::{Target, plan};
        let mut seed: u64 = 7;
        let mut chance = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut gone_in_all = 0;
        for _ in 0..80 {
            // Each sync, merge and collection of a volume at a time of its own.
            let (mut files, mut made, mut now) = (Vec::new(), Vec::new(), 0);
            for txid in 1..=60_u64 {
                now += chance(200);
                files.push(file(0, txid, txid, now));
                made.push((txid, now));
                for level in 1..=4_u8 {
                    let due =
                        merge_inputs(&listing(files.clone()), level).filter(|_| chance(u64::from(level) * 4) == 0);
                    files.extend(due.map(|(id, _)| Listed { id, size: 1, modified: WallMs(now) }));
                }
                if chance(40) == 0 {
                    files.push(file(9, 1, txid, now));
                }
                let gone = garbage(&listing(files.clone()), KEEP, |_| false);
                files.retain(|file| !gone.contains(&file.id));
                gone_in_all += gone.iter().filter(|id| id.level > 0).count();
                let kept: Vec<FileId> = listing(files.clone()).files.iter().map(|file| file.id).collect();
                // Of what was merged, the states between are those of level 1 at best.
                let begin = made.iter().rev().find(|(_, at)| now - at >= 1000).map_or(1, |(txid, _)| *txid);
                for (txid, at) in &made {
                    if *txid >= begin && kept.iter().any(|id| id.max == Txid(*txid)) {
                        assert!(plan(&kept, Target::Txid(Txid(*txid))).is_ok(), "{txid} of {at} at {now}: {kept:?}");
                    }
                }
                assert!(plan(&kept, Target::Latest).is_ok());
            }
        }
        assert!(gone_in_all > 300, "{gone_in_all}");
    }

    /// With nine periods to merge at, syncs were merged into the level of the snapshots, and the snapshot went.
    #[test]
    fn what_is_no_snapshot_never_stands_for_one_and_none_is_merged_into_their_level() {
        let files = vec![file(9, 1, 5, 0), file(8, 6, 9, 0), file(0, 9, 9, 0)];
        assert!(merge_inputs(&listing(files.clone()), SNAPSHOT).is_none());
        let mut files = listing([files, vec![file(9, 6, 9, 0), file(0, 10, 10, 9000)]].concat());
        assert!(garbage(&files, KEEP, |_| false).is_empty());
        let inherited = HashSet::from([FileId { level: 9, min: Txid(1), max: Txid(5) }]);
        assert!(!superseded(&files, KEEP, &inherited));
        files.files.retain(|file| file.id.max < Txid(10));
        let (id, inputs) = snapshot_inputs(&files).unwrap().unwrap();
        assert_eq!((ranges(&[id])[0], inputs.len()), ((9, 1, 9), 2));
    }

    #[test]
    fn a_snapshot_is_made_only_of_something_new() {
        let same = listing(vec![file(9, 1, 2, 0), file(0, 2, 2, 0)]);
        assert!(snapshot_inputs(&same).unwrap().is_none());
        let newer = listing(vec![file(9, 1, 2, 0), file(0, 2, 2, 0), file(0, 3, 3, 0)]);
        let (id, inputs) = snapshot_inputs(&newer).unwrap().unwrap();
        assert_eq!((id.level, id.min, id.max), (9, Txid(1), Txid(3)));
        assert_eq!(inputs.iter().map(|file| file.id.max.0).collect::<Vec<_>>(), [2, 3]);
    }
}
