//! A state that existed, pinned.

use std::sync::{Arc, OnceLock};

use plimsoll_host::Host;
use plimsoll_model::{ErrorKind, Lsn, PageCount, PageNo, PageSize, Result, Txid};
use plimsoll_pages::{Found, Slot, View};

use crate::{
    Reference,
    shared::{Shared, State, Tip, Writer},
};

/// A state that existed, pinned. Reads are repeatable until it is dropped.
///
/// Costs nothing but the space of what has been replaced since: journal segments on this host,
/// merged objects in the store.
pub struct Snapshot {
    shared: Arc<Shared>,
    writer: Option<Arc<Writer>>,
    view: Arc<View>,
    tip: Tip,
    /// The view again, made of what is left after merging and collecting. Looked for when it is needed.
    earlier: OnceLock<Arc<View>>,
}

impl Snapshot {
    /// Pins the newest state. The state is locked by the caller.
    pub(crate) fn pin(shared: &Arc<Shared>, state: &State) -> Snapshot {
        Self::pin_at(shared, state.writer.clone(), Arc::clone(&state.view), state.tip)
    }

    fn pin_at(shared: &Arc<Shared>, writer: Option<Arc<Writer>>, view: Arc<View>, tip: Tip) -> Snapshot {
        if let Some(writer) = &writer {
            *writer.live().entry(view.lsn).or_default() += 1;
        }
        Snapshot { shared: Arc::clone(shared), writer, view, tip, earlier: OnceLock::new() }
    }

    /// An earlier state.
    pub(crate) fn of_past(shared: &Arc<Shared>, view: Arc<View>, tip: Tip) -> Snapshot {
        Self::pin_at(shared, None, view, tip)
    }

    /// The same state, pinned once more.
    #[must_use]
    pub fn again(&self) -> Snapshot {
        self.advanced(self.tip)
    }

    /// The state after a commit on top of this one.
    pub(crate) fn advanced(&self, tip: Tip) -> Snapshot {
        Self::pin_at(&self.shared, self.writer.clone(), Arc::clone(&self.view), tip)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What the store holds of it.
    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The newest sync in it; what this process has committed since may be in it as well.
    #[must_use]
    pub fn txid(&self) -> Txid {
        self.view.txid
    }

    /// The last commit in it.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.tip.lsn
    }

    /// Pages in it.
    #[must_use]
    pub fn page_count(&self) -> PageCount {
        self.tip.count
    }

    /// Bytes per page; `None` while nothing was ever written.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        self.tip.page_size
    }

    /// Differs between any two states that this process has seen.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.tip.version
    }

    /// Reads one page; `buf` is one page long. A page that was never written reads as zeros.
    ///
    /// Journal, cache or store, in this order; what is not local costs a request and brings its
    /// neighbours along.
    ///
    /// # Errors
    /// `Corrupt`: what was read fails its check, and there is no good copy. `Unavailable`: not local,
    /// and the store does not answer. `NotFound`: a follower's state that is older than the retention.
    pub fn read(&self, page: PageNo, buf: &mut [u8]) -> Result<()> {
        if !self.tip.count.contains(page) {
            buf.fill(0);
            return Ok(());
        }
        if let Some(writer) = &self.writer {
            let found = writer.overlay.read().expect("BUG: a panic while the overlay was locked").find(
                page,
                self.tip.lsn,
                self.view.lsn,
            );
            match found {
                Some(Found::At(place)) => return writer.journal.read(place, page, buf),
                // Nearer than the store, as long as the journal has it.
                Some(Found::Spare(place)) if writer.journal.read(place, page, buf).is_ok() => return Ok(()),
                Some(Found::Zeros) => {
                    buf.fill(0);
                    return Ok(());
                }
                Some(Found::Spare(_)) | None => {}
            }
        }
        if self.read_cached(page, buf) {
            return Ok(());
        }
        let Host { tasks, .. } = &self.shared.config.host;
        tasks.wait(self.fetch(page, buf))
    }

    /// Reads a page that the store has, unless that takes a request.
    fn read_cached(&self, page: PageNo, buf: &mut [u8]) -> bool {
        let Some(slot) = self.view.slot(page) else {
            buf.fill(0);
            return true;
        };
        let Some(cache) = self.shared.cache() else { return false };
        let want = plimsoll_cache::Want { hash: slot.hash(), changed: slot.object().id.max, view: self.view.txid };
        let found = cache.get(page, &want, buf).is_some();
        if found {
            self.shared.fetcher.reached(&self.view, page);
        }
        found
    }

    async fn fetch(&self, page: PageNo, buf: &mut [u8]) -> Result<()> {
        let fetcher = &self.shared.fetcher;
        match fetcher.fetch(&self.view, page, buf).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                // Merged and collected meanwhile, maybe with something else of that name now, or damaged. If the newest
                // state has the same content elsewhere, that will do.
                let known = Arc::clone(&self.shared.state().view);
                if self.same_page(&known, page)
                    && let Ok(()) = fetcher.fetch(&known, page, buf).await
                {
                    return Ok(());
                }
                // It was looked for before, for another page.
                if let Some(earlier) = self.earlier.get()
                    && self.same_page(earlier, page)
                    && let Ok(()) = fetcher.fetch(earlier, page, buf).await
                {
                    return Ok(());
                }
                let located = self.shared.locate_anew().await;
                let damaged = error.kind() == ErrorKind::Corrupt;
                if let Err(trouble) = located {
                    // That there is another volume explains it; anything else says less than the damage itself.
                    return Err(if damaged && trouble.kind() != ErrorKind::NotFound { error } else { trouble });
                }
                let newest = Arc::clone(&self.shared.state().view);
                if self.same_page(&newest, page) {
                    return fetcher.fetch(&newest, page, buf).await;
                }
                if damaged {
                    return Err(error);
                }
                let earlier = match self.earlier.get() {
                    Some(earlier) => Arc::clone(earlier),
                    None => match self.shared.past(&Reference::Txid(self.view.txid)).await {
                        Ok(earlier) => Arc::new(earlier),
                        // It may be there, and cannot be looked for now.
                        Err(trouble) if trouble.kind() == ErrorKind::Unavailable => return Err(trouble),
                        Err(_) => return Err(error),
                    },
                };
                // Another reader of this snapshot may have found it too: it is the same.
                let earlier = self.earlier.get_or_init(|| earlier);
                let hash = |view: &View| view.slot(page).and_then(Slot::hash);
                if hash(&self.view).is_some_and(|wanted| hash(earlier).is_some_and(|found| found != wanted)) {
                    // It is not what was pinned.
                    return Err(error);
                }
                fetcher.fetch(earlier, page, buf).await
            }
            other => other,
        }
    }

    /// Whether another view has the same content of a page elsewhere. A number may be that of another history's state.
    fn same_page(&self, other: &Arc<View>, page: PageNo) -> bool {
        let slot = |view: &View| view.slot(page).map(|slot| (slot.object().id, slot.hash()));
        let (Some((here, wanted)), Some((there, found))) = (slot(&self.view), slot(other)) else { return false };
        let same_state = || {
            let known = [self.view.checksum, other.checksum];
            self.view.txid == other.txid && (known[0] == known[1] || known.contains(&0))
        };
        here != there && wanted.zip(found).map_or_else(same_state, |(wanted, found)| wanted == found)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let Some(writer) = &self.writer else { return };
        let last = {
            let mut live = writer.live();
            match live.get_mut(&self.view.lsn) {
                Some(count) if *count > 1 => {
                    *count -= 1;
                    false
                }
                _ => live.remove(&self.view.lsn).is_some(),
            }
        };
        if last && self.view.lsn.0 < writer.floor.load(std::sync::atomic::Ordering::Acquire) {
            // That renames files and syncs folders, which whoever reads or commits here must not wait for.
            let writer = Arc::clone(writer);
            self.shared.config.host.tasks.spawn_blocking(Box::new(move || writer.tidy()));
        } else if writer.courtesy.is_due() {
            // No lock is held here.
            self.shared.config.host.tasks.give_way();
        }
    }
}
