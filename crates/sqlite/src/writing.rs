//! An open write transaction, seen as the file that SQLite believes it is changing.

use plimsoll_model::{Error, ErrorKind, Level, PageCount, PageNo, PageSize, Result};
use plimsoll_volume::{Receipt, Snapshot, Volume, WriteTxn};

use crate::header::{self, Fingerprint};

/// What a transaction makes of page 1.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    /// How SQLite will recognise the state.
    pub(crate) fingerprint: Fingerprint,
    /// The header asks for a write-ahead log.
    pub(crate) says_wal: bool,
    page_count: Option<u32>,
}

/// A write transaction and the size that the file would have.
pub(crate) struct Writing {
    txn: WriteTxn,
    base: PageCount,
    count: PageCount,
    page_size: Option<PageSize>,
    first: Option<Outcome>,
    /// Page 1 is as it was but for its change counter.
    first_is_spare: bool,
    /// SQLite handed over everything once and then wrote again: it rolled back by putting pages back.
    handed_over: bool,
    rolled_back: bool,
}

impl Writing {
    /// Starts the write transaction of a volume.
    ///
    /// # Errors
    /// As [`Volume::begin_write_in_turn`].
    pub(crate) fn begin(volume: &Volume, base: &Snapshot) -> Result<Self> {
        let txn = volume.begin_write_in_turn(base)?;
        Ok(Writing {
            txn,
            base: base.page_count(),
            count: base.page_count(),
            page_size: base.page_size(),
            first: None,
            first_is_spare: false,
            handed_over: false,
            rolled_back: false,
        })
    }

    /// Bytes in the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.page_size.map_or(0, |size| self.count.bytes(size))
    }

    /// Pages in the file.
    pub(crate) fn count(&self) -> PageCount {
        self.count
    }

    /// Bytes per page, once anything was written.
    pub(crate) fn page_size(&self) -> Option<PageSize> {
        self.page_size
    }

    /// Whether page 1 is this transaction's own.
    pub(crate) fn wrote_first_page(&self) -> bool {
        self.first.is_some()
    }

    /// The version of the state that the transaction stands on.
    pub(crate) fn base_version(&self) -> u64 {
        self.txn.base().version()
    }

    /// Says whether page 1, as last written, differs from that of the base by no more than its change counter.
    pub(crate) fn first_page_is_spare(&mut self, spare: bool) {
        self.first_is_spare = spare;
    }

    /// What becomes of page 1; `None` if it stays as it was.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.first
    }

    /// Reads one page as this transaction sees it.
    pub(crate) fn read_page(&self, page: PageNo, buf: &mut [u8]) -> Result<()> {
        self.txn.read(page, buf)
    }

    /// Writes bytes anywhere. Whole pages go through as they are; the rest of others is read first.
    pub(crate) fn write(&mut self, mut data: &[u8], mut offset: u64) -> Result<()> {
        let size = self.page_size_for(data, offset)?;
        self.page_size = Some(size);
        if self.handed_over {
            self.rolled_back = true;
        }
        while !data.is_empty() {
            let (page, start) = size.locate(offset).ok_or_else(|| {
                Error::new(ErrorKind::Full, "writing a page").why("the database has as many pages as there can be")
            })?;
            let part = data.len().min(size.bytes() - start);
            let (now, later) = data.split_at(part);
            if part == size.bytes() {
                self.write_page(page, now)?;
            } else {
                let mut whole = vec![0; size.bytes()];
                if self.count.contains(page) {
                    self.txn.read(page, &mut whole)?;
                }
                whole[start..start + part].copy_from_slice(now);
                self.write_page(page, &whole)?;
            }
            data = later;
            offset += part as u64;
        }
        Ok(())
    }

    /// Cuts the file. Extending happens by writing.
    pub(crate) fn truncate(&mut self, bytes: u64) {
        if let Some(size) = self.page_size {
            let pages = u32::try_from(bytes.div_ceil(u64::from(size.get()))).unwrap_or(u32::MAX);
            self.count = PageCount(self.count.0.min(pages));
        }
    }

    /// SQLite finished the first phase: all pages are here.
    pub(crate) fn hand_over(&mut self) {
        self.handed_over = true;
    }

    /// Commits, and returns what to wait on; `None` if nothing changed.
    ///
    /// # Errors
    /// As [`WriteTxn::commit`]: then nothing happened.
    pub(crate) fn commit(mut self, level: Level) -> Result<Option<Receipt>> {
        // SQLite cuts the file only after the commit, so the size is the one that its header states.
        let stated = self.first.and_then(|first| first.page_count).map(PageCount);
        let count = stated.unwrap_or(self.count);
        if self.rolled_back {
            self.txn.elide_unchanged()?;
        }
        if self.txn.is_empty() && count == self.base {
            return Ok(None);
        }
        if self.first_is_spare {
            self.txn.leave_out(PageNo::FIRST);
        }
        self.txn.commit(count, level).map(Some)
    }

    fn write_page(&mut self, page: PageNo, data: &[u8]) -> Result<()> {
        self.txn.write(page, data)?;
        if page == PageNo::FIRST {
            self.first = Some(Outcome {
                fingerprint: header::fingerprint(data),
                page_count: header::page_count(data),
                says_wal: header::says_wal(data),
            });
        }
        if !self.count.contains(page) {
            self.count = PageCount(page.get());
        }
        Ok(())
    }

    /// The page size, which the first write of all decides; every page 1 after it has to agree.
    fn page_size_for(&self, data: &[u8], offset: u64) -> Result<PageSize> {
        let bytes = u32::try_from(data.len()).unwrap_or(0);
        let size = match self.page_size {
            Some(size) => size,
            None => PageSize::new(bytes).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "writing the first page")
                    .why(format!("{bytes} bytes are no page size; it is a power of two from 512 to 65536"))
            })?,
        };
        match header::page_bytes(data) {
            Some(stated) if offset == 0 && stated != size.get() => {
                Err(Error::new(ErrorKind::Unsupported, "changing the page size")
                    .why(format!("the volume has pages of {size} bytes for ever, the new header says {stated}"))
                    .hint(format!("copy into a new volume, or give what is copied pages of {size} bytes before: PRAGMA page_size = {size}; VACUUM")))
            }
            _ => Ok(size),
        }
    }
}
