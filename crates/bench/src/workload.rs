//! Tables and rows: the same for every subject, from fixed seeds.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, params};

use crate::job::Job;

/// Longest that hydration may take.
const HYDRATED_MAX: Duration = Duration::from_mins(2);

/// Small and repeatable.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// Bytes of a row's text.
pub(crate) const ROW_BYTES: usize = 100;
/// Rows to a megabyte of database.
pub(crate) const ROWS_PER_MB: u64 = 9000;
/// Rows to a transaction while a table is filled.
const BATCH: u64 = 5000;

/// Words and numbers, as in ordinary rows: they compress to about half.
pub(crate) fn text(dice: &mut Dice) -> String {
    const WORDS: [&str; 16] = [
        "harbour", "cargo", "ballast", "hull", "draught", "keel", "voyage", "anchor", "rope", "tide", "crew", "deck",
        "mast", "sail", "storm", "load",
    ];
    let mut text = String::with_capacity(ROW_BYTES + 16);
    while text.len() < ROW_BYTES {
        text.push_str(WORDS[dice.below(16) as usize]);
        text.push(' ');
        text.push_str(&dice.below(100_000).to_string());
        text.push(' ');
    }
    text.truncate(ROW_BYTES);
    text
}

pub(crate) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT NOT NULL)")?;
    Ok(())
}

/// Rows 1 to `rows`.
pub(crate) fn fill(connection: &Connection, rows: u64) -> Result<()> {
    create(connection)?;
    let mut dice = Dice(1);
    let mut next = 1;
    while next <= rows {
        let end = (next + BATCH).min(rows + 1);
        connection.execute_batch("BEGIN IMMEDIATE")?;
        {
            let mut insert = connection.prepare_cached("INSERT INTO t VALUES (?1, ?2)")?;
            for id in next..end {
                insert.execute(params![id as i64, text(&mut dice)])?;
            }
        }
        connection.execute_batch("COMMIT")?;
        next = end;
    }
    Ok(())
}

/// Reads one row by its key.
pub(crate) fn point(connection: &Connection, id: u64) -> Result<String> {
    Ok(connection.prepare_cached("SELECT v FROM t WHERE id = ?1")?.query_row([id as i64], |row| row.get(0))?)
}

/// Everything that was committed is in the object store.
pub(crate) fn wait_durable(connection: &Connection) -> Result<()> {
    connection.query_row("SELECT plimsoll_wait('durable')", [], |_| Ok(()))?;
    Ok(())
}

/// So many syncs of a changed row each.
pub(crate) fn update_often(connection: &Connection, rows: u64, syncs: u64) -> Result<()> {
    let mut dice = Dice(5);
    let mut update = connection.prepare("UPDATE t SET v = ?1 WHERE id = ?2")?;
    for _ in 0..syncs {
        update.execute(params![text(&mut dice), 1 + dice.below(rows) as i64])?;
        wait_durable(connection)?;
    }
    Ok(())
}

/// Every page is on this host.
pub(crate) fn wait_hydrated(connection: &Connection) -> Result<()> {
    let start = Instant::now();
    loop {
        let status: String = connection.query_row("SELECT plimsoll_status()", [], |row| row.get(0))?;
        let status: serde_json::Value = serde_json::from_str(&status).context("reading the status")?;
        if status["hydrated_pages"].as_u64() >= status["page_count"].as_u64() {
            return Ok(());
        }
        if start.elapsed() > HYDRATED_MAX {
            bail!("{} of {} pages were brought in two minutes", status["hydrated_pages"], status["page_count"]);
        }
        sleep(Duration::from_millis(2));
    }
}

/// What was made is in the object store, and who measures comes from elsewhere: the disk is for what comes next.
pub(crate) fn forget_here(job: &Job) -> Result<()> {
    fs::remove_dir_all(&job.place.dir).context("removing what preparing left on this disk")
}
