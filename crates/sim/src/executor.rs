//! Runs every task of every host on one thread, in an order that the dice decide.
//!
//! A future is polled. What may block runs on a stack of its own and is left when it waits. Nothing runs at the same
//! time as anything else, and time passes only while nothing is ready, but for a microsecond per step.

use std::{
    cell::Cell,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Waker},
    time::Duration,
};

use corosensei::{Coroutine, CoroutineResult, Yielder, stack::DefaultStack};
use futures::future::BoxFuture;

use crate::{
    dice::Dice,
    time::{Group, TaskId, Time, WORLD, Work},
};

/// Room for everything that a blocking call has on its stack.
const STACK_BYTES: usize = 1 << 20;
/// What one step costs.
const STEP: Duration = Duration::from_micros(1);
/// One step in so many comes late, as with a busy processor.
const LATE_ONCE_IN: u64 = 97;
const LATE_MAX: Duration = Duration::from_millis(20);
/// One step in so many comes very late, as with a starved thread.
const STARVED_ONCE_IN: u64 = 9_973;
const STARVED_MAX: Duration = Duration::from_secs(20);

type Stack = Coroutine<(), (), (), DefaultStack>;

enum Body {
    Future(BoxFuture<'static, ()>),
    Stack(Stack),
}

struct Task {
    group: Group,
    waker: Waker,
    body: Body,
}

/// What came of a step.
pub(crate) enum Step {
    /// Something ran.
    Ran,
    /// Nothing is ready before the deadline, and it is that late now.
    Waited,
    /// A task panicked with these words. Nothing of the executor may be used any more, or dropped.
    Panicked(String),
}

/// See the [module](self).
pub(crate) struct Executor {
    time: Time,
    dice: Dice,
    tasks: BTreeMap<TaskId, Task>,
    frozen: BTreeMap<Group, Duration>,
    idle_stacks: Vec<DefaultStack>,
    /// Steps so far.
    pub(crate) steps: u64,
    /// Whether steps come late at times.
    pub(crate) jitter: bool,
}

#[derive(Clone, Copy)]
struct Running {
    yielder: *const Yielder<(), ()>,
    id: TaskId,
}

thread_local! {
    /// The stack that runs on this thread.
    static RUNNING: Cell<Option<Running>> = const { Cell::new(None) };
}

/// Drives a future on the stack that calls; others run while it waits.
///
/// # Panics
/// When it is not a stack that calls: a future that blocks would block a thread which drives others.
pub(crate) fn block_on(time: &Time, mut future: BoxFuture<'_, ()>) {
    let running = RUNNING.get().expect("BUG: blocking inside of a future");
    let waker = time.waker(running.id);
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        // SAFETY: the yielder lives as long as the stack that it belongs to, and we are on that stack: `RUNNING`
        // is set while it runs, and empty or another's while it does not.
        unsafe { &*running.yielder }.suspend(());
        RUNNING.set(Some(running));
    }
}

impl Executor {
    pub(crate) fn new(time: Time, dice: Dice) -> Self {
        Executor {
            time,
            dice,
            tasks: BTreeMap::new(),
            frozen: BTreeMap::new(),
            idle_stacks: Vec::new(),
            steps: 0,
            jitter: true,
        }
    }

    /// Runs one task that is ready, or lets time pass until one is, or until `deadline`.
    pub(crate) fn step(&mut self, deadline: Duration) -> Step {
        loop {
            self.admit();
            let now = self.time.now();
            let Some(id) = self.time.take_ready(|ready| usize::try_from(self.dice.below(ready as u64)).unwrap_or(0))
            else {
                let next = self.time.next_timer().map_or(deadline, |at| at.min(deadline));
                self.time.advance(next.max(now));
                if next >= deadline {
                    return Step::Waited;
                }
                continue;
            };
            let Some(task) = self.tasks.get(&id) else { continue };
            if let Some(until) = self.late(task.group, now) {
                self.time.wake_at(until, task.waker.clone());
                continue;
            }
            self.steps += 1;
            self.time.advance(now + STEP);
            return match catch_unwind(AssertUnwindSafe(|| self.run(id))) {
                Ok(()) => Step::Ran,
                Err(panic) => Step::Panicked(words(&*panic)),
            };
        }
    }

    /// Until when a task has to wait although it is ready.
    fn late(&self, group: Group, now: Duration) -> Option<Duration> {
        if let Some(until) = self.frozen.get(&group).filter(|until| **until > now) {
            return Some(*until);
        }
        if group == WORLD || !self.jitter {
            return None;
        }
        if self.dice.once_in(STARVED_ONCE_IN) {
            return Some(now + self.dice.time(STARVED_MAX));
        }
        self.dice.once_in(LATE_ONCE_IN).then(|| now + self.dice.time(LATE_MAX))
    }

    fn admit(&mut self) {
        for (id, group, work) in self.time.take_fresh() {
            let body = match work {
                Work::Future(future) => Body::Future(future),
                Work::Job(job) => Body::Stack(self.stack(id, job)),
            };
            self.tasks.insert(id, Task { group, waker: self.time.waker(id), body });
            self.time.ready(id);
        }
    }

    fn stack(&mut self, id: TaskId, job: Box<dyn FnOnce() + Send>) -> Stack {
        let stack = self
            .idle_stacks
            .pop()
            .unwrap_or_else(|| DefaultStack::new(STACK_BYTES).expect("BUG: the system has no room for another stack"));
        Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            RUNNING.set(Some(Running { yielder, id }));
            job();
        })
    }

    fn run(&mut self, id: TaskId) {
        let Some(mut task) = self.tasks.remove(&id) else { return };
        let over = match &mut task.body {
            Body::Future(future) => {
                RUNNING.set(None);
                future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready()
            }
            Body::Stack(stack) => matches!(stack.resume(()), CoroutineResult::Return(())),
        };
        if !over {
            self.tasks.insert(id, task);
        } else if let Body::Stack(stack) = task.body {
            self.idle_stacks.push(stack.into_stack());
        }
    }

    /// Ends every task of a group where it is.
    pub(crate) fn kill(&mut self, group: Group) {
        self.admit();
        self.frozen.remove(&group);
        RUNNING.set(None);
        let dying: Vec<TaskId> = self.tasks.iter().filter(|(_, task)| task.group == group).map(|(id, _)| *id).collect();
        for id in dying {
            self.tasks.remove(&id);
        }
        // What the dying have started is dead as well.
        let born: Vec<_> = self.time.take_fresh();
        for (_, of, work) in born {
            if of != group {
                self.time.start(of, work);
            }
        }
    }

    /// Stops a group until a time, as a host that is suspended.
    pub(crate) fn freeze(&mut self, group: Group, until: Duration) {
        self.frozen.insert(group, until);
    }

    /// Lets every group go on.
    pub(crate) fn thaw(&mut self) {
        self.frozen.clear();
        for id in self.tasks.keys() {
            self.time.ready(*id);
        }
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    words.unwrap_or("a panic without words").to_owned()
}
