//! Back to an earlier state, as a new commit.

use std::sync::Arc;

use futures::{channel::oneshot, future::join3};
use plimsoll_commitlog::{Standing, look};
use plimsoll_host::{
    Host,
    crash::{self, Point},
};
use plimsoll_model::{
    Error, ErrorKind, Level, Lsn, PageNo, PageSize, Result,
    step::{Step, taken},
};
use plimsoll_pages::{Pages, Slot, View};
use serde::Serialize;

use crate::{
    Reference, Snapshot, Volume, WriteTxn,
    checkpoint::{checkpoint, name_state},
    shared::Shared,
};

/// States in a row that may change under a transaction that is just being started.
const STARTS_MAX: usize = 8;
/// Bytes of the earlier state that are in memory at a time.
const BATCH_BYTES: usize = 8 << 20;
const RESTORING: &str = "restoring an earlier state of";

/// What a restore has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The state that is the newest again.
    #[serde(rename = "restored_txid")]
    pub to_txid: u64,
    /// The newest state before. Restoring it undoes this.
    #[serde(rename = "before_txid")]
    pub from_txid: u64,
    /// The commit that did it; that of before if nothing differed.
    pub lsn: u64,
    /// Pages that differed.
    pub pages: u64,
}

/// A restore that is done, and what goes on beside it.
pub struct Restoring {
    /// What it has done.
    pub done: Restored,
    keeping: Option<Keeping>,
}

/// A checkpoint that is being made, and its name.
struct Keeping {
    name: String,
    ended: oneshot::Receiver<Result<()>>,
    host: Host,
}

impl Restoring {
    /// Waits for the checkpoint of the state before; its name, if there is one. The restore stands without it.
    ///
    /// # Errors
    /// As [`checkpoint`](crate::checkpoint()): the state before is kept no longer than any other of its age.
    pub fn kept(self) -> Result<Option<String>> {
        let Some(Keeping { name, ended, host }) = self.keeping else { return Ok(None) };
        match host.tasks.wait(ended) {
            Ok(Ok(())) => Ok(Some(name)),
            // If there is one of that name, it names the same state.
            Ok(Err(error)) if error.kind() == ErrorKind::Conflict => Ok(Some(name)),
            Ok(Err(error)) => Err(error),
            Err(oneshot::Canceled) => Err(Error::new(ErrorKind::Io, "keeping the state before").why("its task ended")),
        }
    }
}

/// What a restore has read while it took the volume.
#[derive(Default)]
struct Ahead {
    /// Pages of the earlier state.
    then: Pages,
    /// The first page of a state, by its hash.
    first: Option<(u64, Vec<u8>)>,
}

impl Volume {
    /// Makes an earlier state the newest again, as one commit on top of the history, and waits until that is durable.
    ///
    /// What has been committed before is made durable first, so that the state before can be restored just as well.
    /// Only pages that differ are read and written; which these are is known without reading them, but for pages of
    /// large objects that something else wrote. What is not local of them takes a round trip or a few, wherever it is.
    /// `renew` gets page 1 of the earlier state and that of the newest, and makes of the first what whoever reads the
    /// volume recognises as newer than the second. What it makes the same of both is no difference.
    ///
    /// # Errors
    /// As [`Volume::begin_write`], [`Snapshot::read`] and [`WriteTxn::commit`]; then nothing has changed, unless
    /// waiting for durability failed.
    pub fn restore(&self, target: &Snapshot, renew: impl Fn(&mut [u8], &[u8])) -> Result<Restored> {
        Ok(self.restore_from(target, None, false, renew)?.done)
    }

    /// Finds an earlier state and makes it the newest, as [`Volume::at`] and [`Volume::restore`] do, in fewer round
    /// trips: what does not need each other is asked for at once. Nothing is written before the state is found. `keep`:
    /// the state before is given a name, if anything differed; see [`Restoring::kept`].
    ///
    /// # Errors
    /// As [`Volume::at`] and [`Volume::restore`]. `NotFound` if there is no volume.
    pub fn restore_to(&self, reference: &Reference, keep: bool, renew: impl Fn(&mut [u8], &[u8])) -> Result<Restoring> {
        let (target, standing) = self.shared().config.host.tasks.wait(self.shared().prepare(reference))?;
        self.restore_from(&target, standing, keep, renew)
    }

    fn restore_from(
        &self,
        target: &Snapshot,
        standing: Option<Standing>,
        keep: bool,
        renew: impl Fn(&mut [u8], &[u8]),
    ) -> Result<Restoring> {
        let shared = self.shared();
        let mut ahead = shared.config.host.tasks.wait(shared.take_to_restore(target, standing))?;
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
        let newest = Arc::clone(&shared.state().view);
        let from_txid = newest.txid.0;
        let mut pages = vec![PageNo::FIRST];
        pages.extend(to_restore(target.view(), &newest, size));
        if pages.len() > 1 && !taken(Step::RestoreAll) {
            pages.pop();
        }
        let hash = |view: &View, page| view.slot(page).and_then(Slot::hash);
        let (mut now, mut then, mut first) = (vec![0; size.bytes()], vec![0; size.bytes()], vec![0; size.bytes()]);
        let mut written = 0;
        for batch in pages.chunks(batch_pages(size)) {
            let missing: Vec<PageNo> = batch.iter().filter(|page| !ahead.then.contains_key(page)).copied().collect();
            let mut fetched = std::mem::take(&mut ahead.then);
            fetched.extend(if missing.is_empty() { Pages::new() } else { target.fetch_ahead(&missing) });
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
        // What is in the view is all there is: everything before was made durable.
        match ahead.first.filter(|(known, _)| hash(&newest, PageNo::FIRST) == Some(*known)) {
            Some((_, bytes)) => now.copy_from_slice(&bytes),
            None => before.read(PageNo::FIRST, &mut now)?,
        }
        let done = |lsn: Lsn, pages| Restored { to_txid: target.view().txid.0, from_txid, lsn: lsn.0, pages };
        let nothing = || Restoring { done: done(before.lsn(), 0), keeping: None };
        let same = written == 0 && before.page_count() == target.page_count();
        if same && now == then {
            return Ok(nothing());
        }
        renew(&mut then, &now);
        if same {
            let mut renewed = now.clone();
            renew(&mut renewed, &now);
            if renewed == then {
                return Ok(nothing());
            }
        }
        txn.write(PageNo::FIRST, &then)?;
        let keeping = keep.then(|| shared.keep_before(&newest));
        let receipt = txn.commit(target.page_count(), Level::Durable)?;
        crash::here(Point::RestoreCommitted);
        receipt.wait(Level::Durable)?;
        Ok(Restoring { done: done(receipt.lsn(), written + 1), keeping })
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

impl Shared {
    /// What is needed before the volume is taken, at once: the earlier state, who holds the volume, and, if nobody has
    /// looked yet, the newest state.
    async fn prepare(self: &Arc<Self>, reference: &Reference) -> Result<(Snapshot, Option<Standing>)> {
        let (unread, follows) = {
            let state = self.state();
            (state.looked.is_none(), state.writer.is_none() && !self.config.read_only)
        };
        let newest = async { if unread { self.catch_up_now().await } else { Ok(()) } };
        let standing = async { if follows { look(&self.context()).await.map(Some) } else { Ok(None) } };
        let (newest, past, standing) = join3(newest, self.past(reference), standing).await;
        newest?;
        if self.state().uuid.is_none() && self.state().view.txid.is_zero() {
            return Err(Error::new(ErrorKind::NotFound, RESTORING)
                .object(self.url().to_owned())
                .why("there is no volume at this URL")
                .hint("check the URL, or make one: plimsoll create <url>"));
        }
        Ok((self.pin_past(Arc::new(past?)), standing?))
    }

    /// Takes the volume for writing unless it is held, and meanwhile reads what will be needed then, as far as it can be known by now.
    /// That it cannot be read says nothing: it is read again when it is needed.
    async fn take_to_restore(self: &Arc<Self>, target: &Snapshot, standing: Option<Standing>) -> Result<Ahead> {
        let known = Arc::clone(&self.state().view);
        let Some(size) = target.page_size().filter(|size| known.page_size == Some(*size)) else {
            return Ok(Ahead::default());
        };
        let mut pages = vec![PageNo::FIRST];
        pages.extend(to_restore(target.view(), &known, size));
        pages.truncate(batch_pages(size));
        let takeover = self.settings().takeover;
        let (held, then, first) = join3(
            self.take_as(takeover, true, standing),
            self.fetcher.fetch_many(target.view(), &pages),
            self.fetcher.fetch_many(&known, &[PageNo::FIRST]),
        )
        .await;
        held.inspect_err(|error| self.note_trouble(error))?;
        let hash = known.slot(PageNo::FIRST).and_then(Slot::hash);
        let first = first.ok().and_then(|mut pages| pages.remove(&PageNo::FIRST));
        Ok(Ahead { then: then.unwrap_or_default(), first: hash.zip(first) })
    }

    /// Begins to give the newest state a name, as whoever holds the volume knows it.
    fn keep_before(self: &Arc<Self>, newest: &Arc<View>) -> Keeping {
        const NOTE: Option<&str> = Some("the state before a restore");
        let name = format!("before-restore-{}", newest.txid);
        let made_of = self.state().made_of.clone();
        let (send, ended) = oneshot::channel();
        let (shared, view, named) = (Arc::clone(self), Arc::clone(newest), name.clone());
        self.config.host.tasks.spawn(Box::pin(async move {
            let context = shared.context();
            let known = made_of.last().is_some_and(|last| last.id.max == view.txid);
            let bytes = view.page_size.map_or(0, |size| view.count.bytes(size));
            let kept = match if known { name_state(&context, &named, NOTE, &made_of, bytes).await } else { Ok(None) } {
                // What was listed may have been merged and collected since.
                Ok(None) => checkpoint(&context, &named, NOTE, Some(view.txid)).await.map(drop),
                other => other.map(drop),
            };
            // Whoever asked may have ended.
            let _ = send.send(kept);
        }));
        Keeping { name, ended, host: self.config.host.clone() }
    }
}

/// Pages of the earlier state that are in memory at a time.
fn batch_pages(size: PageSize) -> usize {
    (BATCH_BYTES / size.bytes()).max(1)
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
