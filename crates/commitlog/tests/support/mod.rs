//! A virtual clock, an executor that is driven by it, and objects to sync.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod sim;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, LazyLock, Mutex},
    task::{Poll, Waker},
    time::Duration,
};

use futures::{executor::LocalPool, future::BoxFuture, task::LocalSpawnExt};
use plimsoll_commitlog::{Acquire, Context, Head, Lease, Sync, acquire};
use plimsoll_host::{Chance, Clock, Host, Mono, WallMs};
use plimsoll_ltx::{Encoder, Frames, Header};
use plimsoll_model::{Epoch, Lsn, PageCount, PageNo, PageSize, Result, Stamp, Txid, WriterId};
use plimsoll_store::{
    Body, MemoryStore,
    fault::{FaultyStore, Script},
};

/// Retention of level 0 in these tests.
pub const R: Duration = Duration::from_secs(300);
pub const TTL: Duration = Duration::from_secs(30);
const START_MS: u64 = 1_700_000_000_000;

/// Stands still until everybody waits, then jumps to the next deadline.
#[derive(Clone, Default)]
pub struct VirtualClock(Arc<Mutex<Times>>);

#[derive(Default)]
struct Times {
    now: Duration,
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
    count: u64,
}

impl VirtualClock {
    /// Jumps to the next deadline; whether there was one.
    pub fn step(&self) -> bool {
        let waker = {
            let mut times = self.0.lock().unwrap();
            let Some(((due, _), waker)) = times.sleepers.pop_first() else { return false };
            times.now = times.now.max(due);
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    pub fn advance(&self, by: Duration) {
        self.0.lock().unwrap().now += by;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Mono {
        Mono(self.0.lock().unwrap().now)
    }

    fn wall(&self) -> WallMs {
        WallMs(START_MS + self.now().0.as_millis() as u64)
    }

    fn sleep_until(&self, deadline: Mono) -> BoxFuture<'static, ()> {
        let times = Arc::clone(&self.0);
        let mut slot = None;
        Box::pin(futures::future::poll_fn(move |cx| {
            let mut times = times.lock().unwrap();
            if times.now >= deadline.0 {
                return Poll::Ready(());
            }
            let count = times.count;
            let key = *slot.get_or_insert((deadline.0, count));
            times.count += 1;
            times.sleepers.insert(key, Some(cx.waker().clone()));
            Poll::Pending
        }))
    }
}

/// Repeatable random numbers.
#[derive(Clone)]
pub struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(Arc::new(Mutex::new(seed)))
    }

    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn up_to(&self, span: Duration) -> Duration {
        Duration::from_millis(self.below(span.as_millis() as u64 + 1))
    }
}

impl Chance for Dice {
    fn bits(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

/// A machine of this clock and chance. Files and tasks are the real ones, and not used here.
pub fn host(clock: &VirtualClock, dice: &Dice) -> Host {
    static REAL: LazyLock<Host> = LazyLock::new(|| plimsoll_host::os::host().unwrap());
    Host { clock: Arc::new(clock.clone()), chance: Arc::new(dice.clone()), ..REAL.clone() }
}

/// Runs a future to its end; time passes only while everybody waits.
pub fn run<T: 'static>(clock: &VirtualClock, future: impl Future<Output = T> + 'static) -> T {
    let mut pool = LocalPool::new();
    let output = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&output);
    pool.spawner().spawn_local(async move { *slot.borrow_mut() = Some(future.await) }).unwrap();
    loop {
        pool.run_until_stalled();
        if let Some(output) = output.borrow_mut().take() {
            return output;
        }
        assert!(clock.step(), "everybody waits for somebody else");
    }
}

/// One volume in memory, with a script of faults in front.
#[derive(Clone)]
pub struct World {
    pub clock: VirtualClock,
    pub host: Host,
    pub memory: MemoryStore,
    pub script: Script,
    pub context: Context,
}

impl World {
    pub fn new() -> Self {
        let (clock, dice) = (VirtualClock::default(), Dice::new(1));
        let host = host(&clock, &dice);
        let memory = MemoryStore::private(Arc::clone(&host.clock));
        let script = Script::default();
        let faulty = FaultyStore::new(memory.clone(), script.clone(), Arc::clone(&host.clock));
        let context = Context::new(host.clone(), Arc::new(faulty), R);
        World { clock, host, memory, script, context }
    }

    pub fn run<T: 'static, F: Future<Output = T> + 'static>(test: impl FnOnce(World) -> F) -> T {
        let world = World::new();
        let clock = world.clock.clone();
        run(&clock, test(world))
    }

    pub async fn open(&self, ask: Acquire) -> Result<Lease> {
        acquire(&self.context, &ask, fence_body).await
    }
}

/// An open by writer `n` on host `h<n>`.
pub fn ask(n: u64) -> Acquire {
    Acquire {
        writer: WriterId(n),
        host_name: format!("h{n}"),
        pid: 100 + n as u32,
        takeover: false,
        same_host: false,
        holder_ttl: TTL,
        page_size: None,
        volume: None,
        newest: None,
        standing: None,
    }
}

pub fn takeover(n: u64) -> Acquire {
    Acquire { takeover: true, ..ask(n) }
}

/// An object that changes nothing (TXID 1: that holds one page).
pub fn object(txid: Txid, stamp: Option<Stamp>, link: u64, salt: u64) -> (Body, u64) {
    let page_size = PageSize::new(512).unwrap();
    let header = Header {
        page_size,
        commit: PageCount(1),
        min: txid,
        max: txid,
        timestamp: WallMs(START_MS + salt),
        stamp,
        link,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
    if txid == Txid(1) {
        encoder.page(PageNo::FIRST, &[7; 512]).unwrap();
    }
    let checksum = encoder.finish().unwrap().checksum;
    (bytes.into(), checksum)
}

pub fn fence_body(head: &Head, _epoch: Epoch, stamp: Stamp) -> Result<Body> {
    Ok(object(head.txid.next(), Some(stamp), head.checksum, 0).0)
}

/// The sync of a lease that goes up to `lsn`.
pub fn sync(lease: &Lease, writer: u64, lsn: u64) -> Sync {
    let head = lease.head();
    let txid = head.map_or(Txid(1), |head| head.txid.next());
    let stamp = Stamp { writer: WriterId(writer), epoch: lease.epoch(), lsn: Lsn(lsn) };
    let (body, checksum) = object(txid, Some(stamp), head.map_or(0, |head| head.checksum), lsn);
    let page_size = PageSize::new(512).unwrap();
    Sync { txid, stamp, checksum, page_count: PageCount(1), page_size, body }
}
