//! What can be done with a URL, on a small database and on a large one in turns: none of it may take longer on the
//! large one.

use std::fs;

use anyhow::{Context, Result};
use rusqlite::{Connection, params};

use crate::{
    catalogue::{Bench, Case, Scale},
    command::{command, import},
    figures::Figures,
    job::Job,
    measure::time_ms,
    subject::{Place, Subject, open},
    workload::{Dice, ROWS_PER_MB, text, wait_durable},
};

/// Delay of the object store.
const LATENCY_MS: u64 = 20;
/// Syncs of a row each on top of what was imported.
const SYNCS: u64 = 20;
/// Rows that a restore brings back.
const CHANGED_ROWS: u64 = 50;
/// Nothing happens in the background that is not asked for.
const QUIET: [(&str, &str); 2] = [("hydrate", "false"), ("compaction_levels_ms", "3600000")];
const SIZES: [&str; 2] = ["small", "large"];

pub(crate) fn bench() -> Bench {
    Bench {
        name: "pointer",
        about: "checkpoint, restore, fork, follow and move, on a small database and on a large one",
        headline: "checkpoint: ms, large",
        cases,
        rounds: |scale| scale.pick(1, 3, 7),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let (small, large) = scale.pick((1, 10), (10, 100), (10, 1000));
    let name = format!("small is {small} MB, large {large} MB, {LATENCY_MS} ms a request");
    vec![Case::new(name, &[("small", small), ("large", large)], &[Subject::Plimsoll]).behind(LATENCY_MS)]
}

/// Imports both, and puts a few syncs on top.
fn prepare(job: &Job) -> Result<()> {
    for size in SIZES {
        let (place, rows) = (job.place.named(size), job.number(size) * ROWS_PER_MB);
        import(job, &place, rows)?;
        let connection = open(Subject::Plimsoll, &place, &QUIET)?;
        let mut dice = Dice(5);
        for _ in 0..SYNCS {
            change(&connection, &mut dice, rows, 1)?;
            wait_durable(&connection)?;
        }
    }
    Ok(())
}

/// A host that knows nothing of the volumes. That the store lets one writer win it knows: that is asked once per host.
fn another_host(here: &Place, name: String) -> Result<Place> {
    const PASSED: &str = "state/stores/store-probes.json";
    let there = here.elsewhere(name);
    fs::create_dir_all(there.dir.join(PASSED).parent().unwrap_or(&there.dir))?;
    fs::copy(here.dir.join(PASSED), there.dir.join(PASSED)).context("copying what the host knows of the store")?;
    Ok(there)
}

fn change(connection: &Connection, dice: &mut Dice, rows: u64, count: u64) -> Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for _ in 0..count {
        let (text, id) = (text(dice), 1 + dice.below(rows) as i64);
        connection.execute("UPDATE t SET v = ?1 WHERE id = ?2", params![text, id])?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// Does what `work` does, and notes what that took.
fn note(job: &Job, figures: &mut Figures, what: &str, size: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = job.counts()?;
    let ((), took) = time_ms(work).with_context(|| format!("{what}, {size}"))?;
    let asked = job.counts()?.since(&before);
    let mut found = |unit: &str, value: f64| {
        figures.insert(format!("{what}: {unit}, {size}"), value);
    };
    found("ms", took);
    found("requests", asked.requests() as f64);
    found("round trips", asked.trips as f64);
    found("kb", (asked.bytes_in + asked.bytes_out) as f64 / 1000.0);
    Ok(())
}

fn measure(job: &Job) -> Result<Figures> {
    let mut figures = Figures::new();
    for size in SIZES {
        measure_one(job, size, &mut figures)?;
    }
    let ratios: Vec<(String, f64)> = figures
        .iter()
        .filter_map(|(name, large)| {
            let what = name.strip_suffix(": ms, large")?;
            Some((format!("{what}: ms, ratio"), large / figures.get(&format!("{what}: ms, small"))?))
        })
        .collect();
    figures.extend(ratios);
    Ok(figures)
}

fn measure_one(job: &Job, size: &str, figures: &mut Figures) -> Result<()> {
    // The same rows in both: what lies further apart takes more requests to read, of whatever size the rest is.
    let rows = job.number("small") * ROWS_PER_MB;
    let (here, round) = (job.place.named(size), job.round);
    let url = here.url();
    let (mut dice, name) = (Dice(100 + round), format!("round-{round}"));
    let mut note = |what: &str, work: &mut dyn FnMut() -> Result<()>| note(job, figures, what, size, work);

    // The host that has it.
    let connection = open(Subject::Plimsoll, &here, &QUIET)?;
    change(&connection, &mut dice, rows, 1)?;
    note("checkpoint", &mut || Ok(connection.query_row("SELECT plimsoll_checkpoint(?1)", [&name], |_| Ok(()))?))?;
    change(&connection, &mut dice, rows, CHANGED_ROWS)?;
    wait_durable(&connection)?;
    note("restore", &mut || Ok(connection.query_row("SELECT plimsoll_restore(?1)", [&name], |_| Ok(()))?))?;

    // Other hosts.
    let cold = |what: &str| another_host(&here, format!("{what}-{size}-{round}"));
    let reader = cold("reader")?;
    let row = format!("SELECT v FROM t WHERE id = {}", rows / 2);
    note("first row by command", &mut || command(job, &reader, &["sql", "--read-only", &url, &row]))?;
    let maker = cold("checkpoint")?;
    let named = format!("{name}-by-command");
    note("checkpoint by command", &mut || command(job, &maker, &["checkpoint", "create", &url, &named]))?;
    let forker = cold("fork")?;
    let fork = job.place.named(format!("fork-{size}-{round}"));
    note("fork by command", &mut || command(job, &forker, &["fork", &url, &fork.url()]))?;
    let fork = Place { dir: cold("forked")?.dir, ..fork };
    note("first commit to a fork", &mut || {
        let forked = open(Subject::Plimsoll, &fork, &QUIET)?;
        change(&forked, &mut Dice(1), rows, 1)
    })?;

    // From the host that has it to another.
    let next = cold("next")?;
    let mut connection = Some(connection);
    note("release", &mut || {
        drop(connection.take());
        Ok(())
    })?;
    note("first commit elsewhere", &mut || {
        let moved = open(Subject::Plimsoll, &next, &QUIET)?;
        change(&moved, &mut Dice(2), rows, 1)
    })?;
    let restorer = cold("restore")?;
    note("restore by command", &mut || command(job, &restorer, &["restore", &format!("{url}@{name}")]))
}
