//! Rounds of killing and looking, on one volume after the other.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use plimsoll_host::crash::Point;

use crate::{
    child::{Child, Launch, Silence, panics},
    hosts::Hosts,
    ledger::{Ledger, Loss},
    power::Mounted,
    profile::Profile,
    random::Random,
    server,
    speech::{Found, Said},
};

/// Longest that opening, one transaction, or closing may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(90);
/// Rounds on one volume.
const ROUNDS_MAX: u64 = 60;

/// What happens to the host in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// The process is killed, its host stays.
    Same,
    /// The host is lost each time.
    Other,
    /// One or the other, and lost hosts come back.
    Mixed,
}

/// What is counted.
#[derive(Default)]
pub struct Tally {
    /// Rounds that ended, each with a process that was killed or closed.
    pub rounds: AtomicU64,
    /// Of these, processes that were killed before they had opened the volume.
    pub in_opening: AtomicU64,
    /// Of these, processes that were killed while closing.
    pub in_closing: AtomicU64,
    /// Of these, processes that killed themselves at a named point.
    pub at_points: AtomicU64,
    /// Of these, processes that ended because a sync failed.
    pub by_failed_syncs: AtomicU64,
    /// Rounds after which the power went.
    pub power_losses: AtomicU64,
    /// Of these, processes that closed.
    pub closed: AtomicU64,
    /// Databases that were checked row by row.
    pub checks: AtomicU64,
    /// Transactions that were acknowledged.
    pub acked: AtomicU64,
    /// Acknowledged transactions that a lost host, or lost power, took with it.
    pub lost: AtomicU64,
    /// Hosts that came back and had to keep their journal aside.
    pub stranded: AtomicU64,
    /// Somebody found something wrong.
    pub failed: AtomicBool,
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// This crate's program.
    pub program: PathBuf,
    /// Where hosts and stores have their folders.
    pub dir: PathBuf,
    /// Decides everything but time.
    pub seed: u64,
    /// What happens to hosts.
    pub mode: Mode,
    /// Whether disks lose power. Then hosts stay, whatever the mode.
    pub power: bool,
    /// The S3 server; without one, volumes are directories.
    pub server: Option<SocketAddr>,
}

/// How a worker came to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// It was there before.
    Stayed,
    /// The host is new.
    New,
    /// The host was away.
    Back,
}

/// Why a process is not to be killed as planned.
enum Trouble {
    /// It ended by itself.
    Gone(&'static str),
    /// Something is wrong.
    Found(String),
}

impl Trouble {
    fn words(self) -> String {
        match self {
            Trouble::Gone(words) => words.to_owned(),
            Trouble::Found(words) => words,
        }
    }
}

impl From<String> for Trouble {
    fn from(found: String) -> Self {
        Trouble::Found(found)
    }
}

struct Voyage<'a> {
    campaign: &'a Campaign,
    tally: &'a Tally,
    dir: PathBuf,
    database: String,
    seed: u64,
    profile: Profile,
    random: Random,
    ledger: Ledger,
    hosts: Hosts,
    /// The disk that loses power, if one does.
    disk: Option<Mounted>,
    /// It has, and nobody has looked since.
    in_the_dark: bool,
    /// Syncs of the running worker's disk fail.
    failing: bool,
    /// The running worker has closed.
    closed: bool,
    /// Host of the last worker that got to read the volume.
    holder: u64,
    arrival: Arrival,
    /// The running worker has read the volume.
    opened: bool,
    generation: u64,
}

impl Campaign {
    /// Runs rounds until `go_on` says no. Folders of volumes without trouble are removed.
    ///
    /// # Errors
    /// What was found, with the folder to look into.
    pub fn run(&self, tally: &Tally, go_on: impl Fn() -> bool) -> Result<(), String> {
        for number in 0.. {
            if !go_on() {
                break;
            }
            let dir = self.dir.join(format!("voyage-{number}"));
            let mut voyage = Voyage::new(self, tally, &dir, number).map_err(|error| error.to_string())?;
            voyage.sail(&go_on).map_err(|error| {
                tally.failed.store(true, Ordering::Relaxed);
                voyage.keep_disk();
                format!(
                    "seed {}, volume {number}, generation {}, host {}: {error}\nkept: {}\nsettings: {:?}",
                    self.seed,
                    voyage.generation,
                    voyage.hosts.current.number,
                    dir.display(),
                    voyage.profile.settings
                )
            })?;
            drop(voyage);
            fs::remove_dir_all(&dir).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl<'a> Voyage<'a> {
    fn new(campaign: &'a Campaign, tally: &'a Tally, dir: &Path, number: u64) -> std::io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut random = Random::of(campaign.seed, number);
        let seed = random.bits();
        let profile = Profile::any(&mut random);
        let place = dir.join("disk");
        let disk = if campaign.power { Some(Mounted::new(&place, random.bits())?) } else { None };
        // A store of its own is another machine, whose power does not go.
        let store = if disk.is_some() && random.once_in(2) { place.join("store") } else { dir.join("store") };
        let database = match campaign.server {
            Some(_) => server::url(&format!("{seed:016x}")),
            None => store.display().to_string(),
        };
        Ok(Voyage {
            campaign,
            tally,
            dir: dir.to_owned(),
            database,
            seed,
            ledger: Ledger::new(seed, profile.max_dirty_bytes),
            profile,
            random,
            hosts: Hosts::new(if disk.is_some() { &place } else { dir }),
            disk,
            in_the_dark: false,
            failing: false,
            closed: false,
            holder: 1,
            arrival: Arrival::New,
            opened: false,
            generation: 0,
        })
    }

    fn sail(&mut self, go_on: &impl Fn() -> bool) -> Result<(), String> {
        let rounds = 5 + self.random.below(ROUNDS_MAX - 5);
        for _ in 0..rounds {
            if !go_on() {
                break;
            }
            self.change_hosts().map_err(|error| error.to_string())?;
            self.round()?;
            count(&self.tally.rounds, 1);
            self.lose_power().map_err(|error| format!("power loss: {error}"))?;
            if let Some(text) = panics(&self.dir.join("errors")) {
                return Err(format!("a process panicked: {text}"));
            }
            if self.random.once_in(6) {
                self.peek()?;
            }
        }
        Ok(())
    }

    /// Adds a line to the log of the volume, for whoever looks for the cause of a find.
    fn note(&self, line: &str) {
        let log = fs::File::options().create(true).append(true).open(self.dir.join("log"));
        // Without it only the looking is harder.
        let _ = log.and_then(|mut log| writeln!(log, "generation {}: {line}", self.generation));
    }

    fn change_hosts(&mut self) -> std::io::Result<()> {
        let stay = match self.campaign.mode {
            _ if self.disk.is_some() => true,
            Mode::Same => true,
            Mode::Other => false,
            Mode::Mixed => self.random.below(10) < 5,
        };
        if stay || self.generation == 0 {
            return Ok(());
        }
        let line = self.ledger.line().clone();
        let keep_disk = self.campaign.mode == Mode::Mixed && self.hosts.away.len() < 3 && !self.random.once_in(3);
        if !self.hosts.away.is_empty() && self.random.once_in(3) {
            let which = self.random.below(self.hosts.away.len() as u64);
            self.arrival = Arrival::Back;
            return self.hosts.bring_back(usize::try_from(which).unwrap_or(0), keep_disk, &line);
        }
        self.arrival = Arrival::New;
        self.hosts.replace(keep_disk, &line)
    }

    fn launch(&self, arguments: &[String], state: &Path, takeover: bool) -> Launch {
        let mut variables = self.profile.settings.clone();
        variables.push(("PLIMSOLL_STATE_DIR".to_owned(), state.display().to_string()));
        variables.push(("PLIMSOLL_TAKEOVER".to_owned(), takeover.to_string()));
        variables.extend(self.campaign.server.into_iter().flat_map(server::variables));
        Launch {
            program: self.campaign.program.clone(),
            arguments: arguments.to_vec(),
            variables,
            errors: self.dir.join("errors"),
        }
    }

    /// Copies what is on the disk to where it stays.
    fn keep_disk(&self) {
        if self.disk.is_some() {
            // Without it only the looking is harder.
            let _ = Command::new("cp").arg("-a").args([self.dir.join("disk"), self.dir.join("disk-left")]).status();
        }
    }

    /// Syncs may begin to fail at any time.
    fn spoil_syncs(&mut self) {
        let Some(disk) = &self.disk else { return };
        self.failing = self.random.once_in(8);
        let (after, count) = if self.failing { (self.random.below(60), 1 + self.random.below(3)) } else { (0, 0) };
        disk.disk().fail_syncs(after, count);
    }

    fn lose_power(&mut self) -> std::io::Result<()> {
        if let Some(disk) = &mut self.disk
            && !self.random.once_in(4)
        {
            disk.power_loss()?;
            self.in_the_dark = true;
            count(&self.tally.power_losses, 1);
            self.note("the power went");
        }
        Ok(())
    }

    fn round(&mut self) -> Result<(), String> {
        self.generation += 1;
        (self.opened, self.closed) = (false, false);
        self.spoil_syncs();
        let mut arguments = vec![
            "worker".to_owned(),
            format!("--database={}", self.database),
            format!("--seed={}", self.seed),
            format!("--generation={}", self.generation),
        ];
        let armed = self.random.once_in(3);
        if armed {
            let point = Point::ALL[usize::try_from(self.random.below(Point::ALL.len() as u64)).unwrap_or(0)];
            let nth = if self.random.once_in(2) { 1 } else { 1 + self.random.below(30) };
            arguments.push(format!("--crash-at={}:{nth}", point.name()));
        }
        // A host that has the volume needs no leave: it sees that its old process is gone.
        // After a power loss it may not know itself any more.
        let takeover = !self.hosts.current.has_volume || self.in_the_dark;
        let launch = self.launch(&arguments, &self.hosts.current.state, takeover);
        let mut child = Child::start(&launch).map_err(|error| error.to_string())?;
        match self.life(&child) {
            Err(Trouble::Gone(_)) if armed && child.was_killed() => {
                count(&self.tally.at_points, 1);
                self.note("died at a point");
            }
            Err(Trouble::Gone(_)) if self.failing => count(&self.tally.by_failed_syncs, 1),
            lived => lived.map_err(Trouble::words)?,
        }
        self.kill(child)?;
        count(&self.tally.closed, u64::from(self.closed));
        Ok(())
    }

    /// One process from its start to the moment at which it is to be killed.
    fn life(&mut self, child: &Child) -> Result<(), Trouble> {
        let started = Instant::now();
        if self.random.once_in(7) {
            let at = started + Duration::from_millis(1 + self.random.below(120));
            self.listen_to_the_living(child, at, "the process ended by itself")?;
            count(&self.tally.in_opening, u64::from(!self.opened));
            return Ok(());
        }
        self.listen_for_opening(child)?;
        let span = if self.random.once_in(10) { 1500 } else { 300 };
        let at = Instant::now() + Duration::from_millis(1 + self.random.below(span));
        self.listen_to_the_living(child, at, "the process ended by itself")?;
        match self.random.below(20) {
            0 => {
                child.put_to_sleep();
                std::thread::sleep(Duration::from_millis(100 + self.random.below(2500)));
                child.wake();
                let at = Instant::now() + Duration::from_millis(1 + self.random.below(100));
                self.listen_to_the_living(child, at, "the process ended by itself after a sleep")?;
            }
            1 | 2 => {
                child.tell_to_close();
                let at = Instant::now() + Duration::from_millis(self.random.below(80));
                count(&self.tally.in_closing, u64::from(self.listen(child, at)?));
            }
            3 => {
                child.tell_to_close();
                if self.listen(child, Instant::now() + PATIENCE)? {
                    return Err(Trouble::Found("closing hangs".to_owned()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn listen_to_the_living(&mut self, child: &Child, until: Instant, gone: &'static str) -> Result<(), Trouble> {
        if self.listen(child, until)? { Ok(()) } else { Err(Trouble::Gone(gone)) }
    }

    /// Listens until a moment. Returns whether the process still had something to say.
    fn listen(&mut self, child: &Child, until: Instant) -> Result<bool, String> {
        loop {
            match child.next(until) {
                Ok(said) => self.hear(&said)?,
                Err(Silence::NotYet) => return Ok(true),
                Err(Silence::Gone) => return Ok(false),
            }
        }
    }

    fn listen_for_opening(&mut self, child: &Child) -> Result<(), Trouble> {
        let deadline = Instant::now() + PATIENCE;
        match child.next(deadline) {
            Ok(said) => Ok(self.hear(&said)?),
            Err(Silence::NotYet) => Err(Trouble::Found("opening hangs".to_owned())),
            Err(Silence::Gone) => Err(Trouble::Gone("the process ended by itself while opening")),
        }
    }

    fn kill(&mut self, child: Child) -> Result<(), String> {
        let result = child.kill().iter().try_for_each(|said| self.hear(said));
        self.note(&format!("killed, acknowledged {}", self.ledger.line().acked));
        result
    }

    fn hear(&mut self, said: &Said) -> Result<(), String> {
        if let Said::Found(found) = said {
            return self.check(found);
        }
        if let Said::Committed(..) = said {
            count(&self.tally.acked, 1);
            self.hosts.acknowledged();
        }
        match said {
            Said::Failed(n, error) if self.failing => {
                self.note(&format!("transaction {n}: {error}"));
                return Ok(());
            }
            // What it could not make durable is in the journal, as far as that could be synced.
            Said::Closed(Some(error)) if self.failing => {
                self.note(&format!("closing: {error}"));
                return Ok(());
            }
            Said::Closed(_) => self.closed = true,
            _ => {}
        }
        self.ledger.hear(said, self.generation)
    }

    fn check(&mut self, found: &Found) -> Result<(), String> {
        count(&self.tally.checks, 1);
        self.opened = true;
        let dark = std::mem::take(&mut self.in_the_dark);
        let outdated = std::mem::take(&mut self.hosts.current.outdated);
        // As long as nothing was ever synced, whoever comes back first begins the history.
        let usable = !outdated || self.ledger.durable() == 0;
        let claim = self.hosts.current.claim.take().filter(|_| usable);
        let resumed = claim.is_some_and(|line| self.ledger.resumes(found, &line));
        if resumed {
            if outdated && let Some(host) = self.hosts.find(self.holder) {
                host.left_behind = true;
            }
            self.hosts.current.left_behind = false;
        } else {
            let loss = match self.arrival {
                Arrival::Stayed if dark => Loss::Power,
                Arrival::Stayed => Loss::Process,
                Arrival::New | Arrival::Back => Loss::Host,
            };
            let lost = self.ledger.check(found, loss).map_err(|error| format!("{error} ({:?})", self.arrival))?;
            count(&self.tally.lost, lost);
            if loss == Loss::Host
                && lost > 0
                && let Some(host) = self.hosts.find(self.holder)
            {
                host.left_behind = true;
            }
        }
        let (before, now) = (self.hosts.current.stranded, found.stranded.len());
        let (n, number, behind) = (found.n, self.hosts.current.number, self.hosts.current.left_behind);
        let line = format!("found {n}, resumed {resumed}, stranded {before} to {now}, left behind {behind}");
        self.note(&format!("host {number} {:?}: {line}", self.arrival));
        let host = &mut self.hosts.current;
        if now < before + usize::from(host.left_behind) {
            return Err(format!(
                "{before} journals were kept aside, and {} had to be; now it reports {:?}",
                u8::from(host.left_behind),
                found.stranded
            ));
        }
        count(&self.tally.stranded, (now - before) as u64);
        host.stranded = now;
        host.left_behind = false;
        self.holder = host.number;
        self.arrival = Arrival::Stayed;
        Ok(())
    }

    /// Looks at what the store holds, as another host would see it.
    fn peek(&mut self) -> Result<(), String> {
        let state = self.dir.join("reader");
        let launch = self.launch(&["peek".to_owned(), format!("--database={}", self.database)], &state, false);
        let child = Child::start(&launch).map_err(|error| error.to_string())?;
        let said = child.next(Instant::now() + PATIENCE).map_err(|silence| format!("a reader is {silence:?}"))?;
        drop(child);
        match said {
            Said::Found(found) => {
                count(&self.tally.checks, 1);
                self.ledger.check_stored(&found).map_err(|error| format!("{error} (in the store)"))?;
            }
            // Nothing was ever synced.
            Said::Failed(_, error) if error.contains("unable to open") && self.ledger.durable() == 0 => {}
            other => return Err(format!("a reader said {other:?}")),
        }
        fs::remove_dir_all(&state).or_else(ignore_missing).map_err(|error| error.to_string())
    }
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
