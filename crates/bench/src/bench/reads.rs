//! What reading costs: warm, cold, and in long runs.

use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::Connection;

use crate::{
    catalogue::{Bench, Case, Scale},
    command::import,
    download::download,
    figures::Figures,
    job::Job,
    measure::Latencies,
    s3::Counts,
    subject::{Subject, open},
    workload::{Dice, ROWS_PER_MB, fill, point},
};

/// Reads of rows by key from a warm cache.
const WARM: u64 = 0;
/// Reads of rows by key, of which nothing is local.
const COLD: u64 = 1;
/// One read of a megabyte of the table, of which nothing is local.
const RANGE: u64 = 2;
/// The table from one end to the other, of which nothing is local.
const SCAN: u64 = 3;
/// A scan is so many queries, one after the other, so that it can be ended in the middle.
const SCAN_PARTS: u64 = 100;
/// No further query begins after this.
const ENOUGH: Duration = Duration::from_secs(15);

pub(crate) fn bench() -> Bench {
    Bench {
        name: "reads",
        about: "reads by key and in runs, warm and cold, with the requests and bytes that each takes",
        headline: "p50_us",
        cases,
        rounds: |scale| scale.pick(1, 3, 7),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let mb = scale.pick(2, 20, 100);
    let data = format!("{mb} MB");
    let mut cases = Vec::new();
    // SQLite's own cache holds nearly nothing, what a program gets by default, or everything.
    for (cache, name) in [(20, "page cache of 20 pages"), (2000 / 4, "page cache of 2 MB"), (1 << 20, "all cached")] {
        let parameters = [("mb", mb), ("kind", WARM), ("cache", cache), ("reads", scale.pick(1000, 30_000, 300_000))];
        let subjects = [Subject::Plimsoll, Subject::Wal, Subject::Rollback, Subject::Litestream, Subject::Memory];
        cases.push(Case::new(format!("warm, {name}"), &parameters, &subjects).against(Subject::Rollback).of(&data));
    }
    for latency in scale.pick(vec![10], vec![0, 10], vec![0, 10, 30]) {
        for (kind, name, reads) in
            [(COLD, "cold by key", scale.pick(20, 50, 100)), (RANGE, "cold range of 1 MB", 1), (SCAN, "cold scan", 1)]
        {
            let parameters = [("mb", mb), ("kind", kind), ("cache", 500), ("reads", reads)];
            let subjects = [Subject::Plimsoll, Subject::Litestream];
            let case = Case::new(format!("{name}, {latency} ms a request"), &parameters, &subjects);
            cases.push(case.against(Subject::Litestream).behind(latency).of(&data));
        }
        let parameters = [("mb", mb), ("kind", SCAN), ("cache", 500), ("reads", 1)];
        let subjects = [Subject::Plimsoll, Subject::Download];
        let case = Case::new(format!("cold scan beside a download, {latency} ms a request"), &parameters, &subjects);
        cases.push(case.against(Subject::Download).behind(latency).of(&data));
    }
    cases
}

/// Both that read from the object store read the same volume.
fn prepare(job: &Job) -> Result<()> {
    if job.subject == Subject::Memory {
        return Ok(());
    }
    let rows = job.number("mb") * ROWS_PER_MB;
    if job.subject.is_remote() {
        import(job, &job.place, rows)
    } else {
        fill(&open(job.subject, &job.place, &[])?, rows)
    }
}

fn sum(connection: &Connection, from: u64, to: u64) -> Result<i64> {
    let query = "SELECT sum(length(v)) FROM t WHERE id BETWEEN ?1 AND ?2";
    Ok(connection.prepare_cached(query)?.query_row([from as i64, to as i64], |row| row.get(0))?)
}

fn measure(job: &Job) -> Result<Figures> {
    let rows = job.number("mb") * ROWS_PER_MB;
    let kind = job.number("kind");
    if job.subject == Subject::Download {
        return download(job, job.number("mb") as f64);
    }
    // Hydration would fetch what is to be counted.
    let settings: &[(&str, &str)] = if job.subject == Subject::Plimsoll { &[("hydrate", "false")] } else { &[] };
    let job = &if kind == WARM { job.clone() } else { job.cold() };
    let connection = job.open(settings)?;
    connection.pragma_update(None, "cache_size", job.number("cache") as i64)?;
    if job.subject == Subject::Memory {
        fill(&connection, rows)?;
    }
    if kind == WARM {
        sum(&connection, 1, rows)?;
    }
    // What it takes to open is measured elsewhere.
    point(&connection, 1)?;
    let before = job.counts()?;
    if kind == SCAN {
        return scan(job, &connection, rows, &before);
    }
    let mut dice = Dice(job.round + 3);
    let mut latencies = Latencies::default();
    let start = Instant::now();
    let mut done = 0_u64;
    while done < job.number("reads") && start.elapsed() < ENOUGH {
        match kind {
            RANGE => drop(latencies.time(|| sum(&connection, rows / 2, (rows / 2 + ROWS_PER_MB).min(rows)))?),
            _ => {
                let id = 1 + dice.below(rows);
                latencies.time(|| point(&connection, id))?;
            }
        }
        done += 1;
    }
    let mut figures = latencies.figures();
    if job.subject.is_remote() && kind != WARM {
        let asked = job.counts()?.since(&before);
        figures.insert("requests_per_query".to_owned(), asked.requests() as f64 / done as f64);
        figures.insert("kb_per_query".to_owned(), asked.bytes_out as f64 / 1000.0 / done as f64);
    }
    Ok(figures)
}

/// By the megabyte of database, since the slowest do not come to its end.
fn scan(job: &Job, connection: &Connection, rows: u64, before: &Counts) -> Result<Figures> {
    let start = Instant::now();
    let mut read = 0;
    for part in 0..SCAN_PARTS {
        let to = rows * (part + 1) / SCAN_PARTS;
        sum(connection, read + 1, to)?;
        read = to;
        if start.elapsed() >= ENOUGH {
            break;
        }
    }
    let mb = read as f64 / ROWS_PER_MB as f64;
    let asked = job.counts()?.since(before);
    Ok(Figures::from([
        ("mb_per_s".to_owned(), mb / start.elapsed().as_secs_f64()),
        ("requests_per_mb".to_owned(), asked.requests() as f64 / mb),
        ("kb_per_mb".to_owned(), asked.bytes_out as f64 / 1000.0 / mb),
    ]))
}
