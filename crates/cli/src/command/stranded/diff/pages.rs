//! Pages in which two database files differ.

use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt};

use plimsoll_model::{PageSize, Result, ResultExt};
use rusqlite::Connection;

/// Bytes of each file that are read at once, and the largest page.
const PART_BYTES: usize = 1 << 20;
const COMPARING: &str = "comparing";
const FILES: &str = "two states";

/// Numbers of pages as ranges, in order. The first page is 1.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages(Vec<(u64, u64)>);

impl Pages {
    /// Compares two files, with a part of each in memory. What one of them has no bytes for differs.
    ///
    /// # Errors
    /// As the disk says.
    pub(crate) fn differing(one: &File, other: &File, size: PageSize) -> Result<Pages> {
        let mut pages = Pages::default();
        let bytes = |file: &File| file.metadata().map(|about| about.len()).doing(COMPARING, FILES);
        let (one_bytes, other_bytes) = (bytes(one)?, bytes(other)?);
        let page = size.bytes();
        let both = one_bytes.min(other_bytes) / page as u64;
        let (mut a, mut b) = (vec![0; PART_BYTES], vec![0; PART_BYTES]);
        let mut done = 0;
        while done < both {
            let count = (both - done).min((PART_BYTES / page) as u64);
            let (at, bytes) = (done * page as u64, count as usize * page);
            one.read_exact_at(&mut a[..bytes], at).doing(COMPARING, FILES)?;
            other.read_exact_at(&mut b[..bytes], at).doing(COMPARING, FILES)?;
            let pairs = a[..bytes].chunks(page).zip(b[..bytes].chunks(page));
            for (number, _) in (done + 1..).zip(pairs).filter(|(_, (a, b))| a != b) {
                pages.push(number, number);
            }
            done += count;
        }
        let all = one_bytes.max(other_bytes).div_ceil(page as u64);
        if all > both {
            pages.push(both + 1, all);
        }
        Ok(pages)
    }

    fn push(&mut self, from: u64, to: u64) {
        match self.0.last_mut() {
            Some((_, end)) if *end + 1 == from => *end = to,
            _ => self.0.push((from, to)),
        }
    }

    /// How many they are.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|(from, to)| to - from + 1).sum()
    }

    pub(crate) fn ranges(&self) -> &[(u64, u64)] {
        &self.0
    }

    fn contains(&self, page: u64) -> bool {
        let next = self.0.partition_point(|(from, _)| *from <= page);
        next > 0 && self.0[next - 1].1 >= page
    }

    /// How many of them belong to which table or index of a database. Reads all of it.
    ///
    /// # Errors
    /// As SQLite says, of a database that is damaged.
    pub(crate) fn owners(&self, db: &Connection, schema: &str) -> rusqlite::Result<BTreeMap<String, u64>> {
        let mut owners = BTreeMap::new();
        let mut all = db.prepare("SELECT name, pageno FROM dbstat(?1)")?;
        let mut rows = all.query([schema])?;
        while let Some(row) = rows.next()? {
            if self.contains(row.get::<_, u32>(1)?.into()) {
                *owners.entry(row.get(0)?).or_default() += 1;
            }
        }
        Ok(owners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(one: &[u8], other: &[u8]) -> Pages {
        let files = [one, other].map(|bytes| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            file
        });
        Pages::differing(&files[0], &files[1], PageSize::new(512).unwrap()).unwrap()
    }

    #[test]
    fn pages_that_differ_are_found_wherever_they_are() {
        let one = vec![1; 3 << 20];
        assert_eq!(differing(&one, &one), Pages::default());
        let mut other = one.clone();
        for at in [0, 511, 512, (1 << 20) - 1, 1 << 20, (3 << 20) - 1] {
            other[at] = 2;
        }
        let found = differing(&one, &other);
        assert_eq!(found.ranges(), [(1, 2), (2048, 2049), (6144, 6144)]);
        assert_eq!(found.count(), 5);
        let contained = [1, 2, 3, 2047, 2048, 2049, 2050, 6144, 6145].map(|page| found.contains(page));
        assert_eq!(contained, [true, true, false, false, true, true, false, true, false]);
    }

    #[test]
    fn pages_that_only_one_of_them_has_differ() {
        let one = vec![1; 2048];
        assert_eq!(differing(&one, &one[..512]).ranges(), [(2, 4)]);
        assert_eq!(differing(&[], &one).ranges(), [(1, 4)]);
        assert_eq!(differing(&one, &one[..600]).ranges(), [(2, 4)]);
    }
}
