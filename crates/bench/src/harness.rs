//! Runs jobs: the subjects of a case in turns, round after round.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    job::{self, Job, Step},
    s3::Server,
    subject::{Place, Subject},
};

/// What every round of a case found. A round in which the subject failed is `None`.
#[derive(Debug)]
pub struct Measured {
    /// The case.
    pub case: Case,
    /// By subject, round by round.
    pub rounds: BTreeMap<Subject, Vec<Option<Figures>>>,
    /// Why subjects failed.
    pub failures: Vec<String>,
}

/// A place to measure in.
pub struct Lab {
    server: Server,
    dir: tempfile::TempDir,
    program: PathBuf,
    command: Option<PathBuf>,
    places: u64,
    cases: u64,
    /// What cases of the same bench share, by what it is.
    made: BTreeMap<String, Place>,
}

impl Lab {
    /// Starts the object store. `dir` is on the disk to be measured; `command` is the `plimsoll` command.
    ///
    /// # Errors
    /// The system's.
    pub fn new(dir: &Path, command: Option<PathBuf>) -> Result<Lab> {
        std::fs::create_dir_all(dir)?;
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
        let (server, program, made) = (Server::start()?, env::current_exe()?, BTreeMap::new());
        Ok(Lab { server, dir, program, command, places: 0, cases: 0, made })
    }

    /// Measures every case of a bench, or those whose name contains `only`. A subject that fails is a part of the result.
    pub fn run(&mut self, bench: &Bench, scale: Scale, rounds: Option<u64>, only: Option<&str>) -> Vec<Measured> {
        let rounds = rounds.unwrap_or_else(|| (bench.rounds)(scale));
        let mut cases = (bench.cases)(scale);
        cases.retain(|case| only.is_none_or(|only| case.name.contains(only)));
        let (count, mut measured) = (cases.len(), Vec::new());
        for (number, case) in (1..).zip(cases) {
            eprintln!("{} {number}/{count}: {}", bench.name, case.name);
            let found = self.measure(bench, case, rounds, scale.patience());
            for why in &found.failures {
                eprintln!("failed: {}: {why}", found.case.name);
            }
            measured.push(found);
        }
        for place in std::mem::take(&mut self.made).into_values() {
            self.remove(&place);
        }
        measured
    }

    fn measure(&mut self, bench: &Bench, case: Case, rounds: u64, patience: Duration) -> Measured {
        let mut measured = Measured { rounds: BTreeMap::new(), failures: Vec::new(), case };
        let mut ready = Vec::new();
        self.cases += 1;
        for subject in measured.case.subjects.clone() {
            if !subject.is_here() {
                measured.failures.push(format!("{} is not installed here", subject.name()));
                continue;
            }
            match self.prepare(bench, &measured.case, subject) {
                Ok(job) => ready.push(job),
                Err(why) => measured.failures.push(format!("{}, preparing: {why}", subject.name())),
            }
        }
        let began = Instant::now();
        for round in (0..rounds).take_while(|round| *round == 0 || began.elapsed() < patience) {
            for prepared in &ready {
                self.server.set_latency(Duration::from_millis(measured.case.latency_ms));
                let job = Job { step: Step::Measure, round, ..prepared.clone() };
                let found = match self.run_job(&job) {
                    Ok(figures) => Some(figures),
                    Err(why) => {
                        measured.failures.push(format!("{}, round {round}: {why}", job.subject.name()));
                        None
                    }
                };
                measured.rounds.entry(job.subject).or_default().push(found);
                let _ = std::fs::remove_dir_all(&job.cold().place.dir);
            }
        }
        for job in ready.iter().filter(|_| measured.case.data.is_none()) {
            self.remove(&job.place);
        }
        measured
    }

    /// Has made what every round finds, unless it is there.
    fn prepare(&mut self, bench: &Bench, case: &Case, subject: Subject) -> Result<Job, String> {
        // Those that keep their data in the object store find the same there.
        let owner = if subject.is_remote() { "in the store" } else { subject.name() };
        let data = case.data.as_ref().map(|data| format!("{data}, {owner}"));
        let made = data.as_ref().and_then(|data| self.made.get(data)).cloned();
        let ready = made.is_some();
        let job = Job {
            bench: bench.name.to_owned(),
            step: Step::Prepare,
            subject,
            place: made.unwrap_or_else(|| self.place()),
            round: 0,
            case: self.cases,
            parameters: case.parameters.clone(),
            command: self.command.clone(),
        };
        if ready {
            return Ok(job);
        }
        self.server.set_latency(Duration::ZERO);
        if let Err(why) = self.run_job(&job) {
            self.remove(&job.place);
            return Err(why);
        }
        if let Some(data) = data {
            self.made.insert(data, job.place.clone());
        }
        Ok(job)
    }

    fn place(&mut self) -> Place {
        self.places += 1;
        let prefix = format!("p{}", self.places);
        let dir = self.dir.path().join(&prefix);
        Place { endpoint: self.server.endpoint(), prefix, dir, name: "db".to_owned() }
    }

    fn remove(&self, place: &Place) {
        self.server.remove(&place.prefix);
        let _ = std::fs::remove_dir_all(&place.dir);
    }

    fn run_job(&self, job: &Job) -> Result<Figures, String> {
        let run = || -> Result<Figures> {
            std::fs::create_dir_all(&job.place.dir).context("making a folder for databases")?;
            let mut command = Command::new(&self.program);
            // Names of plain files are relative for some subjects.
            command.arg("job").arg(serde_json::to_string(job)?).current_dir(&job.place.dir);
            figures_of(&mut command)
        };
        run().map_err(|error| format!("{error:#}"))
    }
}

/// Runs this program as another job, to its end, whatever that is.
///
/// # Errors
/// It cannot be started.
pub fn run_beside(job: &Job) -> Result<()> {
    beside(job)?.stderr(Stdio::null()).status().context("starting a job")?;
    Ok(())
}

/// Starts this program as another job. What it complains of is this process's complaint.
///
/// # Errors
/// It cannot be started.
pub fn spawn_beside(job: &Job) -> Result<Child> {
    beside(job)?.spawn().context("starting a job")
}

fn beside(job: &Job) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("job").arg(serde_json::to_string(job)?).stdout(Stdio::null());
    Ok(command)
}

/// Runs a job, and reads what it found.
fn figures_of(command: &mut Command) -> Result<Figures> {
    let clean = env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("PLIMSOLL_") || name.starts_with("AWS_") || name.starts_with("LITESTREAM_")
    });
    for name in clean {
        command.env_remove(name);
    }
    command.envs([("AWS_ACCESS_KEY_ID", "bench"), ("AWS_SECRET_ACCESS_KEY", "bench"), ("PLIMSOLL_CONFIG", "")]);
    command.envs([("LITESTREAM_ACCESS_KEY_ID", "bench"), ("LITESTREAM_SECRET_ACCESS_KEY", "bench")]);
    let output = command.output().context("starting a job")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = words.lines().rev().take(5).collect();
        bail!("{}; {}", output.status, tail.into_iter().rev().collect::<Vec<_>>().join("; "));
    }
    job::read_answer(&printed)
}
