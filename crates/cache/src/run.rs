//! Keeping pages that follow each other, with as few writes as that takes.

use std::{io, ops::Range};

use plimsoll_host::crash::{self, Point};
use plimsoll_model::{PageNo, Txid};

use crate::{
    Cache,
    cache::Opened,
    entry::{ENTRY_BYTES, Entry},
};

impl Cache {
    /// Keeps pages that follow each other from `first` on, each as [`put`](Cache::put) would: `data` is their content,
    /// one after the other, `hashes` that of each. Two writes for each 64 KiB of them, unless some are held already or
    /// there is little room.
    pub fn put_run(&self, first: PageNo, data: &[u8], hashes: &[u64], as_of: Txid) {
        let page_bytes = self.geometry.page_bytes();
        let Some(files) = self.files.as_ref().filter(|_| data.len() == hashes.len() * page_bytes) else { return };
        let (mut data, mut hashes, mut page) = (data, hashes, first);
        while !hashes.is_empty() {
            let group = self.geometry.group_in_chunk(self.geometry.group(page));
            let here = (group.end - self.geometry.in_chunk(page)).min(hashes.len());
            let (these, content) = (&hashes[..here], &data[..here * page_bytes]);
            let entries: Vec<Entry> = these.iter().map(|hash| Entry { hash: *hash, as_of }).collect();
            match self.keep_together(files, page, content, &entries) {
                Ok(true) => {}
                Ok(false) => self.put_each(page, content, these, as_of),
                Err(error) => self.refused("writing to the cache", &error),
            }
            (hashes, data) = (&hashes[here..], &data[here * page_bytes..]);
            let Some(next) = PageNo::from_index(page.index() + here) else { return };
            page = next;
        }
    }

    fn put_each(&self, first: PageNo, data: &[u8], hashes: &[u64], as_of: Txid) {
        let mut page = Some(first);
        for (content, hash) in data.chunks(self.geometry.page_bytes()).zip(hashes) {
            let Some(number) = page else { return };
            self.put(number, content, *hash, as_of);
            page = number.next();
        }
    }

    /// Keeps pages of one group, all of them or none: whether it did.
    fn keep_together(&self, files: &Opened, first: PageNo, data: &[u8], entries: &[Entry]) -> io::Result<bool> {
        let vacant = self.vacant_blocks(files, first, entries.len())?;
        let mut reserved = 0;
        while reserved < vacant && self.reserve(files) {
            reserved += 1;
        }
        let kept =
            if reserved == vacant { self.write_together(files, first, data, entries, reserved) } else { Ok(false) };
        let mut census = self.census(files);
        for _ in 0..reserved {
            census.release();
        }
        kept
    }

    /// With promises for so many blocks. None is kept where that would replace a newer content, or where more blocks are
    /// vacant by now: making room for these may have emptied the group.
    fn write_together(
        &self,
        files: &Opened,
        first: PageNo,
        data: &[u8],
        entries: &[Entry],
        reserved: usize,
    ) -> io::Result<bool> {
        let (chunk, at, group) =
            (self.geometry.chunk(first), self.geometry.in_chunk(first), self.geometry.group(first));
        let _writing = self.table.lock(group);
        let held = self.table.entries(&*files.map, chunk, at..at + entries.len())?;
        let settled = held.iter().zip(entries).any(|(held, entry)| held.as_of > entry.as_of || held == entry);
        if settled || !entries.iter().all(Entry::is_present) {
            return Ok(false);
        }
        if self.vacant_blocks(files, first, entries.len())? > reserved {
            return Ok(false);
        }
        let pages = (first.index()..).map_while(PageNo::from_index).take(entries.len());
        let mut sealed = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for (page, entry) in pages.clone().zip(entries) {
            sealed.extend_from_slice(&self.seal.encode(page, entry));
        }
        // In this order for the same reason as for a single page.
        let done = (|| {
            files.map.write_all_at(&sealed, self.geometry.entry_offset(first))?;
            crash::here(Point::CacheMapped);
            files.pages.write_all_at(data, self.geometry.page_offset(first))?;
            self.table.set(&*files.map, chunk, at, entries)
        })();
        if done.is_err() {
            pages.for_each(|page| self.clear(files, page));
        }
        self.recount(files, group);
        done.map(|()| true)
    }

    /// Blocks in which these pages of one group lie, and none that is held.
    fn vacant_blocks(&self, files: &Opened, first: PageNo, pages: usize) -> io::Result<usize> {
        let block = self.geometry.block_pages();
        let at = self.geometry.in_chunk(first);
        let range: Range<usize> = at / block * block..(at + pages).next_multiple_of(block);
        let present = self.table.present(&*files.map, self.geometry.chunk(first), range)?;
        Ok(present.chunks(block).filter(|block| !block.contains(&true)).count())
    }
}
