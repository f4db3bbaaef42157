//! Keeping up with the writer by reading the object store.

use std::{
    pin::pin,
    sync::{Arc, MutexGuard, atomic::Ordering},
    time::Duration,
};

use futures::{future::select, try_join};
use plimsoll_cache::{Cache, CacheId};
use plimsoll_commitlog::{Context, LineRecord, VolumeRecord, identity, refuse_half};
use plimsoll_host::{Mono, WallMs};
use plimsoll_model::{
    Error, ErrorKind, Lsn, PageSize, Result,
    step::{Step, taken},
    way::{Way, went},
};
use plimsoll_pages::{Keep, Listed, Object, Reading, View, after, continues, index, list, list_newest, load, next};

use crate::shared::{Shared, Tip};

/// Listings in a row that may be outrun by merging and collecting.
const LISTINGS_MAX: usize = 5;
/// A reader that has a state to show waits for a newer one for two `follow_interval`s, or for this if it is longer.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// What reading the index anew is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Where everything is by now.
    All,
    /// Whether there is another state or another volume.
    IfChanged,
}

impl Keep for Shared {
    fn cache(&self, _: PageSize) -> Option<Arc<Cache>> {
        self.cache.get().map(|(cache, _)| Arc::clone(cache))
    }
}

/// The same while nothing was read yet: what is here first says how large pages are.
struct First<'a> {
    shared: &'a Shared,
    uuid: Option<[u8; 16]>,
}

impl Keep for First<'_> {
    fn cache(&self, page_size: PageSize) -> Option<Arc<Cache>> {
        self.shared.open_cache(page_size, self.uuid);
        Keep::cache(self.shared, page_size)
    }
}

impl Shared {
    pub(crate) fn context(&self) -> Context {
        let recorded = self.state().l0_retention;
        let settings = self.settings();
        let retention = recorded.unwrap_or(settings.l0_retention);
        Context::new(self.config.host.clone(), Arc::clone(&self.config.store), retention)
            .with_prover(self.prover.clone())
            .unfenced(self.config.settings.unsafe_no_fencing)
            .loaded_to(self.line())
    }

    /// How much this process may have acknowledged that is not durable, by the settings in force.
    pub(crate) fn line(&self) -> LineRecord {
        let settings = self.settings();
        let age_ms = u64::try_from(settings.max_loss_window.as_millis()).unwrap_or(u64::MAX);
        LineRecord { bytes: settings.max_dirty_bytes, age_ms }
    }

    pub(crate) fn reading(&self, sidecars: bool) -> Reading<'_> {
        let unproved = self.config.settings.unsafe_unproved_pages;
        Reading { sidecars, unproved, keep: Some(self), beginning: false }
    }

    /// Makes sure that what is read next is not much older than `follow_interval`. Returns at once if
    /// it was looked not long ago; looks in the background if that was a while ago; looks and waits if
    /// nobody has read for longer, though not for a store that does not answer.
    ///
    /// # Errors
    /// Only if nothing was ever read; otherwise an outage leaves readers with what is local.
    pub(crate) fn catch_up(self: &Arc<Self>) -> Result<()> {
        let (looked, failed, known) = {
            let state = self.state();
            if state.writer.is_some() {
                return Ok(());
            }
            (state.looked, state.failed, !state.view.txid.is_zero())
        };
        let interval = self.settings().follow_interval;
        let now = self.now();
        // After a fence there is something to read, though nobody has looked at the winner's history yet.
        if looked.is_none() && !known {
            return self.config.host.tasks.wait(self.catch_up_now());
        }
        let ago = looked.map(|looked| now.since(looked));
        if ago.is_some_and(|ago| ago < interval)
            || failed.is_some_and(|failed| now.since(failed) < interval.max(Duration::from_secs(1)))
        {
            return Ok(());
        }
        let since = self.catch_up_beside(now);
        let until = since + PATIENCE_MIN.max(interval * 2);
        if ago.is_none_or(|ago| ago > interval * 2) && now < until {
            let over = || (self.state().catching_up != Some(since)).then_some(());
            let clock = &self.config.host.clock;
            self.config.host.tasks.wait(async {
                select(pin!(self.caught_up.until(over)), clock.sleep_until(until)).await;
            });
        }
        Ok(())
    }

    /// Has a task catch up, unless one does; when that began.
    fn catch_up_beside(self: &Arc<Self>, now: Mono) -> Mono {
        let since = {
            let mut state = self.state();
            if let Some(since) = state.catching_up {
                return since;
            }
            *state.catching_up.insert(now)
        };
        let looking = Looking(Arc::clone(self));
        self.config.host.tasks.spawn(Box::pin(async move {
            let Looking(shared) = &looking;
            if let Err(error) = shared.catch_up_now().await {
                shared.out_of_touch(&error);
            }
        }));
        since
    }

    fn out_of_touch(&self, error: &Error) {
        tracing::warn!(%error, "reading on from what is local");
        let now = self.now();
        let mut state = self.state();
        state.failed = Some(now);
        state.trouble = Some(error.duplicate());
    }

    /// Reads whatever is newer than the view.
    ///
    /// # Errors
    /// As the store says; `Corrupt` for damaged objects or a history that went back.
    pub(crate) async fn catch_up_now(self: &Arc<Self>) -> Result<()> {
        let _following = self.following.lock().await;
        let (view, looked, listed, ours) = {
            let state = self.state();
            (Arc::clone(&state.view), state.looked, state.listed, state.ours)
        };
        let sent = self.now();
        // After half the retention, the next name may be free because it was merged and collected, or have been
        // taken by a late request since then.
        let fresh_for = self.fresh_for();
        let near = |now: Mono| looked.is_some_and(|looked| now.since(looked) < fresh_for || !taken(Step::ListAnew));
        if !near(sent) || view.txid.is_zero() {
            return self.load(sent, Load::All).await;
        }
        if listed.is_none_or(|listed| sent.since(listed) >= fresh_for) && taken(Step::ListAnew) {
            // That there is no next sync says nothing of a volume that was removed, or made again.
            return self.load(sent, Load::IfChanged).await;
        }
        let (mut newest, mut on_top) = (view, Vec::new());
        let store = &self.config.store;
        loop {
            let next = next(&self.prover, &newest, self.reading(ours)).await?;
            let answered = self.now();
            if !near(answered) {
                went(Way::FollowLate);
                return self.load(answered, Load::All).await;
            }
            let Some(index) = next else { break };
            if !continues(&newest, &index) {
                // It was put on something else: what was read until now is not its history.
                went(Way::FollowParted);
                return self.load(answered, Load::All).await;
            }
            went(Way::FollowContinues);
            newest = Arc::new(after(&newest, &index, store.url())?);
            on_top.push(Arc::clone(&index.object));
        }
        self.publish(newest, ours, None, sent, false)?;
        on_top.iter().for_each(|object| self.grown_by(object));
        Ok(())
    }

    /// The newest state was made of one more object.
    pub(crate) fn grown_by(&self, object: &Object) {
        let added = Listed { id: object.id, size: object.size, modified: WallMs(0) };
        let made_of = &mut self.state().made_of;
        if made_of.last().is_some_and(|last| last.id.max.next() == object.id.min) {
            made_of.push(added);
        }
    }

    /// Finds out where the pages of the newest state are by now, also if there is nothing newer: objects that a
    /// view was made of may have been merged and collected.
    ///
    /// # Errors
    /// As [`Shared::catch_up_now`].
    pub(crate) async fn locate_anew(self: &Arc<Self>) -> Result<()> {
        let _following = self.following.lock().await;
        self.load(self.now(), Load::All).await
    }

    /// Reads the whole index anew, unless that is only wanted if something has changed.
    async fn load(self: &Arc<Self>, sent: Mono, wanted: Load) -> Result<()> {
        let (store, layout) = (&self.config.store, self.config.layout());
        let context = self.context();
        let mut overlapping = false;
        for attempt in 1.. {
            let listing = async {
                if overlapping {
                    list(store, layout).await.map(|all| (all, true))
                } else {
                    list_newest(store, layout).await
                }
            };
            let (volume, (listing, whole)) = try_join!(identity(&context), listing)?;
            if volume.is_none() {
                refuse_half(&context, !listing.files.is_empty()).await?;
            }
            let known = self.state().uuid;
            if known.is_some_and(|known| volume.as_ref().is_none_or(|volume| volume.uuid != known)) {
                return Err(self.another_volume("following"));
            }
            self.state().l0_retention = volume.as_ref().map(VolumeRecord::l0_retention);
            let again = attempt < LISTINGS_MAX;
            let plan = match listing.newest() {
                Ok(plan) => plan,
                // Seen in the middle of merging and collecting, for a listing takes more than one request. Or what is
                // missing was left out, as merges of two writers may overlap.
                Err(error) if error.kind() == ErrorKind::Corrupt && again => {
                    overlapping = !whole;
                    continue;
                }
                Err(error) => return Err(error.object(store.url().to_owned())),
            };
            let newest_sync = listing.level(0).next_back();
            let ends_in = |file: &&Listed| plan.last().is_some_and(|last| last.id.max == file.id.max);
            if newest_sync.is_some_and(|file| !ends_in(&file)) && again {
                // Level 0 was listed before what another level shows: its newest sync would lend its number to another.
                continue;
            }
            if newest_sync.is_none() && !plan.is_empty() && volume.is_some() && attempt == 1 {
                // The same, when it was listed before the first sync. That one is there by now; a fork may have none.
                continue;
            }
            let newest_sync = newest_sync.copied().filter(|file| ends_in(&file));
            let reads_it_anyway = newest_sync.is_some_and(|file| plan.last().is_some_and(|last| last.id == file.id));
            let stamped = async {
                let Some(file) = newest_sync else { return Ok(None) };
                // All of it if it is small, for its header alone has no check.
                let reading = Reading { keep: None, ..self.reading(volume.is_some()) };
                let index = index(&self.prover, file, reading).await?;
                Ok(Some((index.lsn, index.checksum)))
            };
            if wanted == Load::IfChanged && attempt == 1 {
                let view = Arc::clone(&self.state().view);
                let same = newest_sync.is_some_and(|file| file.id.max == view.txid) && view.checksum != 0;
                if same && stamped.await.is_ok_and(|found| found.is_some_and(|(_, found)| found == view.checksum)) {
                    return self.publish(view, volume.is_some(), known, sent, true);
                }
                // With a listing of its own, for some time has passed.
                continue;
            }
            let uuid = volume.as_ref().map(|volume| volume.uuid);
            let first = First { shared: self, uuid };
            // Later on, what is wanted of it is here.
            let beginning = self.state().view.txid.is_zero();
            let reading = Reading { keep: Some(&first), beginning, ..self.reading(volume.is_some()) };
            let made_of = plan.clone();
            let loaded = load(&self.prover, &self.bases, plan, reading);
            let loaded = async {
                if reads_it_anyway {
                    return loaded.await;
                }
                let ((mut view, _), stamped) = try_join!(loaded, stamped)?;
                let (lsn, checksum) = stamped.unwrap_or_default();
                view.checksum = checksum;
                Ok((view, lsn))
            };
            match loaded.await {
                Ok((mut view, lsn)) => {
                    view.lsn = lsn.unwrap_or(Lsn::ZERO);
                    if whole {
                        self.prover.retain(listing.files.iter().map(|file| file.id).collect()).await;
                    }
                    self.publish(Arc::new(view), volume.is_some(), uuid, sent, true)?;
                    self.state().made_of = made_of;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::NotFound && attempt < LISTINGS_MAX => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a view the newest, if it is. `listed`: it was compared with all that the store holds.
    pub(crate) fn publish(
        self: &Arc<Self>,
        view: Arc<View>,
        ours: bool,
        uuid: Option<[u8; 16]>,
        sent: Mono,
        listed: bool,
    ) -> Result<()> {
        if let Some(page_size) = view.page_size {
            self.open_cache(page_size, uuid);
        }
        // Compared before the state is locked, which whoever begins to read waits for.
        let newer = {
            let state = self.state();
            (state.writer.is_none() && view.txid > state.view.txid).then(|| Arc::clone(&state.view))
        };
        let compared = newer.map(|before| (view.same_content(&before), before));
        let hydrate = {
            let mut state = self.state();
            // This process may have taken the volume, written and let it go since the listing was asked for.
            let outrun = state.looked.max(state.synced).is_some_and(|at| at > sent);
            state.looked = state.looked.max(Some(sent));
            if listed {
                state.listed = state.listed.max(Some(sent));
            }
            state.failed = None;
            state.all_is_well();
            state.ours |= ours;
            state.uuid = state.uuid.or(uuid);
            if Arc::ptr_eq(&view, &state.view) {
                return Ok(());
            }
            let known = [view.checksum, state.view.checksum];
            if state.writer.is_some() {
                // What a writer knows is newer than any listing, but where it is it may not know: of a fork that another
                // process has detached, say.
                if listed && view.txid == state.view.txid && known[0] == known[1] && known[0] != 0 {
                    self.set_view(&mut state, view);
                }
                return Ok(());
            }
            if let (Some(now), Some(before)) = (view.page_size, state.view.page_size)
                && now != before
            {
                drop(state);
                return Err(Error::new(ErrorKind::Corrupt, "following")
                    .object(self.url().to_owned())
                    .why(format!("it has pages of {now} bytes, it had pages of {before} bytes before"))
                    .hint("another database is there: close it, and open what is there"));
            }
            if view.txid == state.view.txid && (known[0] == known[1] || known.contains(&0)) {
                // The same state, from where it is now.
                self.set_view(&mut state, view);
                return Ok(());
            }
            let older = view.txid < state.view.txid && taken(Step::ForwardOnly);
            if older && outrun {
                return Ok(());
            }
            if older {
                return Err(Error::new(ErrorKind::Corrupt, "following")
                    .object(self.url().to_owned())
                    .why(format!("its newest sync is {}, it was {} before", view.txid, state.view.txid))
                    .hint("objects were removed from it; reopen to read what is there now"));
            }
            // A fence changes nothing, and must not make whoever has just begun to read start again.
            let changed = match compared {
                Some((same, before)) if Arc::ptr_eq(&before, &state.view) => !same,
                _ => !view.same_content(&state.view),
            };
            let version = state.tip.version + u64::from(changed);
            state.tip = Tip { lsn: view.lsn, count: view.count, page_size: view.page_size, version };
            self.set_view(&mut state, Arc::clone(&view));
            self.settings().hydrate
        };
        if hydrate {
            self.hydrate();
        }
        Ok(())
    }

    /// Opens the cache once the page size is known.
    pub(crate) fn open_cache(&self, page_size: PageSize, uuid: Option<[u8; 16]>) {
        if self.cache.get().is_some() {
            return;
        }
        let Some((dir, lock)) = self.dir.cache(self.config.host.clock.wall()) else {
            tracing::warn!(dir = %self.dir.path().display(), "no local cache: every cold page is a request");
            return;
        };
        let volume = uuid.unwrap_or_else(|| self.anonymous());
        let host = &self.config.host;
        let id = CacheId { volume, page_size };
        let cache = Arc::new(Cache::open(host, &dir, id, self.settings().cache_bytes_max));
        // If another thread was faster, its cache stays and this one's lock is let go.
        if self.cache.set((Arc::clone(&cache), lock)).is_ok() {
            self.fetcher.set_cache(cache);
        }
    }

    /// The identity of a volume that only Litestream writes: its URL. That may be another database by now, which shows
    /// by the hashes of its pages. Where none are asked for, what an earlier process has kept says nothing.
    fn anonymous(&self) -> [u8; 16] {
        let of_url = xxhash_rust::xxh3::xxh3_128(self.url().as_bytes());
        let of_process = if self.settings().unsafe_unproved_pages { self.config.host.chance.bits() } else { 0 };
        (of_url ^ u128::from(of_process)).to_be_bytes()
    }

    /// Starts bringing the rest of the volume here, unless that is under way.
    pub(crate) fn hydrate(self: &Arc<Self>) {
        if self.cache().is_none() || self.hydrating.swap(true, Ordering::AcqRel) {
            return;
        }
        let hydrating = Hydrating(Arc::clone(self));
        self.config.host.tasks.spawn(Box::pin(async move {
            let Hydrating(shared) = &hydrating;
            if let Err(error) = shared.hydrate_now().await {
                tracing::debug!(%error, "hydration stopped");
            }
        }));
    }

    /// Brings what differs from what was brought before. What was pushed out of the cache since is not brought again.
    async fn hydrate_now(&self) -> Result<()> {
        let go_on = || !self.state().closed;
        let mut before = self.hydrated().take().unwrap_or_else(View::empty);
        loop {
            let view = Arc::clone(&self.state().view);
            match self.fetcher.hydrate(&view, &before, go_on).await {
                Ok(()) => {}
                // What was merged may be collected meanwhile; what there is instead is known by then, and what came is here.
                Err(error) if error.kind() == ErrorKind::NotFound && !Arc::ptr_eq(&view, &self.state().view) => {
                    continue;
                }
                Err(error) => {
                    *self.hydrated() = Some(before);
                    return Err(error);
                }
            }
            before = View::clone(&view);
            drop(view);
            went(Way::Hydrated);
            let (newest, writes) = {
                let state = self.state();
                (state.view.txid, state.writer.is_some())
            };
            if writes {
                // What it writes goes into the cache by itself.
                return Ok(());
            }
            if before.txid == newest || !go_on() {
                *self.hydrated() = Some(before);
                return Ok(());
            }
        }
    }

    pub(crate) fn hydrated(&self) -> MutexGuard<'_, Option<View>> {
        self.hydrated.lock().expect("BUG: a panic beside hydration")
    }
}

/// A catch-up is under way. Once this goes, however that ended, there may be the next one.
struct Looking(Arc<Shared>);

impl Drop for Looking {
    fn drop(&mut self) {
        // After a panic under the lock everybody else is told by the lock.
        if let Ok(mut state) = self.0.state.lock() {
            state.catching_up = None;
        }
        self.0.caught_up.fire();
    }
}

/// The same for hydration.
struct Hydrating(Arc<Shared>);

impl Drop for Hydrating {
    fn drop(&mut self) {
        self.0.hydrating.store(false, Ordering::Release);
    }
}
