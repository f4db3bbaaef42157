//! The state behind every handle of one volume.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{Either, select};
use plimsoll_cache::Cache;
use plimsoll_commitlog::{FenceInfo, L0_RETENTION_UNRECORDED, Lease, Pins};
use plimsoll_durability::{FlushReason, Outcome, Terminal};
use plimsoll_host::{Lock, Mono};
use plimsoll_journal::{Journal, Place};
use plimsoll_ltx::FileId;
use plimsoll_model::{
    Epoch, Error, ErrorKind, Level, Lsn, PageCount, PageSize, Result, WriterId,
    step::{Step, taken},
};
use plimsoll_pages::{
    Bases, Fetcher, Listed, Overlay, View,
    compact::{Merger, Retention},
};
use plimsoll_proof::Prover;
use plimsoll_settings::{Adopted, Settings};

use crate::{
    accounts::Accounts,
    config::Config,
    courtesy::Courtesy,
    detach::Detaching,
    event::{Alarm, Event},
    local::VolumeDir,
    losses::Losses,
    origins::OriginStore,
    reliance::Syncs,
    setbacks::Setbacks,
    stow::Hold,
    syncer::Attempt,
    waiting::Waiting,
};

/// The newest state that new snapshots see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The last commit.
    pub(crate) lsn: Lsn,
    /// Pages after it.
    pub(crate) count: PageCount,
    /// Bytes per page, once anything was written.
    pub(crate) page_size: Option<PageSize>,
    /// Counts the states that this process has seen.
    pub(crate) version: u64,
}

/// What changes, under one lock that is held for moments only.
pub(crate) struct State {
    pub(crate) tip: Tip,
    pub(crate) view: Arc<View>,
    /// What it was made of when it was read, oldest first. Outrun by what this process has synced since.
    pub(crate) made_of: Vec<Listed>,
    /// Set while this process holds the volume for writing.
    pub(crate) writer: Option<Arc<Writer>>,
    /// Whether a write transaction is open.
    pub(crate) writing: bool,
    /// The volume is being let go, with the writer's place taken; whoever wants to write takes it again after that.
    pub(crate) leaving: bool,
    /// Another process of this host waits for its turn: no write transaction begins, and one that is open is the last.
    pub(crate) handover: bool,
    /// When the volume was last let go for another process of this host.
    pub(crate) yielded: Option<Mono>,
    /// Another writer took the volume from this handle.
    pub(crate) fenced: bool,
    pub(crate) closed: bool,
    /// Whether `volume.json` was there, and with it sidecars may be.
    pub(crate) ours: bool,
    /// From `volume.json`.
    pub(crate) uuid: Option<[u8; 16]>,
    /// How long level 0 is kept, from there.
    pub(crate) l0_retention: Option<Duration>,
    /// When the store was last asked for something newer, and answered.
    pub(crate) looked: Option<Mono>,
    /// When what the store holds was last compared with all that is known of it here.
    pub(crate) listed: Option<Mono>,
    /// Since when a catch-up is under way that nobody in particular has asked for.
    pub(crate) catching_up: Option<Mono>,
    /// When the last sync of this process was answered. A listing that was asked for before may not show it.
    pub(crate) synced: Option<Mono>,
    /// When asking failed last.
    pub(crate) failed: Option<Mono>,
    /// Whether this host could not hold the volume when it was taken last, for want of room or of a disk that works.
    pub(crate) cramped: bool,
    /// The last thing that went wrong, for people.
    pub(crate) trouble: Option<Error>,
    /// What was stranded, or left in the journal, when another writer took the volume. Whoever closes it has to be told.
    pub(crate) lost: Option<Error>,
    /// What the writer that this one has pushed aside took with it.
    pub(crate) losses: Losses,
}

/// See the [module](self).
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The store of the configuration: what a fork started with is part of it.
    pub(crate) origins: Arc<OriginStore>,
    /// The settings in force.
    pub(crate) settings: RwLock<Arc<Settings>>,
    pub(crate) dir: VolumeDir,
    pub(crate) state: Mutex<State>,
    /// Views that somebody may still read.
    pub(crate) views: Mutex<Vec<Weak<View>>>,
    pub(crate) fetcher: Arc<Fetcher>,
    /// Says which objects can be believed.
    pub(crate) prover: Prover,
    /// What the newest state and earlier ones have in common.
    pub(crate) bases: Bases,
    pub(crate) cache: OnceLock<(Arc<Cache>, Box<dyn Lock>)>,
    /// Held while this process takes the volume or lets it go.
    pub(crate) turning: tokio::sync::Mutex<()>,
    /// One catch-up at a time.
    pub(crate) following: tokio::sync::Mutex<()>,
    /// Fires when such a catch-up has ended.
    pub(crate) caught_up: Event,
    pub(crate) hydrating: AtomicBool,
    /// The state that hydration has brought here last. No view that is handed out: it keeps no object from being collected.
    pub(crate) hydrated: Mutex<Option<View>>,
    /// What was begun in the background last.
    pub(crate) detaching: Mutex<Option<Detaching>>,
}

/// What this process has while it holds the volume for writing.
pub(crate) struct Writer {
    pub(crate) id: WriterId,
    pub(crate) epoch: Epoch,
    pub(crate) journal: Journal,
    pub(crate) overlay: RwLock<Overlay<Place>>,
    /// What the pages of the next transaction go into, so that a small one need not allocate.
    pub(crate) buffer: Mutex<Vec<u8>>,
    pub(crate) accounts: Mutex<Accounts>,
    /// Held by a commit from its last check until it is visible. Once true there is no further commit.
    pub(crate) sealed: Mutex<bool>,
    /// Set once another writer is known to have taken the volume.
    pub(crate) fence: Mutex<Option<FenceInfo>>,
    /// Held while merging and collecting: two at a time would take each other's inputs away.
    pub(crate) compacting: tokio::sync::Mutex<()>,
    /// Syncs that wait for their first merge.
    pub(crate) waiting: Mutex<Waiting>,
    /// A merge is under way that will not take long: whoever lets the volume go lets it come to its end.
    pub(crate) brisk: AtomicBool,
    /// How many merge because somebody asked for it: meanwhile the volume is not idle.
    pub(crate) merging: AtomicUsize,
    /// Commits that wait for the journal's sync, as readers see it.
    pub(crate) courtesy: Courtesy,
    /// Fires when a write transaction ends.
    pub(crate) idle: Event,
    /// Fires whenever a wait may have an answer or a commit may have room.
    pub(crate) progress: Event,
    pub(crate) syncer: Alarm,
    pub(crate) flusher: Alarm,
    pub(crate) keeper: Alarm,
    /// A sign of life is due at once.
    pub(crate) overdue: AtomicBool,
    pub(crate) compactor: Alarm,
    pub(crate) lease: Lease,
    /// How far the newest sync goes, beside commits that leave a page to the next one.
    pub(crate) syncs: Syncs,
    /// A sync whose outcome is not known. Nothing else may be synced before it is.
    pub(crate) attempt: Mutex<Option<Arc<Attempt>>>,
    pub(crate) merger: Merger,
    /// Merges that failed.
    pub(crate) setbacks: Mutex<Setbacks>,
    /// What collecting has to spare.
    pub(crate) pins: Pins,
    /// Snapshots by the commit of the view under them.
    pub(crate) live: Mutex<BTreeMap<Lsn, usize>>,
    /// The commit up to which the cache has had its share of the journal.
    pub(crate) floor: AtomicU64,
    /// Tasks end.
    pub(crate) stop: AtomicBool,
    /// Syncs whose pages are to go into the cache.
    pub(crate) hold: Hold,
    /// Held while journal segments are given up or made ahead.
    pub(crate) tidying: Mutex<()>,
    /// Somebody does ahead what the journal will need.
    pub(crate) preparing: AtomicBool,
    /// Keeps other processes of this host from writing.
    pub(crate) lock: Mutex<Option<Box<dyn Lock>>>,
}

/// A panic while a lock was held leaves the state behind it unknown: going on could break a promise.
const POISONED: &str = "BUG: a panic while the state of a volume was locked";

impl State {
    /// See [`Shared::all_is_well`].
    pub(crate) fn all_is_well(&mut self) {
        self.trouble.take_if(|trouble| trouble.kind() != ErrorKind::Fenced);
    }

    /// Whether the volume is being let go, and no transaction of this process keeps that from coming to its end.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving || self.handover && !self.writing
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(POISONED)
    }

    pub(crate) fn detaching(&self) -> MutexGuard<'_, Option<Detaching>> {
        self.detaching.lock().expect(POISONED)
    }

    /// The settings in force now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().expect(POISONED))
    }

    /// Takes up what may change while running.
    pub(crate) fn adopt(&self, new: &Settings) -> Adopted {
        let (settings, adopted) = {
            let mut held = self.settings.write().expect(POISONED);
            let mut settings = Settings::clone(&held);
            let adopted = settings.adopt(new);
            *held = Arc::new(settings);
            (Arc::clone(&held), adopted)
        };
        self.fetcher.set_read_ahead(settings.read_ahead_bytes);
        let writer = self.state().writer.clone();
        if let Some(writer) = writer {
            writer.accounts().adopt(&settings);
            // Whoever sleeps or waits decides again by the new values.
            writer.syncer.ring();
            writer.flusher.ring();
            writer.keeper.ring();
            writer.compactor.ring();
            writer.progress.fire();
        }
        adopted
    }

    /// What collecting keeps: this host may keep level 0 longer than the volume's record says, never shorter.
    pub(crate) fn retention(&self) -> Retention {
        let settings = self.settings();
        let recorded = self.state().l0_retention.unwrap_or(L0_RETENTION_UNRECORDED);
        Retention { level0: settings.l0_retention.max(recorded), snapshots: settings.retention }
    }

    /// How long after a look the next sync is where it is looked for: half the time for which level 0 is kept.
    pub(crate) fn fresh_for(&self) -> Duration {
        let recorded = self.state().l0_retention;
        // Nobody but Litestream has written it, and this host is told how long that keeps its own.
        recorded.unwrap_or_else(|| self.settings().l0_retention.min(L0_RETENTION_UNRECORDED)) / 2
    }

    /// Bytes of pages that a sync can carry whatever is in them: what cannot be compressed becomes a little larger.
    pub(crate) fn sync_bytes_max(&self) -> u64 {
        let most = self.config.store.object_bytes_max();
        most - most / 64
    }

    pub(crate) fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.get().map(|(cache, _)| cache)
    }

    pub(crate) fn now(&self) -> Mono {
        self.config.host.clock.now()
    }

    pub(crate) fn url(&self) -> &str {
        self.config.store.url()
    }

    /// Records the last thing that went wrong, for `status`.
    pub(crate) fn note_trouble(&self, error: &Error) {
        self.state().trouble = Some(error.duplicate());
    }

    /// The store has answered: whatever went wrong before is over, unless commits were stranded.
    pub(crate) fn all_is_well(&self) {
        self.state().all_is_well();
    }

    /// The last thing that went wrong and is not over.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.as_ref().map(Error::to_string)
    }

    /// Waits for an answer at most `sync_timeout_ms`.
    pub(crate) async fn in_time<T: Send>(&self, answer: impl Future<Output = T> + Send) -> Option<T> {
        let patience = self.settings().sync_timeout;
        if patience.is_zero() {
            return Some(answer.await);
        }
        let answer = std::pin::pin!(answer);
        match select(answer, self.config.host.clock.sleep(patience)).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        }
    }

    /// Why something took too long.
    pub(crate) fn late(&self, what: &str) -> String {
        let patience = self.settings().sync_timeout.as_millis();
        let trouble = self.trouble().map_or(String::new(), |trouble| format!("; last trouble: {trouble}"));
        format!("{what} within sync_timeout_ms = {patience}{trouble}")
    }

    /// Makes a view the newest. Older ones stay known as long as somebody reads them.
    pub(crate) fn set_view(&self, state: &mut State, view: Arc<View>) {
        let mut views = self.views.lock().expect(POISONED);
        views.retain(|view| view.strong_count() > 0);
        views.push(Arc::downgrade(&view));
        state.view = view;
    }

    /// Keeps the objects of a view that never was the newest here as long as somebody reads it.
    pub(crate) fn keep_in_use(&self, view: &Arc<View>) {
        let mut views = self.views.lock().expect(POISONED);
        views.retain(|view| view.strong_count() > 0);
        views.push(Arc::downgrade(view));
    }

    /// Objects that the newest view or a reader of this process refers to.
    pub(crate) fn in_use(&self) -> HashSet<FileId> {
        let views: Vec<Arc<View>> = self.views.lock().expect(POISONED).iter().filter_map(Weak::upgrade).collect();
        View::objects(views.iter().map(|view| &**view))
    }

    pub(crate) fn is_writer(&self, writer: &Arc<Writer>) -> bool {
        self.state().writer.as_ref().is_some_and(|current| Arc::ptr_eq(current, writer))
    }

    pub(crate) fn closed_error(&self) -> Error {
        Error::new(ErrorKind::Closed, "using").object(self.url().to_owned()).why("the volume was closed")
    }

    pub(crate) fn fenced_error(&self) -> Error {
        Error::new(ErrorKind::Fenced, "writing to")
            .object(self.url().to_owned())
            .why("another writer has taken the volume")
            .hint("reopen it to go on from the new writer's state; commits that it does not have are kept as a stranded journal")
    }
}

impl Writer {
    pub(crate) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().expect(POISONED)
    }

    pub(crate) fn buffer(&self) -> MutexGuard<'_, Vec<u8>> {
        self.buffer.lock().expect(POISONED)
    }

    pub(crate) fn setbacks(&self) -> MutexGuard<'_, Setbacks> {
        self.setbacks.lock().expect(POISONED)
    }

    pub(crate) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect(POISONED)
    }

    /// Says whether a merge is under way that is worth waiting for.
    pub(crate) fn set_brisk(&self, brisk: bool) {
        self.brisk.store(brisk, Ordering::Release);
        self.progress.fire();
    }

    /// Whether there is no further commit. Held by a commit until it is visible.
    pub(crate) fn sealed(&self) -> MutexGuard<'_, bool> {
        self.sealed.lock().expect(POISONED)
    }

    /// Waits for the commit that is just being appended; none is appended after it.
    pub(crate) fn seal(&self) {
        *self.sealed() = true;
        self.progress.fire();
    }

    /// What is known of the writer that has taken the volume, if one has.
    pub(crate) fn fence(&self) -> Option<FenceInfo> {
        self.fence.lock().expect(POISONED).clone()
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, BTreeMap<Lsn, usize>> {
        self.live.lock().expect(POISONED)
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Ends the tasks; each at its next safe point.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.syncer.ring();
        self.flusher.ring();
        self.keeper.ring();
        self.compactor.ring();
    }

    /// Syncs the journal and moves the watermark. `None` as reason: a commit waits by itself.
    pub(crate) fn flush(self: &Arc<Self>, shared: &Shared, reason: Option<FlushReason>) -> Result<()> {
        let (lsn, position) = {
            let accounts = self.accounts();
            (accounts.progress.marks().mark(Level::Buffered).lsn, accounts.flush.position())
        };
        // Everything that was accounted for is written, so syncing what is written covers it.
        let synced = self.journal.sync_to(self.journal.written());
        let clock = &shared.config.host.clock;
        let (now, wall) = (clock.now(), clock.wall());
        {
            let mut accounts = self.accounts();
            if synced.as_ref().map_or(true, |synced| synced.ran) {
                accounts.flush.on_flushed(synced.is_ok(), position, now);
                let metrics = &shared.config.metrics;
                if let Some(reason) = reason {
                    metrics.journal_flush(reason, if synced.is_ok() { Outcome::Success } else { Outcome::Error });
                }
                if synced.is_ok() {
                    metrics.journal_synced(accounts.flush.cadence());
                }
            }
            match &synced {
                Ok(_) => drop(accounts.progress.advance(Level::Journaled, lsn, wall)),
                Err(_) if !taken(Step::Poison) => {}
                Err(_) => accounts.progress.end(Terminal::JournalFailed),
            }
        }
        self.progress.fire();
        if synced.is_ok() && self.journal.needs_preparing() {
            self.prepare_journal(shared);
        }
        synced.map(drop).inspect_err(|error| shared.note_trouble(error))
    }

    /// Has done beside whoever commits what the journal will need next.
    fn prepare_journal(self: &Arc<Self>, shared: &Shared) {
        if self.preparing.swap(true, Ordering::AcqRel) {
            return;
        }
        let writer = Arc::clone(self);
        shared.config.host.tasks.spawn_blocking(Box::new(move || {
            let _tidying = writer.tidying.lock().expect(POISONED);
            if !writer.stopped()
                && let Err(error) = writer.journal.prepare()
            {
                tracing::debug!(%error, "what the journal needs next is left to the commit that needs it");
            }
            writer.preparing.store(false, Ordering::Release);
        }));
    }

    /// Ends the journal; nothing of it is given up or made any more.
    pub(crate) fn close_journal(&self) -> Result<()> {
        let _tidying = self.tidying.lock().expect(POISONED);
        self.journal.close()
    }

    /// Whether the journal holds nothing that the history lacks, so that it may go.
    ///
    /// # Errors
    /// `Io` if it holds more than was accounted for: it stays where it is, and whoever opens the volume next judges it.
    pub(crate) fn all_is_durable(&self) -> Result<()> {
        let (last, durable) = (self.journal.last(), self.accounts().progress.marks().mark(Level::Durable).lsn);
        if last <= durable {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Io, "removing the finished journal")
            .why(format!("its last commit is {last}, and durable is {durable} only; it was kept"))
            .hint("open the volume again on this host"))
    }

    /// Lets other processes of this host write.
    pub(crate) fn unlock(&self) {
        self.lock.lock().expect(POISONED).take();
    }

    /// Gives up journal space that no reader and no sync needs any more.
    pub(crate) fn tidy(&self) {
        let _tidying = self.tidying.lock().expect(POISONED);
        // After the end the files belong to whoever opens the volume next.
        if self.stopped() {
            return;
        }
        let newest = Lsn(self.floor.load(Ordering::Acquire));
        let floor = self.live().first_key_value().map_or(newest, |(oldest, _)| newest.min(*oldest));
        self.overlay.write().expect(POISONED).trim(floor);
        let release = if taken(Step::ReleaseDurable) { floor } else { Lsn(u64::MAX) };
        if let Err(error) = self.journal.release(release) {
            tracing::warn!(%error, "finished journal segments could not be given up");
        }
    }
}
