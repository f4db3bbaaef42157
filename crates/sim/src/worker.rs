//! What the application of a host does: opens, writes, reads, waits, closes.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use plimsoll_durability::OnLoadLine;
use plimsoll_host::{Host, sim_disk::SimDisk};
use plimsoll_model::{ErrorKind, Level, PageCount, PageNo, Result};
use plimsoll_settings::{JournalSyncPolicy, Settings};
use plimsoll_store::{Breaker, BreakerPolicy, BreakerStore, ProbeMemory, RetryPolicy, RetryStore, Store, VolumeUrl};
use plimsoll_volume::{Config, Fencing, Probing, Receipt, Role, Volume};

use crate::{
    bucket::Contract,
    coverage::Event,
    dice::Dice,
    family::Neighbours,
    handle::{Handle, Stopped},
    machine::STATE,
    network::{Connection, World},
    policy,
    profile::Profile,
    promise::Promise,
    state::{self, FIRST, Tag},
    store::SimStore,
};

/// What each worker of a life is doing, and since when: for those that never come back.
pub(crate) type Doing = Arc<Mutex<BTreeMap<String, (String, Duration)>>>;

/// One application of a host, with one volume open at a time.
#[derive(Clone)]
pub(crate) struct Application {
    pub(crate) world: World,
    pub(crate) profile: Arc<Profile>,
    pub(crate) dice: Dice,
    pub(crate) host: Host,
    pub(crate) disk: SimDisk,
    pub(crate) connection: Connection,
    pub(crate) number: usize,
    pub(crate) who: String,
    pub(crate) doing: Doing,
    /// No new work.
    pub(crate) quit: Arc<AtomicBool>,
    pub(crate) open: Arc<Mutex<Option<Arc<Handle>>>>,
}

/// A receipt that is waited on later, perhaps after its volume was closed.
pub(crate) struct Kept {
    of: Arc<Handle>,
    tag: Tag,
    /// What the commit was asked to reach.
    asked: Level,
    receipt: Receipt,
}

/// Asks the store in earnest, unless it is vouched for.
struct Asking {
    world: World,
    probing: Probing,
}

impl Fencing for Asking {
    fn ensure(&self) -> BoxFuture<'_, Result<()>> {
        let contract = self.world.bucket().contract;
        Box::pin(async move {
            if contract != Contract::Vouched {
                self.probing.ensure().await?;
                self.world.count(Event::Probed);
            }
            Ok(())
        })
    }
}

/// The store of a volume as a host uses it: `wrapped` in what retries and breaks, or bare.
pub(crate) fn store(connection: &Connection, host: &Host, wrapped: bool) -> Arc<dyn Store> {
    let store = SimStore::new(connection.clone());
    if !wrapped {
        return Arc::new(store);
    }
    let retry = RetryStore::new(store, RetryPolicy::default(), host);
    let breaker = Breaker::new(BreakerPolicy::default(), Arc::clone(&host.clock));
    Arc::new(BreakerStore::new(retry, breaker))
}

/// Opens the volume of a connection.
pub(crate) fn open(
    connection: &Connection,
    host: &Host,
    settings: &Arc<Settings>,
    read_only: bool,
    wrapped: bool,
) -> Result<Volume> {
    if settings.takeover {
        connection.world.judge().manners.excuse(connection.group);
    }
    let store = store(connection, host, wrapped);
    let probing = Probing {
        url: VolumeUrl::parse(store.url())?,
        store: Arc::clone(&store),
        memory: ProbeMemory::new(Path::new(STATE).join("stores")),
        host: host.clone(),
        trusted: settings.unsafe_no_fencing,
    };
    let metrics = connection.metrics.volume(store.url());
    Volume::open(Config {
        store,
        host: host.clone(),
        dir: connection.world.shelf.dir(),
        host_name: format!("host{}", connection.host),
        pid: 1,
        read_only,
        settings: Arc::clone(settings),
        metrics,
        fencing: Arc::new(Asking { world: connection.world.clone(), probing }),
        elsewhere: Arc::new(Neighbours { connection: connection.clone(), host: host.clone(), wrapped }),
    })
}

impl Application {
    pub(crate) fn sleep(&self, time: Duration) {
        self.host.tasks.wait(self.host.clock.sleep(time));
    }

    fn pause(&self) {
        self.sleep(self.dice.time(self.profile.pause_max));
    }

    fn stopping(&self) -> bool {
        self.quit.load(Ordering::Acquire)
    }

    fn handle(&self) -> Option<Arc<Handle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what is being done meanwhile.
    fn during<T>(&self, what: &str, act: impl FnOnce() -> T) -> T {
        let lock = || self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        lock().insert(self.who.clone(), (what.to_owned(), self.world.time.now()));
        let result = act();
        lock().remove(&self.who);
        result
    }

    /// Opens the volume, works, closes it, over and over.
    pub(crate) fn lead(&self) {
        while !self.stopping() {
            let Some(handle) = self.during("open", || self.open_volume()) else {
                self.pause();
                continue;
            };
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&handle));
            let mut receipts = Vec::new();
            // What came of it is judged where it happens.
            drop(self.during("play", || self.play(&handle, &mut receipts)));
            while !self.stopping() {
                let outcome = self.act(&handle, &mut receipts);
                let spent = match outcome {
                    Ok(()) => self.dice.once_in(self.profile.patience),
                    Err(Stopped(ErrorKind::Fenced | ErrorKind::Closed | ErrorKind::Io)) => self.dice.once_in(4),
                    Err(Stopped(_)) => self.dice.once_in(20),
                };
                if spent || !handle.world.judge().pointers.is_open() {
                    break;
                }
                self.pause();
            }
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
            drop(receipts);
            self.during("close", || self.close(&handle));
        }
    }

    /// Works on whatever the first worker of the application has open.
    pub(crate) fn follow(&self) {
        let mut receipts = Vec::new();
        while !self.stopping() {
            match self.handle() {
                // Its errors are judged where they happen.
                Some(handle) => drop(self.act(&handle, &mut receipts)),
                None => receipts.clear(),
            }
            self.pause();
        }
    }

    fn open_volume(&self) -> Option<Arc<Handle>> {
        let mut settings = self.profile.settings.clone();
        settings.takeover = self.dice.once_in(self.profile.takeover);
        let read_only = self.number > 0 && self.dice.once_in(3);
        let settings = Arc::new(settings);
        let volumes = self.world.open_volumes();
        let world = if volumes.len() == 1 { volumes.into_iter().next()? } else { self.dice.pick(&volumes).clone() };
        let connection = self.connection.on(&world.shelf);
        let volume = match open(&connection, &self.host, &settings, read_only, self.profile.wrapped) {
            Ok(volume) => volume,
            Err(error) => {
                self.world.trace.line(&self.who, format_args!("{}", world.shelf.label(&format!("open: {error}"))));
                if error.kind() == ErrorKind::Corrupt && !self.profile.rough {
                    let why = format!("{}: opening: nothing was damaged, and yet: {error}", self.who);
                    world.judge().object(Promise::SoundAnswers, why);
                }
                return None;
            }
        };
        let status = volume.status();
        let what = format!("open: {:?} at {} ({})", status.role, status.lsn, status.txid);
        self.world.trace.line(&self.who, format_args!("{}", world.shelf.label(&what)));
        if status.appended.lsn > status.durable.lsn {
            self.world.count(Event::Replay);
        }
        let files = Arc::clone(&self.host.files);
        let rough = self.profile.rough;
        let handle = Handle::new(world, self.connection.host, self.who.clone(), files, rough, volume);
        Some(Arc::new(Handle { read_only, ..handle }))
    }

    fn close(&self, handle: &Handle) {
        let result = handle.volume.clone().close();
        self.world.trace.line(&self.who, format_args!("close: {result:?}"));
        match result {
            Ok(()) => {
                let appended = handle.said().appended.clone();
                if !appended.is_empty() {
                    self.world.count(Event::CleanClose);
                }
                let kept = if handle.said().fenced { handle.stranded() } else { Default::default() };
                for tag in appended.into_iter().filter(|tag| !kept.contains(tag)) {
                    let mut judge = handle.world.judge();
                    if !judge.is_discarded(handle.host, tag) {
                        judge.is_durable(tag, "a volume was closed without an error");
                    }
                }
            }
            Err(error) => {
                self.world.count(Event::UncleanClose);
                let _ = handle.stopped("close", &error);
            }
        }
    }

    fn act(&self, handle: &Arc<Handle>, receipts: &mut Vec<Kept>) -> Result<(), Stopped> {
        let volume = &handle.volume;
        if self.profile.pointers > 0 && self.dice.below(100) < self.profile.pointers {
            return self.during("point", || self.point(handle));
        }
        match self.dice.below(100) {
            0..50 => self.during("write", || self.write(handle, receipts)),
            50..75 => self.during("read", || self.read(handle)),
            75..83 => {
                if receipts.is_empty() {
                    return Ok(());
                }
                let at = usize::try_from(self.dice.below(receipts.len() as u64)).unwrap_or(0);
                let Kept { of, tag, asked, receipt } = receipts.swap_remove(at);
                let level = *self.dice.pick(&[Level::Journaled, Level::Durable]);
                self.during("wait", || self.wait(&of, tag, &receipt, asked, level))
            }
            83..87 => self.during("sync", || {
                let writer = volume.status().role == Role::Writer;
                let fenced = handle.said().fenced;
                let tag = handle.said().appended.last().copied();
                volume.sync().map_err(|error| handle.stopped("sync", &error))?;
                if let Some(tag) = tag.filter(|_| writer && !fenced) {
                    handle.world.judge().is_durable(tag, "a sync succeeded");
                }
                Ok(())
            }),
            87..89 => self.during("compact", || {
                let done = volume.compact().map_err(|error| handle.stopped("compact", &error))?;
                self.world.trace.line(&self.who, format_args!("compact: {done:?}"));
                Ok(())
            }),
            89..92 => self.during("refresh", || handle.refresh()),
            92..97 => {
                handle.honest();
                Ok(())
            }
            _ => {
                self.during("rest", || self.sleep(self.dice.time(self.profile.rest_max)));
                Ok(())
            }
        }
    }

    fn read(&self, handle: &Handle) -> Result<(), Stopped> {
        let pinned = handle.pin(self.dice.once_in(2))?;
        if self.dice.once_in(3) {
            self.sleep(self.dice.time(self.profile.rest_max));
            handle.check(&pinned, true)?;
            self.world.count(Event::Repeat);
        }
        Ok(())
    }

    fn write(&self, handle: &Arc<Handle>, receipts: &mut Vec<Kept>) -> Result<(), Stopped> {
        let level = self.level();
        self.write_at(handle, receipts, level)
    }

    pub(crate) fn write_at(&self, handle: &Arc<Handle>, receipts: &mut Vec<Kept>, level: Level) -> Result<(), Stopped> {
        let pinned = handle.pin(false)?;
        let (base, asked) = (pinned.tag, self.world.time.now());
        let mut txn = handle.volume.begin_write(&pinned.snapshot).map_err(|error| {
            match error.kind() {
                ErrorKind::Conflict => self.world.count(Event::Conflict),
                ErrorKind::Held => {
                    let by_living = error.to_string().contains("last sign of life");
                    self.world.count(if by_living { Event::HeldByLiving } else { Event::Held });
                    if by_living {
                        handle.held_by_another(&self.connection, asked, &error);
                    }
                }
                _ => {}
            }
            handle.stopped("begin", &error)
        })?;
        handle.resumed(base);
        drop(pinned);
        let size = txn.base().page_size().unwrap_or(self.profile.page_size);
        let before = handle.world.judge().state(base).map_or(0, |state| state.count);
        let (pages, count) = self.draw(before);
        let tag = handle.world.judge().commits.begin(base, &pages, count);
        let mut buf = vec![0; size.bytes()];
        for page in &pages {
            state::fill(&mut buf, *page, tag);
            let number = PageNo::new(*page).expect("BUG: pages begin at 1");
            txn.write(number, &buf).map_err(|error| handle.stopped("write", &error))?;
            if self.dice.once_in(40) {
                self.sleep(self.dice.time(self.profile.pause_max));
            }
        }
        if pages.len() * size.bytes() > 4 << 20 {
            self.world.count(Event::Spill);
        }
        if self.dice.once_in(15) {
            handle.world.judge().commits.refuse(tag);
            self.world.count(Event::Rollback);
            return Ok(());
        }
        let fenced = handle.said().fenced;
        let receipt = match txn.commit(PageCount(count), level) {
            Ok(receipt) => receipt,
            Err(error) => return Err(self.refused(handle, tag, &error)),
        };
        if self.disk.is_dead() {
            return Err(Stopped(ErrorKind::Io));
        }
        self.world.trace.line(
            &self.who,
            format_args!("commit {tag} on {base}: {} at {level:?}, {} pages of {count}", receipt.lsn(), pages.len()),
        );
        handle.appended(tag, receipt.lsn().0, fenced);
        policy::count(&mut self.world.judge().coverage, &self.profile.settings);
        if count < before {
            self.world.count(Event::Shrink);
        }
        self.line(handle);
        let result = self.wait(handle, tag, &receipt, level, level);
        if self.dice.once_in(3) && receipts.len() < 8 {
            receipts.push(Kept { of: Arc::clone(handle), tag, asked: level, receipt });
        }
        result
    }

    fn level(&self) -> Level {
        let (buffered, journaled) = self.profile.levels;
        match self.dice.below(100) {
            at if at < buffered => Level::Buffered,
            at if at < buffered + journaled => Level::Journaled,
            _ => Level::Durable,
        }
    }

    /// Which pages a commit writes, and how many there are after it.
    fn draw(&self, before: u32) -> (Vec<u32>, u32) {
        let dice = &self.dice;
        let max = u64::from(self.profile.pages_max);
        if self.profile.whole > 0 && dice.once_in(self.profile.whole) {
            return ((1..=self.profile.pages_max).collect(), self.profile.pages_max);
        }
        let number = |below: u64| u32::try_from(dice.between(1, below.max(1))).unwrap_or(1);
        let count = match dice.below(20) {
            0 if before > 1 => number(before.into()),
            1..6 => number(max).max(before),
            _ => before.max(number(4)),
        };
        let many = if dice.once_in(10) { 3 * max } else { 5 };
        let wanted = dice.between(0, many);
        let mut pages: Vec<u32> = (0..wanted).map(|_| number(count.into())).collect();
        pages.push(FIRST);
        pages.sort_unstable();
        pages.dedup();
        (pages, count)
    }

    fn refused(&self, handle: &Handle, tag: Tag, error: &plimsoll_model::Error) -> Stopped {
        if !self.disk.is_dead() {
            handle.world.judge().commits.refuse(tag);
        }
        handle.stopped(&format!("commit {tag}"), error)
    }

    /// What the load is right after a commit was let through.
    fn line(&self, handle: &Handle) {
        handle.honest();
        let status = handle.volume.status();
        let policy = self.profile.settings.on_load_line;
        // Also right after a replay, when what was held may be load.
        let load = &status.load;
        let above = load.age_ms > load.max_loss_window_ms + 1 || load.bytes > load.max_dirty_bytes;
        if policy != OnLoadLine::WriteThrough && above {
            handle
                .object(Promise::BoundedLoss, &format!("a commit was let through, and the load is {:?}", status.load));
        }
    }

    fn wait(&self, handle: &Handle, tag: Tag, receipt: &Receipt, asked: Level, level: Level) -> Result<(), Stopped> {
        let fenced = handle.said().fenced;
        receipt.wait(level).map_err(|error| handle.stopped(&format!("wait for {level:?} of {tag}"), &error))?;
        if self.disk.is_dead() {
            return Ok(());
        }
        self.world.trace.line(&self.who, format_args!("commit {tag} is {level:?}"));
        let in_store = {
            let judge = handle.world.judge();
            judge.commits.contains(judge.history.tag, tag)
        };
        if fenced && !in_store {
            handle.object(Promise::OneHistory, &format!("commit {tag} acknowledged after it said that it was fenced"));
        }
        if level == Level::Buffered {
            self.world.count(Event::Buffered);
        }
        if level == Level::Durable {
            handle.world.judge().durable(tag);
            return Ok(());
        }
        let immediate = self.profile.settings.journal_sync_policy == JournalSyncPolicy::Immediate;
        if (level == Level::Journaled || immediate) && !in_store {
            handle.world.judge().journaled(self.connection.host, tag);
        }
        // A commit that was to be durable is acknowledged once it is; less than that is known to whoever asks.
        if asked < Level::Durable {
            handle.acknowledged(tag);
        }
        Ok(())
    }
}
