//! Where scans will come to what was asked for ahead of them: for every read to see, so that looking takes no lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use plimsoll_model::PageNo;

use crate::readahead::STREAMS;

/// See the [module](self). What is read here is a hint, and may be late.
#[derive(Default)]
pub(crate) struct Marks {
    any: AtomicBool,
    /// Numbers of pages: from in the upper half, up to before in the lower.
    ranges: [AtomicU64; STREAMS],
}

impl Marks {
    /// Whether a page is in one of them.
    pub(crate) fn contain(&self, page: PageNo) -> bool {
        if !self.any.load(Relaxed) {
            return false;
        }
        let number = u64::from(page.get());
        self.ranges.iter().any(|range| {
            let range = range.load(Relaxed);
            (range >> 32..range & u64::from(u32::MAX)).contains(&number)
        })
    }

    /// Replaces them.
    pub(crate) fn set(&self, marks: impl Iterator<Item = (PageNo, PageNo)>) {
        let mut marks = marks.map(|(from, to)| u64::from(from.get()) << 32 | u64::from(to.get())).fuse();
        let mut any = false;
        for range in &self.ranges {
            let mark = marks.next().unwrap_or(0);
            any |= mark != 0;
            range.store(mark, Relaxed);
        }
        self.any.store(any, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_seen_in_what_was_set_last_and_nowhere_else() {
        let page = |number| PageNo::new(number).unwrap();
        let (marks, last) = (Marks::default(), u32::MAX);
        let seen = |marks: &Marks| [1, 5, 7, 8, last - 1, last].map(|number| marks.contain(page(number)));
        assert_eq!(seen(&marks), [false; 6]);
        marks.set([(page(5), page(8)), (page(8), page(last))].into_iter());
        assert_eq!(seen(&marks), [false, true, true, true, true, false]);
        marks.set([(page(1), page(2))].into_iter());
        assert_eq!(seen(&marks), [true, false, false, false, false, false]);
    }
}
