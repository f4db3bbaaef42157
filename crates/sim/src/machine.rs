//! One simulated host: its disk stays, its lives come and go.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plimsoll_host::{Files, Host, sim_disk::SimDisk};
use plimsoll_journal::Journal;
use plimsoll_metrics::Metrics;
use plimsoll_model::ErrorKind;

use crate::{
    bucket::EPOCH_MS,
    coverage::Event,
    dice::Dice,
    network::{Connection, World, lock},
    profile::Profile,
    time::{Group, HostClock, HostTasks, Sleeps, Work},
    waiting::Waiting,
    worker::{Application, Doing},
};

/// Where a host keeps the local parts of its volumes.
pub(crate) const STATE: &str = "/state";

/// From boot to the end of its processes.
pub(crate) struct Life {
    pub(crate) group: Group,
    quit: Arc<AtomicBool>,
    pub(crate) doing: Doing,
}

/// See the [module](self).
pub(crate) struct Machine {
    pub(crate) number: usize,
    pub(crate) disk: SimDisk,
    wall: Arc<Mutex<u64>>,
    booted: (Duration, Duration),
    /// When it slept since it was booted.
    pub(crate) sleeps: Sleeps,
    pub(crate) life: Option<Life>,
    /// When it is started again.
    pub(crate) back_at: Duration,
    /// Bits were turned over in its journal.
    pub(crate) damaged: bool,
}

impl Machine {
    pub(crate) fn new(number: usize, dice: &Dice) -> Self {
        let wall = Arc::new(Mutex::new(1_700_000_000_000 + dice.below(1 << 38)));
        let booted = (Duration::ZERO, dice.time(Duration::from_secs(1 << 20)));
        let disk = SimDisk::new();
        Machine {
            number,
            disk,
            wall,
            booted,
            sleeps: Sleeps::default(),
            life: None,
            back_at: Duration::ZERO,
            damaged: false,
        }
    }

    /// One whose wall clock shows what the store's does, so that it respects whoever looks alive.
    pub(crate) fn punctual(number: usize, dice: &Dice) -> Self {
        Machine { wall: Arc::new(Mutex::new(EPOCH_MS)), ..Machine::new(number, dice) }
    }

    /// Another handle to it, without its life.
    pub(crate) fn again(&self) -> Self {
        Machine {
            disk: self.disk.clone(),
            wall: Arc::clone(&self.wall),
            sleeps: self.sleeps.clone(),
            life: None,
            ..*self
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("host{}", self.number)
    }

    /// What its processes see of it.
    pub(crate) fn host(&self, world: &World, group: Group) -> Host {
        let time = world.time.clone();
        Host {
            clock: Arc::new(self.clock(world)),
            chance: Arc::new(world.dice.clone()),
            files: Arc::new(self.disk.clone()),
            tasks: Arc::new(HostTasks { time, group }),
        }
    }

    fn clock(&self, world: &World) -> HostClock {
        HostClock {
            time: world.time.clone(),
            booted: self.booted,
            sleeps: self.sleeps.clone(),
            wall: Arc::clone(&self.wall),
        }
    }

    /// A connection to the store during one life.
    pub(crate) fn connection(&self, world: &World, group: Group, timeout: Duration, perfect: bool) -> Connection {
        let (world, clock, waiting) = (world.clone(), self.clock(world), Waiting::new(&world.time));
        let metrics = Metrics::new();
        lock(&world.metrics).push(metrics.clone());
        Connection { world, host: self.number, group, clock, timeout, metrics, perfect, waiting }
    }

    /// Starts its applications.
    pub(crate) fn start(&mut self, world: &World, profile: &Arc<Profile>, group: Group) {
        self.look_at_journal(world);
        let (quit, doing) = (Arc::<AtomicBool>::default(), Doing::default());
        let host = self.host(world, group);
        for number in 0..profile.applications {
            let application = Application {
                world: world.clone(),
                profile: Arc::clone(profile),
                dice: world.dice.clone(),
                host: host.clone(),
                disk: self.disk.clone(),
                connection: self.connection(world, group, profile.request_timeout, false),
                number,
                who: format!("{}.{number}", self.name()),
                doing: Arc::clone(&doing),
                quit: Arc::clone(&quit),
                open: Arc::default(),
            };
            for worker in 0..profile.workers {
                let mut helper = application.clone();
                helper.who = format!("{}.{number}.{worker}", self.name());
                world.time.start(group, Work::Job(Box::new(move || helper.follow())));
            }
            world.time.start(group, Work::Job(Box::new(move || application.lead())));
        }
        world.trace.line(&self.name(), format_args!("starts"));
        self.life = Some(Life { group, quit, doing });
    }

    /// Whether a journal that rotted shows it to whoever looks.
    pub(crate) fn inspect_damage(&self, world: &World) {
        let noticed = world.shelves().iter().any(|shelf| {
            let found = Journal::inspect(&self.disk, &shelf.dir().join("journal"));
            found.map_or_else(|error| error.kind() == ErrorKind::Corrupt, |(_, replay)| replay.cut.is_some())
        });
        if noticed {
            world.count(Event::JournalDamage);
        }
    }

    fn look_at_journal(&self, world: &World) {
        for shelf in world.shelves() {
            if let Ok((_, replay)) = Journal::inspect(&self.disk, &shelf.dir().join("journal"))
                && replay.cut.is_some()
            {
                world.count(Event::TornTail);
            }
        }
    }

    /// Lets its applications come to an end by themselves.
    pub(crate) fn quit(&self) {
        if let Some(life) = &self.life {
            life.quit.store(true, Ordering::Release);
        }
    }

    /// Its monotonic clock begins anew.
    pub(crate) fn reboot(&mut self, now: Duration, dice: &Dice) {
        self.booted = (now, dice.time(Duration::from_secs(1000)));
        self.sleeps = Sleeps::default();
    }

    /// Somebody sets its wall clock.
    pub(crate) fn jump(&self, dice: &Dice) {
        *lock(&self.wall) = 1_700_000_000_000 + dice.below(1 << 38);
    }

    /// Everything of it is gone; another one takes its place.
    pub(crate) fn lose(&mut self) {
        self.disk.kill();
        self.disk = SimDisk::new();
        self.damaged = false;
    }

    /// Files below a folder.
    fn files(&self, dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for name in self.disk.list(dir).unwrap_or_default() {
            let path = dir.join(name);
            let below = self.files(&path);
            if below.is_empty() { found.push(path) } else { found.extend(below) }
        }
        found
    }

    /// Turns bits over in a file whose path contains `what`. Returns whether there was one.
    pub(crate) fn rot(&self, what: &str, dice: &Dice) -> bool {
        let files: Vec<PathBuf> =
            self.files(Path::new(STATE)).into_iter().filter(|path| path.to_string_lossy().contains(what)).collect();
        if files.is_empty() {
            return false;
        }
        let path = dice.pick(&files);
        let len = self.disk.read(path).map_or(0, |bytes| bytes.len() as u64);
        let mut rotten = false;
        for _ in 0..dice.between(1, 20) {
            let mask = 1 << dice.below(8);
            rotten |= len > 0 && self.disk.flip(path, dice.below(len), mask);
        }
        rotten
    }

    /// Removes its caches.
    pub(crate) fn forget_caches(&self) -> bool {
        let state = Path::new(STATE);
        let volumes = self.disk.list(state).unwrap_or_default();
        let caches = volumes.iter().flat_map(|volume| {
            let dir = state.join(volume);
            let names = self.disk.list(&dir).unwrap_or_default();
            names.into_iter().filter(|name| name.starts_with("cache-")).map(move |name| dir.join(name))
        });
        caches.filter(|cache| self.disk.remove_dir_all(cache).is_ok()).count() > 0
    }
}
