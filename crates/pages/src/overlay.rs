//! Commits that are in the journal and not (for every reader) in a view yet.

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
    /// Commits that made the volume smaller, in order.
    cuts: Vec<(Lsn, PageCount)>,
    count: PageCount,
}

impl<P: Copy> Overlay<P> {
    /// Starts from a view of `count` pages.
    #[must_use]
    pub fn new(count: PageCount) -> Self {
        Overlay { pages: FxHashMap::default(), cuts: Vec::new(), count }
    }

    /// Adds a commit. LSNs ascend.
    pub fn insert(&mut self, lsn: Lsn, count: PageCount, pages: impl IntoIterator<Item = (PageNo, P)>) {
        if count < self.count {
            self.cuts.push((lsn, count));
        }
        self.count = count;
        for (page, place) in pages {
            self.pages.entry(page).or_default().push((lsn, place));
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
        let mut changed: Vec<_> = self
            .pages
            .keys()
            .filter(|page| count.contains(**page))
            .filter_map(|page| match self.find(*page, to, from)? {
                Found::At(place) => Some((*page, place)),
                Found::Spare(_) | Found::Zeros => None,
            })
            .collect();
        changed.sort_unstable_by_key(|(page, _)| *page);
        changed
    }

    /// Smallest size that the volume had in commits after `from` and up to `to`, if it was ever cut:
    /// pages beyond it start from zeros even if the view knows them.
    #[must_use]
    pub fn lowest(&self, from: Lsn, to: Lsn) -> Option<PageCount> {
        self.cuts.iter().filter(|(at, _)| *at > from && *at <= to).map(|(_, count)| *count).min()
    }

    /// Forgets versions up to `lsn`: every reader's view has them.
    pub fn trim(&mut self, lsn: Lsn) {
        self.pages.retain(|_, versions| {
            let gone = versions.partition_point(|(at, _)| *at <= lsn);
            versions.drain(..gone);
            !versions.is_empty()
        });
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
}
