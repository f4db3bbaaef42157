//! Virtual time: what has passed since the beginning, timers, and which tasks are ready.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::future::BoxFuture;
use plimsoll_host::{Clock, Mono, Tasks, WallMs};
use plimsoll_model::step::{Step, taken};

use crate::executor;

/// A number of a task.
pub(crate) type TaskId = u64;

/// Tasks that live and die together: one life of one host, or the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group(pub(crate) u64);

/// What nobody kills: requests on their way, the referee.
pub(crate) const WORLD: Group = Group(0);

/// What a task does once it runs.
pub(crate) enum Work {
    Future(BoxFuture<'static, ()>),
    /// May block.
    Job(Box<dyn FnOnce() + Send>),
}

/// The part of the simulation that tasks see. A clone is another handle to it.
#[derive(Clone, Default)]
pub(crate) struct Time(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Duration,
    timers: BTreeMap<(Duration, u64), Waker>,
    ready: Vec<TaskId>,
    queued: BTreeSet<TaskId>,
    fresh: Vec<(TaskId, Group, Work)>,
    numbers: u64,
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Time {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.state().now
    }

    /// Lets time pass. Timers that are due fire.
    pub(crate) fn advance(&self, to: Duration) {
        let due = {
            let mut state = self.state();
            state.now = state.now.max(to);
            let later = state.timers.split_off(&(to + Duration::from_nanos(1), 0));
            std::mem::replace(&mut state.timers, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Duration> {
        self.state().timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Wakes somebody at a time.
    pub(crate) fn wake_at(&self, at: Duration, waker: Waker) -> (Duration, u64) {
        let mut state = self.state();
        let key = (at, state.number());
        state.timers.insert(key, waker);
        key
    }

    /// Completes at a time since the beginning.
    pub(crate) fn sleep_until(&self, at: Duration) -> Sleep {
        Sleep { time: self.clone(), at, timer: None }
    }

    /// Completes after a time.
    pub(crate) fn sleep(&self, time: Duration) -> Sleep {
        self.sleep_until(self.now() + time)
    }

    /// Starts a task.
    pub(crate) fn start(&self, group: Group, work: Work) {
        let mut state = self.state();
        let id = state.number();
        state.fresh.push((id, group, work));
    }

    /// Tasks that were started since the last call.
    pub(crate) fn take_fresh(&self) -> Vec<(TaskId, Group, Work)> {
        std::mem::take(&mut self.state().fresh)
    }

    pub(crate) fn ready(&self, id: TaskId) {
        let mut state = self.state();
        if state.queued.insert(id) {
            state.ready.push(id);
        }
    }

    /// Takes one of the tasks that are ready, as `choose` says for their number.
    pub(crate) fn take_ready(&self, choose: impl FnOnce(usize) -> usize) -> Option<TaskId> {
        let mut state = self.state();
        if state.ready.is_empty() {
            return None;
        }
        let at = choose(state.ready.len());
        let id = state.ready.swap_remove(at);
        state.queued.remove(&id);
        Some(id)
    }

    /// What wakes a task.
    pub(crate) fn waker(&self, id: TaskId) -> Waker {
        Arc::new(Alarm { time: self.clone(), id }).into()
    }
}

struct Alarm {
    time: Time,
    id: TaskId,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.time.ready(self.id);
    }
}

/// See [`Time::sleep_until`].
pub(crate) struct Sleep {
    time: Time,
    at: Duration,
    timer: Option<(Duration, u64)>,
}

impl Sleep {
    fn forget(&mut self) {
        if let Some(key) = self.timer.take() {
            self.time.state().timers.remove(&key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.forget();
        if self.time.now() >= self.at {
            return Poll::Ready(());
        }
        self.timer = Some(self.time.wake_at(self.at, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}

/// When a host slept. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Sleeps(Arc<Mutex<Slept>>);

#[derive(Clone, Copy, Default)]
struct Slept {
    /// How long in all before the last time.
    before: Duration,
    /// When it fell asleep last, and when it wakes up.
    last: Option<(Duration, Duration)>,
}

impl Slept {
    fn total(self, now: Duration) -> Duration {
        self.before + self.last.map_or(Duration::ZERO, |(since, until)| now.min(until).saturating_sub(since))
    }
}

impl Sleeps {
    fn state(&self) -> MutexGuard<'_, Slept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It sleeps from now until then, whatever was to be before.
    pub(crate) fn begin(&self, now: Duration, until: Duration) {
        let mut slept = self.state();
        *slept = Slept { before: slept.total(now), last: Some((now, until)) };
    }

    /// It is awake now.
    pub(crate) fn end(&self, now: Duration) {
        self.begin(now, now);
    }

    /// For how long it slept in all.
    fn total(&self, now: Duration) -> Duration {
        self.state().total(now)
    }
}

/// The clock of a host. Clones share what it shows to people.
#[derive(Clone)]
pub(crate) struct HostClock {
    pub(crate) time: Time,
    /// When the host was booted, and what its clock showed then.
    pub(crate) booted: (Duration, Duration),
    /// For how long the host slept since then.
    pub(crate) sleeps: Sleeps,
    /// What is added to the time since the beginning, in milliseconds, for people. May jump.
    pub(crate) wall: Arc<Mutex<u64>>,
}

impl Clock for HostClock {
    fn now(&self) -> Mono {
        let passed = self.time.now() - self.booted.0 + self.booted.1;
        if taken(Step::SuspendClock) {
            return Mono(passed);
        }
        Mono(passed.saturating_sub(self.sleeps.total(self.time.now())))
    }

    fn wall(&self) -> WallMs {
        let skew = *self.wall.lock().unwrap_or_else(PoisonError::into_inner);
        WallMs(skew + u64::try_from(self.time.now().as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, deadline: Mono) -> BoxFuture<'static, ()> {
        if taken(Step::SuspendClock) {
            return Box::pin(self.time.sleep_until(deadline.0.saturating_sub(self.booted.1) + self.booted.0));
        }
        let clock = self.clone();
        Box::pin(async move {
            while clock.now() < deadline {
                clock.time.sleep(deadline.since(clock.now())).await;
            }
        })
    }
}

/// The tasks of one life of a host.
#[derive(Clone)]
pub(crate) struct HostTasks {
    pub(crate) time: Time,
    pub(crate) group: Group,
}

impl Tasks for HostTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.time.start(self.group, Work::Future(task));
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        self.time.start(self.group, Work::Job(job));
    }

    fn block_on(&self, future: BoxFuture<'_, ()>) {
        executor::block_on(&self.time, future);
    }
}
