//! A machine without threads: jobs and tasks run where they are handed in, and a tick passes when a test says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, executor::block_on, future::BoxFuture};
use plimsoll_host::{Chance, Clock, Host, Mono, Tasks, WallMs, sim_disk::SimDisk};

/// Counts ticks of a millisecond.
#[derive(Default)]
pub(crate) struct Ticks(AtomicU64);

impl Ticks {
    pub(crate) fn pass(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clock for Ticks {
    fn now(&self) -> Mono {
        Mono(Duration::from_millis(self.wall().0))
    }

    fn wall(&self) -> WallMs {
        WallMs(1_000_000 + self.0.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, _: Mono) -> BoxFuture<'static, ()> {
        panic!("nobody has to wait for anything here")
    }
}

struct Inline;

impl Tasks for Inline {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        task.now_or_never().expect("memory answers at once");
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }

    fn block_on(&self, future: BoxFuture<'_, ()>) {
        block_on(future);
    }
}

struct Fixed;

impl Chance for Fixed {
    fn bits(&self) -> u64 {
        4
    }
}

pub(crate) fn host(clock: Arc<dyn Clock>) -> Host {
    Host { clock, chance: Arc::new(Fixed), files: Arc::new(SimDisk::new()), tasks: Arc::new(Inline) }
}
