//! Reading pages by place, from any thread.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use plimsoll_model::{Error, ErrorKind, PageNo, Result};

use crate::{Place, segment::Segment};

/// Reads pages of a journal by [`Place`].
pub struct Reader {
    /// Ascending, without gaps in the numbers.
    segments: RwLock<VecDeque<Arc<Segment>>>,
}

impl Reader {
    pub(crate) fn new(segments: impl IntoIterator<Item = Arc<Segment>>) -> Self {
        Reader { segments: RwLock::new(segments.into_iter().collect()) }
    }

    /// Reads one page into `out`, which must be exactly as long as the page. Blocks on the disk; no
    /// lock is held meanwhile.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) with file and offset if the frame fails its checks,
    /// [`NotFound`](ErrorKind::NotFound) if its segment was released.
    pub fn read(&self, place: Place, page: PageNo, out: &mut [u8]) -> Result<()> {
        let segment = self.segment(place).ok_or_else(|| released(place, page))?;
        let read = segment.read_page(place.offset(), page, out);
        // The file may have been reused under our hands: then the place was dead, and nothing is damaged.
        if read.is_err() && self.segment(place).is_none() {
            return Err(released(place, page));
        }
        read
    }

    fn segment(&self, place: Place) -> Option<Arc<Segment>> {
        let segments = self.segments();
        let first = segments.front()?.header.seq;
        segments.get(place.segment().checked_sub(first)? as usize).cloned()
    }

    pub(crate) fn segments(&self) -> RwLockReadGuard<'_, VecDeque<Arc<Segment>>> {
        // Every change under the lock is a single step, so a panic leaves nothing half done.
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segments_mut(&self) -> RwLockWriteGuard<'_, VecDeque<Arc<Segment>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn released(place: Place, page: PageNo) -> Error {
    Error::new(ErrorKind::NotFound, "reading a page from the journal")
        .why(format!("page {page} was in segment {:x}, which has been released", place.segment()))
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&*self.segments()).finish()
    }
}
