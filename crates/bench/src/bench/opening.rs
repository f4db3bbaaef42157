//! How long it takes until the first row, on a host that knows nothing and on one that was here before.

use anyhow::Result;
use rusqlite::params;

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    job::Job,
    measure::time_ms,
    subject::{Subject, open},
    workload::{Dice, ROWS_PER_MB, fill, point, text, wait_durable},
};

pub(crate) fn bench() -> Bench {
    Bench {
        name: "opening",
        about: "time, requests and bytes until the first row, with many syncs behind the database",
        headline: "first_row_ms",
        cases,
        rounds: |scale| scale.pick(1, 3, 7),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let syncs = scale.pick(20, 200, 3000);
    let mut cases = Vec::new();
    for mb in scale.pick(vec![2], vec![10, 100], vec![10, 100, 1000]) {
        for latency in scale.pick(vec![10], vec![10], vec![0, 10, 30]) {
            for (warm, how) in [(0, "nothing local"), (1, "opened before")] {
                let name = format!("{mb} MB, {syncs} syncs, {latency} ms a request, {how}");
                let subjects = [Subject::Plimsoll, Subject::Litestream];
                let parameters = [("mb", mb), ("syncs", syncs), ("latency", latency), ("warm", warm)];
                cases.push(Case::new(name, &parameters, &subjects).against(Subject::Litestream).behind(latency));
            }
        }
    }
    cases
}

/// A database, and then as many syncs of single rows.
fn prepare(job: &Job) -> Result<()> {
    let connection = open(Subject::Plimsoll, &job.place, &[("sync_interval_ms", "1")])?;
    let rows = job.number("mb") * ROWS_PER_MB;
    fill(&connection, rows)?;
    wait_durable(&connection)?;
    let mut dice = Dice(5);
    for _ in 0..job.number("syncs") {
        connection
            .execute("UPDATE t SET v = ?1 WHERE id = ?2", params![text(&mut dice), 1 + dice.below(rows) as i64])?;
        wait_durable(&connection)?;
    }
    Ok(())
}

fn measure(job: &Job) -> Result<Figures> {
    let settings: &[(&str, &str)] = if job.subject == Subject::Plimsoll { &[("hydrate", "false")] } else { &[] };
    let rows = job.number("mb") * ROWS_PER_MB;
    let job = &if job.number("warm") == 1 { job.clone() } else { job.cold() };
    let before = job.counts()?;
    let (connection, opened) = time_ms(|| job.open(settings))?;
    let (_, first) = time_ms(|| point(&connection, rows / 2))?;
    let asked = job.counts()?.since(&before);
    let mut figures = Figures::from([
        ("first_row_ms".to_owned(), opened + first),
        ("requests".to_owned(), asked.requests() as f64),
        ("kb".to_owned(), asked.bytes_out as f64 / 1000.0),
    ]);
    let latency = job.number("latency");
    if latency > 0 {
        // An upper bound: work that is no waiting counts as well.
        figures.insert("latencies".to_owned(), (opened + first) / latency as f64);
    }
    Ok(figures)
}
