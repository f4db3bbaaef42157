//! What grows with the size of a database, with the length of its history, and with how many are open beside it.

use anyhow::Result;
use rusqlite::{Connection, params};

use crate::{
    catalogue::{Bench, Case, Scale},
    command::import_merged,
    figures::Figures,
    job::Job,
    measure::{Footprint, Latencies, time_ms},
    subject::{Subject, open},
    workload::{Dice, ROWS_PER_MB, fill, forget_here, point, text, update_often, wait_durable},
};

/// Rows of a database that is only open beside the one that is measured.
const ROWS_BESIDE: u64 = 200;

/// Syncs that are waited for, one after the other.
const SYNCS: u64 = 50;

pub(crate) fn bench() -> Bench {
    Bench {
        name: "growth",
        about: "commits, reads, opening and memory by size, by number of syncs and by what else is open",
        headline: "commit_p50_us",
        cases,
        rounds: |scale| scale.pick(1, 2, 5),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let case = |mb: u64, syncs: u64, beside: u64| {
        let among = if beside > 0 { format!(", {beside} others open") } else { String::new() };
        let parameters = [("mb", mb), ("syncs", syncs), ("beside", beside)];
        // Two of Litestream's in one process break each other.
        let subjects = [Subject::Plimsoll, Subject::Litestream];
        let subjects = if beside > 0 { &subjects[..1] } else { &subjects };
        Case::new(format!("{mb} MB, {syncs} syncs{among}"), &parameters, subjects)
    };
    scale
        .pick(
            vec![(1, 1, 0), (2, 1, 0), (1, 20, 0), (1, 1, 5)],
            vec![(1, 1, 0), (10, 1, 0), (100, 1, 0), (10, 200, 0), (10, 2000, 0), (1, 1, 100)],
            vec![
                (1, 1, 0),
                (10, 1, 0),
                (100, 1, 0),
                (1000, 1, 0),
                (10, 100, 0),
                (10, 1000, 0),
                (10, 10_000, 0),
                (1, 1, 10),
                (1, 1, 100),
                (1, 1, 1000),
            ],
        )
        .into_iter()
        .map(|(mb, syncs, beside)| case(mb, syncs, beside))
        .collect()
}

fn prepare(job: &Job) -> Result<()> {
    let rows = job.number("mb") * ROWS_PER_MB;
    import_merged(job, &job.place, rows)?;
    update_often(&open(Subject::Plimsoll, &job.place, &[("sync_interval_ms", "1")])?, rows, job.number("syncs"))?;
    forget_here(job)
}

/// Opens as many others, each written once.
fn others(job: &Job) -> Result<Vec<Connection>> {
    let other = |number: u64| {
        let connection = open(job.subject, &job.place.named(format!("{}-beside-{number}", job.round)), &[])?;
        fill(&connection, ROWS_BESIDE)?;
        Ok(connection)
    };
    (0..job.number("beside")).map(other).collect()
}

fn measure(job: &Job) -> Result<Figures> {
    let rows = job.number("mb") * ROWS_PER_MB;
    let mut dice = Dice(17 + job.round);
    let job = &job.cold();
    let _others = others(job)?;
    let (before, asked) = (Footprint::now(), job.counts()?);
    let (connection, opened) = time_ms(|| {
        let connection = job.open(&[])?;
        point(&connection, 1 + rows / 3)?;
        Ok(connection)
    })?;
    let asked = job.counts()?.since(&asked);
    connection.query_row("SELECT sum(length(v)) FROM t", [], |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "cache_size", 20)?;
    let mut reads = Latencies::default();
    for _ in 0..2000 {
        let id = 1 + dice.below(rows);
        reads.time(|| point(&connection, id))?;
    }
    let mut figures = Figures::from([
        ("open_ms".to_owned(), opened),
        ("open_requests".to_owned(), asked.requests() as f64),
        ("read_p50_us".to_owned(), reads.percentile_us(0.5)),
        ("read_p99_us".to_owned(), reads.percentile_us(0.99)),
        ("memory_kb".to_owned(), Footprint::now().memory_kb - before.memory_kb),
    ]);
    if job.subject == Subject::Plimsoll {
        figures.extend(commits(job, &connection, rows, &mut dice)?);
    }
    Ok(figures)
}

fn commits(job: &Job, connection: &Connection, rows: u64, dice: &mut Dice) -> Result<Figures> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let mut update = connection.prepare("UPDATE t SET v = ?1 WHERE id = ?2")?;
    let mut commit = || Ok(update.execute(params![text(dice), 1 + dice.below(rows) as i64])?);
    // The first takes the volume for writing.
    commit()?;
    let (mut commits, mut durable) = (Latencies::default(), Latencies::default());
    for _ in 0..1000 {
        commits.time(&mut commit)?;
    }
    wait_durable(connection)?;
    let before = job.counts()?;
    for _ in 0..SYNCS {
        commit()?;
        durable.time(|| wait_durable(connection))?;
    }
    let asked = job.counts()?.since(&before);
    Ok(Figures::from([
        ("commit_p50_us".to_owned(), commits.percentile_us(0.5)),
        ("commit_p99_us".to_owned(), commits.percentile_us(0.99)),
        ("commit_p99_9_us".to_owned(), commits.percentile_us(0.999)),
        ("durable_p50_us".to_owned(), durable.percentile_us(0.5)),
        ("requests_per_sync".to_owned(), asked.requests() as f64 / SYNCS as f64),
        ("kb_per_sync".to_owned(), asked.bytes_in as f64 / 1000.0 / SYNCS as f64),
    ]))
}
