//! Pages: positions, counts and sizes.

use std::{fmt, num::NonZeroU32};

use crate::limits;

/// Position of a page in a volume. The first page is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNo(NonZeroU32);

const _: () = assert!(size_of::<Option<PageNo>>() == 4);

impl PageNo {
    /// The first page.
    pub const FIRST: PageNo = PageNo(NonZeroU32::MIN);

    /// `None` for zero, which is no page.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number, from 1.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The position in a zero-based array.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The page at a position of a zero-based array.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok()?.checked_add(1).and_then(Self::new)
    }

    /// The page after this one, unless this is the last that can exist.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for PageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of pages in a volume. An empty volume has 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageCount(pub u32);

impl PageCount {
    /// Whether a page is within a volume of this many pages.
    #[must_use]
    pub fn contains(self, page: PageNo) -> bool {
        page.get() <= self.0
    }

    /// All pages of a volume of this many pages, in order.
    pub fn pages(self) -> impl DoubleEndedIterator<Item = PageNo> + Clone {
        (1..=self.0).filter_map(PageNo::new)
    }

    /// Bytes of a volume of this many pages.
    #[must_use]
    pub fn bytes(self, size: PageSize) -> u64 {
        u64::from(self.0) * u64::from(size.get())
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes per page: a power of two from 512 to 65536, the same for the whole life of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageSize(u32);

impl PageSize {
    /// What SQLite uses unless told otherwise.
    pub const DEFAULT: PageSize = PageSize(4096);

    /// `None` unless a power of two from 512 to 65536.
    #[must_use]
    pub fn new(bytes: u32) -> Option<Self> {
        (bytes.is_power_of_two() && (limits::PAGE_BYTES_MIN..=limits::PAGE_BYTES_MAX).contains(&bytes))
            .then_some(Self(bytes))
    }

    /// Bytes per page.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// Bytes per page.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0 as usize
    }

    /// The page that holds SQLite's lock bytes at 1 GiB and therefore never holds data.
    #[must_use]
    pub fn lock_page(self) -> PageNo {
        PageNo::new(limits::LOCK_BYTE_OFFSET / self.0 + 1).expect("BUG: lock page is never page 0")
    }

    /// Offset of a page's first byte.
    #[must_use]
    pub fn offset(self, page: PageNo) -> u64 {
        page.index() as u64 * u64::from(self.0)
    }

    /// The page that holds a byte offset, and the position in it. `None` beyond the last page.
    #[must_use]
    pub fn locate(self, offset: u64) -> Option<(PageNo, usize)> {
        let index = usize::try_from(offset / u64::from(self.0)).ok()?;
        Some((PageNo::from_index(index)?, (offset % u64::from(self.0)) as usize))
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_between_the_limits_are_page_sizes() {
        let good: Vec<u32> = (0..=131_072).filter(|n| PageSize::new(*n).is_some()).collect();
        assert_eq!(good, [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]);
    }

    #[test]
    fn the_lock_page_is_the_one_at_one_gibibyte() {
        assert_eq!(PageSize::DEFAULT.lock_page().get(), 262_145);
        assert_eq!(PageSize::new(65536).unwrap().lock_page().get(), 16_385);
        assert_eq!(PageSize::DEFAULT.offset(PageSize::DEFAULT.lock_page()), 1 << 30);
    }

    #[test]
    fn offsets_and_pages_agree() {
        let size = PageSize::DEFAULT;
        assert_eq!(size.locate(0), Some((PageNo::FIRST, 0)));
        assert_eq!(size.locate(4096 + 24), Some((PageNo::new(2).unwrap(), 24)));
        assert_eq!(size.locate(u64::MAX), None);
    }
}
