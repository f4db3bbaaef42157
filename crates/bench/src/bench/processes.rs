//! What several processes of one host do with one database at a time.

use std::{
    fs,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, ErrorCode, params};

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    harness::spawn_beside,
    job::{Job, Step},
    measure::Latencies,
    subject::Subject,
    workload::{Dice, fill, point, text},
};

const LEVELS: [&str; 2] = ["NORMAL", "FULL"];
/// Rows that are there before, and that readers read.
const ROWS: u64 = 5000;
/// Longest that a process waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest that processes take to be there.
const READY: Duration = Duration::from_mins(1);
/// Appears once all processes are there.
const GO: &str = "go";

pub(crate) fn bench() -> Bench {
    Bench {
        name: "processes",
        about: "commits and reads a second of processes that share a database on one host, how long each takes, and how \
                even the shares of the writers are",
        headline: "per_s",
        cases,
        rounds: |scale| scale.pick(1, 2, 5),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let seconds = scale.pick(2, 3, 15);
    let subjects = [Subject::Plimsoll, Subject::Wal, Subject::Rollback];
    let case = |level: usize, writers: u64, readers: u64| {
        let name = match readers {
            0 => format!("{}, {writers} writing", LEVELS[level]),
            _ => format!("{}, {writers} writing, {readers} reading", LEVELS[level]),
        };
        let parameters =
            [("level", level as u64 + 1), ("writers", writers), ("readers", readers), ("seconds", seconds)];
        Case::new(name, &parameters, &subjects).against(Subject::Wal)
    };
    match scale {
        Scale::Tiny => vec![case(0, 2, 1)],
        Scale::Small | Scale::Full => {
            let shapes = [(1, 0), (2, 0), (4, 0), (1, 2)];
            (0..LEVELS.len()).flat_map(|level| shapes.map(|(writers, readers)| case(level, writers, readers))).collect()
        }
    }
}

fn prepare(job: &Job) -> Result<()> {
    fill(&job.open(&[])?, ROWS)
}

/// Which process of a case this is: writers first, then readers. 0: none, but the one that starts them.
fn part(job: &Job) -> u64 {
    job.number("part")
}

fn is_writer(job: &Job) -> bool {
    part(job) <= job.number("writers")
}

fn said_by(job: &Job, part: u64) -> PathBuf {
    job.place.dir.join(format!("part-{}-{part}", job.round))
}

fn go(job: &Job) -> PathBuf {
    job.place.dir.join(format!("{GO}-{}", job.round))
}

/// Starts the processes, lets them begin at once, and sums up what they say.
fn measure(job: &Job) -> Result<Figures> {
    let (writers, readers) = (job.number("writers"), job.number("readers"));
    let parts: Vec<Job> = (1..=writers + readers)
        .map(|part| {
            let mut job = Job { step: Step::Part, ..job.clone() };
            job.parameters.insert("part".to_owned(), part);
            job
        })
        .collect();
    let mut started = parts.iter().map(spawn_beside).collect::<Result<Vec<_>>>()?;
    wait_for("the processes", || parts.iter().all(|job| said_by(job, part(job)).exists()))?;
    fs::write(go(job), "")?;
    for process in &mut started {
        let status = process.wait()?;
        if !status.success() {
            bail!("a process ended with {status}");
        }
    }
    let said = parts.iter().map(|job| Latencies::load(&said_by(job, part(job)))).collect::<Result<Vec<_>>>()?;
    let (wrote, read) = said.split_at(writers as usize);
    let seconds = job.number("seconds") as f64;
    let counts: Vec<f64> = wrote.iter().map(|latencies| latencies.count() as f64).collect();
    let mut figures = Latencies::of_all(wrote).figures();
    figures.insert("per_s".to_owned(), counts.iter().sum::<f64>() / seconds);
    let (least, most) = (counts.iter().copied().fold(f64::MAX, f64::min), counts.iter().copied().fold(0.0, f64::max));
    if writers > 1 {
        figures.insert("least_of_most".to_owned(), least / most.max(1.0));
        figures.insert("longest_wait_ms".to_owned(), Latencies::of_all(wrote).percentile_us(1.0) / 1000.0);
    }
    if readers > 0 {
        let all = Latencies::of_all(read);
        figures.insert("reads_per_s".to_owned(), all.count() as f64 / seconds);
        figures.insert("read_p99_us".to_owned(), all.percentile_us(0.99));
    }
    Ok(figures)
}

/// One of the processes.
pub(crate) fn take_part(job: &Job) -> Result<()> {
    let connection = job.open(&[])?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "synchronous", job.number("level") as i64)?;
    point(&connection, 1)?;
    let said = said_by(job, part(job));
    fs::write(&said, "")?;
    wait_for("the start", || go(job).exists())?;
    let mut latencies = Latencies::default();
    let mut dice = Dice(100 * job.round + part(job));
    let (start, seconds) = (Instant::now(), Duration::from_secs(job.number("seconds")));
    while start.elapsed() < seconds {
        if is_writer(job) {
            let text = text(&mut dice);
            latencies.time(|| insert(&connection, &text))?;
        } else {
            let id = 1 + dice.below(ROWS);
            latencies.time(|| again(|| point(&connection, id)))?;
        }
    }
    latencies.save(&said)
}

fn insert(connection: &Connection, text: &str) -> Result<()> {
    again(|| Ok(connection.prepare_cached("INSERT INTO t(v) VALUES (?1)")?.execute(params![text])?)).map(drop)
}

/// Some waits end with "busy" whatever the timeout, so that a program can look again: it takes its turn once more.
fn again<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        let busy = |error: &anyhow::Error| {
            let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
            matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
        };
        match work() {
            Err(error) if busy(&error) && start.elapsed() < PATIENCE => {}
            answer => return answer,
        }
    }
}

fn wait_for(what: &'static str, mut there: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !there() {
        if start.elapsed() > READY {
            return Err(anyhow::anyhow!("waited for a minute")).context(what);
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}
