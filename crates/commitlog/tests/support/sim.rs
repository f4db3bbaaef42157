//! Writers that race, sleep and crash over a store that delays, loses and repeats; a collector beside them.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    FutureExt as _,
    future::{Either, join, join_all, select},
};
use plimsoll_commitlog::{Beat, Context, FenceInfo, Outcome, StatusReport, acquire};
use plimsoll_host::{Chance as _, Clock as _};
use plimsoll_ltx::{Header, Layout};
use plimsoll_model::{Epoch, Error, ErrorKind, Lsn, Result, Stamp, Txid};
use plimsoll_store::{Body, Created, Entry, MemoryStore, Object, Store, Tail};

use super::{Dice, R, VirtualClock, fence_body, host, run, sync, takeover};

const WRITERS: u64 = 3;
const TIME: Duration = Duration::from_secs(6000);

/// What happened in a run without a violation.
#[derive(Debug, Default)]
pub struct Tally {
    pub durable: usize,
    pub fenced: usize,
    pub settled: usize,
    pub strays: usize,
    pub opened: usize,
}

/// One sync of the history.
#[derive(Clone, Copy, Debug)]
struct Made {
    stamp: Stamp,
    checksum: u64,
}

/// All that is known to nobody but the judge.
#[derive(Default)]
struct Judge {
    /// The first object of each name, if it continued the history. TXID 1 first.
    history: Vec<Made>,
    /// The highest epoch that holds the volume behind a fence.
    holding: Epoch,
    /// Who was told what: an epoch's durable floor at its open and the answer.
    fences: Vec<(Epoch, Lsn, FenceInfo)>,
    violation: Option<String>,
    tally: Tally,
}

impl Judge {
    fn blame(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// An object was created at level 0.
    fn made(&mut self, txid: Txid, bytes: &[u8]) {
        let header = Header::decode(bytes).unwrap();
        let checksum = u64::from_be_bytes(*bytes.last_chunk().unwrap());
        let stamp = header.stamp.unwrap();
        let next = self.history.len() as u64 + 1;
        if txid.0 < next {
            self.tally.strays += 1;
            return;
        }
        if txid.0 > next {
            self.blame(format!("TXID {txid} by {stamp} leaves a gap after {}", next - 1));
        }
        let before = self.history.last().map_or(0, |made| made.checksum);
        if header.link != before {
            self.blame(format!("TXID {txid} by {stamp} does not continue the history"));
        }
        if stamp.epoch < self.holding {
            self.blame(format!("TXID {txid} by {stamp} after epoch {} held the volume", self.holding));
        }
        self.history.push(Made { stamp, checksum });
    }

    fn told_durable(&mut self, txid: Txid, stamp: Stamp, checksum: u64) {
        self.tally.durable += 1;
        match self.history.get(txid.0 as usize - 1) {
            Some(made) if made.checksum == checksum => {}
            other => self.blame(format!("{stamp} was told that TXID {txid} is durable, but there is {other:?}")),
        }
    }

    /// After everything: whether those who were told what survived were told the truth.
    fn judge_fences(&mut self) {
        for (epoch, inherited, info) in std::mem::take(&mut self.fences) {
            let ours = self.history.iter().filter(|made| made.stamp.epoch == epoch).map(|made| made.stamp.lsn).max();
            let held = ours.unwrap_or(inherited);
            self.tally.fenced += 1;
            self.tally.settled += usize::from(info.settled);
            if info.held > held || (info.settled && info.held != held) {
                self.blame(format!("epoch {epoch} was told {info:?}, the history holds {held}"));
            }
        }
    }
}

/// Runs one world from its seed. `adjust` may leave out steps of the protocol.
pub fn simulate(seed: u64, adjust: impl Fn(Context) -> Context) -> std::result::Result<Tally, String> {
    let clock = VirtualClock::default();
    let dice = Dice::new(seed);
    let judge = Arc::new(Mutex::new(Judge::default()));
    let memory = MemoryStore::private(Arc::new(clock.clone()));
    let network = Network {
        memory: memory.clone(),
        clock: clock.clone(),
        dice: dice.clone(),
        late: Arc::default(),
        judge: Arc::clone(&judge),
        rough: dice.below(3),
    };
    let context = adjust(Context::new(host(&clock, &dice), Arc::new(network.clone()), R));
    let end = clock.now() + TIME;
    let writers = join_all((1..=WRITERS).map(|writer| {
        let process = Process { writer, context: context.clone(), dice: dice.clone(), judge: Arc::clone(&judge) };
        let clock = clock.clone();
        async move {
            while clock.now() < end {
                let life = process.dice.up_to(R * 4);
                // Dropping the future is the crash.
                let crash = clock.sleep(life);
                if let Either::Left(_) = select(process.live(&clock).boxed_local(), crash).await {
                    clock.sleep(process.dice.up_to(R / 10)).await;
                }
            }
        }
    }));
    let beside = {
        let (clock, network) = (clock.clone(), network.clone());
        async move {
            loop {
                clock.sleep(network.dice.up_to(R / 20)).await;
                network.deliver().await;
                network.collect().await;
            }
        }
    };
    run(&clock.clone(), async move {
        select(writers.boxed_local(), beside.boxed_local()).await;
    });
    let mut judge = judge.lock().unwrap();
    judge.judge_fences();
    match judge.violation.take() {
        Some(what) => Err(format!("seed {seed}: {what}")),
        None => Ok(std::mem::take(&mut judge.tally)),
    }
}

struct Process {
    writer: u64,
    context: Context,
    dice: Dice,
    judge: Arc<Mutex<Judge>>,
}

impl Process {
    /// Opens, writes, and ends when it is fenced, tired or refused.
    async fn live(&self, clock: &VirtualClock) {
        let Ok(lease) = acquire(&self.context, &takeover(self.writer), fence_body).await else { return };
        let inherited = lease.durable();
        {
            let mut judge = self.judge.lock().unwrap();
            judge.tally.opened += 1;
            if lease.head().is_some() {
                judge.holding = judge.holding.max(lease.epoch());
            }
        }
        let mut lsn = inherited.0;
        for _ in 0..self.dice.below(40) {
            lsn += 1 + self.dice.below(3);
            let sync = sync(&lease, self.writer, lsn);
            loop {
                let beat = async {
                    match self.dice.below(3) {
                        0 => lease.heartbeat(&StatusReport::default()).await.ok(),
                        _ => None,
                    }
                };
                let (outcome, beat) = join(lease.create_next(sync.clone()), beat).await;
                if let Some(Beat::Fenced(info)) = beat {
                    self.judge.lock().unwrap().fences.push((lease.epoch(), inherited, info));
                }
                match outcome {
                    Ok(Outcome::Durable) => {
                        break self.told(|judge| {
                            judge.told_durable(sync.txid, sync.stamp, sync.checksum);
                        });
                    }
                    Ok(Outcome::Fenced(info)) => {
                        return self.told(|judge| judge.fences.push((lease.epoch(), inherited, info)));
                    }
                    Err(error) if error.kind() == ErrorKind::Unavailable => clock.sleep(Duration::from_secs(1)).await,
                    Err(error) if error.kind() == ErrorKind::Fenced => return,
                    Err(error) => return self.told(|judge| judge.blame(format!("an unexpected error: {error}"))),
                }
            }
            clock.sleep(if self.dice.one_in(15) { self.dice.up_to(R * 3) } else { Duration::from_secs(1) }).await;
        }
    }

    fn told(&self, note: impl FnOnce(&mut Judge)) {
        note(&mut self.judge.lock().unwrap());
    }
}

/// A create that is still on its way after its sender was told that there is no answer.
struct LateCreate {
    due: plimsoll_host::Mono,
    key: String,
    body: Body,
}

/// The store as seen from afar.
#[derive(Clone)]
struct Network {
    memory: MemoryStore,
    clock: VirtualClock,
    dice: Dice,
    late: Arc<Mutex<Vec<LateCreate>>>,
    judge: Arc<Mutex<Judge>>,
    /// 0: mostly well; higher: worse.
    rough: u64,
}

impl Network {
    /// Mostly milliseconds; sometimes the network or the process sleeps, through the retention too.
    async fn travel(&self) {
        let rare = [200, 60, 25][self.rough as usize];
        let time = match self.dice.one_in(rare) {
            true => self.dice.up_to(R * 2),
            false => self.dice.up_to(Duration::from_millis(60)),
        };
        self.clock.sleep(time).await;
    }

    fn strikes(&self) -> bool {
        self.dice.one_in([100, 30, 12][self.rough as usize])
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "asking the store").why("no answer")
    }

    /// Applies a create and tells the judge.
    async fn apply(&self, key: &str, body: Body) -> Result<Created> {
        let bytes = body.to_bytes().unwrap();
        let created = self.memory.create(key, body).await?;
        if let (Created::New, Some(id)) = (created, Layout::Other.parse(key)) {
            self.judge.lock().unwrap().made(id.max, &bytes);
        }
        Ok(created)
    }

    /// Late requests whose time has come arrive.
    async fn deliver(&self) {
        let now = self.clock.now();
        let (due, later) = self.late.lock().unwrap().drain(..).partition(|late: &LateCreate| late.due <= now);
        *self.late.lock().unwrap() = later;
        for LateCreate { key, body, .. } in due {
            let _ = self.apply(&key, body).await;
        }
    }

    /// Deletes level-0 objects that are old enough, except the newest, as if they were merged.
    async fn collect(&self) {
        let entries = self.memory.list("ltx/0/", None).await.unwrap();
        let now = self.clock.wall();
        let old = |entry: &&Entry| Duration::from_millis(now.0 - entry.modified.0) > R;
        let older = entries.iter().rev().skip(1).filter(old).map(|entry| entry.key.clone()).collect::<Vec<_>>();
        self.memory.delete(&older).await.unwrap();
    }

    async fn ask<T>(&self, request: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.travel().await;
        if self.strikes() {
            return Err(self.lost());
        }
        let answer = request.await;
        self.travel().await;
        if self.strikes() { Err(self.lost()) } else { answer }
    }
}

#[async_trait]
impl Store for Network {
    fn url(&self) -> &str {
        "memory:///simulated"
    }
    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        if self.strikes() {
            let due = self.clock.now() + self.dice.up_to(R * 3);
            self.late.lock().unwrap().push(LateCreate { due, key: key.to_owned(), body });
            self.travel().await;
            return Err(self.lost());
        }
        self.ask(self.apply(key, body)).await
    }
    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.ask(self.memory.put(key, body)).await
    }
    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.ask(self.memory.get(key)).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.ask(self.memory.get_range(key, range)).await
    }
    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.ask(self.memory.get_tail(key, bytes)).await
    }
    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        self.ask(self.memory.list(folder, after)).await
    }
    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.ask(self.memory.delete(keys)).await
    }
    fn s3_layout(&self) -> bool {
        false
    }
}
