//! Taking the volume for writing, and letting it go.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{Either, select, try_join};
use plimsoll_commitlog::{Acquire, Fenced, Head, Lease, Pins, Standing, acquire, overtaken_since};
use plimsoll_durability::{FlushReason, Terminal};
use plimsoll_host::{
    Lock, Mono,
    crash::{self, Point},
    run_blocking,
};
use plimsoll_journal::{Journal, Place, ReplayedCommit};
use plimsoll_ltx::{Encoder, FileId, Header};
use plimsoll_model::{
    Epoch, Error, ErrorKind, Level, Lsn, PageNo, Result, Stamp, Txid, WriterId,
    step::{Step, taken},
    way::{Way, went},
};
use plimsoll_pages::{Object, Overlay, compact::Merger};
use plimsoll_store::Body;

use crate::{
    accounts::Accounts,
    compactor,
    courtesy::Courtesy,
    event::{Alarm, Event},
    flusher,
    keeper::{self, report},
    local::{Home, LocalHolder},
    reliance::Syncs,
    replay::MARK_EPOCH,
    shared::{Shared, Tip, Writer},
    stow::Hold,
    syncer::{self, dispossess},
    waiting::Waiting,
};

/// What to do when another process of this host holds the volume: advice to a program.
pub const LETS_GO: &str = "it lets go once its commits are synced; set a busy timeout to wait for that";

/// How long another process of this host waits for the last sync before the volume is not handed over after all.
pub(crate) const HANDOVER: Duration = Duration::from_secs(2);
/// After handing the volume over, a process leaves the others of this host at least so long to take it.
const AFTER_YOU: Duration = Duration::from_millis(250);
/// How long the status is tried to be closed, without which the next host waits for `holder_ttl`; and before that, how long
/// a small merge has to come to its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the volume is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Nobody has written for a while.
    Idle,
    /// Another process of this host wants to write.
    Turn,
    /// It was asked for, for another host.
    Release,
}

/// Why the volume is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Somebody wants to write to whatever is at the URL, or to make a volume there.
    Writing,
    /// A process of this host has left a journal.
    LeftBehind,
}

impl Shared {
    /// Takes the volume for writing, unless this process has it.
    ///
    /// # Errors
    /// `Held`: another thread, process or host has it for now. `Fenced`, `Closed`: never again.
    /// `Unsupported`: the store cannot be written to safely. Otherwise as store and disk say.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Arc<Writer>> {
        self.take_as(self.settings().takeover, true, None).await
    }

    /// As [`Shared::take`]; `takeover`: also from a holder that looks alive. `asking`: a process of this host that has
    /// it is asked to let go when it can. `standing`: who holds it, if it was just looked.
    pub(crate) async fn take_as(
        self: &Arc<Self>,
        takeover: bool,
        asking: bool,
        standing: Option<Standing>,
    ) -> Result<Arc<Writer>> {
        let taken = self.take_for(Reason::Writing, takeover, asking, standing).await?;
        Ok(taken.expect("BUG: whoever writes has a volume made if there is none"))
    }

    /// As [`Shared::take_as`], for what a process of this host has left in its journal. `None`: the volume that it was
    /// of is not here any more, so nothing was taken and nothing made; what was left is kept aside.
    pub(crate) async fn take_left(self: &Arc<Self>, takeover: bool, asking: bool) -> Result<Option<Arc<Writer>>> {
        self.take_for(Reason::LeftBehind, takeover, asking, None).await
    }

    async fn take_for(
        self: &Arc<Self>,
        reason: Reason,
        takeover: bool,
        asking: bool,
        standing: Option<Standing>,
    ) -> Result<Option<Arc<Writer>>> {
        let Some(_turning) = self.in_time(self.turning.lock()).await else {
            return Err(Error::new(ErrorKind::Held, "writing to")
                .object(self.url().to_owned())
                .why("another thread of this process is taking it or letting it go, and does not come to an end"));
        };
        {
            let state = self.state();
            if let Some(writer) = &state.writer {
                return Ok(Some(Arc::clone(writer)));
            }
            if state.closed {
                drop(state);
                return Err(self.closed_error());
            }
            if state.fenced {
                drop(state);
                return Err(self.fenced_error());
            }
        }
        if self.config.read_only {
            return Err(Error::new(ErrorKind::Invalid, "writing to")
                .object(self.url().to_owned())
                .why("it was opened read-only")
                .hint("open it without mode=ro"));
        }
        if !self.others_have().is_zero() {
            return Err(self.others_turn());
        }
        let lock = self.local_lock(asking)?;
        let volume = match reason {
            Reason::Writing => self.state().uuid,
            Reason::LeftBehind => match self.volume_of_journal().await? {
                Some(volume) => Some(volume),
                None => return Ok(None),
            },
        };
        if self.state().cramped {
            // Each try would take an epoch, which others find and have to wait for.
            self.dir.try_room()?;
            self.state().cramped = false;
        }
        self.config.fencing.ensure().await?;
        let id = self.dir.writer(&self.config.host)?;
        let sent = self.now();
        let lease = self.lease(id, volume, takeover, standing).await?;
        let epoch = lease.epoch();
        let held = match self.settle_in(id, &lease, sent).await {
            Ok((journal, tail)) => self.hold(id, lease, lock, journal, &tail),
            Err(error) => {
                self.state().cramped = matches!(error.kind(), ErrorKind::Full | ErrorKind::Io);
                // Nobody has to wait for a writer that never was, unless for what was acknowledged here before.
                if matches!(self.dir.has_journal(), Ok(false)) && !lease.owes_an_account() {
                    in_good_time(self, lease.close_unused()).await;
                }
                Err(error)
            }
        };
        match held {
            Ok(writer) => {
                self.account_for(&writer).await;
                Ok(Some(writer))
            }
            Err(error) if error.kind() == ErrorKind::Held => {
                let named = overtaken_since(&self.context(), epoch).await;
                let error = named.ok().flatten().unwrap_or(error);
                self.note_trouble(&error);
                Err(error)
            }
            Err(error) => {
                self.note_trouble(&error);
                Err(error)
            }
        }
    }

    /// How long it is still the turn of other processes of this host to take what was handed over to them.
    pub(crate) fn others_have(&self) -> Duration {
        let yielded = self.state().yielded;
        yielded.map_or(Duration::ZERO, |at| AFTER_YOU.saturating_sub(self.now().since(at)))
    }

    pub(crate) fn others_turn(&self) -> Error {
        Error::new(ErrorKind::Held, "writing to")
            .object(self.url().to_owned())
            .why("another process of this host waits for its turn")
            .hint("set a busy timeout to wait for yours")
    }

    fn local_lock(&self, asking: bool) -> Result<Box<dyn Lock>> {
        let Some(lock) = self.dir.lock()? else {
            if asking {
                self.dir.ask_for_it();
            }
            let why = match self.dir.holder() {
                Some(holder) => {
                    let since = self.config.host.clock.wall().0.saturating_sub(holder.since_ms) / 1000;
                    format!("process {} of this host holds it for writing, for {since} s now", holder.pid)
                }
                None => "another process of this host holds it for writing".to_owned(),
            };
            return Err(Error::new(ErrorKind::Held, "writing to").object(self.url().to_owned()).why(why).hint(LETS_GO));
        };
        self.dir.is_wanted();
        let since_ms = self.config.host.clock.wall().0;
        let home = Some(Home::of(self.url(), &self.settings()));
        self.dir.introduce(&LocalHolder { pid: self.config.pid, since_ms, home })?;
        Ok(lock)
    }

    async fn lease(
        &self,
        writer: WriterId,
        volume: Option<[u8; 16]>,
        takeover: bool,
        standing: Option<Standing>,
    ) -> Result<Lease> {
        let settings = &self.settings();
        let ask = Acquire {
            writer,
            host_name: self.config.host_name.clone(),
            pid: self.config.pid,
            takeover,
            // We have the lock, so whichever process had this identity before is gone.
            same_host: true,
            holder_ttl: settings.holder_ttl,
            page_size: None,
            volume,
            newest: Some(self.state().view.txid),
            standing,
        };
        let (clock, frames) = (Arc::clone(&self.config.host.clock), self.config.frames());
        acquire(&self.context(), &ask, move |head: &Head, _: Epoch, stamp: Stamp| {
            let txid = head.txid.next();
            let timestamp = clock.wall();
            let header = Header {
                page_size: head.page_size,
                commit: head.page_count,
                min: txid,
                max: txid,
                timestamp,
                stamp: Some(stamp),
                link: head.checksum,
            };
            let mut bytes = Vec::new();
            Encoder::new(&mut bytes, header, frames)?.finish()?;
            Ok(Body { timestamp: Some(timestamp), ..bytes.into() })
        })
        .await
    }

    /// With the lease in hand: reads what the fence was put on, and goes on from this host's journal.
    /// `sent` is when it was begun to ask for the lease.
    async fn settle_in(
        self: &Arc<Self>,
        id: WriterId,
        lease: &Lease,
        sent: Mono,
    ) -> Result<(Journal, Vec<ReplayedCommit>)> {
        if self.state().closed {
            return Err(self.closed_error());
        }
        let uuid = self.adopt_identity(lease)?;
        // Whoever had the volume before may have detached it.
        let ((), detached) = try_join(self.catch_up_to(lease, sent), self.origins.was_detached()).await?;
        if detached {
            self.locate_anew().await?;
        }
        let (journal, tail) = self.open_journal(id, uuid, lease).await?;
        lease.go_on_from(tail.last().map_or(Lsn::ZERO, |commit| commit.lsn)).await?;
        journal.mark(MARK_EPOCH, &lease.epoch().0.to_le_bytes())?;
        crash::here(Point::EpochMarked);
        self.dir.note_epoch(lease.epoch())?;
        crash::here(Point::Holding);
        Ok((journal, tail))
    }

    /// Everything is in hand: replays, and starts the tasks.
    fn hold(
        self: &Arc<Self>,
        id: WriterId,
        lease: Lease,
        lock: Box<dyn Lock>,
        journal: Journal,
        tail: &[ReplayedCommit],
    ) -> Result<Arc<Writer>> {
        let host = &self.config.host;
        let view = Arc::clone(&self.state().view);
        let fence = lease.head().map_or(Txid::ZERO, |head| head.txid);
        let overtaken = || {
            Error::new(ErrorKind::Held, "opening for writing")
                .object(self.url().to_owned())
                .why("another host took the volume at the same time")
                .hint("open again")
        };
        // A reader of this process may have seen by now what somebody else has put on our fence: then the journal was
        // judged by another state.
        if view.txid != fence {
            return Err(overtaken());
        }
        let (now, wall) = (host.clock.now(), host.clock.wall());

        let mut overlay = Overlay::new(view.count);
        let mut accounts = Accounts::new(&self.settings(), self.sync_bytes_max(), view.lsn, wall, now);
        let mut tip = Tip { lsn: view.lsn, count: view.count, page_size: view.page_size, version: 0 };
        for commit in tail {
            // Nobody knows any more whether it was held until durable, so it counts: the load may be overstated
            // after a replay, never understated.
            let pages =
                commit.pages.iter().copied().filter(|(page, _): &(PageNo, Place)| commit.page_count.contains(*page));
            overlay.insert(commit.lsn, commit.page_count, pages);
            // By the wall clock, the only one that goes on over a restart.
            let age = Duration::from_millis(wall.0.saturating_sub(commit.wall.0));
            let dirtied = Mono(now.0.saturating_sub(age));
            accounts.replayed(commit.lsn, commit.bytes, dirtied, now, wall);
            let lsn = if taken(Step::NumberOn) { commit.lsn } else { tip.lsn };
            tip = Tip { lsn, count: commit.page_count, page_size: Some(commit.page_size), ..tip };
        }
        accounts.ledger.set_pages(overlay.pages());
        // Opening and marking the journal has synced all of it.
        accounts.progress.advance(Level::Journaled, tip.lsn, wall);

        let writer = Arc::new(Writer {
            id,
            epoch: lease.epoch(),
            journal,
            overlay: RwLock::new(overlay),
            buffer: Mutex::default(),
            accounts: Mutex::new(accounts),
            sealed: Mutex::new(false),
            fence: Mutex::new(None),
            compacting: tokio::sync::Mutex::new(()),
            waiting: Mutex::new(Waiting::among(&self.state().made_of)),
            brisk: AtomicBool::new(false),
            merging: AtomicUsize::new(0),
            courtesy: Courtesy::default(),
            idle: Event::default(),
            progress: Event::default(),
            syncer: Alarm::default(),
            flusher: Alarm::default(),
            keeper: Alarm::default(),
            // There is something to say at once, for those who wait for it elsewhere.
            overdue: AtomicBool::new(!tail.is_empty()),
            compactor: Alarm::default(),
            lease,
            syncs: Syncs::default(),
            attempt: Mutex::new(None),
            setbacks: Mutex::default(),
            merger: Merger {
                prover: self.prover.clone(),
                host: host.clone(),
                cache: self.cache().cloned().map_or_else(OnceLock::new, OnceLock::from),
                frames: self.config.frames(),
                scratch: self.dir.scratch(),
                known: Mutex::default(),
            },
            pins: Pins::default(),
            live: Mutex::new(BTreeMap::new()),
            floor: AtomicU64::new(view.lsn.0),
            stop: AtomicBool::new(false),
            hold: Hold::default(),
            tidying: Mutex::new(()),
            preparing: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        });
        {
            let mut state = self.state();
            if state.view.txid != fence {
                drop(state);
                return Err(overtaken());
            }
            let changed = !tail.is_empty();
            tip.version = state.tip.version + u64::from(changed);
            state.tip = tip;
            state.writer = Some(Arc::clone(&writer));
        }
        self.hydrated().take();
        tracing::info!(url = self.url(), epoch = %writer.epoch, replayed = tail.len(), "holding the volume for writing");
        let tasks = &host.tasks;
        tasks.spawn(Box::pin(flusher::run(Arc::clone(self), Arc::clone(&writer))));
        tasks.spawn(Box::pin(syncer::run(Arc::clone(self), Arc::clone(&writer))));
        tasks.spawn(Box::pin(keeper::run(Arc::clone(self), Arc::clone(&writer))));
        tasks.spawn(Box::pin(compactor::run(Arc::clone(self), Arc::clone(&writer))));
        Ok(writer)
    }

    /// Reads up to the fence. What is read then cannot change any more but by this writer.
    async fn catch_up_to(self: &Arc<Self>, lease: &Lease, sent: Mono) -> Result<()> {
        let Some(head) = lease.head() else {
            let read = self.state().view.txid;
            return if read.is_zero() { Ok(()) } else { Err(self.another_volume("opening for writing")) };
        };
        if let Some(fence) = lease.fence() {
            self.step_onto(&fence, sent).await?;
        }
        for _ in 0..2 {
            if self.state().view.txid == head.txid {
                return Ok(());
            }
            self.catch_up_now().await?;
        }
        let txid = self.state().view.txid;
        if txid == head.txid {
            return Ok(());
        }
        // Something on top of our fence is somebody else's.
        let kind = if txid > head.txid { ErrorKind::Held } else { ErrorKind::Unavailable };
        Err(Error::new(kind, "opening for writing")
            .object(self.url().to_owned())
            .why(format!("the newest sync that can be read is {txid}, the fence is {}", head.txid))
            .hint("open again"))
    }

    /// If what is known here is what the fence was put on, it is the fence now: that changes nothing, and what it is
    /// is known without reading it. That state is told by its checksum, which is the fence's link.
    async fn step_onto(self: &Arc<Self>, fence: &Fenced, sent: Mono) -> Result<()> {
        let _following = self.following.lock().await;
        let (view, looked) = {
            let state = self.state();
            (Arc::clone(&state.view), state.looked)
        };
        // Where its pages are may have changed since it was looked last.
        let near = looked.is_some_and(|looked| self.now().since(looked) < self.fresh_for()) || !taken(Step::LateFence);
        let known = view.txid == fence.inherited.txid && view.checksum == fence.link && view.checksum != 0;
        let (Some(stamp), true) = (fence.head.stamp, near && known && view.page_size == Some(fence.head.page_size))
        else {
            return Ok(());
        };
        let object = Arc::new(Object { id: FileId::sync(fence.head.txid), size: fence.bytes });
        let mut next = view.after(&object, stamp.lsn, fence.head.page_count, fence.head.page_size, &[]);
        next.checksum = fence.head.checksum;
        self.publish(Arc::new(next), true, None, sent, false)?;
        self.grown_by(&object);
        Ok(())
    }

    /// Takes up what the volume was once the epoch was there. It may have been removed since it was opened.
    fn adopt_identity(&self, lease: &Lease) -> Result<[u8; 16]> {
        let (uuid, retention) = (lease.volume().uuid, lease.volume().l0_retention());
        let mut state = self.state();
        if state.uuid.is_some_and(|known| known != uuid) {
            drop(state);
            return Err(self.another_volume("opening for writing"));
        }
        state.uuid = Some(uuid);
        state.l0_retention = Some(retention);
        state.ours = true;
        Ok(uuid)
    }

    /// What was opened here was removed.
    pub(crate) fn another_volume(&self, doing: &'static str) -> Error {
        Error::new(ErrorKind::NotFound, doing)
            .object(self.url().to_owned())
            .why("the volume that was opened here was removed, and there is another one or none now")
            .hint("close it, and open what is there")
    }

    /// Lets the volume go with everything durable; for idleness only if nothing is pending by itself.
    ///
    /// # Errors
    /// When it has to be kept: a transaction is open, or the last commits do not become durable in time.
    pub(crate) async fn let_go(self: &Arc<Self>, writer: &Arc<Writer>, occasion: Occasion) -> Result<()> {
        let _turning = self.turning.lock().await;
        if !self.is_writer(writer) {
            return Ok(());
        }
        let busy =
            |why: &'static str| Error::new(ErrorKind::Held, "letting go of").object(self.url().to_owned()).why(why);
        let idle = occasion == Occasion::Idle;
        if !self.claim(writer, idle).await {
            return Err(busy("a transaction is open"));
        }
        let settled = match occasion {
            Occasion::Idle => writer.accounts().ledger.is_empty(),
            Occasion::Turn => self.settle(writer, HANDOVER).await,
            Occasion::Release => self.settle(writer, self.settings().close_timeout).await,
        };
        let result = match (settled, occasion) {
            (true, _) => self.part(writer, occasion).await,
            (false, Occasion::Release) => Err(Error::new(ErrorKind::Unavailable, "letting go of")
                .object(self.url().to_owned())
                .why("its last commits did not become durable within close_timeout_ms")
                .hint("they are in the journal of this host, which still holds the volume; try again")),
            (false, _) => Err(busy("its last commits are not durable")),
        };
        let mut state = self.state();
        (state.writing, state.handover, state.leaving) = (false, false, false);
        result
    }

    /// Takes the writer's place, so that no commit can come in between. `idle`: only if it is free now; otherwise the
    /// transaction that is open is the last for now.
    async fn claim(&self, writer: &Writer, idle: bool) -> bool {
        let claim = || {
            let mut state = self.state();
            let free = !std::mem::replace(&mut state.writing, true);
            state.leaving |= free;
            free.then_some(())
        };
        if idle {
            return claim().is_some();
        }
        self.state().handover = true;
        let waited = select(Box::pin(writer.idle.until(claim)), self.config.host.clock.sleep(HANDOVER)).await;
        let claimed = matches!(waited, Either::Left(_));
        if !claimed {
            self.state().handover = false;
        }
        claimed
    }

    /// Waits until everything is durable, at most so long. Ends at once if it cannot become so any more.
    async fn settle(&self, writer: &Arc<Writer>, patience: Duration) -> bool {
        writer.accounts().sync.close();
        writer.syncer.ring();
        let done = || {
            let accounts = writer.accounts();
            let fenced = accounts.progress.ended() == Some(Terminal::Fenced);
            (accounts.ledger.is_empty() || fenced).then_some(!fenced)
        };
        let waited = select(Box::pin(writer.progress.until(done)), self.config.host.clock.sleep(patience)).await;
        let settled = matches!(waited, Either::Left((true, _)));
        writer.accounts().sync.reopen();
        settled
    }

    /// Everything is durable: says so, and gives everything back. A writer that was told of another one is fenced for
    /// good, also if the history lacks nothing of it: somebody may have got that answer already.
    async fn part(self: &Arc<Self>, writer: &Arc<Writer>, occasion: Occasion) -> Result<()> {
        if occasion != Occasion::Turn {
            self.see_merge_off(writer).await;
        }
        let last = report(self, writer);
        let closed = in_good_time(self, writer.lease.close(&last)).await;
        if writer.lease.is_fenced() {
            return Err(self.fenced_error());
        }
        if occasion == Occasion::Turn {
            self.state().yielded = Some(self.now());
        }
        match occasion {
            Occasion::Idle => went(Way::IdleRelease),
            Occasion::Turn => went(Way::TurnGiven),
            Occasion::Release => {}
        }
        self.leave(writer).await?;
        if occasion == Occasion::Release && !closed {
            return Err(Error::new(ErrorKind::Unavailable, "closing the epoch of")
                .object(self.url().to_owned())
                .why("the store did not take it")
                .hint("everything is durable; another host opens it after holder_ttl_ms, or by takeover"));
        }
        Ok(())
    }

    /// A merge that was begun, and takes a few round trips, comes to its end: writers that are there for a moment only
    /// would leave their syncs unmerged for ever.
    async fn see_merge_off(&self, writer: &Writer) {
        let ended = writer.progress.until(|| (!writer.brisk.load(Ordering::Acquire)).then_some(()));
        if let Either::Right(_) = select(Box::pin(ended), self.config.host.clock.sleep(FAREWELL)).await {
            tracing::debug!("a merge did not come to its end in time and is left to the next writer");
        }
    }

    /// Everything is durable: gives everything back.
    async fn leave(self: &Arc<Self>, writer: &Arc<Writer>) -> Result<()> {
        // Whoever opens the volume next finds in the cache what was written here.
        writer.hold.settle().await;
        writer.stop();
        {
            let mut state = self.state();
            // When it was looked last stays: closing need not have looked, and after a suspend others may have gone on.
            state.writer = None;
        }
        let (of, by) = (Arc::clone(self), Arc::clone(writer));
        // Whoever tidies or prepares is waited for, and the disk: nothing else stands still meanwhile.
        let result = run_blocking(&self.config.host.tasks, move || {
            if let Err(error) = by.close_journal() {
                // All that was in it is durable.
                tracing::warn!(%error, "the finished journal could not be closed");
            }
            let result = by.all_is_durable().and_then(|()| of.dir.drop_journal());
            by.unlock();
            result
        })
        .await;
        tracing::info!(url = self.url(), "let go of the volume");
        result
    }

    /// Ends everything. See [`crate::Volume::close`].
    pub(crate) async fn close(self: &Arc<Self>) -> Result<()> {
        self.state().closed = true;
        let (began, patience) = (self.now(), self.settings().close_timeout);
        let turning = Box::pin(self.turning.lock());
        if let Either::Left((_turning, _)) = select(turning, self.config.host.clock.sleep(patience)).await {
            return self.end(patience.saturating_sub(self.now().since(began))).await;
        }
        let of = Arc::clone(self);
        self.config.host.tasks.spawn(Box::pin(async move {
            let _turning = of.turning.lock().await;
            if let Err(error) = of.end(patience).await {
                tracing::warn!(%error, "a close that nobody waits for any more");
            }
        }));
        Err(Error::new(ErrorKind::Unavailable, "closing")
            .object(self.url().to_owned())
            .why("another thread of this process is taking it or letting it go, which did not end within close_timeout_ms")
            .hint(
                "it is closed as soon as that has ended, if this process lives to see that; what was acknowledged is \
                 durable or in the journal of this host",
            ))
    }

    /// Gives back whatever is held, with everything durable if that takes no longer than `patience`. The caller holds
    /// `turning`.
    async fn end(self: &Arc<Self>, patience: Duration) -> Result<()> {
        self.config.metrics.look();
        let writer = self.state().writer.clone();
        let Some(writer) = writer else {
            // Nobody may have written or waited since the fence, and the close must not be the last word.
            return self.state().lost.take().map_or(Ok(()), Err);
        };
        writer.seal();
        let (of, shared) = (Arc::clone(&writer), Arc::clone(self));
        let flushed =
            run_blocking(&self.config.host.tasks, move || of.flush(&shared, Some(FlushReason::Shutdown))).await;
        let settled = self.settle(&writer, patience).await;
        if let Some(info) = writer.fence() {
            return dispossess(self, &writer, info).await;
        }
        if settled {
            self.see_merge_off(&writer).await;
            let last = report(self, &writer);
            in_good_time(self, writer.lease.close(&last)).await;
            return self.leave(&writer).await;
        }
        let (commits, bytes, fenced) = {
            let mut accounts = writer.accounts();
            let fenced = accounts.progress.ended() == Some(Terminal::Fenced);
            accounts.progress.end(Terminal::Closed);
            let marks = accounts.progress.marks();
            let commits = marks.mark(Level::Buffered).lsn.0 - marks.mark(Level::Durable).lsn.0;
            (commits, accounts.ledger.pending().map_or(0, |pending| pending.bytes), fenced)
        };
        writer.progress.fire();
        let trouble = self.trouble();
        writer.stop();
        self.state().writer = None;
        let closed = writer.close_journal();
        writer.unlock();
        let kind = if fenced { ErrorKind::Fenced } else { ErrorKind::Unavailable };
        let lost = flushed.and(closed);
        Err(Error::new(kind, "closing")
            .object(self.url().to_owned())
            .why(format!(
                "{} not durable{}; {} {}",
                if commits == 1 {
                    format!("1 commit ({bytes} bytes) is")
                } else {
                    format!("{commits} commits ({bytes} bytes) are")
                },
                trouble.map_or(String::new(), |trouble| format!(" ({trouble})")),
                match &lost {
                    Ok(()) => "they are in the journal",
                    Err(_) => "some may not even be in the journal",
                },
                self.dir.journal().display()
            ))
            .hint("open the volume on this host again, for example with `plimsoll sync`, to sync them"))
    }
}

/// Closes the epoch, if the store answers in time.
async fn in_good_time(shared: &Shared, closing: impl Future<Output = Result<()>> + Send) -> bool {
    match select(Box::pin(closing), shared.config.host.clock.sleep(FAREWELL)).await {
        Either::Left((Ok(()), _)) => return true,
        Either::Left((Err(error), _)) => tracing::debug!(%error, "the epoch could not be closed"),
        Either::Right(_) => tracing::debug!("the epoch could not be closed in time"),
    }
    false
}
