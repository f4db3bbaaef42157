//! How long it takes to go on: on the same host after a kill, and on another one.

use anyhow::{Result, bail};
use rusqlite::params;

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    harness::run_beside,
    job::{Job, Step},
    measure::time_ms,
    subject::{Subject, open},
    workload::{Dice, fill, point, text, wait_durable},
};

/// Nothing is synced, so all is in the journal; and the host stays the writer until it dies.
const KEEP: [(&str, &str); 4] = [
    ("sync_interval_ms", "3600000"),
    ("sync_backlog_bytes", "0"),
    ("max_loss_window_ms", "3600000"),
    ("max_dirty_bytes", "4294967296"),
];
/// What a page costs in the journal.
const PAGE_BYTES: u64 = 4096 + 48;
/// Rows to a transaction, a few hundred pages.
const ROWS: u64 = 5000;

pub(crate) fn bench() -> Bench {
    Bench {
        name: "recovery",
        about: "time to the first row and to the first commit after a kill, here and on another host",
        headline: "first_row_ms",
        cases,
        rounds: |scale| scale.pick(1, 2, 5),
        prepare: crate::catalogue::nothing,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let mut cases = Vec::new();
    for mb in scale.pick(vec![1], vec![1, 100], vec![1, 100]) {
        for latency in [0, 10] {
            let subjects = [Subject::Plimsoll, Subject::Wal];
            let name = format!("same host, {mb} MB of journal, {latency} ms a request");
            cases.push(Case::new(name, &[("mb", mb)], &subjects).against(Subject::Wal).behind(latency));
        }
    }
    // What the dead host had in its journal went with it, and must cost who takes over nothing. Litestream's VFS knows no
    // taking over: it opens what is in the store.
    for mb in scale.pick(vec![1], vec![1, 100], vec![1, 100]) {
        for latency in scale.pick(vec![10], vec![10], vec![0, 10, 30]) {
            let subjects = [Subject::Plimsoll, Subject::Litestream];
            let name = format!("another host takes over from {mb} MB of journal, {latency} ms a request");
            let case = Case::new(name, &[("mb", mb), ("elsewhere", 1)], &subjects);
            cases.push(case.against(Subject::Litestream).behind(latency));
        }
    }
    cases
}

/// Makes a database that is synced, then fills the journal and dies.
pub(crate) fn die(job: &Job) -> Result<()> {
    let settings: &[(&str, &str)] = if job.subject == Subject::Plimsoll { &KEEP } else { &[] };
    let connection = open(job.subject, &job.place, settings)?;
    fill(&connection, ROWS)?;
    if job.subject == Subject::Plimsoll {
        wait_durable(&connection)?;
    }
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    let mut dice = Dice(job.round);
    let mut written = 0;
    while written < job.number("mb") << 20 {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        {
            let mut insert = connection.prepare_cached("INSERT INTO t(v) VALUES (?1)")?;
            for _ in 0..ROWS {
                insert.execute(params![text(&mut dice)])?;
            }
        }
        connection.execute_batch("COMMIT")?;
        written += ROWS * 110 / 4096 * PAGE_BYTES;
    }
    std::process::abort()
}

fn measure(job: &Job) -> Result<Figures> {
    let job = &Job { place: job.place.named(format!("r{}", job.round)), ..job.clone() };
    let who = if job.subject == Subject::Litestream { Subject::Plimsoll } else { job.subject };
    run_beside(&Job { step: Step::Die, subject: who, ..job.clone() })?;
    let (job, settings): (Job, &[(&str, &str)]) = match (job.number("elsewhere"), job.subject) {
        (1, Subject::Litestream) => (job.cold(), &[("write_enabled", "true")]),
        (1, _) => (job.cold(), &[("takeover", "true")]),
        _ => (job.clone(), &[]),
    };
    let before = job.counts()?;
    let (connection, opened) = time_ms(|| job.open(settings))?;
    let ((), first) = time_ms(|| point(&connection, 1).map(drop))?;
    let last: u32 = connection.query_row("SELECT max(id) FROM t", [], |row| row.get(0))?;
    if u64::from(last) == ROWS && job.number("elsewhere") == 0 {
        bail!("what was committed is gone");
    }
    let (_, commit) = time_ms(|| Ok(connection.execute("INSERT INTO t(v) VALUES ('first')", [])?))?;
    Ok(Figures::from([
        ("first_row_ms".to_owned(), opened + first),
        ("first_commit_ms".to_owned(), opened + first + commit),
        ("requests".to_owned(), job.counts()?.since(&before).requests() as f64),
    ]))
}
