//! What follows a sync: its pages go into the cache, and the journal gives up what nobody needs any more.
//!
//! That is done beside the syncs that come after, some at a time: a page that each of them changed is written once,
//! and no thread is woken for each. Until then the overlay has the pages, and the journal keeps them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering},
    time::Duration,
};

use plimsoll_host::{
    crash::{self, Point},
    run_blocking,
};
use plimsoll_journal::Place;
use plimsoll_model::{Lsn, PageNo, PageSize, Txid};

use crate::{
    event::{Alarm, Event},
    shared::{Shared, Writer},
};

/// How long further syncs are waited for.
const PAUSE: Duration = Duration::from_millis(5);
/// The next sync waits while so many are behind: a slow disk must not make a list without an end.
const BEHIND_MAX: usize = 64;

/// The pages of one sync.
pub(crate) struct Stowage {
    pub(crate) lsn: Lsn,
    pub(crate) txid: Txid,
    pub(crate) page_size: PageSize,
    /// Where each is in the journal, and the hash of its content.
    pub(crate) pages: Vec<(PageNo, Place, u64)>,
}

/// Syncs that are in the history and not stowed yet.
#[derive(Default)]
pub(crate) struct Hold {
    state: Mutex<State>,
    /// Ends the pause.
    hurry: Alarm,
    /// Fires when some are stowed.
    stowed: Event,
}

#[derive(Default)]
struct State {
    waiting: Vec<Stowage>,
    /// Somebody stows, and looks at what is waiting once more before that ends.
    at_work: bool,
    /// A sync is in the history, or is just getting there, and is not in `waiting` yet.
    coming: usize,
    /// The last commit that is stowed.
    stowed: Lsn,
}

/// A sync that is just getting into the history: whoever waits until all is stowed waits for it too.
pub(crate) struct Coming<'a>(&'a Hold);

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.0.state().coming -= 1;
        self.0.stowed.fire();
    }
}

impl Hold {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: a panic beside what is to be stowed")
    }

    /// To be called before the sync counts as durable anywhere.
    pub(crate) fn expect(&self) -> Coming<'_> {
        self.state().coming += 1;
        Coming(self)
    }

    /// Waits until there is room for another sync.
    pub(crate) async fn room(&self) {
        self.stowed.until(|| (self.state().waiting.len() < BEHIND_MAX).then_some(())).await;
    }

    /// Waits until all that was synced is stowed.
    pub(crate) async fn settle(&self) {
        self.hurry.ring();
        let settled = || {
            let state = self.state();
            (!state.at_work && state.coming == 0).then_some(())
        };
        self.stowed.until(settled).await;
    }

    /// Waits until everything up to `lsn`, which is synced, is stowed.
    pub(crate) async fn settle_to(&self, lsn: Lsn) {
        self.hurry.ring();
        let settled = || {
            let state = self.state();
            (state.stowed >= lsn || (!state.at_work && state.coming == 0)).then_some(())
        };
        self.stowed.until(settled).await;
    }
}

/// Has a sync stowed whose pages the view knows by now.
pub(crate) fn stow(shared: &Arc<Shared>, writer: &Arc<Writer>, stowage: Stowage) {
    let at_work = {
        let mut state = writer.hold.state();
        state.waiting.push(stowage);
        std::mem::replace(&mut state.at_work, true)
    };
    if !at_work {
        let task = work(Arc::clone(shared), Arc::clone(writer));
        shared.config.host.tasks.spawn(Box::pin(task));
    }
}

/// Stows until nothing is waiting.
async fn work(shared: Arc<Shared>, writer: Arc<Writer>) {
    let host = &shared.config.host;
    loop {
        writer.hold.hurry.sleep(&*host.clock, Some(host.clock.now() + PAUSE)).await;
        let batch = std::mem::take(&mut writer.hold.state().waiting);
        if let Some(last) = batch.last().map(|stowage| stowage.lsn) {
            let (of, by) = (Arc::clone(&shared), Arc::clone(&writer));
            run_blocking(&host.tasks, move || put_away(&of, &by, &batch, last)).await;
            writer.hold.state().stowed = last;
        }
        let done = {
            let mut state = writer.hold.state();
            state.at_work = !state.waiting.is_empty();
            !state.at_work
        };
        writer.hold.stowed.fire();
        if done {
            return;
        }
    }
}

fn put_away(shared: &Shared, writer: &Writer, batch: &[Stowage], last: Lsn) {
    keep(shared, writer, batch);
    crash::here(Point::CacheKept);
    // Only now: what is below may be given up.
    writer.floor.store(last.0, Ordering::Release);
    writer.tidy();
    crash::here(Point::JournalReleased);
    let dirty = writer.overlay.read().expect("BUG: a panic while the overlay was locked").pages();
    writer.accounts().ledger.set_pages(dirty);
}

/// Puts what was synced into the cache, so that nobody has to fetch what was here all along.
fn keep(shared: &Shared, writer: &Writer, batch: &[Stowage]) {
    let (Some(cache), Some(newest)) = (shared.cache(), batch.last()) else { return };
    let mut pages = BTreeMap::new();
    for Stowage { txid, pages: changed, .. } in batch {
        pages.extend(changed.iter().map(|(page, place, hash)| (*page, (*place, *hash, *txid))));
    }
    let mut data = vec![0; newest.page_size.bytes()];
    for (page, (place, hash, txid)) in pages {
        match writer.journal.read(place, page, &mut data) {
            Ok(()) => cache.put(page, &data, hash, txid),
            Err(error) => tracing::debug!(%error, "a synced page could not be kept in the cache"),
        }
    }
}
