//! What grows with the size of a database and with the length of its history.

use anyhow::Result;
use rusqlite::params;

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    job::Job,
    measure::{Footprint, Latencies, time_ms},
    subject::{Subject, open},
    workload::{Dice, ROWS_PER_MB, fill, point, text, wait_durable},
};

pub(crate) fn bench() -> Bench {
    Bench {
        name: "growth",
        about: "commits, reads, opening and memory by size and by number of syncs",
        headline: "commit_p50_us",
        cases,
        rounds: |scale| scale.pick(1, 2, 5),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let case = |mb: u64, syncs: u64| {
        let name = format!("{mb} MB, {syncs} syncs");
        Case::new(name, &[("mb", mb), ("syncs", syncs)], &[Subject::Plimsoll, Subject::Litestream])
    };
    scale
        .pick(
            vec![(1, 1), (2, 1), (1, 20)],
            vec![(1, 1), (10, 1), (100, 1), (10, 200)],
            vec![(1, 1), (10, 1), (100, 1), (1000, 1), (10, 100), (10, 1000), (10, 10_000)],
        )
        .into_iter()
        .map(|(mb, syncs)| case(mb, syncs))
        .collect()
}

fn prepare(job: &Job) -> Result<()> {
    let connection = open(Subject::Plimsoll, &job.place, &[("sync_interval_ms", "1")])?;
    let rows = job.number("mb") * ROWS_PER_MB;
    fill(&connection, rows)?;
    wait_durable(&connection)?;
    let mut dice = Dice(5);
    for _ in 1..job.number("syncs") {
        connection
            .execute("UPDATE t SET v = ?1 WHERE id = ?2", params![text(&mut dice), 1 + dice.below(rows) as i64])?;
        wait_durable(&connection)?;
    }
    Ok(())
}

fn measure(job: &Job) -> Result<Figures> {
    let rows = job.number("mb") * ROWS_PER_MB;
    let mut dice = Dice(17 + job.round);
    let before = Footprint::now();
    let job = &job.cold();
    let (connection, opened) = time_ms(|| {
        let connection = job.open(&[])?;
        point(&connection, 1 + rows / 3)?;
        Ok(connection)
    })?;
    connection.query_row("SELECT sum(length(v)) FROM t", [], |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "cache_size", 20)?;
    let mut reads = Latencies::default();
    for _ in 0..2000 {
        let id = 1 + dice.below(rows);
        reads.time(|| point(&connection, id))?;
    }
    let mut figures = Figures::from([
        ("open_ms".to_owned(), opened),
        ("read_p50_us".to_owned(), reads.percentile_us(0.5)),
        ("memory_kb".to_owned(), Footprint::now().memory_kb - before.memory_kb),
    ]);
    if job.subject == Subject::Plimsoll {
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let mut commits = Latencies::default();
        let mut update = connection.prepare("UPDATE t SET v = ?1 WHERE id = ?2")?;
        for number in 0..1000 {
            let (text, id) = (text(&mut dice), 1 + dice.below(rows) as i64);
            let mut commit = || -> Result<usize> { Ok(update.execute(params![text, id])?) };
            // The first takes the volume for writing.
            if number == 0 {
                commit()?
            } else {
                commits.time(commit)?
            };
        }
        figures.insert("commit_p50_us".to_owned(), commits.percentile_us(0.5));
        figures.insert("commit_p99_us".to_owned(), commits.percentile_us(0.99));
    }
    Ok(figures)
}
