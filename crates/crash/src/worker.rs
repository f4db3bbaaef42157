//! The process that is killed: opens a volume, says what it found, and writes until told to close.

use std::{
    env,
    io::{self, BufRead, Write},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use plimsoll_host::crash::{self, Point};
use rusqlite::{Connection, OpenFlags, Row, params};

use crate::{
    model::{Seen, hash},
    random::Random,
    speech::{Advertised, Found, Said, Synchronous},
    work::{Aside, Op, Step, aside, content, step},
};

/// How long a statement waits for a writer of the same host.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// What a worker does.
#[derive(Clone, Debug, clap::Args)]
pub struct Job {
    /// Name of the database, as SQLite gets it: a path, or a URI.
    #[arg(long)]
    pub database: String,
    /// Decides what the transactions do.
    #[arg(long)]
    pub seed: u64,
    /// Tells this worker's transactions from those of others.
    #[arg(long)]
    pub generation: u64,
    /// Levels at which commits are acknowledged: one of OFF, NORMAL, FULL, EXTRA, or all of them by chance.
    #[arg(long)]
    pub synchronous: Option<String>,
    /// Ends after so many transactions.
    #[arg(long)]
    pub transactions: Option<u64>,
    /// Goes on after a failed transaction, with the next try of the same.
    #[arg(long)]
    pub stubborn: bool,
    /// Milliseconds between two transactions.
    #[arg(long, default_value_t = 0)]
    pub pause_ms: u64,
    /// Makes a checkpoint after each so many transactions.
    #[arg(long)]
    pub checkpoint_every: Option<u64>,
    /// A named point at which it is killed, and at which passing of it, such as `sync-created:3`.
    #[arg(long, value_parser = passing)]
    pub crash_at: Option<(Point, u64)>,
    /// A named point, and a passing of it, at which another process pins what is announced to go, and is killed when it
    /// gives that up.
    #[arg(long, value_parser = passing)]
    pub pinned_at: Option<(Point, u64)>,
}

pub(crate) fn passing(text: &str) -> Result<(Point, u64), String> {
    let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::named(name).ok_or_else(|| {
        let names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        format!("there is no such point; these are: {}", names.join(", "))
    })?;
    Ok((point, nth.parse().map_err(|_| format!("{nth} is not a number"))?))
}

pub(crate) fn say(said: &Said) {
    let mut line = serde_json::to_vec(said).expect("BUG: a line is not JSON");
    line.push(b'\n');
    // Nobody listens any more: then there is no reason to go on.
    if io::stdout().lock().write_all(&line).and_then(|()| io::stdout().lock().flush()).is_err() {
        std::process::exit(1);
    }
}

/// Opens a database on a volume.
///
/// # Errors
/// SQLite's.
pub fn open(database: &str, flags: OpenFlags) -> rusqlite::Result<Connection> {
    if let Err(error) = plimsoll_sqlite::register() {
        return Err(rusqlite::Error::InvalidPath(Path::new(&error.to_string()).to_owned()));
    }
    let connection = Connection::open_with_flags_and_vfs(database, flags, c"plimsoll")?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// The whole database, in one transaction.
///
/// # Errors
/// SQLite's.
pub fn look(connection: &Connection) -> rusqlite::Result<Found> {
    connection.execute_batch("BEGIN")?;
    let found = read(connection);
    connection.execute_batch("COMMIT")?;
    let mut found = found?;
    found.stranded = advertised(connection, found.n)?.stranded;
    Ok(found)
}

fn read(connection: &Connection) -> rusqlite::Result<Found> {
    let number = |row: &Row<'_>, at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Found { check: "ok".to_owned(), ..Found::default() });
    }
    let (n, generation) =
        connection.query_row("SELECT n, generation FROM head", [], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
    let mut statement = connection.prepare("SELECT id, k, b FROM t ORDER BY id")?;
    let rows = statement
        .query_map([], |row| {
            let content = row.get_ref(2)?.as_blob()?;
            Ok(Seen { id: number(row, 0)?, k: row.get(1)?, bytes: content.len() as u64, hash: hash(content) })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    Ok(Found { n, generation, rows, check, stranded: Vec::new() })
}

fn advertised(connection: &Connection, n: u64) -> rusqlite::Result<Advertised> {
    let text: String = connection.query_row("PRAGMA plimsoll_status", [], |row| row.get(0))?;
    let status: serde_json::Value = serde_json::from_str(&text).expect("BUG: the status is not JSON");
    let number = |at: &str| status.pointer(at).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let stranded = status["stranded"].as_array().into_iter().flatten();
    Ok(Advertised {
        n,
        appended: number("/appended/lsn"),
        journaled: number("/journaled/lsn"),
        durable: number("/durable/lsn"),
        commits: number("/load/commits"),
        bytes: number("/load/bytes"),
        age_ms: number("/load/age_ms"),
        role: status["role"].as_str().unwrap_or_default().to_owned(),
        stranded: stranded.filter_map(|path| Some(path.as_str()?.to_owned())).collect(),
        trouble: status["trouble"].as_str().map(str::to_owned),
    })
}

fn change(connection: &Connection, ops: &[Op]) -> rusqlite::Result<()> {
    for op in ops {
        match op {
            Op::Put { id, k, bytes, fill } => {
                let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO t(id, k, b) VALUES (?, ?, ?)")?;
                statement.execute(params![id.cast_signed(), k, content(*fill, *bytes)])?;
            }
            Op::Add { from, to, by } => {
                let mut statement = connection.prepare_cached("UPDATE t SET k = k + ? WHERE id BETWEEN ? AND ?")?;
                statement.execute(params![by, from.cast_signed(), to.cast_signed()])?;
            }
            Op::Delete { from, to } => {
                connection
                    .prepare_cached("DELETE FROM t WHERE id BETWEEN ? AND ?")?
                    .execute(params![from.cast_signed(), to.cast_signed()])?;
            }
            Op::Undone(ops) => {
                connection.execute_batch("SAVEPOINT undone")?;
                change(connection, ops)?;
                connection.execute_batch("ROLLBACK TO undone; RELEASE undone")?;
            }
        }
    }
    Ok(())
}

fn transaction(connection: &Connection, job: &Job, n: u64) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let work = || {
        match step(job.seed, job.generation, n) {
            Step::Create => connection.execute_batch(
                "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, b BLOB);
                 CREATE INDEX by_k ON t(k);
                 CREATE TABLE head(n INTEGER, generation INTEGER);
                 INSERT INTO head VALUES (0, 0);",
            )?,
            Step::Change(ops) => change(connection, &ops)?,
        }
        connection
            .prepare_cached("UPDATE head SET n = ?, generation = ?")?
            .execute(params![n.cast_signed(), job.generation.cast_signed()])?;
        connection.execute_batch("COMMIT")
    };
    let done = work();
    if done.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    done
}

fn between(connection: &Connection, aside: Aside) -> rusqlite::Result<()> {
    match aside {
        Aside::Nothing => Ok(()),
        Aside::RolledBack(ops) => {
            connection.execute_batch("BEGIN")?;
            let done = change(connection, &ops);
            connection.execute_batch("ROLLBACK")?;
            done
        }
        Aside::Vacuum => connection.execute_batch("VACUUM"),
        Aside::CachePages(pages) => connection.execute_batch(&format!("PRAGMA cache_size = {pages}")),
        Aside::Pause(ms) => {
            thread::sleep(Duration::from_millis(ms));
            Ok(())
        }
    }
}

fn synchronous(job: &Job, n: u64) -> Synchronous {
    match job.synchronous.as_deref() {
        Some("OFF") => Synchronous::Off,
        Some("NORMAL") => Synchronous::Normal,
        Some("FULL") => Synchronous::Full,
        Some("EXTRA") => Synchronous::Extra,
        _ => match Random::of(job.seed, n ^ job.generation.rotate_left(20)).below(20) {
            0..=2 => Synchronous::Off,
            3..=11 => Synchronous::Normal,
            12..=17 => Synchronous::Full,
            _ => Synchronous::Extra,
        },
    }
}

/// What the engine says about the last error of a connection.
fn words(connection: &Connection) -> Option<String> {
    connection.query_row("SELECT plimsoll_error()", [], |row| row.get::<_, Option<String>>(0)).ok().flatten()
}

/// What the engine says about the last error of this process, where no connection to a volume is left.
fn last_words() -> Option<String> {
    Connection::open_in_memory().ok().and_then(|outside| words(&outside))
}

fn told_to_close() -> Arc<AtomicBool> {
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    thread::spawn(move || {
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            // Whoever started us is gone.
            Ok(0) | Err(_) => std::process::exit(1),
            Ok(_) => tell.store(true, Ordering::Release),
        }
    });
    told
}

fn pin_and_die(database: &str) {
    let done = env::current_exe().and_then(|program| {
        let point = Point::PinGivenUp.name();
        let words = ["deed", "pin", "--database", database, "--object", "too-late", "--crash-at", point];
        Command::new(program).args(words).stdin(Stdio::null()).stdout(Stdio::null()).status()
    });
    assert!(done.is_ok_and(|status| status.signal().is_some()), "it was to be killed when it gives its pin up");
}

/// Opens, says what was found, and writes until told to close.
pub fn work(job: &Job) {
    if let Some((point, nth)) = job.crash_at {
        crash::arm(point, nth);
    }
    if let Some((point, nth)) = job.pinned_at {
        let database = job.database.clone();
        crash::meanwhile(point, nth, move || pin_and_die(&database));
    }
    let told = told_to_close();
    let mut n = 0;
    let connection = match open(&job.database, OpenFlags::default()) {
        Ok(connection) => connection,
        Err(error) => {
            return say(&Said::Failed(0, format!("{error}: {}", last_words().unwrap_or_default())));
        }
    };
    let failed = |n: u64, error: &rusqlite::Error| {
        say(&Said::Failed(n, format!("{error}: {}", words(&connection).unwrap_or_default())));
    };
    match look(&connection) {
        Ok(found) => {
            n = found.n;
            say(&Said::Found(found));
        }
        Err(error) => return failed(n, &error),
    }
    let mut done = 0;
    while !told.load(Ordering::Acquire) && job.transactions.is_none_or(|most| done < most) {
        let level = synchronous(job, n + 1);
        say(&Said::Begin(n + 1));
        let result = connection
            .execute_batch(&format!("PRAGMA synchronous = {}", level.word()))
            .and_then(|()| transaction(&connection, job, n + 1));
        match result {
            Ok(()) => {
                n += 1;
                done += 1;
                say(&Said::Committed(n, level));
            }
            Err(error) => {
                failed(n + 1, &error);
                if !job.stubborn {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
                continue;
            }
        }
        let after = between(&connection, aside(job.seed, job.generation, n));
        if let Err(error) = after {
            failed(n + 1, &error);
            if !job.stubborn {
                return;
            }
        }
        if job.checkpoint_every.is_some_and(|every| n % every == 0) {
            let name = format!("after-{}-{n}", job.generation);
            match connection.query_row("SELECT plimsoll_checkpoint(?)", [&name], |_| Ok(())) {
                Ok(()) => say(&Said::Kept(name, n)),
                Err(error) => return failed(n, &error),
            }
        }
        if n % 7 == 0 {
            match advertised(&connection, n) {
                Ok(status) => say(&Said::Status(status)),
                Err(error) => return failed(n, &error),
            }
        }
        thread::sleep(Duration::from_millis(job.pause_ms));
    }
    let closed = connection.close().map_err(|(_, error)| error.to_string());
    say(&Said::Closed(closed.err().or_else(last_words)));
}

/// Opens read-only and says what is there.
pub fn peek(database: &str) {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let failed = |error: rusqlite::Error, words: Option<String>| {
        say(&Said::Failed(0, format!("{error}: {}", words.unwrap_or_default())));
    };
    match open(database, flags) {
        Ok(connection) => match look(&connection) {
            Ok(found) => say(&Said::Found(found)),
            Err(error) => failed(error, words(&connection)),
        },
        Err(error) => failed(error, last_words()),
    }
}
