//! Commits that are in the journal and not (for every reader) in a view yet.
//!
//! A reader that stays keeps all that is written meanwhile. So a sync and what gives up old versions go through what the
//! commits since then have written, not through everything.

use std::collections::{VecDeque, hash_map::Entry};

use plimsoll_model::{
    Lsn, PageCount, PageNo,
    step::{Step, taken},
};
use rustc_hash::FxHashMap;

/// What the overlay knows of a page at some commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<P> {
    /// The content is in the journal.
    At(P),
    /// The content is in the journal and the same as in the view. The place may be given up any time, since no
    /// reader depends on it.
    Spare(P),
    /// The volume was cut below this page since the view, so the page starts from zeros again.
    Zeros,
}

/// Page versions by LSN, each as the place `P` in the journal where its content is.
#[derive(Debug)]
pub struct Overlay<P> {
    pages: FxHashMap<PageNo, Vec<(Lsn, P)>>,
    /// Each version, by commit.
    written: VecDeque<(Lsn, PageNo)>,
    /// Commits that made the volume smaller, in order.
    cuts: Vec<(Lsn, PageCount)>,
    count: PageCount,
}

impl<P: Copy> Overlay<P> {
    /// Starts from a view of `count` pages.
    #[must_use]
    pub fn new(count: PageCount) -> Self {
        Overlay { pages: FxHashMap::default(), written: VecDeque::new(), cuts: Vec::new(), count }
    }

    /// Adds a commit. LSNs ascend.
    pub fn insert(&mut self, lsn: Lsn, count: PageCount, pages: impl IntoIterator<Item = (PageNo, P)>) {
        if count < self.count {
            self.cuts.push((lsn, count));
        }
        self.count = count;
        for (page, place) in pages {
            self.pages.entry(page).or_default().push((lsn, place));
            self.written.push_back((lsn, page));
        }
    }

    /// The newest version of a page not newer than `lsn`, for a reader whose view is of `floor`.
    /// `None`: the view has it.
    #[must_use]
    pub fn find(&self, page: PageNo, lsn: Lsn, floor: Lsn) -> Option<Found<P>> {
        let cut = self.cuts.iter().rev().find(|(at, count)| *at <= lsn && !count.contains(page));
        match (self.newest(page, lsn), cut) {
            // A page is written only while it is within the volume, so a version of the commit that cuts comes before.
            (Some((at, place)), cut) if cut.is_none_or(|(cut, _)| at > *cut) => {
                Some(if at > floor { Found::At(place) } else { Found::Spare(place) })
            }
            // What the view is newer than, it knows.
            (_, Some((cut, _))) if *cut > floor => Some(Found::Zeros),
            _ => None,
        }
    }

    fn newest(&self, page: PageNo, lsn: Lsn) -> Option<(Lsn, P)> {
        let versions = self.pages.get(&page)?;
        let after = versions.partition_point(|(at, _)| *at <= lsn);
        versions[..if taken(Step::NewestUpTo) { after } else { versions.len() }].last().copied()
    }

    /// Every page that changed after `from` and up to `to`, with its newest version, in page order:
    /// what a sync that goes from `from` to `to` has to carry. Pages beyond `count` are left out, and
    /// those that start from zeros again: see [`Overlay::lowest`].
    #[must_use]
    pub fn changed(&self, from: Lsn, to: Lsn, count: PageCount) -> Vec<(PageNo, P)> {
        let find = |page: PageNo| match self.find(page, to, from)? {
            Found::At(place) if count.contains(page) => Some((page, place)),
            Found::At(_) | Found::Spare(_) | Found::Zeros => None,
        };
        let since = self.written.partition_point(|(at, _)| *at <= from);
        let until = self.written.partition_point(|(at, _)| *at <= to);
        let mut changed: Vec<_> = if until.saturating_sub(since) < self.pages.len() {
            let mut pages: Vec<PageNo> = self.written.range(since..until.max(since)).map(|(_, page)| *page).collect();
            pages.sort_unstable();
            pages.dedup();
            pages.into_iter().filter_map(find).collect()
        } else {
            // The same few pages again and again.
            self.pages.keys().copied().filter_map(find).collect()
        };
        changed.sort_unstable_by_key(|(page, _)| *page);
        changed
    }

    /// How many pages [`Overlay::changed`] would look at for all commits after `from`, at most.
    #[must_use]
    pub fn looks(&self, from: Lsn) -> u64 {
        let since = self.written.partition_point(|(at, _)| *at <= from);
        (self.written.len() - since).min(self.pages.len()) as u64
    }

    /// Smallest size that the volume had in commits after `from` and up to `to`, if it was ever cut:
    /// pages beyond it start from zeros even if the view knows them.
    #[must_use]
    pub fn lowest(&self, from: Lsn, to: Lsn) -> Option<PageCount> {
        self.cuts.iter().filter(|(at, _)| *at > from && *at <= to).map(|(_, count)| *count).min()
    }

    /// Forgets versions up to `lsn`: every reader's view has them.
    pub fn trim(&mut self, lsn: Lsn) {
        let gone = self.written.partition_point(|(at, _)| *at <= lsn);
        let cut = |versions: &mut Vec<(Lsn, P)>| {
            let gone = versions.partition_point(|(at, _)| *at <= lsn);
            versions.drain(..gone);
            !versions.is_empty()
        };
        if gone < self.pages.len() {
            for (_, page) in self.written.drain(..gone) {
                // Its other old versions go with the first one.
                if let Entry::Occupied(mut versions) = self.pages.entry(page)
                    && !cut(versions.get_mut())
                {
                    versions.remove();
                }
            }
        } else {
            self.written.drain(..gone);
            self.pages.retain(|_, versions| cut(versions));
        }
        self.cuts.retain(|(at, _)| *at > lsn);
    }

    /// Number of distinct pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNo {
        PageNo::new(number).unwrap()
    }

    fn place(number: u32) -> u32 {
        number
    }

    fn overlay() -> Overlay<u32> {
        let mut overlay = Overlay::new(PageCount(10));
        overlay.insert(Lsn(1), PageCount(10), [(page(1), place(1)), (page(9), place(2))]);
        overlay.insert(Lsn(2), PageCount(5), [(page(1), place(3))]);
        overlay.insert(Lsn(3), PageCount(10), [(page(1), place(4)), (page(8), place(5))]);
        overlay
    }

    #[test]
    fn a_reader_sees_the_newest_version_up_to_its_commit() {
        let overlay = overlay();
        assert_eq!(overlay.find(page(1), Lsn(1), Lsn(0)), Some(Found::At(place(1))));
        assert_eq!(overlay.find(page(1), Lsn(2), Lsn(0)), Some(Found::At(place(3))));
        assert_eq!(overlay.find(page(1), Lsn(9), Lsn(0)), Some(Found::At(place(4))));
        assert_eq!(overlay.find(page(2), Lsn(9), Lsn(0)), None);
    }

    #[test]
    fn a_page_that_was_cut_off_reads_as_zeros_until_written_again() {
        let overlay = overlay();
        assert_eq!(overlay.find(page(9), Lsn(1), Lsn(0)), Some(Found::At(place(2))));
        assert_eq!(overlay.find(page(9), Lsn(3), Lsn(0)), Some(Found::Zeros));
        assert_eq!(overlay.find(page(7), Lsn(3), Lsn(0)), Some(Found::Zeros));
        assert_eq!(overlay.find(page(8), Lsn(3), Lsn(0)), Some(Found::At(place(5))));
        assert_eq!(overlay.find(page(7), Lsn(3), Lsn(2)), None, "the view is of after the cut");
    }

    #[test]
    fn a_sync_carries_the_newest_version_of_each_changed_page() {
        let overlay = overlay();
        assert_eq!(overlay.changed(Lsn(0), Lsn(1), PageCount(10)), [(page(1), place(1)), (page(9), place(2))]);
        assert_eq!(overlay.changed(Lsn(1), Lsn(3), PageCount(10)), [(page(1), place(4)), (page(8), place(5))]);
        assert_eq!(overlay.changed(Lsn(0), Lsn(2), PageCount(5)), [(page(1), place(3))]);
        assert_eq!(overlay.lowest(Lsn(0), Lsn(3)), Some(PageCount(5)));
        assert_eq!(overlay.lowest(Lsn(2), Lsn(3)), None);
    }

    #[test]
    fn a_sync_does_not_carry_what_was_cut_off_and_grown_over() {
        let overlay = overlay();
        assert_eq!(overlay.changed(Lsn(0), Lsn(3), PageCount(10)), [(page(1), place(4)), (page(8), place(5))]);
    }

    #[test]
    fn a_version_kept_for_an_older_reader_does_not_show_to_one_whose_view_knows_of_the_cut() {
        let overlay = overlay();
        assert_eq!(overlay.find(page(9), Lsn(3), Lsn(2)), None);
        assert_eq!(overlay.find(page(9), Lsn(1), Lsn(0)), Some(Found::At(place(2))), "the older reader");
        assert_eq!(overlay.find(page(1), Lsn(2), Lsn(2)), Some(Found::Spare(place(3))), "as good as the view");
    }

    #[test]
    fn trimming_keeps_what_is_newer() {
        let mut overlay = overlay();
        overlay.trim(Lsn(2));
        assert_eq!(overlay.find(page(1), Lsn(3), Lsn(2)), Some(Found::At(place(4))));
        assert_eq!(overlay.pages(), 2);
    }

    #[test]
    fn pages_start_from_zeros_beyond_the_smallest_size_in_between_not_the_last_one() {
        let mut overlay = Overlay::new(PageCount(10));
        for (lsn, count) in [(1, 3), (2, 9), (3, 7)] {
            overlay.insert(Lsn(lsn), PageCount(count), [(page(1), place(lsn as u32))]);
        }
        assert_eq!(overlay.lowest(Lsn(0), Lsn(3)), Some(PageCount(3)));
        assert_eq!(overlay.lowest(Lsn(1), Lsn(3)), Some(PageCount(7)));
    }

    /// What each of them says, by looking at every version there is.
    fn plainly(versions: &[(u64, u32, u32)], from: u64, to: u64, count: u32) -> Vec<(PageNo, u32)> {
        let mut newest = std::collections::BTreeMap::new();
        for (at, number, place) in versions.iter().filter(|(at, number, _)| *at <= to && *number <= count) {
            newest.insert(page(*number), (*at, *place));
        }
        newest.into_iter().filter(|(_, (at, _))| *at > from).map(|(page, (_, place))| (page, place)).collect()
    }

    #[test]
    fn what_a_sync_carries_is_the_same_whether_few_of_many_pages_were_written_since_or_few_again_and_again() {
        for (pages, commits) in [(2000, 300), (3, 300), (40, 40)] {
            let (mut overlay, mut versions) = (Overlay::new(PageCount(pages)), Vec::new());
            let (mut floor, mut dice) = (0, 1_u64);
            let mut below = |bound: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (dice >> 33) % bound
            };
            for lsn in 1..=commits {
                let written: Vec<u32> = (0..below(8)).map(|_| 1 + below(u64::from(pages)) as u32).collect();
                let written: std::collections::BTreeSet<u32> = written.into_iter().collect();
                overlay.insert(Lsn(lsn), PageCount(pages), written.iter().map(|number| (page(*number), lsn as u32)));
                versions.extend(written.iter().map(|number| (lsn, *number, lsn as u32)));
                let (from, to) = (floor + below(lsn - floor + 1), lsn - below(lsn - floor + 1));
                let expected = plainly(&versions, from, to, pages);
                assert_eq!(overlay.changed(Lsn(from), Lsn(to), PageCount(pages)), expected, "{from}..{to} of {lsn}");
                assert!(overlay.looks(Lsn(from)) >= expected.len() as u64 || to < lsn);
                if below(9) == 0 {
                    floor += below(lsn - floor + 1);
                    overlay.trim(Lsn(floor));
                    versions.retain(|(at, _, _)| *at > floor);
                    let left: std::collections::BTreeSet<u32> = versions.iter().map(|(_, number, _)| *number).collect();
                    assert_eq!(overlay.pages(), left.len() as u64);
                    assert_eq!(overlay.written.len(), versions.len());
                }
            }
        }
    }
}
