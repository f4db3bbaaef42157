//! How fast commits are, at each level, alone and beside readers.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Result, anyhow};
use rusqlite::params;

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    floor,
    job::Job,
    measure::{Latencies, Turns},
    subject::Subject,
    workload::{Dice, create, fill, point, text},
};

const LEVELS: [&str; 4] = ["OFF", "NORMAL", "FULL", "EXTRA"];
/// Rows that readers read while commits go on.
const READ_ROWS: u64 = 5000;
/// Longest that commits are made before any is timed.
const WARM_UP: Duration = Duration::from_millis(500);
/// About what the sync of a commit of one row takes in the object store.
const OBJECT_BYTES: usize = 2000;

pub(crate) fn bench() -> Bench {
    Bench {
        name: "commits",
        about: "transactions a second and how long each takes, by rows and PRAGMA synchronous",
        headline: "per_s",
        cases,
        rounds: |scale| scale.pick(1, 3, 9),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let mut cases = Vec::new();
    for (level, name) in LEVELS.iter().enumerate() {
        for rows in scale.pick(vec![1], vec![1, 100], vec![1, 10, 100, 1000]) {
            for readers in scale.pick(vec![0], vec![0, 2], vec![0, 2]) {
                if readers > 0 && (rows > 1 || *name == "OFF" || *name == "EXTRA") {
                    continue;
                }
                // Bounded by time as well; see `measure`. Where nobody waits for a disk, many are made in a moment, and
                // what happens once a second would be missed.
                let waits = ["FULL", "EXTRA"].contains(name);
                let commits = scale.pick(200, 3000, 30_000) * if waits { 1 } else { 30 } / rows.min(30);
                let beside = if readers > 0 { format!(", {readers} readers") } else { String::new() };
                let parameters = [("level", level as u64), ("rows", rows), ("commits", commits), ("readers", readers)];
                let mut subjects = vec![Subject::Plimsoll, Subject::Wal, Subject::Rollback];
                if *name == "NORMAL" && readers == 0 {
                    subjects.push(Subject::Litestream);
                }
                if rows == 1 && readers == 0 {
                    // What there is no commit without.
                    subjects.push(match *name {
                        "FULL" => Subject::Disk,
                        "EXTRA" => Subject::Request,
                        _ => Subject::Memory,
                    });
                }
                let case = Case::new(format!("{name}, {rows} rows{beside}"), &parameters, &subjects);
                cases.push(case.against(Subject::Wal));
            }
        }
    }
    cases
}

fn settings(job: &Job) -> Vec<(&'static str, &'static str)> {
    match job.subject {
        Subject::Litestream => vec![("write_enabled", "true")],
        _ => vec![],
    }
}

fn prepare(job: &Job) -> Result<()> {
    match job.subject {
        Subject::Memory | Subject::Disk | Subject::Request => Ok(()),
        _ => fill(&job.open(&settings(job))?, READ_ROWS),
    }
}

fn measure(job: &Job) -> Result<Figures> {
    let (rows, commits) = (job.number("rows"), job.number("commits"));
    match job.subject {
        Subject::Disk => return Ok(floor::disk(job, commits)?.figures()),
        Subject::Request => return Ok(floor::request(job, commits, OBJECT_BYTES)?.figures()),
        _ => {}
    }
    let connection = job.open(&settings(job))?;
    connection.pragma_update(None, "synchronous", job.number("level") as i64)?;
    create(&connection)?;
    if job.subject == Subject::Memory {
        fill(&connection, READ_ROWS)?;
    }
    let mut dice = Dice(job.round + 7);
    let mut insert = connection.prepare("INSERT INTO t(v) VALUES (?1)")?;
    let mut latencies = Latencies::default();
    let (start, before) = (std::time::Instant::now(), Turns::now());
    let mut commits_done = 0;
    let mut scheduled = Figures::new();
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let measured = std::thread::scope(|scope| -> Result<()> {
        let read = |reader: u64| {
            let (stop, reads) = (&stop, &reads);
            scope.spawn(move || -> Result<()> {
                let connection = job.open(&settings(job))?;
                let mut dice = Dice(1000 + reader);
                while !stop.load(Ordering::Relaxed) {
                    point(&connection, 1 + dice.below(READ_ROWS))?;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let readers: Vec<_> = (0..job.number("readers")).map(read).collect();
        let mut run = || -> Result<()> {
            for number in 0..commits {
                let texts: Vec<String> = (0..rows).map(|_| text(&mut dice)).collect();
                let mut transaction = || -> Result<()> {
                    if rows > 1 {
                        connection.execute_batch("BEGIN IMMEDIATE")?;
                    }
                    for text in &texts {
                        insert.execute(params![text])?;
                    }
                    if rows > 1 {
                        connection.execute_batch("COMMIT")?;
                    }
                    Ok(())
                };
                // The first ones warm up.
                if number < commits / 20 && start.elapsed() < WARM_UP {
                    transaction()?;
                } else {
                    latencies.time(transaction)?;
                }
                commits_done += 1;
                // The slowest peers would take minutes.
                if start.elapsed().as_secs() >= 5 {
                    break;
                }
            }
            Ok(())
        };
        let done = run();
        scheduled = Turns::now().since(&before, commits_done);
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().map_err(|_| anyhow!("a reader panicked"))??;
        }
        done
    });
    measured?;
    let mut figures = latencies.figures();
    // Where the thread waits: for a core beside readers, for others at EXTRA.
    if job.number("readers") > 0 || LEVELS[job.number("level") as usize] == "EXTRA" {
        figures.extend(scheduled);
    }
    if job.number("readers") > 0 {
        figures.insert("reads_per_s".to_owned(), reads.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64());
    }
    Ok(figures)
}
