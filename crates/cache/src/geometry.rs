//! Where a page is: in the page file, in the map, and in which group it is evicted.

use std::ops::Range;

use plimsoll_model::{PageNo, PageSize};

use crate::{entry::ENTRY_BYTES, header::HEADER_BYTES};

/// Entries that are loaded together.
pub(crate) const CHUNK_PAGES: usize = 512;
/// Bytes of the page file that are evicted together: large enough that a hole costs the file system
/// little, small enough that a cold neighbour is not kept for long.
const GROUP_BYTES: usize = 64 << 10;
/// What a file system allocates at least. Smaller pages share such a block.
const BLOCK_BYTES: usize = 4096;

const _: () = assert!(CHUNK_PAGES.is_multiple_of(GROUP_BYTES / plimsoll_model::limits::PAGE_BYTES_MIN as usize));
const _: () = assert!(GROUP_BYTES >= plimsoll_model::limits::PAGE_BYTES_MAX as usize);

/// Number of a group of neighbouring pages, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupNo(pub(crate) u32);

/// The shape that follows from a page size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    page_size: PageSize,
}

impl Geometry {
    pub(crate) fn new(page_size: PageSize) -> Self {
        Geometry { page_size }
    }

    pub(crate) fn page_bytes(self) -> usize {
        self.page_size.bytes()
    }

    /// Pages that are evicted together.
    pub(crate) fn group_pages(self) -> usize {
        GROUP_BYTES / self.page_size.bytes()
    }

    /// Pages that share an allocation of the file system.
    pub(crate) fn block_pages(self) -> usize {
        (BLOCK_BYTES / self.page_size.bytes()).max(1)
    }

    /// Disk space that the first page in a block takes.
    pub(crate) fn block_bytes(self) -> u64 {
        self.page_size.bytes().max(BLOCK_BYTES) as u64
    }

    pub(crate) fn chunk(self, page: PageNo) -> u32 {
        (page.index() / CHUNK_PAGES) as u32
    }

    pub(crate) fn chunk_of_group(self, group: GroupNo) -> u32 {
        (self.first_index(group) / CHUNK_PAGES) as u32
    }

    pub(crate) fn in_chunk(self, page: PageNo) -> usize {
        page.index() % CHUNK_PAGES
    }

    pub(crate) fn group(self, page: PageNo) -> GroupNo {
        GroupNo((page.index() / self.group_pages()) as u32)
    }

    /// The entries of a group within its chunk.
    pub(crate) fn group_in_chunk(self, group: GroupNo) -> Range<usize> {
        let first = self.first_index(group) % CHUNK_PAGES;
        first..first + self.group_pages()
    }

    /// The entries of a page's block within its chunk.
    pub(crate) fn block_in_chunk(self, page: PageNo) -> Range<usize> {
        let first = self.in_chunk(page) / self.block_pages() * self.block_pages();
        first..first + self.block_pages()
    }

    /// The bytes of a group in the page file: offset and length.
    pub(crate) fn group_bytes(self, group: GroupNo) -> (u64, u64) {
        (u64::from(group.0) * GROUP_BYTES as u64, GROUP_BYTES as u64)
    }

    /// The bytes of a page's block in the page file: offset and length.
    pub(crate) fn block_range(self, page: PageNo) -> (u64, u64) {
        (self.page_offset(page) / self.block_bytes() * self.block_bytes(), self.block_bytes())
    }

    pub(crate) fn page_offset(self, page: PageNo) -> u64 {
        self.page_size.offset(page)
    }

    pub(crate) fn entry_offset(self, page: PageNo) -> u64 {
        HEADER_BYTES + page.index() as u64 * ENTRY_BYTES as u64
    }

    pub(crate) fn chunk_offset(self, chunk: u32) -> u64 {
        HEADER_BYTES + u64::from(chunk) * (CHUNK_PAGES * ENTRY_BYTES) as u64
    }

    fn first_index(self, group: GroupNo) -> usize {
        group.0 as usize * self.group_pages()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_blocks_never_cross_a_chunk() {
        for bits in 9..=16 {
            let geometry = Geometry::new(PageSize::new(1 << bits).unwrap());
            for number in [1, 2, 15, 16, 17, 127, 128, 129, 511, 512, 513, 1 << 20, u32::MAX] {
                let page = PageNo::new(number).unwrap();
                let group = geometry.group(page);
                let inside = geometry.in_chunk(page);
                assert_eq!(geometry.chunk(page), geometry.chunk_of_group(group));
                assert!(geometry.group_in_chunk(group).contains(&inside));
                assert!(geometry.block_in_chunk(page).contains(&inside));
                assert!(geometry.group_in_chunk(group).end <= CHUNK_PAGES);
                let (start, len) = geometry.block_range(page);
                let offset = geometry.page_offset(page);
                assert!(start <= offset && offset + geometry.page_bytes() as u64 <= start + len);
                let (start, len) = geometry.group_bytes(group);
                assert!(start <= offset && offset + geometry.page_bytes() as u64 <= start + len);
            }
        }
    }

    #[test]
    fn small_pages_share_the_block_that_the_file_system_allocates() {
        let small = Geometry::new(PageSize::new(512).unwrap());
        assert_eq!((small.block_pages(), small.block_bytes(), small.group_pages()), (8, 4096, 128));
        let large = Geometry::new(PageSize::new(65536).unwrap());
        assert_eq!((large.block_pages(), large.block_bytes(), large.group_pages()), (1, 65536, 1));
    }
}
