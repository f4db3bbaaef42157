//! A world of its own for each test: virtual time, machines with simulated disks, one object store.
//!
//! Everything runs on the thread of the test, one step at a time: the same seed gives the same run. Time
//! passes only while the test waits for something, and then at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{
    future::BoxFuture,
    task::{ArcWake, waker},
};
use plimsoll_host::{Chance, Clock, Host, Mono, Tasks, WallMs, sim_disk::SimDisk};
use plimsoll_metrics::Metrics;
use plimsoll_model::{Level, PageCount, PageNo, Result};
use plimsoll_settings::{Input, Override, Settings, Sourced};
use plimsoll_store::{MemoryStore, Store as _};
use plimsoll_volume::{Config, Fencing, Nowhere, Receipt, Snapshot, Volume};

use crate::remote::Remote;

/// Bytes per page in these tests.
pub(crate) const PAGE: usize = 512;

/// Where the wall clock starts.
const WALL: u64 = 1_700_000_000_000;

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Inner>,
    shelf: MemoryStore,
}

#[derive(Default)]
struct Inner {
    now: Mutex<Duration>,
    timers: Mutex<BTreeMap<(Duration, u64), Waker>>,
    /// Numbers tasks and timers.
    number: AtomicU64,
    tasks: Mutex<BTreeMap<u64, Task>>,
    /// By the process that wants them done.
    jobs: Mutex<Vec<(u64, Job)>>,
    dice: AtomicU64,
}

type Job = Box<dyn FnOnce() + Send>;

struct Task {
    process: u64,
    woken: Arc<Woken>,
    /// Out while it is being polled.
    future: Option<BoxFuture<'static, ()>>,
}

struct Woken(AtomicBool);

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.store(true, Ordering::Release);
    }
}

impl Woken {
    fn new() -> Arc<Self> {
        Arc::new(Woken(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

struct VirtualClock(Arc<Inner>);

impl Clock for VirtualClock {
    fn now(&self) -> Mono {
        Mono(*self.0.now.lock().unwrap())
    }

    fn wall(&self) -> WallMs {
        WallMs(WALL + self.0.now.lock().unwrap().as_millis() as u64)
    }

    fn sleep_until(&self, deadline: Mono) -> BoxFuture<'static, ()> {
        let inner = Arc::clone(&self.0);
        let number = inner.number.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::poll_fn(move |context| {
            if *inner.now.lock().unwrap() >= deadline.0 {
                return Poll::Ready(());
            }
            inner.timers.lock().unwrap().insert((deadline.0, number), context.waker().clone());
            Poll::Pending
        }))
    }
}

struct Dice(Arc<Inner>);

impl Chance for Dice {
    fn bits(&self) -> u64 {
        let state = self.0.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What a process runs.
struct Program {
    inner: Arc<Inner>,
    process: u64,
}

impl Tasks for Program {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        let number = self.inner.number.fetch_add(1, Ordering::Relaxed);
        let task = Task { process: self.process, woken: Woken::new(), future: Some(future) };
        self.inner.tasks.lock().unwrap().insert(number, task);
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        self.inner.jobs.lock().unwrap().push((self.process, job));
    }

    fn block_on(&self, mut future: BoxFuture<'_, ()>) {
        let woken = Woken::new();
        let waker = waker(Arc::clone(&woken));
        loop {
            if woken.take() && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return;
            }
            if !self.inner.step() && !woken.0.load(Ordering::Acquire) {
                self.inner.pass_time();
            }
        }
    }
}

impl Inner {
    /// Runs what can be run now; whether there was anything.
    fn step(&self) -> bool {
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap());
        let mut ran = !jobs.is_empty();
        for (_, job) in jobs {
            job();
        }
        let numbers: Vec<u64> = self.tasks.lock().unwrap().keys().copied().collect();
        for number in numbers {
            let taken = {
                let mut tasks = self.tasks.lock().unwrap();
                tasks
                    .get_mut(&number)
                    .filter(|task| task.woken.take())
                    .map(|task| (task.future.take().expect("a task is polled by one"), Arc::clone(&task.woken)))
            };
            let Some((mut future, woken)) = taken else { continue };
            ran = true;
            let done = future.as_mut().poll(&mut Context::from_waker(&waker(woken))).is_ready();
            let mut tasks = self.tasks.lock().unwrap();
            if done {
                tasks.remove(&number);
            } else if let Some(task) = tasks.get_mut(&number) {
                task.future = Some(future);
            }
        }
        ran
    }

    /// Goes to the next time at which somebody wants to be woken.
    fn pass_time(&self) {
        let next = self.timers.lock().unwrap().pop_first();
        let ((at, _), waker) = next.expect("everybody waits, and nothing will ever happen");
        let mut now = self.now.lock().unwrap();
        *now = (*now).max(at);
        drop(now);
        waker.wake();
    }
}

impl World {
    /// `seed` decides everything that is random.
    pub(crate) fn new(seed: u64) -> Self {
        let inner = Arc::new(Inner { dice: AtomicU64::new(seed), ..Inner::default() });
        let shelf = MemoryStore::private(Arc::new(VirtualClock(Arc::clone(&inner))));
        World { inner, shelf }
    }

    /// A host with an empty disk.
    pub(crate) fn machine(&self, name: &str) -> Machine {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock(Arc::clone(&self.inner)));
        Machine {
            world: self.clone(),
            name: name.to_owned(),
            disk: SimDisk::new(),
            remote: Remote::new(self.shelf.clone(), clock),
            process: self.inner.number.fetch_add(1, Ordering::Relaxed),
            metrics: Metrics::new(),
        }
    }

    /// The object store, without anybody's faults.
    pub(crate) fn shelf(&self) -> &MemoryStore {
        &self.shelf
    }

    /// Keys in the object store below a folder.
    pub(crate) fn keys(&self, folder: &str) -> Vec<String> {
        let entries = self.wait(self.shelf.list(folder, None)).unwrap();
        entries.into_iter().map(|entry| entry.key).collect()
    }

    /// Random numbers.
    pub(crate) fn chance(&self) -> Arc<dyn Chance> {
        Arc::new(Dice(Arc::clone(&self.inner)))
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.chance().below(bound)
    }

    pub(crate) fn now(&self) -> Duration {
        *self.inner.now.lock().unwrap()
    }

    /// Drives a future to its end, and with it everything else.
    pub(crate) fn wait<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let tasks: Arc<dyn Tasks> = Arc::new(Program { inner: Arc::clone(&self.inner), process: 0 });
        tasks.wait(future)
    }

    /// Lets time pass.
    pub(crate) fn run_for(&self, ms: u64) {
        let clock = VirtualClock(Arc::clone(&self.inner));
        self.wait(clock.sleep(Duration::from_millis(ms)));
    }
}

/// A host: a disk, a way to the store, and one process.
pub(crate) struct Machine {
    world: World,
    pub(crate) name: String,
    pub(crate) disk: SimDisk,
    pub(crate) remote: Remote,
    process: u64,
    pub(crate) metrics: Metrics,
}

struct Trusted;

impl Fencing for Trusted {
    fn ensure(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

impl Machine {
    pub(crate) fn host(&self) -> Host {
        let inner = &self.world.inner;
        Host {
            clock: Arc::new(VirtualClock(Arc::clone(inner))),
            chance: Arc::new(Dice(Arc::clone(inner))),
            files: Arc::new(self.disk.clone()),
            tasks: Arc::new(Program { inner: Arc::clone(inner), process: self.process }),
        }
    }

    pub(crate) fn config(&self, values: &[(&str, &str)]) -> Config {
        Config {
            store: Arc::new(self.remote.clone()),
            host: self.host(),
            dir: "/state/volume".into(),
            host_name: self.name.clone(),
            pid: u32::try_from(self.process).unwrap(),
            read_only: false,
            settings: Arc::new(settings(values)),
            metrics: self.metrics.volume(&self.name),
            fencing: Arc::new(Trusted),
            elsewhere: Arc::new(Nowhere),
        }
    }

    pub(crate) fn try_open(&self, values: &[(&str, &str)]) -> Result<Volume> {
        Volume::open(self.config(values))
    }

    pub(crate) fn open(&self, values: &[(&str, &str)]) -> Volume {
        self.try_open(values).unwrap()
    }

    pub(crate) fn open_read_only(&self, values: &[(&str, &str)]) -> Volume {
        Volume::open(Config { read_only: true, ..self.config(values) }).unwrap()
    }

    /// Ends the process as `kill -9` does. Handles of before must not be used any more.
    pub(crate) fn kill(&mut self) {
        self.disk.kill();
        self.end();
    }

    /// Takes the power away.
    pub(crate) fn lose_power(&mut self) {
        self.disk.power_loss(&*self.world.chance());
        self.end();
    }

    /// The next process of this machine.
    fn end(&mut self) {
        let inner = &self.world.inner;
        let process = std::mem::replace(&mut self.process, inner.number.fetch_add(1, Ordering::Relaxed));
        let mut ended = Vec::new();
        {
            let mut tasks = inner.tasks.lock().unwrap();
            let numbers: Vec<u64> =
                tasks.iter().filter(|(_, task)| task.process == process).map(|(number, _)| *number).collect();
            ended.extend(numbers.iter().filter_map(|number| tasks.remove(number)));
        }
        let gone: Vec<_> = inner.jobs.lock().unwrap().extract_if(.., |(owner, _)| *owner == process).collect();
        drop((ended, gone));
    }

    /// Another process beside this one: same disk, its own handles.
    pub(crate) fn beside(&self) -> Machine {
        let process = self.world.inner.number.fetch_add(1, Ordering::Relaxed);
        Machine {
            world: self.world.clone(),
            name: self.name.clone(),
            disk: self.disk.clone(),
            remote: self.remote.clone(),
            process,
            metrics: Metrics::new(),
        }
    }
}

/// Settings for tests: nothing happens in the background but what a test asks for.
pub(crate) fn settings(values: &[(&str, &str)]) -> Settings {
    let fixed = [("state_dir", "/state"), ("hydrate", "false"), ("compaction_levels_ms", ""), ("idle_release_ms", "0")];
    let overrides = fixed.iter().chain(values).map(|(name, value)| Override::new(*name, *value, "the test")).collect();
    let environment = [("HOME".to_owned(), "/home".to_owned())].into();
    Sourced::load(&Input { file: None, environment, overrides }).unwrap().settings
}

pub(crate) fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

/// A page full of one number.
pub(crate) fn content(mark: u64) -> Vec<u8> {
    mark.to_le_bytes().repeat(PAGE / 8)
}

/// Commits pages, each filled with a mark.
pub(crate) fn put(volume: &Volume, pages: &[(u32, u64)], count: u32, level: Level) -> Result<Receipt> {
    let base = volume.snapshot()?;
    let mut txn = volume.begin_write(&base)?;
    for (number, mark) in pages {
        txn.write(page(*number), &content(*mark))?;
    }
    let receipt = txn.commit(PageCount(count), level)?;
    receipt.wait(level)?;
    Ok(receipt)
}

/// What a page is filled with.
pub(crate) fn try_get(snapshot: &Snapshot, number: u32) -> Result<u64> {
    let mut bytes = vec![0xee; PAGE];
    snapshot.read(page(number), &mut bytes)?;
    let mark = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes.chunks(8).all(|part| part == mark.to_le_bytes()), "page {number} is torn");
    Ok(mark)
}

pub(crate) fn get(snapshot: &Snapshot, number: u32) -> u64 {
    try_get(snapshot, number).unwrap()
}

/// Every page of the newest state.
pub(crate) fn marks(volume: &Volume) -> Vec<u64> {
    let snapshot = volume.snapshot().unwrap();
    snapshot.page_count().pages().map(|page| get(&snapshot, page.get())).collect()
}
