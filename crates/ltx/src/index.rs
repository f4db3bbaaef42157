//! The page index: where each page's frame is in the file.
//!
//! ```text
//! (page varint | offset varint | length varint) … | 0x00 | length of all that u64
//! ```

use plimsoll_model::{PageNo, Result, limits};

use crate::{HEADER_BYTES, fault::corrupt, frame, varint};

/// Where a page is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The page.
    pub page: PageNo,
    /// Offset of its frame from the start of the file.
    pub offset: u64,
    /// Bytes of its frame, with everything that [`decode_frame`](crate::decode::decode_frame) needs.
    pub len: u32,
}

impl Location {
    /// Offset of the first byte after the frame.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.len))
    }
}

/// Where a page is in a file, and the hash of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexEntry {
    /// The page.
    pub page: PageNo,
    /// Offset of its frame from the start of the file.
    pub offset: u64,
    /// Bytes of its frame.
    pub len: u32,
    /// [`page_hash`](crate::page_hash) of the uncompressed page.
    pub hash: u64,
}

impl IndexEntry {
    /// Without the hash.
    #[must_use]
    pub fn location(&self) -> Location {
        Location { page: self.page, offset: self.offset, len: self.len }
    }
}

/// Bytes between the last frame and the index.
pub(crate) const END_OF_PAGES: [u8; 6] = [0; 6];
/// Bytes after the varints: their length, the post-apply checksum, the file checksum.
pub(crate) const TAIL_BYTES: u64 = 24;
/// Size of a file without pages, which is the smallest.
pub(crate) const FILE_BYTES_MIN: u64 = HEADER_BYTES as u64 + END_OF_PAGES.len() as u64 + 1 + TAIL_BYTES;

/// Appends one entry's varints.
pub(crate) fn put(out: &mut Vec<u8>, at: &Location) {
    varint::put(out, u64::from(at.page.get()));
    varint::put(out, at.offset);
    varint::put(out, u64::from(at.len));
}

/// Bytes that [`put`] appends.
pub(crate) fn entry_len(at: &Location) -> u64 {
    varint::len(u64::from(at.page.get())) + varint::len(at.offset) + varint::len(u64::from(at.len))
}

/// Decodes varints including the final zero. The frames they describe must fill the file from the
/// header to `frames_end` without a gap, in ascending page order.
pub(crate) fn decode(mut varints: &[u8], frames_end: u64) -> Result<Vec<Location>> {
    // An entry takes at least three bytes, so a lying length cannot make this allocate much.
    let mut entries = Vec::with_capacity(varints.len() / 3);
    let bad = |why: String| corrupt(format!("the page index is damaged: {why}"));
    let mut before = 0;
    let mut offset = HEADER_BYTES as u64;
    loop {
        let mut number = || varint::take(&mut varints).ok_or_else(|| bad("a number is cut short or too long".into()));
        let page = number()?;
        if page == 0 {
            break;
        }
        let (stated, len) = (number()?, number()?);
        let Some(page) = u32::try_from(page).ok().filter(|page| *page > before).and_then(PageNo::new) else {
            return Err(bad(format!("page {page} comes after page {before}")));
        };
        let range = frame::FRAME_BYTES_MIN..=frame::frame_bytes_max(limits::PAGE_BYTES_MAX as usize);
        let Some(len) = u32::try_from(len).ok().filter(|len| range.contains(&(*len as usize))) else {
            return Err(bad(format!("page {page} cannot take {len} bytes")));
        };
        if stated != offset || u64::from(len) > frames_end.saturating_sub(offset) {
            return Err(bad(format!("page {page} cannot be at offset {stated} with {len} bytes")));
        }
        entries.push(Location { page, offset, len });
        before = page.get();
        offset += u64::from(len);
    }
    if !varints.is_empty() || offset != frames_end {
        return Err(bad(format!("it ends at offset {offset}, the pages at {frames_end}")));
    }
    Ok(entries)
}
