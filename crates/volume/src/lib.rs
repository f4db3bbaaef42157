//! INTERIM in-memory stand-in with the final signatures, so that faces can be built against it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use plimsoll_model::{Error, ErrorKind, Level, Lsn, PageCount, PageNo, PageSize, Result};

/// An open volume. Cheap to clone; every method may be called from any thread and may block.
#[derive(Clone)]
pub struct Volume(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lsn: u64,
    page_size: Option<PageSize>,
    counts: Vec<(u64, u32)>,
    pages: HashMap<u32, Vec<(u64, Arc<[u8]>)>>,
    writing: bool,
}

/// A state that existed, pinned. Reads are repeatable until it is dropped.
pub struct Snapshot {
    volume: Volume,
    lsn: Lsn,
    count: PageCount,
    page_size: Option<PageSize>,
}

/// A write transaction: private until committed, discarded when dropped.
pub struct WriteTxn {
    volume: Volume,
    base: Snapshot,
    pages: BTreeMap<u32, Box<[u8]>>,
}

/// An appended commit, visible to new snapshots of this process, on its way to stronger levels.
#[derive(Clone)]
pub struct Receipt {
    volume: Volume,
    lsn: Lsn,
    count: PageCount,
    page_size: Option<PageSize>,
}

impl Volume {
    /// For experiments and tests of faces.
    pub fn in_memory() -> Volume {
        Volume(Arc::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Bytes per page; `None` while nothing was ever written.
    pub fn page_size(&self) -> Option<PageSize> {
        self.state().page_size
    }

    /// Pins the newest state. A follower first catches up if it has not looked for a while.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let state = self.state();
        let count = state.counts.last().map_or(0, |c| c.1);
        Ok(Snapshot { volume: self.clone(), lsn: Lsn(state.lsn), count: PageCount(count), page_size: state.page_size })
    }

    /// Starts the one write transaction of the volume, taking over as its writer if need be.
    ///
    /// # Errors
    /// `Conflict`: `base` is not the newest state. `Held`: another transaction, process or host is
    /// writing. `Fenced`: another host took over. `Invalid`: the volume was opened read-only.
    pub fn begin_write(&self, base: &Snapshot) -> Result<WriteTxn> {
        let mut state = self.state();
        if state.writing {
            return Err(Error::new(ErrorKind::Held, "starting a write transaction"));
        }
        if state.lsn != base.lsn.0 {
            return Err(Error::new(ErrorKind::Conflict, "starting a write transaction"));
        }
        state.writing = true;
        drop(state);
        Ok(WriteTxn { volume: self.clone(), base: self.snapshot()?, pages: BTreeMap::new() })
    }

    /// Blocks until everything up to `lsn` has reached `level`, triggering whatever that takes.
    pub fn wait(&self, _lsn: Lsn, _level: Level) -> Result<()> {
        Ok(())
    }

    /// The last commit that new snapshots see.
    pub fn head(&self) -> Lsn {
        Lsn(self.state().lsn)
    }

    /// Watermarks, load, role and position, for people and machines (serde::Serialize in the final version).
    pub fn status(&self) -> Status {
        Status { lsn: self.head().0 }
    }

    /// Makes everything acknowledged durable, closes the epoch and lets go of local locks.
    ///
    /// # Errors
    /// Says what is not durable and where it is kept, when the store could not be reached in time.
    pub fn close(self) -> Result<()> {
        Ok(())
    }
}

/// See [`Volume::status`].
#[derive(Clone, Debug, serde::Serialize)]
pub struct Status {
    pub lsn: u64,
}

impl Snapshot {
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
    pub fn page_count(&self) -> PageCount {
        self.count
    }
    pub fn page_size(&self) -> Option<PageSize> {
        self.page_size
    }
    /// Changes whenever two snapshots of this process differ in content.
    pub fn version(&self) -> u64 {
        self.lsn.0
    }
    /// Reads one page; `buf` is one page long. A page that was never written reads as zeros.
    pub fn read(&self, page: PageNo, buf: &mut [u8]) -> Result<()> {
        let state = self.volume.state();
        buf.fill(0);
        if let Some(versions) = state.pages.get(&page.get())
            && let Some((_, data)) = versions.iter().rev().find(|v| v.0 <= self.lsn.0)
        {
            buf.copy_from_slice(data);
        }
        Ok(())
    }
}

impl WriteTxn {
    /// Reads one page as this transaction sees it.
    pub fn read(&self, page: PageNo, buf: &mut [u8]) -> Result<()> {
        match self.pages.get(&page.get()) {
            Some(data) => buf.copy_from_slice(data),
            None => self.base.read(page, buf)?,
        }
        Ok(())
    }
    /// Replaces one whole page; the first write ever fixes the page size. Spills to the journal when large.
    pub fn write(&mut self, page: PageNo, data: &[u8]) -> Result<()> {
        let size = PageSize::new(u32::try_from(data.len()).unwrap_or(0))
            .filter(|s| self.base.page_size.is_none_or(|have| have == *s))
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "writing a page of another size"))?;
        self.base.page_size = Some(size);
        self.pages.insert(page.get(), data.into());
        Ok(())
    }
    /// Forgets writes whose content equals the base. After it, `is_empty` says whether anything changed.
    pub fn elide_unchanged(&mut self) -> Result<()> {
        let mut old = Vec::new();
        let base = &self.base;
        self.pages.retain(|page, data| {
            old.resize(data.len(), 0);
            base.read(PageNo::new(*page).unwrap(), &mut old).unwrap();
            !base.count.contains(PageNo::new(*page).unwrap()) || old[..] != data[..]
        });
        Ok(())
    }
    /// Whether no page was written.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
    /// Appends the transaction to the journal, makes it visible, and frees the writer's place.
    /// `page_count` is the size of the volume after it. Nothing is acknowledged by this alone:
    /// wait on the receipt for the level that the caller was promised.
    ///
    /// # Errors
    /// `Full`, `Io`, `Fenced`: nothing happened, the transaction is discarded.
    pub fn commit(self, page_count: PageCount, _level: Level) -> Result<Receipt> {
        let mut state = self.volume.state();
        state.lsn += 1;
        let lsn = state.lsn;
        state.page_size = self.base.page_size;
        state.counts.push((lsn, page_count.0));
        for (page, data) in &self.pages {
            state.pages.entry(*page).or_default().push((lsn, data.clone().into()));
        }
        Ok(Receipt { volume: self.volume.clone(), lsn: Lsn(lsn), count: page_count, page_size: self.base.page_size })
    }
}

impl Drop for WriteTxn {
    fn drop(&mut self) {
        self.volume.state().writing = false;
    }
}

impl Receipt {
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
    /// The state that this commit made, pinned.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { volume: self.volume.clone(), lsn: self.lsn, count: self.count, page_size: self.page_size }
    }
    /// Blocks until the commit has reached `level`; triggers the flush or sync rather than sitting out a timer.
    ///
    /// # Errors
    /// When the level can no longer be reached: `Fenced`, a failed journal sync (`Io`, `Full`), `Closed`.
    pub fn wait(&self, _level: Level) -> Result<()> {
        Ok(())
    }
}
