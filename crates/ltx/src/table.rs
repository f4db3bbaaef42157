//! The pages of a file in page order, each with its place and its hash.
//!
//! Those of a large file stay as they are in its [sidecar](crate::sidecar), where an entry takes a third of what it takes
//! laid out, and are found by group: who opens a large volume for one page looks at one group.

use std::{fmt, iter::Copied, slice};

use bytes::Bytes;
use plimsoll_model::{PageCount, PageNo};

use crate::{HEADER_BYTES, IndexEntry, frame, index, varint};

/// Pages per group. Group 0 has pages 1 to 512.
pub const GROUP_PAGES: u32 = 512;
const HASH_BYTES: usize = 8;
/// Two varints of one byte and a hash.
const ENTRY_BYTES_MIN: usize = 2 + HASH_BYTES;

/// See the [module](self). Cloning one that a sidecar was decoded to costs nothing for each page.
#[derive(Clone)]
pub struct PageTable(Kind);

#[derive(Clone)]
enum Kind {
    Listed(Vec<IndexEntry>),
    /// As in a sidecar, where each entry says how far it is from the one before.
    Packed {
        bytes: Bytes,
        groups: Vec<Group>,
        len: usize,
    },
}

/// Where the entries of a group are.
#[derive(Clone, Copy)]
struct Group {
    number: u32,
    entries: u32,
    /// The first entry, from the beginning of the bytes.
    at: usize,
    /// The page before it, 0 if it is the first one of all.
    before: u32,
    /// Where the frame of its page is.
    offset: u64,
}

impl PageTable {
    /// How many pages it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Listed(entries) => entries.len(),
            Kind::Packed { len, .. } => *len,
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it.
    #[must_use]
    pub fn iter(&self) -> Entries<'_> {
        Entries(match &self.0 {
            Kind::Listed(entries) => Source::Listed(entries.iter().copied()),
            Kind::Packed { bytes, len, .. } => {
                Source::Packed(Packed { rest: bytes, before: 0, offset: HEADER_BYTES as u64, left: *len })
            }
        })
    }

    /// The groups that have pages, ascending.
    pub fn groups(&self) -> impl Iterator<Item = u32> {
        let (listed, packed) = match &self.0 {
            Kind::Listed(entries) => (&entries[..], &[][..]),
            Kind::Packed { groups, .. } => (&[][..], &groups[..]),
        };
        let listed = listed.chunk_by(|one, next| group_of(one.page) == group_of(next.page));
        listed.map(|chunk| group_of(chunk[0].page)).chain(packed.iter().map(|group| group.number))
    }

    /// The entries of one group: looks at no other.
    #[must_use]
    pub fn group(&self, number: u32) -> Entries<'_> {
        Entries(match &self.0 {
            Kind::Listed(entries) => {
                let start = entries.partition_point(|entry| group_of(entry.page) < number);
                let end = entries.partition_point(|entry| group_of(entry.page) <= number);
                Source::Listed(entries[start..end].iter().copied())
            }
            Kind::Packed { bytes, groups, .. } => {
                let found = groups.binary_search_by_key(&number, |group| group.number).ok().map(|at| groups[at]);
                let none = Packed { rest: &[], before: 0, offset: 0, left: 0 };
                Source::Packed(found.map_or(none, |Group { entries, at, before, offset, .. }| Packed {
                    rest: &bytes[at..],
                    before,
                    offset,
                    left: entries as usize,
                }))
            }
        })
    }

    /// Appends the entries as a sidecar has them.
    ///
    /// # Panics
    /// If they are not those of a file: neither ascending nor without gaps.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) {
        out.reserve(self.len() * (ENTRY_BYTES_MIN + 2));
        let (mut before, mut offset) = (0, HEADER_BYTES as u64);
        for entry in self.iter() {
            assert!(entry.page.get() > before && entry.offset == offset, "BUG: the entries are not those of a file");
            varint::put(out, u64::from(entry.page.get() - before));
            varint::put(out, u64::from(entry.len));
            out.extend_from_slice(&entry.hash.to_be_bytes());
            before = entry.page.get();
            offset += u64::from(entry.len);
        }
    }

    /// The entries of a sidecar, after one look at each, and how many bytes the file has from its beginning to the end of
    /// the last entry of its own index; or what is wrong.
    pub(crate) fn unpack(
        bytes: Bytes,
        count: u32,
        commit: PageCount,
        page_bytes: usize,
    ) -> Result<(Self, u64), String> {
        if count as usize > bytes.len() / ENTRY_BYTES_MIN {
            return Err("it is too short for its number of pages".into());
        }
        let lens = frame::FRAME_BYTES_MIN as u64..=frame::frame_bytes_max(page_bytes) as u64;
        let mut groups: Vec<Group> = Vec::with_capacity(count.div_ceil(GROUP_PAGES) as usize);
        let mut all = Packed { rest: &bytes, before: 0, offset: HEADER_BYTES as u64, left: count as usize };
        let mut index_bytes = 0;
        while all.left > 0 {
            let Packed { rest, before, offset, .. } = all;
            let entry = all
                .next()
                .filter(|entry| commit.contains(entry.page) && lens.contains(&u64::from(entry.len)))
                .ok_or_else(|| format!("the entry after page {before} is none"))?;
            index_bytes += index::entry_len(&entry.location());
            let number = group_of(entry.page);
            match groups.last_mut() {
                Some(group) if group.number == number => group.entries += 1,
                _ => groups.push(Group { number, entries: 1, at: bytes.len() - rest.len(), before, offset }),
            }
        }
        if !all.rest.is_empty() {
            return Err("it has more than its pages".into());
        }
        let ends = all.offset + index_bytes;
        Ok((PageTable(Kind::Packed { bytes, groups, len: count as usize }), ends))
    }
}

fn group_of(page: PageNo) -> u32 {
    (page.get() - 1) / GROUP_PAGES
}

impl From<Vec<IndexEntry>> for PageTable {
    /// Of entries in page order.
    fn from(entries: Vec<IndexEntry>) -> Self {
        PageTable(Kind::Listed(entries))
    }
}

impl PartialEq for PageTable {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for PageTable {}

impl fmt::Debug for PageTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Entries of a [`PageTable`], ascending.
#[derive(Clone)]
pub struct Entries<'a>(Source<'a>);

#[derive(Clone)]
enum Source<'a> {
    Listed(Copied<slice::Iter<'a, IndexEntry>>),
    Packed(Packed<'a>),
}

#[derive(Clone)]
struct Packed<'a> {
    rest: &'a [u8],
    before: u32,
    offset: u64,
    left: usize,
}

impl Packed<'_> {
    /// `None` at the end, and where there is no entry.
    #[inline]
    fn next(&mut self) -> Option<IndexEntry> {
        self.left = self.left.checked_sub(1)?;
        let distance = u32::try_from(varint::take(&mut self.rest)?).ok().filter(|distance| *distance > 0)?;
        let page = PageNo::new(self.before.checked_add(distance)?)?;
        let len = u32::try_from(varint::take(&mut self.rest)?).ok()?;
        let (hash, rest) = self.rest.split_first_chunk()?;
        let entry = IndexEntry { page, offset: self.offset, len, hash: u64::from_be_bytes(*hash) };
        self.rest = rest;
        self.before = page.get();
        self.offset = self.offset.checked_add(u64::from(len))?;
        Some(entry)
    }
}

impl Iterator for Entries<'_> {
    type Item = IndexEntry;

    #[inline]
    fn next(&mut self) -> Option<IndexEntry> {
        match &mut self.0 {
            Source::Listed(entries) => entries.next(),
            Source::Packed(packed) => packed.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::Listed(entries) => entries.len(),
            Source::Packed(packed) => packed.left,
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_> {}
