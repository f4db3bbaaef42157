//! The rounds on one volume.

mod hearing; // what its processes say, and whether it may be so
mod life; // one process, from its start to its end

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use plimsoll_host::crash::Point;

use self::life::Trouble;
use crate::{
    campaign::{Campaign, Mode, Tally, count},
    child::{Child, Launch, panics},
    hosts::Hosts,
    ledger::Ledger,
    power::Mounted,
    profile::Profile,
    random::Random,
    server,
};

/// Rounds on one volume.
const ROUNDS_MAX: u64 = 60;

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

/// See the [module](self).
pub(crate) struct Voyage<'a> {
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

impl<'a> Voyage<'a> {
    /// A new volume, with its folder.
    pub(crate) fn new(campaign: &'a Campaign, tally: &'a Tally, dir: &Path, number: u64) -> std::io::Result<Self> {
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

    /// Goes round after round.
    pub(crate) fn sail(&mut self, go_on: &impl Fn() -> bool) -> Result<(), String> {
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

    /// Where it is, and how it was set, for whoever looks for the cause of a find.
    pub(crate) fn place(&self) -> String {
        let (generation, host) = (self.generation, self.hosts.current.number);
        format!("generation {generation}, host {host}, settings {:?}", self.profile.settings)
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
    pub(crate) fn keep_disk(&self) {
        if self.disk.is_some() {
            // Without it only the looking is harder.
            let _ = Command::new("cp").arg("-a").args([self.dir.join("disk"), self.dir.join("disk-left")]).status();
        }
    }

    /// Syncs may begin to fail at any time.
    fn spoil_syncs(&mut self) {
        let Some(disk) = &self.disk else { return };
        self.failing = self.random.once_in(8);
        let (after, count) = if self.failing { (self.random.below(25), 1 + self.random.below(3)) } else { (0, 0) };
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
}
