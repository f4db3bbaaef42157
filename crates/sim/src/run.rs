//! One run: fate strikes for a while, then everything gets well, and what was promised has to be there.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use plimsoll_metrics::Metrics;
use plimsoll_model::way;

use crate::{
    aim::Aim,
    coverage::{Coverage, Event},
    dice::Dice,
    executor::{Executor, Step},
    finale,
    judge::Judge,
    machine::Machine,
    network::{Doom, World, lock},
    policy,
    profile::Profile,
    promise::{Broken, Promise},
    tenure,
    time::{Group, Time, Work},
    trace::{Log, Trace},
};

/// How long everything may take to come to rest once nothing goes wrong any more.
const REST: Duration = Duration::from_secs(900);
/// Steps after which a run is broken off: something runs in circles.
const STEPS_MAX: u64 = 10_000_000;
/// How often a new reader looks at the volume.
const AUDIT_EVERY: Duration = Duration::from_secs(20);
/// How often it is looked whether a job has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it was made from.
    pub seed: u64,
    /// What it was after.
    pub aim: Aim,
    /// The promise that was broken, if one was.
    pub broken: Option<Broken>,
    /// What was tried.
    pub coverage: Coverage,
    /// Every event, with virtual time in seconds.
    pub trace: String,
    /// Virtual time.
    pub length: Duration,
    /// Tasks that were run.
    pub steps: u64,
}

/// How far a run is, for whoever waits for it on another thread.
#[derive(Debug, Default)]
pub struct Progress {
    steps: AtomicU64,
    millis: AtomicU64,
}

impl Progress {
    /// Tasks that were run.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Virtual time.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    fn set(&self, steps: u64, length: Duration) {
        self.steps.store(steps, Ordering::Relaxed);
        self.millis.store(u64::try_from(length.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// See the [module](self).
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) dice: Dice,
    pub(crate) profile: Arc<Profile>,
    pub(crate) executor: Executor,
    pub(crate) machines: Vec<Machine>,
    /// When the last host that sleeps wakes up.
    pub(crate) awake_at: Duration,
    /// Hosts that sleep, and until when.
    pub(crate) sleepers: Vec<(Group, Duration)>,
    groups: u64,
    progress: Arc<Progress>,
}

/// Runs one seed with an aim. `log` takes what the engine logs into the trace; it changes nothing else.
#[must_use]
pub fn run(seed: u64, aim: Aim, log: bool) -> Report {
    run_watched(seed, aim, log, &Arc::default())
}

/// As [`run`], and says meanwhile how far it is.
#[must_use]
pub fn run_watched(seed: u64, aim: Aim, log: bool, progress: &Arc<Progress>) -> Report {
    let time = Time::default();
    let trace = Trace::new(time.clone());
    if !log {
        return run_with(seed, aim, time, trace, Arc::clone(progress));
    }
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .without_time()
        .with_writer(Log(trace.clone()))
        .finish();
    tracing::subscriber::with_default(subscriber, || run_with(seed, aim, time, trace, Arc::clone(progress)))
}

fn run_with(seed: u64, aim: Aim, time: Time, trace: Trace, progress: Arc<Progress>) -> Report {
    let profile = Arc::new(Profile::draw(&Dice::new(seed, 0), &Dice::new(seed, 4), aim));
    let settings = &profile.settings;
    let judge = Judge::new(profile.hosts + 1, settings.l0_retention.min(settings.retention), settings.holder_ttl);
    let world = World::new(time.clone(), Dice::new(seed, 1), trace, judge, &profile);
    world.bucket().contract = profile.contract;
    let dice = Dice::new(seed, 2);
    let machine = if profile.punctual { Machine::punctual } else { Machine::new };
    let mut run = Run {
        executor: Executor::new(time, Dice::new(seed, 3)),
        machines: (0..profile.hosts).map(|number| machine(number, &dice)).collect(),
        world,
        dice,
        profile,
        awake_at: Duration::ZERO,
        sleepers: Vec::new(),
        groups: 0,
        progress,
    };
    run.world.trace.line("run", format_args!("seed {seed}: {:?}", run.profile));
    drop(way::take());
    let broken = run.play().err();
    if let Some(why) = &broken {
        run.world.trace.line("run", format_args!("BROKEN: {why}"));
    }
    for (way, times) in way::take() {
        run.world.judge().coverage.count_all(Event::Engine(way), times);
    }
    run.machines.iter().for_each(|machine| run.world.count_disk(&machine.disk));
    if broken.is_none() {
        let counted: Vec<String> = lock(&run.world.metrics).iter().map(Metrics::encode).collect();
        counted.iter().for_each(|counted| policy::count_reasons(&mut run.world.judge().coverage, counted));
    }
    let report = Report {
        seed,
        aim,
        coverage: run.world.coverage(),
        trace: run.world.trace.text(),
        length: run.world.time.now(),
        steps: run.executor.steps,
        broken,
    };
    if report.broken.is_some() {
        // A lock may be poisoned, and what is dropped would trip over it.
        std::mem::forget(run);
    } else {
        run.end();
    }
    report
}

impl Run {
    fn play(&mut self) -> Result<(), Broken> {
        let mut next_blow = self.next_blow();
        let mut next_audit = AUDIT_EVERY;
        while self.world.time.now() < self.profile.length {
            self.start_those_back();
            let until = next_blow.min(next_audit).min(self.next_back()).min(self.profile.length);
            self.go_on(until)?;
            let now = self.world.time.now();
            if now >= next_blow {
                self.strike();
                next_blow = self.next_blow();
            }
            if now >= next_audit {
                self.audit()?;
                next_audit = now + AUDIT_EVERY;
            }
        }
        self.get_well();
        self.rest()?;
        self.settle()
    }

    fn next_blow(&self) -> Duration {
        self.world.time.now() + self.dice.time(self.profile.blow_every * 2)
    }

    fn next_back(&self) -> Duration {
        self.machines
            .iter()
            .filter(|machine| machine.life.is_none())
            .map(|machine| machine.back_at)
            .min()
            .unwrap_or(Duration::MAX)
    }

    fn next_group(&mut self) -> Group {
        self.groups += 1;
        Group(self.groups)
    }

    fn start_those_back(&mut self) {
        for at in 0..self.machines.len() {
            if self.machines[at].life.is_none() && self.machines[at].back_at <= self.world.time.now() {
                if self.machines[at].damaged {
                    self.replace(at);
                }
                let group = self.next_group();
                self.machines[at].start(&self.world, &self.profile.clone(), group);
            }
        }
    }

    /// Lets everything run until a time.
    fn go_on(&mut self, until: Duration) -> Result<(), Broken> {
        loop {
            match self.executor.step(until) {
                Step::Waited => return self.verdict(),
                Step::Ran => {}
                Step::Panicked(words) => return Err(Promise::SoundAnswers.broken(format!("a panic: {words}"))),
            }
            self.progress.set(self.executor.steps, self.world.time.now());
            self.verdict()?;
            self.bury();
            self.wake();
            if self.executor.steps > STEPS_MAX {
                return Err(
                    Promise::SoundAnswers.broken(format!("more than {STEPS_MAX} steps: something runs in circles"))
                );
            }
        }
    }

    fn verdict(&self) -> Result<(), Broken> {
        self.world.verdict().map_or(Ok(()), Err)
    }

    /// Ends the lives of those that died in the last step, and stops those that fell asleep.
    fn bury(&mut self) {
        let struck = self.world.take_struck();
        for at in 0..self.machines.len() {
            let Some(group) = self.machines[at].life.as_ref().map(|life| life.group) else { continue };
            if self.machines[at].disk.is_dead() {
                self.kill(at, Event::KillAtDisk);
            } else if struck.contains(&(group, Doom::Dies)) {
                self.kill(at, Event::KillAtStore);
            } else if struck.contains(&(group, Doom::Sleeps)) {
                self.world.count(Event::SleepAtStore);
                self.sleep(at);
            }
        }
    }

    /// Looks at what has become of the volumes of those that wake up.
    fn wake(&mut self) {
        if self.sleepers.is_empty() {
            return;
        }
        let now = self.world.time.now();
        let (awake, asleep) = std::mem::take(&mut self.sleepers).into_iter().partition(|(_, until)| *until <= now);
        self.sleepers = asleep;
        let awake: Vec<(Group, Duration)> = awake;
        for (group, _) in awake {
            if !self.world.has_ended(group) {
                tenure::woke(&self.world, group);
            }
        }
    }

    /// Runs a job that must come to its end soon, beside everything else.
    fn witness(&mut self, what: &str, job: impl FnOnce(Group) -> Box<dyn FnOnce() + Send>) -> Result<(), Broken> {
        let group = self.next_group();
        let (job, over) = (job(group), Arc::<AtomicBool>::default());
        let done = Arc::clone(&over);
        let job = move || {
            job();
            done.store(true, Ordering::Release);
        };
        self.world.time.start(group, Work::Job(Box::new(job)));
        let deadline = self.world.time.now() + REST;
        while !over.load(Ordering::Acquire) {
            self.go_on(self.world.time.now() + LOOK_EVERY)?;
            if self.world.time.now() >= deadline {
                return Err(Promise::SoundAnswers.broken(format!("{what} is stuck for {REST:?}")));
            }
        }
        self.executor.kill(group);
        self.world.end(group);
        self.verdict()
    }

    /// A host that has never seen the volume reads all of it.
    fn audit(&mut self) -> Result<(), Broken> {
        let volumes = self.world.open_volumes();
        let world = if volumes.len() == 1 { &volumes[0] } else { self.dice.pick(&volumes) };
        self.audit_of(world.clone())
    }

    fn audit_of(&mut self, world: World) -> Result<(), Broken> {
        let machine = Machine::new(self.machines.len(), &self.dice);
        let profile = Arc::clone(&self.profile);
        self.world.count(Event::Audit);
        self.witness("a new reader", |group| Box::new(move || finale::audit(&world, &profile, &machine, group)))
    }

    /// Nothing goes wrong any more.
    fn get_well(&mut self) {
        self.world.trace.line("run", format_args!("everything gets well"));
        {
            let mut weather = self.world.weather();
            weather.cut_off.clear();
            weather.spoilt.clear();
            weather.storm_until = Duration::ZERO;
            (weather.lost_request, weather.lost_answer, weather.throttled) = (0, 0, 0);
            (weather.late, weather.late_create, weather.flipped) = (0, 0, 0);
            weather.latency = Duration::from_millis(20);
        }
        self.world.pardon();
        self.executor.jitter = false;
        self.executor.thaw();
        for at in 0..self.machines.len() {
            self.machines[at].sleeps.end(self.world.time.now());
            let disk = &self.machines[at].disk;
            disk.set_capacity(None);
            disk.fail_syncs(0, 0);
            disk.fail_writes(0);
            disk.fail_reads(0);
            if self.machines[at].damaged {
                self.replace(at);
            }
            self.machines[at].quit();
        }
    }

    /// Every worker has to come to its end.
    fn rest(&mut self) -> Result<(), Broken> {
        let deadline = self.world.time.now() + REST;
        loop {
            let now = self.world.time.now();
            self.go_on(now + Duration::from_secs(1))?;
            let busy: Vec<(String, (String, Duration))> = self
                .machines
                .iter()
                .filter_map(|machine| machine.life.as_ref())
                .flat_map(|life| life.doing.lock().unwrap_or_else(PoisonError::into_inner).clone())
                .collect();
            if busy.is_empty() {
                return Ok(());
            }
            if now > deadline {
                return Err(Promise::SoundAnswers.broken(format!("stuck although everything is well: {busy:?}")));
            }
        }
    }

    /// One host after the other comes back and makes its part durable.
    fn settle(&mut self) -> Result<(), Broken> {
        if finale::is_refused(&self.world) {
            return self.verdict();
        }
        for at in 0..self.machines.len() {
            self.kill(at, Event::Kill);
            for world in self.world.open_volumes() {
                let (machine, profile) = (self.machines[at].again(), Arc::clone(&self.profile));
                self.witness("the last writer of a host", |group| {
                    Box::new(move || finale::settle(&world, &profile, &machine, group))
                })?;
            }
            self.machines[at].disk.kill();
        }
        for world in self.world.open_volumes() {
            let machine = Machine::punctual(self.machines.len(), &self.dice);
            let (next, profile) = (world.clone(), Arc::clone(&self.profile));
            self.witness("the next host", |group| {
                Box::new(move || finale::take_at_once(&next, &profile, &machine, group))
            })?;
            self.audit_of(world)?;
        }
        Ok(())
    }

    /// Frees everything.
    fn end(mut self) {
        for group in 0..=self.groups {
            self.executor.kill(Group(group));
        }
    }
}
