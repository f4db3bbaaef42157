//! One state of a volume as the object store holds it: for each page, the object it is in.
//!
//! A view never changes. The next one shares every part that stayed the same, so that pinning a
//! view costs one reference and a sync costs as much as it changed. What large objects hold is laid out part by part, as
//! somebody asks for a page of it, so that opening a volume costs next to nothing for each page.

use std::{collections::HashSet, fmt, sync::Arc};

use plimsoll_ltx::{FileId, PageTable};
use plimsoll_model::{Lsn, PageCount, PageNo, PageSize, Txid};

use crate::{
    base::Base,
    part::{PART_PAGES, Part},
};

/// An LTX object that pages are read from.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// Level and range of TXIDs.
    pub id: FileId,
    /// Bytes.
    pub size: u64,
}

/// Where the current content of a page is.
#[derive(Clone)]
pub struct Slot {
    object: Arc<Object>,
    /// Offset in the upper 40 bits, length in the lower 24.
    place: u64,
    hash: u64,
}

const LEN_BITS: u32 = 24;

impl Slot {
    /// `hash` is the xxh3 of the page's content, 0 if unknown (a file that carries no page hashes).
    ///
    /// `None` if offset or length cannot be those of a page in an object that a store can hold.
    #[must_use]
    pub fn new(object: Arc<Object>, offset: u64, len: u64, hash: u64) -> Option<Self> {
        let fits = offset < 1 << (64 - LEN_BITS) && len < 1 << LEN_BITS;
        fits.then_some(Slot { object, place: offset << LEN_BITS | len, hash })
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// Offset of the page's frame in the object.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.place >> LEN_BITS
    }

    /// Bytes of the page's frame.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> u64 {
        self.place & ((1 << LEN_BITS) - 1)
    }

    /// Where the frame ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset() + self.len()
    }

    /// xxh3 of the content, if it is known.
    #[must_use]
    pub fn hash(&self) -> Option<u64> {
        (self.hash != 0).then_some(self.hash)
    }
}

/// A page's place in a new object, to be put into a view.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Which page.
    pub page: PageNo,
    /// Offset of its frame.
    pub offset: u64,
    /// Bytes of its frame.
    pub len: u64,
    /// xxh3 of its content, 0 if unknown.
    pub hash: u64,
}

/// See the [module](self).
#[derive(Clone)]
pub struct View {
    /// The sync that this is the state after. Zero: nothing was ever synced.
    pub txid: Txid,
    /// The commit that this is the state after, as far as stamps tell.
    pub lsn: Lsn,
    /// File checksum of the sync that this is the state after, to which the next one has to be linked; 0 if unknown.
    pub checksum: u64,
    /// Pages in the volume.
    pub count: PageCount,
    /// Bytes per page; `None` before the first sync.
    pub page_size: Option<PageSize>,
    parts: Vec<Option<Arc<Part>>>,
    /// What it was built on, for others to be built on, too.
    base: Option<Arc<Base>>,
}

impl View {
    /// The state before anything was synced.
    #[must_use]
    pub fn empty() -> Self {
        let (txid, lsn, count) = (Txid::ZERO, Lsn::ZERO, PageCount(0));
        View { txid, lsn, checksum: 0, count, page_size: None, parts: Vec::new(), base: None }
    }

    /// Where a page is. `None`: it was never written, and reads as zeros.
    #[must_use]
    pub fn slot(&self, page: PageNo) -> Option<&Slot> {
        if !self.count.contains(page) {
            return None;
        }
        self.parts.get(page.index() / PART_PAGES)?.as_ref()?.slot(page)
    }

    /// The state after `object`, the sync or the run of syncs that follows this view. Its checksum is not known yet.
    ///
    /// Pages beyond `count` are forgotten. Places that cannot be are skipped: the decoder that made
    /// them has checked them against the object's size.
    #[must_use]
    pub fn after(&self, object: &Arc<Object>, lsn: Lsn, count: PageCount, size: PageSize, pages: &[Placed]) -> View {
        let mut next = self.advanced(object, lsn, count, size);
        for placed in pages.iter().filter(|placed| count.contains(placed.page)) {
            if let Some(slot) = Slot::new(Arc::clone(object), placed.offset, placed.len, placed.hash) {
                *next.slot_mut(placed.page) = Some(slot);
            }
        }
        next.leave_base();
        next
    }

    /// The same for all pages of an object, none of them beyond `count`. They are laid out as somebody asks for them, unless
    /// others around them are already.
    pub(crate) fn onto(
        &self,
        object: &Arc<Object>,
        lsn: Lsn,
        count: PageCount,
        size: PageSize,
        table: &Arc<PageTable>,
    ) -> View {
        let mut next = self.advanced(object, lsn, count, size);
        for group in table.groups() {
            let part = next.part_mut(group as usize);
            *part = Some(Arc::new(Part::onto(part.as_deref(), object, table, group)));
        }
        next.leave_base();
        next
    }

    fn advanced(&self, object: &Object, lsn: Lsn, count: PageCount, size: PageSize) -> View {
        let mut next = self.clone();
        next.txid = object.id.max;
        next.lsn = lsn;
        next.checksum = 0;
        next.page_size = Some(size);
        next.resize(count);
        next
    }

    /// The same state, read from a merged object where that holds the current content.
    #[must_use]
    pub fn relocated(&self, object: &Arc<Object>, pages: &[Placed]) -> View {
        let mut next = self.clone();
        for placed in pages {
            let current = self.slot(placed.page).is_some_and(|slot| slot.object.id.max <= object.id.max);
            if current && let Some(slot) = Slot::new(Arc::clone(object), placed.offset, placed.len, placed.hash) {
                *next.slot_mut(placed.page) = Some(slot);
            }
        }
        next.leave_base();
        next
    }

    /// Whether every page is known to have the same content in both. Looks at no page of a part that both share.
    #[must_use]
    pub fn same_content(&self, other: &View) -> bool {
        self.count == other.count && self.differing_by_part(other).all(|part| part.is_empty())
    }

    /// Pages of this state that are not known to have the same content in the other one, in order. Compares places
    /// and hashes and reads nothing, and looks at no page of a part that both share.
    #[must_use]
    pub fn differing(&self, other: &View) -> Vec<PageNo> {
        self.differing_by_part(other).flatten().collect()
    }

    /// The same for one part after the other, of those that are not shared: [`View::unshared_parts`] is how many.
    pub fn differing_by_part<'a>(&'a self, other: &'a View) -> impl Iterator<Item = Vec<PageNo>> + 'a {
        let same = |page: &PageNo| match (self.slot(*page), other.slot(*page)) {
            (Some(one), Some(two)) => {
                let unmoved = one.object == two.object && one.place == two.place;
                unmoved || (one.hash != 0 && one.hash == two.hash)
            }
            (None, None) => other.count.contains(*page),
            _ => false,
        };
        let parts = (0..(self.count.0 as usize).div_ceil(PART_PAGES)).filter_map(move |part| {
            let indexes = part * PART_PAGES..((part + 1) * PART_PAGES).min(self.count.0 as usize);
            (!(self.shares(other, part) && indexes.end <= other.count.0 as usize)).then_some(indexes)
        });
        parts.map(move |indexes| indexes.filter_map(PageNo::from_index).filter(|page| !same(page)).collect())
    }

    /// How many parts of this state, of up to 2 MiB of 4 KiB pages each, are not the same memory in the other one: what
    /// [`View::differing`] looks at, and what both together take more than one.
    #[must_use]
    pub fn unshared_parts(&self, other: &View) -> usize {
        (0..self.parts.len()).filter(|part| !self.shares(other, *part)).count()
    }

    fn shares(&self, other: &View, part: usize) -> bool {
        match (self.parts.get(part), other.parts.get(part)) {
            (Some(Some(one)), Some(Some(other))) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub(crate) fn built_on(self, base: Arc<Base>) -> View {
        View { base: Some(base), ..self }
    }

    /// What nothing is shared with any more would only cost memory.
    fn leave_base(&mut self) {
        if self.base.as_ref().is_some_and(|base| base.view.unshared_parts(self) == base.view.parts.len()) {
            self.base = None;
        }
    }

    /// The objects that these views refer to. Looks at the pages of a part once, however many views share it and however
    /// often it is asked.
    pub fn objects<'a>(views: impl IntoIterator<Item = &'a View>) -> HashSet<FileId> {
        let (mut seen, mut objects) = (HashSet::new(), HashSet::new());
        for part in views.into_iter().flat_map(|view| view.parts.iter().flatten()) {
            if seen.insert(Arc::as_ptr(part)) {
                objects.extend(part.objects());
            }
        }
        objects
    }

    /// Every page that has a place, in order.
    pub fn slots(&self) -> impl Iterator<Item = (PageNo, &Slot)> {
        self.count.pages().filter_map(|page| Some((page, self.slot(page)?)))
    }

    fn resize(&mut self, count: PageCount) {
        if count < self.count {
            let keep = count.0 as usize;
            self.parts.truncate(keep.div_ceil(PART_PAGES));
            if !keep.is_multiple_of(PART_PAGES)
                && let Some(Some(last)) = self.parts.get_mut(keep / PART_PAGES)
            {
                Part::changing(last)[keep % PART_PAGES..].fill(None);
            }
        }
        self.count = count;
    }

    fn slot_mut(&mut self, page: PageNo) -> &mut Option<Slot> {
        let part = self.part_mut(page.index() / PART_PAGES).get_or_insert_with(|| Arc::new(Part::empty()));
        &mut Part::changing(part)[page.index() % PART_PAGES]
    }

    fn part_mut(&mut self, part: usize) -> &mut Option<Arc<Part>> {
        if part >= self.parts.len() {
            self.parts.resize(part + 1, None);
        }
        &mut self.parts[part]
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View(txid {}, lsn {}, {} pages)", self.txid, self.lsn, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNo {
        PageNo::new(number).unwrap()
    }

    fn object(level: u8, min: u64, max: u64) -> Arc<Object> {
        Arc::new(Object { id: FileId { level, min: Txid(min), max: Txid(max) }, size: 1 << 20 })
    }

    fn placed(number: u32) -> Placed {
        Placed { page: page(number), offset: u64::from(number) * 100, len: 50, hash: u64::from(number) }
    }

    fn after(view: &View, id: &Arc<Object>, count: u32, pages: &[u32]) -> View {
        let pages: Vec<_> = pages.iter().map(|n| placed(*n)).collect();
        view.after(id, Lsn(id.id.max.0), PageCount(count), PageSize::DEFAULT, &pages)
    }

    #[test]
    fn a_later_view_leaves_the_earlier_one_alone() {
        let first = after(&View::empty(), &object(0, 1, 1), 2000, &[1, 2, 1999]);
        let second = after(&first, &object(0, 2, 2), 2000, &[2]);
        assert_eq!(first.slot(page(2)).unwrap().object().id.max, Txid(1));
        assert_eq!(second.slot(page(2)).unwrap().object().id.max, Txid(2));
        assert_eq!(second.slot(page(1999)).unwrap().object().id.max, Txid(1));
    }

    #[test]
    fn the_objects_of_views_are_those_that_their_pages_are_in_also_after_they_were_asked_for_before() {
        let named = |views: &[&View]| {
            let mut ids: Vec<(u8, u64)> =
                View::objects(views.iter().copied()).into_iter().map(|id| (id.level, id.max.0)).collect();
            ids.sort_unstable();
            ids
        };
        let first = after(&View::empty(), &object(0, 1, 1), 2000, &[1, 2, 1999]);
        assert_eq!(named(&[&first]), [(0, 1)]);
        let second = after(&first, &object(0, 2, 2), 2000, &[2]);
        assert_eq!(named(&[&second]), [(0, 1), (0, 2)]);
        let third = second.relocated(&object(1, 1, 2), &[placed(1), placed(2), placed(1999)]);
        assert_eq!(named(&[&third]), [(1, 2)]);
        assert_eq!(named(&[&third, &first]), [(0, 1), (1, 2)]);
        // What is cut off is referred to no more, in a part that stays as in one that goes.
        let grown = after(&third, &object(0, 3, 3), 2000, &[3, 600]);
        assert_eq!(named(&[&grown]), [(0, 3), (1, 2)]);
        assert_eq!(named(&[&after(&grown, &object(0, 4, 4), 2, &[])]), [(1, 2)]);
        assert_eq!(named(&[]), []);
    }

    #[test]
    fn pages_cut_off_do_not_come_back_when_the_volume_grows_again() {
        let first = after(&View::empty(), &object(0, 1, 1), 1500, &[1, 600, 1400]);
        let short = after(&first, &object(0, 2, 2), 550, &[1]);
        let grown = after(&short, &object(0, 3, 3), 1500, &[1]);
        assert!(grown.slot(page(600)).is_none());
        assert!(grown.slot(page(1400)).is_none());
        assert!(first.slot(page(600)).is_some());
    }

    #[test]
    fn a_merge_moves_only_what_it_holds_the_newest_of() {
        let first = after(&View::empty(), &object(0, 1, 1), 3, &[1, 2, 3]);
        let second = after(&first, &object(0, 2, 2), 3, &[2]);
        let merged = second.relocated(&object(1, 1, 1), &[placed(1), placed(2), placed(3)]);
        assert_eq!(merged.slot(page(1)).unwrap().object().id.level, 1);
        assert_eq!(merged.slot(page(2)).unwrap().object().id, FileId { level: 0, min: Txid(2), max: Txid(2) });
        assert_eq!(merged.txid, Txid(2));
    }

    #[test]
    fn a_sync_without_pages_changes_no_content() {
        let first = after(&View::empty(), &object(0, 1, 1), 700, &[1, 2, 600]);
        assert!(first.same_content(&after(&first, &object(0, 2, 2), 700, &[])));
        assert!(first.same_content(&first.relocated(&object(1, 1, 1), &[placed(1), placed(2), placed(600)])));
        assert!(!first.same_content(&after(&first, &object(0, 2, 2), 701, &[])));
        let mut other = placed(600);
        other.hash = 1;
        let changed = first.after(&object(0, 2, 2), Lsn(2), PageCount(700), PageSize::DEFAULT, &[other]);
        assert!(!first.same_content(&changed));
    }

    #[test]
    fn what_differs_is_what_was_written_since_or_is_not_there() {
        let first = after(&View::empty(), &object(0, 1, 1), 700, &[1, 2, 600]);
        let mut other = placed(2);
        other.hash = 77;
        let second = first.after(&object(0, 2, 2), Lsn(2), PageCount(650), PageSize::DEFAULT, &[other, placed(600)]);
        let differing: Vec<u32> = first.differing(&second).iter().map(|page| page.get()).collect();
        assert_eq!(differing, [2].into_iter().chain(651..=700).collect::<Vec<_>>());
        assert_eq!(first.differing(&first.relocated(&object(1, 1, 1), &[placed(1), placed(2)])), []);
    }

    #[test]
    fn a_slot_is_small_and_keeps_its_numbers() {
        assert_eq!(size_of::<Option<Slot>>(), 24);
        let slot = Slot::new(object(0, 1, 1), (1 << 40) - 1, (1 << 24) - 1, 7).unwrap();
        assert_eq!((slot.offset(), slot.len(), slot.hash()), ((1 << 40) - 1, (1 << 24) - 1, Some(7)));
        assert!(Slot::new(object(0, 1, 1), 1 << 40, 1, 7).is_none());
    }
}
