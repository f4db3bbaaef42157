//! What one request brought: frames of an object, or all of it, to be checked and kept.

use std::{ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use plimsoll_cache::Cache;
use plimsoll_ltx::{
    decode::{decode_frame, verify_whole},
    page_hash,
};
use plimsoll_model::{
    Error, ErrorKind, PageNo, PageSize, Result, Txid,
    step::{Step, taken},
};
use plimsoll_proof::WHOLE_BYTES_MAX;

use crate::{Object, Slot, View, fetch::gone, load::frame};

/// So much of the database is checked, kept, and there for whoever waits for it, before more of it is.
const PART_BYTES: usize = 256 << 10;

/// A run of pages in one object that one request brings.
pub(crate) struct Run {
    pub(crate) object: Arc<Object>,
    pub(crate) pages: Vec<(PageNo, Slot)>,
}

impl Run {
    /// Whether the request is for all of the object.
    pub(crate) fn is_whole(&self) -> bool {
        self.object.size <= WHOLE_BYTES_MAX
    }

    /// First and last page of each part.
    pub(crate) fn parts(&self, size: PageSize) -> impl Iterator<Item = RangeInclusive<PageNo>> {
        let ends = |part: &[(PageNo, Slot)]| Some(part.first()?.0..=part.last()?.0);
        self.pages.chunks(pages_per_part(size)).filter_map(ends)
    }
}

fn pages_per_part(size: PageSize) -> usize {
    (PART_BYTES / size.bytes()).max(1)
}

/// A page that a reader waits for, and where it goes.
pub(crate) type Wanted<'a> = (PageNo, &'a mut [u8]);

/// See the [module](self).
pub(crate) struct Parcel {
    pub(crate) run: Run,
    pub(crate) view: Arc<View>,
    pub(crate) key: String,
    /// Where `bytes` begin in the object.
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
    pub(crate) size: PageSize,
}

impl Parcel {
    /// Checks the first part, fills the cache, and gives a reader its page, which is in that part.
    ///
    /// # Errors
    /// `Corrupt` if the page fails its check.
    pub(crate) fn unpack_first(&self, cache: Option<&Cache>, wanted: Wanted<'_>) -> Result<()> {
        if self.run.is_whole() {
            return self.whole(cache, Some(wanted));
        }
        self.part(0, &mut self.batch(cache), Some(wanted))
    }

    /// Checks the parts from one on and fills the cache. Says of each when it is there.
    ///
    /// # Errors
    /// `Corrupt` if all of an object is damaged.
    pub(crate) fn unpack(&self, from: usize, cache: &Cache, mut arrived: impl FnMut()) -> Result<()> {
        if self.run.is_whole() {
            if from == 0 {
                self.whole(Some(cache), None)?;
                arrived();
            }
            return Ok(());
        }
        // One for all parts: memory that is new each time is to be found and emptied each time.
        let mut batch = self.batch(Some(cache));
        for part in from..self.parts() {
            self.part(part, &mut batch, None)?;
            arrived();
        }
        Ok(())
    }

    fn batch<'a>(&self, cache: Option<&'a Cache>) -> Batch<'a> {
        Batch::new(cache, self.view.txid, self.size, self.run.pages.len())
    }

    /// How many parts it has.
    pub(crate) fn parts(&self) -> usize {
        if self.run.is_whole() { 1 } else { self.run.pages.len().div_ceil(pages_per_part(self.size)) }
    }

    fn part(&self, part: usize, batch: &mut Batch<'_>, mut wanted: Option<Wanted<'_>>) -> Result<()> {
        let pages = self.run.pages.chunks(pages_per_part(self.size)).nth(part).unwrap_or_default();
        for (page, slot) in pages {
            let out = wanted.as_mut().filter(|(wanted, _)| wanted == page).map(|(_, out)| &mut **out);
            let part = frame(&self.bytes, self.start, slot.offset(), slot.len());
            match (batch.add(*page, |data| proved_frame(part, *page, slot, self.size, data)), out) {
                (Ok(data), Some(out)) => fill(out, data)?,
                (Ok(_), None) => {}
                (Err(error), Some(_)) => return Err(error),
                (Err(error), None) => {
                    // Of its neighbours, one of which somebody may be waiting for, it says nothing.
                    tracing::warn!(%error, object = %self.run.object.id, "what was read ahead is damaged, and not kept");
                }
            }
        }
        batch.keep();
        Ok(())
    }

    fn whole(&self, cache: Option<&Cache>, mut wanted: Option<Wanted<'_>>) -> Result<()> {
        let mut found = wanted.is_none();
        let decoded = verify_whole(&self.bytes)?;
        let size = decoded.header.page_size;
        let mut batch = Batch::new(cache, self.view.txid, size, decoded.index.len());
        for entry in &decoded.index {
            let ours = |slot: &&Slot| Arc::ptr_eq(slot.object(), &self.run.object);
            let Some(slot) = self.view.slot(entry.page).filter(ours) else { continue };
            if slot.hash().is_some_and(|expected| expected != entry.hash) {
                // All of it is sound, so it is another object, which has taken the name since.
                return Err(gone(&self.key));
            }
            let part = frame(&self.bytes, 0, entry.offset, u64::from(entry.len));
            let data = batch.add(entry.page, |data| {
                decode_frame(part, entry.page, size, data)?;
                Ok(entry.hash)
            })?;
            if let Some((want, out)) = &mut wanted
                && *want == entry.page
            {
                fill(out, data)?;
                found = true;
            }
        }
        batch.keep();
        if found {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "reading a page of")
            .why("the index names a page that the object does not hold"))
    }
}

/// Pages on their way into the cache: those that follow each other go there together.
struct Batch<'a> {
    cache: Option<&'a Cache>,
    as_of: Txid,
    page_bytes: usize,
    first: PageNo,
    data: Vec<u8>,
    hashes: Vec<u64>,
}

impl<'a> Batch<'a> {
    /// For so many pages, or for fewer at a time.
    fn new(cache: Option<&'a Cache>, as_of: Txid, size: PageSize, pages: usize) -> Self {
        let room = pages.clamp(1, pages_per_part(size));
        let data = vec![0; room * size.bytes()];
        Batch { cache, as_of, page_bytes: size.bytes(), first: PageNo::FIRST, data, hashes: Vec::with_capacity(room) }
    }

    /// Makes a page's content, of which `unpack` says the hash.
    fn add(&mut self, page: PageNo, unpack: impl FnOnce(&mut [u8]) -> Result<u64>) -> Result<&[u8]> {
        let follows = self.first.index() + self.hashes.len() == page.index();
        if !follows || self.hashes.len() * self.page_bytes == self.data.len() {
            self.keep();
        }
        if self.hashes.is_empty() {
            self.first = page;
        }
        let at = self.hashes.len() * self.page_bytes;
        let data = &mut self.data[at..at + self.page_bytes];
        self.hashes.push(unpack(data)?);
        Ok(data)
    }

    /// Keeps what there is.
    fn keep(&mut self) {
        if let Some(cache) = self.cache {
            cache.put_run(self.first, &self.data[..self.hashes.len() * self.page_bytes], &self.hashes, self.as_of);
        }
        self.hashes.clear();
    }
}

/// Decodes the frame of a page into `data`; its hash, which is the right one.
fn proved_frame(frame: &[u8], page: PageNo, slot: &Slot, size: PageSize, data: &mut [u8]) -> Result<u64> {
    decode_frame(frame, page, size, data)?;
    let hash = page_hash(data);
    if slot.hash().is_some_and(|expected| expected != hash) && taken(Step::PageHash) {
        return Err(Error::new(ErrorKind::Corrupt, "reading a page of")
            .why(format!("page {page} has hash {hash:016x}, its index says {:016x}", slot.hash().unwrap_or(0)))
            .hint("keep the object; `plimsoll verify` checks the whole volume"));
    }
    Ok(hash)
}

/// Gives a reader its page.
fn fill(out: &mut [u8], data: &[u8]) -> Result<()> {
    if out.len() != data.len() {
        let (theirs, ours) = (data.len(), out.len());
        return Err(Error::new(ErrorKind::Corrupt, "reading a page of")
            .why(format!("its pages have {theirs} bytes, the volume's {ours}")));
    }
    out.copy_from_slice(data);
    Ok(())
}
