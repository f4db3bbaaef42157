//! Everything that can be measured.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::{
    bench,
    figures::Figures,
    job::{Job, Parameters, Step},
    subject::Subject,
};

/// How long a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scale {
    /// Whether everything works: seconds each.
    Tiny,
    /// Some 20 minutes for all.
    Small,
    /// What documentation shows: some 75 minutes for all, on a quiet machine.
    Full,
}

impl Scale {
    /// One of three.
    #[must_use]
    pub fn pick<T>(self, tiny: T, small: T, full: T) -> T {
        match self {
            Scale::Tiny => tiny,
            Scale::Small => small,
            Scale::Full => full,
        }
    }

    /// No further round of a case begins after this.
    #[must_use]
    pub fn patience(self) -> Duration {
        Duration::from_secs(self.pick(10, 20, 30))
    }
}

/// One line of a bench's table.
#[derive(Clone, Debug)]
pub struct Case {
    /// What distinguishes it, for people.
    pub name: String,
    /// The same, for the job.
    pub parameters: Parameters,
    /// Who is measured.
    pub subjects: Vec<Subject>,
    /// Who the others are compared with.
    pub reference: Option<Subject>,
    /// Delay of the object store, milliseconds.
    pub latency_ms: u64,
    /// What its data is, if other cases find the same and none of them changes it.
    pub data: Option<String>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, parameters: &[(&str, u64)], subjects: &[Subject]) -> Case {
        Case {
            name: name.into(),
            parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            subjects: subjects.to_vec(),
            reference: None,
            latency_ms: 0,
            data: None,
        }
    }

    pub(crate) fn against(mut self, reference: Subject) -> Case {
        self.reference = Some(reference);
        self
    }

    /// Cases that name the same data have it made once.
    pub(crate) fn of(mut self, data: impl Into<String>) -> Case {
        self.data = Some(data.into());
        self
    }

    pub(crate) fn behind(mut self, latency_ms: u64) -> Case {
        self.latency_ms = latency_ms;
        self
    }
}

/// A family of measurements.
pub struct Bench {
    /// On the command line and in file names.
    pub name: &'static str,
    /// What it answers.
    pub about: &'static str,
    /// The figure that its plot shows.
    pub headline: &'static str,
    /// Its cases at a scale.
    pub cases: fn(Scale) -> Vec<Case>,
    /// Rounds at a scale, fewer of what takes long: see [`Scale::patience`].
    pub rounds: fn(Scale) -> u64,
    pub(crate) prepare: fn(&Job) -> Result<()>,
    pub(crate) measure: fn(&Job) -> Result<Figures>,
}

/// Every bench, in the order of the report.
#[must_use]
pub fn benches() -> Vec<Bench> {
    vec![
        bench::commits::bench(),
        bench::processes::bench(),
        bench::reads::bench(),
        bench::opening::bench(),
        bench::syncing::bench(),
        bench::idle::bench(),
        bench::growth::bench(),
        bench::recovery::bench(),
        bench::pointer::bench(),
    ]
}

/// Does what a job asks, in this process.
///
/// # Errors
/// What the subject says.
pub fn work(job: &Job) -> Result<Figures> {
    let all = benches();
    let bench = all.iter().find(|bench| bench.name == job.bench).context("no such bench")?;
    match job.step {
        Step::Prepare => (bench.prepare)(job).map(|()| Figures::new()),
        Step::Measure => (bench.measure)(job),
        Step::Die => bench::recovery::die(job).map(|()| Figures::new()),
        Step::Part => bench::processes::take_part(job).map(|()| Figures::new()),
    }
}

pub(crate) fn nothing(_: &Job) -> Result<()> {
    Ok(())
}
