//! Bringing what nobody has asked for yet, while nobody asks for anything.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use plimsoll_model::{ErrorKind, Result};

use super::{Fetcher, want};
use crate::{View, part::PART_PAGES};

/// So much is fetched at a time, so that a foreground read never waits long behind it.
const HYDRATE_BYTES: u64 = 2 << 20;
/// How often it is looked whether foreground reads have ended.
const HYDRATE_PAUSE: Duration = Duration::from_millis(20);

impl Fetcher {
    /// Brings what a view has otherwise than an earlier one into the cache, a little at a time and only while nobody is
    /// waiting for a page. Ends early when the cache is full or `go_on` says so. Others have their turn every few hundred
    /// pages, also where all is there already.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`]. What is damaged is passed over, and told of once the rest is there.
    pub async fn hydrate(
        self: &Arc<Self>,
        view: &Arc<View>,
        before: &View,
        go_on: impl Fn() -> bool + Send + Sync,
    ) -> Result<()> {
        let Some(cache) = self.cache() else { return Ok(()) };
        let (all, parts) = (u64::from(view.count.0), view.unshared_parts(before));
        self.hydrate_total.store(all, Ordering::Relaxed);
        let (mut brought, mut damaged) = (None, None);
        for (part, pages) in view.differing_by_part(before).enumerate() {
            let left = (parts.saturating_sub(part) * PART_PAGES) as u64;
            self.hydrated.store(all.saturating_sub(left), Ordering::Relaxed);
            if !go_on() {
                return Ok(());
            }
            step_aside().await;
            for page in pages {
                let Some(slot) = view.slot(page).cloned() else { continue };
                // A run goes on over pages of other objects, which did not come with it.
                if brought.is_some_and(|(last, object)| page <= last && slot.object().id == object) {
                    continue;
                }
                if cache.contains(page, &want(view, &slot)) {
                    continue;
                }
                // What would be brought in would push out what somebody wanted.
                if cache.stats().bytes + HYDRATE_BYTES > self.config.cache_bytes_max {
                    return Ok(());
                }
                while self.foreground.load(Ordering::Relaxed) > 0 {
                    self.config.host.clock.sleep(HYDRATE_PAUSE).await;
                }
                if !go_on() {
                    return Ok(());
                }
                let run = self.run(view, page, &slot, HYDRATE_BYTES);
                brought = run.pages.last().map(|(last, _)| (*last, slot.object().id));
                // Whoever needs a page of it does not wait for all this, but asks for the page.
                match self.bring_ahead(view, run, || ()).await {
                    Err(error) if error.kind() == ErrorKind::Corrupt => _ = damaged.get_or_insert(error),
                    outcome => outcome?,
                }
            }
        }
        if let Some(error) = damaged {
            return Err(error);
        }
        self.hydrated.store(all, Ordering::Relaxed);
        Ok(())
    }
}

/// Lets whoever else runs on this thread have a turn.
async fn step_aside() {
    let mut had_theirs = false;
    poll_fn(|context| {
        if std::mem::replace(&mut had_theirs, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
