//! What reading costs: warm, cold, and in long runs.

use anyhow::Result;

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    job::Job,
    measure::{Latencies, time_ms},
    subject::{Subject, open},
    workload::{Dice, ROWS_PER_MB, fill, point, wait_durable},
};

/// Reads of rows by key from a warm cache.
const WARM: u64 = 0;
/// Reads of rows by key, of which nothing is local.
const COLD: u64 = 1;
/// One read of a tenth of the table, of which nothing is local.
const RANGE: u64 = 2;
/// One read of the whole table, of which nothing is local.
const SCAN: u64 = 3;

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
    let mut cases = Vec::new();
    // SQLite's own cache holds nearly nothing, what a program gets by default, or everything.
    for (cache, name) in [(20, "page cache of 20 pages"), (2000 / 4, "page cache of 2 MB"), (1 << 20, "all cached")] {
        let parameters = [("mb", mb), ("kind", WARM), ("cache", cache), ("reads", scale.pick(1000, 30_000, 300_000))];
        let subjects = [Subject::Plimsoll, Subject::Wal, Subject::Rollback, Subject::Litestream];
        cases.push(Case::new(format!("warm, {name}"), &parameters, &subjects).against(Subject::Rollback));
    }
    for latency in scale.pick(vec![10], vec![0, 10], vec![0, 10, 30]) {
        for (kind, name, reads) in
            [(COLD, "cold by key", scale.pick(5, 20, 100)), (RANGE, "cold range", 1), (SCAN, "cold scan", 1)]
        {
            let parameters = [("mb", mb), ("kind", kind), ("cache", 500), ("reads", reads)];
            let subjects = [Subject::Plimsoll, Subject::Litestream];
            let case = Case::new(format!("{name}, {latency} ms a request"), &parameters, &subjects);
            cases.push(case.against(Subject::Litestream).behind(latency));
        }
    }
    cases
}

/// Both that read from the object store read the same volume.
fn prepare(job: &Job) -> Result<()> {
    let subject = if job.subject == Subject::Litestream { Subject::Plimsoll } else { job.subject };
    let connection = open(subject, &job.place, &[])?;
    fill(&connection, job.number("mb") * ROWS_PER_MB)?;
    if subject == Subject::Plimsoll {
        wait_durable(&connection)?;
    }
    Ok(())
}

fn measure(job: &Job) -> Result<Figures> {
    let rows = job.number("mb") * ROWS_PER_MB;
    let kind = job.number("kind");
    // Hydration would fetch what is to be counted.
    let settings: &[(&str, &str)] = if job.subject == Subject::Plimsoll { &[("hydrate", "false")] } else { &[] };
    let job = &if kind == WARM { job.clone() } else { job.cold() };
    let connection = job.open(settings)?;
    connection.pragma_update(None, "cache_size", job.number("cache") as i64)?;
    let sum = |from: u64, to: u64| -> Result<i64> {
        let query = "SELECT sum(length(v)) FROM t WHERE id BETWEEN ?1 AND ?2";
        Ok(connection.query_row(query, [from as i64, to as i64], |row| row.get(0))?)
    };
    if kind == WARM {
        sum(1, rows)?;
    }
    // What it takes to open is measured elsewhere.
    point(&connection, 1)?;
    let before = job.counts()?;
    let mut dice = Dice(job.round + 3);
    let mut latencies = Latencies::default();
    let reads = job.number("reads");
    let start = std::time::Instant::now();
    for _ in 0..reads {
        match kind {
            RANGE => latencies.time(|| sum(rows / 2, rows / 2 + rows / 10)).map(|_| ())?,
            SCAN => latencies.time(|| sum(1, rows)).map(|_| ())?,
            _ => {
                let id = 1 + dice.below(rows);
                latencies.time(|| point(&connection, id))?;
            }
        }
        if start.elapsed().as_secs() >= 20 {
            break;
        }
    }
    let mut figures = latencies.figures();
    if job.subject.is_remote() && kind != WARM {
        let asked = job.counts()?.since(&before);
        figures.insert("requests_per_query".to_owned(), asked.requests() as f64 / reads as f64);
        figures.insert("kb_per_query".to_owned(), asked.bytes_out as f64 / 1000.0 / reads as f64);
    }
    let (_, close) = time_ms(|| Ok(connection.close().map_err(|(_, error)| error)?))?;
    figures.insert("close_ms".to_owned(), close);
    Ok(figures)
}
