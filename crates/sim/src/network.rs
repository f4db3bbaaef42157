//! The way to the store: it takes time, loses requests and answers, and delivers some of them much too late.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    channel::oneshot,
    future::{Either, select},
};
use plimsoll_host::{Clock, sim_disk::SimDisk};
use plimsoll_metrics::Metrics;
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_store::Created;

use crate::{
    bucket::{Bucket, Contract, MAKING},
    coverage::Event,
    dice::Dice,
    family::Shelf,
    judge::Judge,
    profile::Profile,
    time::{Group, HostClock, Time, WORLD, Work},
    trace::Trace,
    waiting::Waiting,
};

/// How the network behaves at the moment. Rates are one in so many, 0 for never.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// Longest usual way in one direction.
    pub(crate) latency: Duration,
    pub(crate) lost_request: u64,
    pub(crate) lost_answer: u64,
    pub(crate) throttled: u64,
    pub(crate) late: u64,
    pub(crate) late_create: u64,
    pub(crate) flipped: u64,
    /// How late a request may arrive.
    pub(crate) late_max: Duration,
    /// Hosts that are cut off, and until when.
    pub(crate) cut_off: BTreeMap<usize, Duration>,
    /// The next such request of a host takes long on its way: one whose name contains this, shortest and longest time.
    pub(crate) slow: Vec<(usize, &'static str, Duration, Duration)>,
    /// Answers to such requests of a host are damaged: those whose name contains this, and from when to when.
    pub(crate) spoilt: Vec<(usize, &'static str, Duration, Duration)>,
    /// When a storm ends. Until then most requests fail.
    pub(crate) storm_until: Duration,
    /// Keys in one page of a listing.
    pub(crate) page: usize,
}

/// What befalls a life in the middle of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doom {
    Dies,
    Sleeps,
}

/// Whom something befalls, what, and at which request: one whose name contains this.
type Doomed = (Group, Doom, &'static str);

/// What every host shares. A clone is another handle to it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) time: Time,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    /// The volume that is meant where only one is.
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) family: Arc<Mutex<Vec<Arc<Shelf>>>>,
    weather: Arc<Mutex<Weather>>,
    /// What each life counts.
    pub(crate) metrics: Arc<Mutex<Vec<Metrics>>>,
    /// For how long a sign of life is respected.
    pub(crate) holder_ttl: Duration,
    /// Creates without answer, by who sent them.
    unanswered: Arc<Mutex<BTreeMap<(Group, String), Bytes>>>,
    /// Whom something befalls at the next request that takes effect and is named so.
    doomed: Arc<Mutex<Vec<Doomed>>>,
    /// Whom it befalls now.
    struck: Arc<Mutex<Vec<(Group, Doom)>>>,
    /// Lives that have ended.
    ended: Arc<Mutex<Vec<Group>>>,
    /// Requests that failed, by whose they were.
    failed: Arc<Mutex<BTreeMap<Group, u64>>>,
}

/// No task is ever stopped while it holds one of these.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(time: Time, dice: Dice, trace: Trace, judge: Judge, profile: &Profile) -> Self {
        let shelf = Arc::new(Shelf::new(0, profile.layout, judge));
        lock(&shelf.judge).pointers.promised = true;
        World {
            time,
            dice,
            trace,
            family: Arc::new(Mutex::new(vec![Arc::clone(&shelf)])),
            shelf,
            weather: Arc::new(Mutex::new(profile.weather.clone())),
            metrics: Arc::default(),
            holder_ttl: profile.settings.holder_ttl,
            unanswered: Arc::default(),
            doomed: Arc::default(),
            struck: Arc::default(),
            ended: Arc::default(),
            failed: Arc::default(),
        }
    }

    /// The world as whoever works on another volume sees it.
    pub(crate) fn on(&self, shelf: &Arc<Shelf>) -> World {
        World { shelf: Arc::clone(shelf), ..self.clone() }
    }

    pub(crate) fn judge(&self) -> MutexGuard<'_, Judge> {
        lock(&self.shelf.judge)
    }

    pub(crate) fn bucket(&self) -> MutexGuard<'_, Bucket> {
        lock(&self.shelf.bucket)
    }

    pub(crate) fn weather(&self) -> MutexGuard<'_, Weather> {
        lock(&self.weather)
    }

    pub(crate) fn count(&self, event: Event) {
        self.judge().coverage.count(event);
    }

    /// What has befallen a disk counts once it struck.
    pub(crate) fn count_disk(&self, disk: &SimDisk) {
        let counts = disk.counts();
        let mut judge = self.judge();
        for (event, times) in [
            (Event::DiskFull, counts.full),
            (Event::SyncFailed, counts.failed_syncs),
            (Event::WriteFailed, counts.failed_writes),
            (Event::ReadFailed, counts.failed_reads),
        ] {
            judge.coverage.count_all(event, times);
        }
    }

    /// Nothing more befalls anybody at a request.
    pub(crate) fn pardon(&self) {
        lock(&self.doomed).clear();
        lock(&self.struck).clear();
    }

    /// Lets something befall a life when one of its requests takes effect whose name contains `at`.
    pub(crate) fn doom(&self, group: Group, doom: Doom, at: &'static str) {
        lock(&self.doomed).push((group, doom, at));
    }

    /// Whom something befalls now.
    pub(crate) fn take_struck(&self) -> Vec<(Group, Doom)> {
        std::mem::take(&mut lock(&self.struck))
    }

    /// How many requests of a life have failed.
    pub(crate) fn failures(&self, group: Group) -> u64 {
        lock(&self.failed).get(&group).copied().unwrap_or(0)
    }

    /// A life has ended.
    pub(crate) fn end(&self, group: Group) {
        lock(&self.ended).push(group);
    }

    pub(crate) fn has_ended(&self, group: Group) -> bool {
        lock(&self.ended).contains(&group)
    }
}

/// A host's connection during one life.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) world: World,
    pub(crate) host: usize,
    pub(crate) group: Group,
    pub(crate) clock: HostClock,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Metrics,
    /// Nothing goes wrong: for those who only look.
    pub(crate) perfect: bool,
    /// For how long nothing was asked.
    pub(crate) waiting: Waiting,
}

/// What becomes of one request.
struct Fate {
    there: Duration,
    back: Duration,
    request_lost: bool,
    throttled: bool,
    answer_lost: bool,
    /// Most requests fail.
    storm: bool,
    /// Whether a loss shows as a broken connection, or not at all until time is up.
    hangs: bool,
    flip: Option<u64>,
}

impl Connection {
    fn fate(&self, create: bool) -> Fate {
        let dice = &self.world.dice;
        let now = self.world.time.now();
        let weather = self.world.weather().clone();
        let storm = now < weather.storm_until;
        let rate = |usual: u64| if storm { 3 } else { usual };
        let way = || dice.time(weather.latency) + Duration::from_micros(100);
        let mut fate = Fate {
            there: way(),
            back: way(),
            request_lost: dice.once_in(rate(weather.lost_request)),
            throttled: dice.once_in(rate(weather.throttled)),
            answer_lost: dice.once_in(rate(weather.lost_answer)),
            storm,
            hangs: dice.once_in(3),
            flip: dice.once_in(weather.flipped).then(|| dice.roll()),
        };
        // What is made late matters more than what is read late.
        let late = if create { weather.late_create } else { weather.late };
        if dice.once_in(late) {
            fate.there = weather.late_max.mul_f64(dice.below(1000) as f64 / 1000.0);
        }
        fate
    }

    /// How long this request takes, if it is the one that is to be slow.
    fn slow(&self, what: &str) -> Option<Duration> {
        let mut weather = self.world.weather();
        let meant = weather.slow.iter().position(|slow| slow.0 == self.host && what.contains(slow.1))?;
        let (_, _, min, max) = weather.slow.remove(meant);
        drop(weather);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(0);
        Some(Duration::from_millis(self.world.dice.between(millis(min), millis(max))))
    }

    /// Whether the answer to this request is one of those that are damaged.
    fn is_spoilt(&self, what: &str) -> bool {
        let now = self.world.time.now();
        let meant = |(host, name, from, until): &(usize, &str, Duration, Duration)| {
            *host == self.host && what.contains(name) && (*from..*until).contains(&now)
        };
        self.world.weather().spoilt.iter().any(meant)
    }

    /// The same to another volume.
    pub(crate) fn on(&self, shelf: &Arc<Shelf>) -> Self {
        Connection { world: self.world.on(shelf), ..self.clone() }
    }

    fn is_cut_off(&self) -> bool {
        let now = self.world.time.now();
        self.world.weather().cut_off.get(&self.host).is_some_and(|until| *until > now)
    }

    fn lost(&self, what: &str, why: &'static str) -> Error {
        *lock(&self.world.failed).entry(self.group).or_default() += 1;
        Error::new(ErrorKind::Unavailable, "asking the store").object(what.to_owned()).why(why)
    }

    /// Sends a request. `effect` happens at the store, perhaps long after the answer is not waited for any more.
    pub(crate) async fn request<T: Send + 'static>(
        &self,
        what: String,
        effect: impl FnOnce(&World) -> T + Send + 'static,
        flip: impl FnOnce(T, u64) -> T + Send + 'static,
    ) -> Result<T> {
        if self.perfect {
            return Ok(effect(&self.world));
        }
        let (world, _asked) = (&self.world, self.waiting.ask());
        let mut fate = self.fate(what.starts_with("create"));
        if let Some(there) = self.slow(&what) {
            fate.there = there;
        }
        if self.is_spoilt(&what) {
            fate.flip = Some(world.dice.roll());
        }
        if self.is_cut_off() {
            world.count(Event::Partition);
            world.time.sleep(fate.there.min(self.timeout)).await;
            return Err(self.lost(&what, "the host is cut off"));
        }
        let (answer, answered) = oneshot::channel();
        let sent = world.time.now();
        let (of, name) = (self.clone(), what.clone());
        let way = async move {
            of.deliver(fate, name, sent, effect, flip, answer).await;
        };
        world.time.start(WORLD, Work::Future(Box::pin(way)));
        tracing::trace!(host = self.host, what, "asked");
        match select(answered, self.clock.sleep(self.timeout)).await {
            Either::Left((Ok(answer), _)) => {
                tracing::trace!(host = self.host, what, "answered");
                answer
            }
            Either::Left((Err(_), _)) => Err(self.lost(&what, "the connection broke")),
            Either::Right(_) => Err(self.lost(&what, "there was no answer in time")),
        }
    }

    async fn deliver<T>(
        &self,
        fate: Fate,
        what: String,
        sent: Duration,
        effect: impl FnOnce(&World) -> T,
        flip: impl FnOnce(T, u64) -> T,
        answer: oneshot::Sender<Result<T>>,
    ) {
        let world = &self.world;
        let who = format!("host{}", self.host);
        world.time.sleep(fate.there).await;
        if fate.storm && (fate.request_lost || fate.throttled || fate.answer_lost) {
            world.count(Event::Storm);
        }
        if fate.request_lost {
            world.count(Event::LostRequest);
            world.trace.line(&who, format_args!("{what}: lost on its way"));
            return self.hang(&fate, answer).await;
        }
        if fate.throttled {
            world.count(Event::Throttled);
            world.trace.line(&who, format_args!("{what}: turned away"));
            let _ = answer.send(Err(self.lost(&what, "503 Slow Down")));
            return;
        }
        let late = world.time.now().saturating_sub(sent) > self.timeout;
        if late {
            world.count(Event::LateRequest);
        }
        if world.has_ended(self.group) {
            world.count(Event::Posthumous);
        }
        let done = effect(world);
        if what.starts_with("create") && world.bucket().contract == Contract::Racing {
            world.time.sleep(MAKING).await;
        }
        if late {
            world.trace.line(&who, format_args!("{what}: took effect late"));
        }
        let meant = |doom: &Doomed| doom.0 == self.group && what.contains(doom.2);
        let (now, later) = std::mem::take(&mut *lock(&world.doomed)).into_iter().partition(meant);
        *lock(&world.doomed) = later;
        let now: Vec<Doomed> = now;
        lock(&world.struck).extend(now.into_iter().map(|(group, doom, _)| (group, doom)));
        world.time.sleep(fate.back).await;
        if fate.answer_lost || self.is_cut_off() {
            world.count(Event::LostAnswer);
            world.trace.line(&who, format_args!("{what}: the answer is lost"));
            return self.hang(&fate, answer).await;
        }
        let done = match fate.flip {
            Some(bit) => flip(done, bit),
            None => done,
        };
        // Whoever asked may be gone.
        let _ = answer.send(Ok(done));
    }

    async fn hang<T>(&self, fate: &Fate, answer: oneshot::Sender<T>) {
        if fate.hangs {
            self.world.time.sleep(self.timeout * 2).await;
        }
        drop(answer);
    }

    /// A create was sent and its answer did not come.
    pub(crate) fn unanswered(&self, key: &str, bytes: &Bytes) {
        lock(&self.world.unanswered).insert((self.group, self.world.shelf.label(key)), bytes.clone());
    }

    /// A create was answered: what that says about one before that was not.
    pub(crate) fn answered(&self, key: &str, created: Created) {
        let Some(sent) = lock(&self.world.unanswered).remove(&(self.group, self.world.shelf.label(key))) else {
            return;
        };
        if created == Created::Exists {
            let there = self.world.bucket().get(key).is_some_and(|object| object.bytes == sent);
            self.world.count(if there { Event::ResolvedOurs } else { Event::ResolvedTheirs });
        }
    }
}
