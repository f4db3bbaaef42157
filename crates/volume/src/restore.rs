//! Back to an earlier state, as a new commit.

use std::sync::Arc;

use plimsoll_host::crash::{self, Point};
use plimsoll_model::{
    Error, ErrorKind, Level, PageNo, PageSize, Result,
    step::{Step, taken},
};
use plimsoll_pages::{Pages, Slot, View};
use serde::Serialize;

use crate::{Snapshot, Volume, WriteTxn};

/// States in a row that may change under a transaction that is just being started.
const STARTS_MAX: usize = 8;
/// Bytes of the earlier state that are in memory at a time.
const BATCH_BYTES: usize = 8 << 20;
const RESTORING: &str = "restoring an earlier state of";

/// What a restore has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The state that is the newest again.
    pub to_txid: u64,
    /// The newest state before. Restoring it undoes this.
    pub from_txid: u64,
    /// The commit that did it; that of before if nothing differed.
    pub lsn: u64,
    /// Pages that differed.
    pub pages: u64,
}

impl Volume {
    /// Makes an earlier state the newest again, as one commit on top of the history, and waits until that is durable.
    ///
    /// What has been committed before is made durable first, so that the state before can be restored just as well.
    /// Only pages that differ are read and written; which these are is known without reading them, but for pages of
    /// large objects that something else wrote. What is not local of them takes a few round trips, wherever it is.
    /// `renew` gets page 1 of the earlier state and that of the newest, and makes of the first what whoever reads the
    /// volume recognises as newer than the second. What it makes the same of both is no difference.
    ///
    /// # Errors
    /// As [`Volume::begin_write`], [`Snapshot::read`] and [`WriteTxn::commit`]; then nothing has changed, unless
    /// waiting for durability failed.
    pub fn restore(&self, target: &Snapshot, renew: impl Fn(&mut [u8], &[u8])) -> Result<Restored> {
        let mut txn = self.begin_on_newest()?;
        let before = txn.base().again();
        self.wait(before.lsn(), Level::Durable)?;
        let (Some(size), Some(same)) = (target.page_size(), before.page_size()) else {
            return Err(Error::new(ErrorKind::NotFound, RESTORING)
                .object(self.status().url)
                .why("nothing was ever written there"));
        };
        if size != same {
            return Err(Error::new(ErrorKind::Corrupt, RESTORING)
                .object(self.status().url)
                .why(format!("its pages have {same} bytes, those of the earlier state {size}")));
        }
        let newest = Arc::clone(&self.shared().state().view);
        let from_txid = newest.txid.0;
        let mut pages = vec![PageNo::FIRST];
        pages.extend(to_restore(target.view(), &newest, size));
        if pages.len() > 1 && !taken(Step::RestoreAll) {
            pages.pop();
        }
        let hash = |view: &View, page| view.slot(page).and_then(Slot::hash);
        let (mut now, mut then, mut first) = (vec![0; size.bytes()], vec![0; size.bytes()], vec![0; size.bytes()]);
        let mut written = 0;
        for batch in pages.chunks((BATCH_BYTES / size.bytes()).max(1)) {
            let fetched = target.fetch_ahead(batch);
            for page in batch.iter().copied() {
                match fetched.get(&page) {
                    Some(bytes) => then.copy_from_slice(bytes),
                    None => target.read(page, &mut then)?,
                }
                if page == PageNo::FIRST {
                    first.copy_from_slice(&then);
                    continue;
                }
                let differs = hash(target.view(), page).is_some() && hash(&newest, page).is_some();
                if !differs {
                    before.read(page, &mut now)?;
                }
                if differs || now != then || !before.page_count().contains(page) {
                    txn.write(page, &then)?;
                    written += 1;
                }
            }
        }
        then.copy_from_slice(&first);
        before.read(PageNo::FIRST, &mut now)?;
        let done =
            |lsn: plimsoll_model::Lsn, pages| Restored { to_txid: target.view().txid.0, from_txid, lsn: lsn.0, pages };
        let same = written == 0 && before.page_count() == target.page_count();
        if same && now == then {
            return Ok(done(before.lsn(), 0));
        }
        renew(&mut then, &now);
        if same {
            let mut renewed = now.clone();
            renew(&mut renewed, &now);
            if renewed == then {
                return Ok(done(before.lsn(), 0));
            }
        }
        txn.write(PageNo::FIRST, &then)?;
        let receipt = txn.commit(target.page_count(), Level::Durable)?;
        crash::here(Point::RestoreCommitted);
        receipt.wait(Level::Durable)?;
        Ok(done(receipt.lsn(), written + 1))
    }

    /// Starts a write transaction on whatever is the newest state.
    fn begin_on_newest(&self) -> Result<WriteTxn> {
        for _ in 1..STARTS_MAX {
            match self.begin_write(&self.snapshot()?) {
                // Taking the volume may show a newer state than the one that was looked at.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                other => return other,
            }
        }
        self.begin_write(&self.snapshot()?)
    }
}

/// Pages that may have to be written, but for the first, which is written in any case.
fn to_restore(target: &View, newest: &View, size: PageSize) -> Vec<PageNo> {
    let mut pages = target.differing(newest);
    // SQLite keeps its locks in one. It has no content, and none is stored.
    pages.retain(|page| *page != PageNo::FIRST && *page != size.lock_page());
    pages
}

impl Snapshot {
    /// Brings pages here, all at once. What fails is asked for again by whoever reads it.
    fn fetch_ahead(&self, pages: &[PageNo]) -> Pages {
        let shared = self.shared();
        let fetched = shared.config.host.tasks.wait(shared.fetcher.fetch_many(self.view(), pages));
        fetched.unwrap_or_else(|error| {
            tracing::debug!(%error, "pages could not be fetched ahead");
            Pages::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_ltx::FileId;
    use plimsoll_model::{Lsn, PageCount, Txid};
    use plimsoll_pages::{Object, Placed};

    use super::*;

    /// A restore of more than a gibibyte onto less once failed at the page that SQLite keeps its locks in.
    #[test]
    fn the_page_of_the_locks_is_never_restored() {
        let size = PageSize::new(65536).unwrap();
        let locks = size.lock_page().get();
        let state = |txid, count| {
            let object = Arc::new(Object { id: FileId::sync(Txid(txid)), size: 1 });
            let first = Placed { page: PageNo::FIRST, offset: 0, len: 1, hash: txid };
            View::empty().after(&object, Lsn(txid), PageCount(count), size, &[first])
        };
        let (small, large) = (state(1, locks - 2), state(2, locks + 2));
        let pages: Vec<u32> = to_restore(&large, &small, size).iter().map(|page| page.get()).collect();
        assert_eq!(pages, [locks - 1, locks + 1, locks + 2]);
        assert!(to_restore(&small, &large, size).is_empty());
    }
}
