//! Work for tools that count what a thread does: the same each time, and apart from what prepares it.

use std::path::Path;

use anyhow::{Result, bail};
use rusqlite::{Connection, params};

use crate::{
    measure::{Latencies, time_ms},
    workload::{Dice, fill, point, text, wait_durable},
};

/// Few enough to be made under valgrind, too.
const ROWS: u64 = 3000;

/// Does `what` as often as `times` says, on a volume in memory or, for comparison, on a plain file.
///
/// # Errors
/// What SQLite says; there is no such work.
pub fn probe(what: &str, times: u64, dir: &Path) -> Result<String> {
    std::fs::create_dir_all(dir)?;
    let (work, plain) = what.strip_suffix("-file").map_or((what, false), |work| (work, true));
    let connection = if plain {
        let connection = Connection::open(dir.join("probe.db"))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection
    } else {
        plimsoll_sqlite::register()?;
        let uri = format!(
            "file:memory:///probe?vfs=plimsoll&state_dir={}&sync_interval_ms=600000&sync_timeout_ms=0",
            dir.display()
        );
        Connection::open(uri)?
    };
    let (work, level) = work.split_once('-').unwrap_or((work, "normal"));
    connection.pragma_update(None, "synchronous", level)?;
    fill(&connection, ROWS)?;
    if plain {
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    } else if work != "overlay" {
        wait_durable(&connection)?;
    }
    let mut dice = Dice(1);
    match work {
        "read" | "overlay" => {
            connection.pragma_update(None, "cache_size", 1)?;
            let mut read = |_: u64| point(&connection, 1 + dice.below(ROWS)).map(drop);
            run(times, &mut read)
        }
        "commit" => {
            let mut insert = connection.prepare("INSERT INTO t(v) VALUES (?1)")?;
            let mut commit = |_: u64| -> Result<()> {
                insert.execute(params![text(&mut dice)])?;
                Ok(())
            };
            run(times, &mut commit)
        }
        _ => bail!(
            "nothing to probe is called '{what}'; there are read, overlay, commit, commit-off, -full, -extra, and each with -file"
        ),
    }
}

fn run(times: u64, work: &mut dyn FnMut(u64) -> Result<()>) -> Result<String> {
    // Buffers reach their size before anything is counted.
    (0..times / 2 + 1).try_for_each(&mut *work)?;
    let mut latencies = Latencies::default();
    let ((), took) = time_ms(|| plimsoll_bench_probe(times, &mut |number| latencies.time(|| work(number))))?;
    Ok(format!("{:.2} us each, half below {:.2} us", took * 1000.0 / times as f64, latencies.percentile_us(0.5)))
}

/// What is counted. Tools find it by its name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn plimsoll_bench_probe(times: u64, work: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
    (0..times).try_for_each(work)
}
