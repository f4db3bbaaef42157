//! What a job is asked, and how it answers: JSON on its command line, JSON on its standard output.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::{
    s3::Counts,
    subject::{Place, Subject, open},
};

/// Numbers by which cases of one bench differ.
pub type Parameters = BTreeMap<String, u64>;

/// What comes before a job's answer: libraries in the same process write to the standard output too.
const ANSWER: &str = "figures: ";

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Makes what every round finds. Once per case and subject.
    Prepare,
    /// Measures.
    Measure,
    /// Writes, and dies without a word.
    Die,
    /// Is one of several processes at the same database.
    Part,
}

/// See the [module](self).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Name of the bench.
    pub bench: String,
    /// What to do.
    pub step: Step,
    /// What to do it to.
    pub subject: Subject,
    /// Where.
    pub place: Place,
    /// The round, from 0.
    pub round: u64,
    /// The case, among all of a run.
    pub case: u64,
    /// What distinguishes the case.
    pub parameters: Parameters,
    /// The `plimsoll` command, if it was built.
    pub command: Option<PathBuf>,
}

impl Job {
    /// A number of the case; 0 if it has none of this name.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.parameters.get(name).copied().unwrap_or(0)
    }

    /// Opens the job's database.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(&self, settings: &[(&str, &str)]) -> Result<Connection> {
        open(self.subject, &self.place, settings)
    }

    /// This host in this round: nothing of earlier rounds is local.
    #[must_use]
    pub fn cold(&self) -> Job {
        Job { place: self.place.elsewhere(format!("cold-{}-{}", self.case, self.round)), ..self.clone() }
    }

    /// What was asked of the object store so far for this job's data.
    ///
    /// # Errors
    /// The system's.
    pub fn counts(&self) -> Result<Counts> {
        let answer = ask(&self.place.endpoint, &format!("/_counts/{}", self.place.prefix))?;
        serde_json::from_str(&answer).with_context(|| format!("reading counts from {answer:?}"))
    }

    /// Delays answers of the object store from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn set_latency(&self, ms: u64) -> Result<()> {
        ask(&self.place.endpoint, &format!("/_latency/{ms}")).map(drop)
    }
}

fn ask(endpoint: &str, path: &str) -> Result<String> {
    let address = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => bail!("the store's counter answered {answer:?}"),
    }
}

/// The line that a job ends with.
///
/// # Errors
/// None that can happen with numbers.
pub fn answer(figures: &crate::figures::Figures) -> Result<String> {
    Ok(format!("{ANSWER}{}", serde_json::to_string(figures)?))
}

/// What a job found, from what it printed.
///
/// # Errors
/// It printed no answer.
pub fn read_answer(printed: &str) -> Result<crate::figures::Figures> {
    let line = printed.lines().rev().find_map(|line| line.strip_prefix(ANSWER));
    let line = line.with_context(|| format!("a job ended without figures; it printed {printed:?}"))?;
    Ok(serde_json::from_str(line)?)
}
