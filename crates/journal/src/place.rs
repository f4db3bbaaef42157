//! Where something is in the journal.

use std::{fmt, num::NonZeroU32};

/// A point in the journal: bytes since its beginning, over all segments. Grows with every append,
/// in jumps where a segment was not filled to the end. Comparable only within one open journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where one page frame is. Valid until the segment that it is in is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    segment: u32,
    /// A frame never starts at 0: the segment header is there.
    offset: NonZeroU32,
}

const _: () = assert!(size_of::<Place>() == 8 && size_of::<Option<Place>>() == 8);

impl Place {
    pub(crate) fn new(segment: u32, offset: u64) -> Self {
        let offset = u32::try_from(offset).ok().and_then(NonZeroU32::new);
        Place { segment, offset: offset.expect("BUG: frame outside of its segment") }
    }

    pub(crate) fn segment(self) -> u32 {
        self.segment
    }

    pub(crate) fn offset(self) -> u64 {
        u64::from(self.offset.get())
    }
}
