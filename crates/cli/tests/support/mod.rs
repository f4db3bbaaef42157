//! The command in a sandbox: a directory with volumes, and hosts with state of their own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// An answer of the command.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// What was printed, after success.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// What was printed, as one JSON value, after success.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// The words of a failure with this exit code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self.err
    }
}

/// A directory that is gone after the test.
pub struct Sandbox(TempDir);

impl Sandbox {
    pub fn new() -> Self {
        Sandbox(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    /// The URL of a volume in here.
    pub fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    /// The command on a host, with nothing of the outside but what a test sets.
    pub fn on(&self, host: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(args).current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.path("home")).env("PLIMSOLL_STATE_DIR", self.path(host));
        // For volumes made with an l0_retention_ms that no test has to wait for.
        command.env("PLIMSOLL_TEST_ANY_RETENTION", "1");
        command
    }

    pub fn run(&self, args: &[&str]) -> Answer {
        answer(&mut self.on("state", args))
    }

    /// With `input` on stdin.
    pub fn feed(&self, input: &str, args: &[&str]) -> Answer {
        let mut command = self.on("state", args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        read(child.wait_with_output().unwrap())
    }

    /// A volume with a table `t` of so many rows.
    pub fn volume(&self, name: &str, rows: u32) -> String {
        self.made(name, rows, &[])
    }

    /// The same, of which what was merged is collected at once.
    pub fn brief_volume(&self, name: &str, rows: u32) -> String {
        self.made(name, rows, &["--set", "l0_retention_ms=1"])
    }

    fn made(&self, name: &str, rows: u32, settings: &[&str]) -> String {
        let url = self.url(name);
        self.run(&[settings, &["create", &url]].concat()).ok();
        let sql = format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO t(v) SELECT hex(randomblob(50)) FROM n"
        );
        self.run(&["sql", &url, &sql]).ok();
        url
    }

    /// A process on a host that has committed one row to `t` which is in its journal only, and goes on working.
    pub fn busy_writer(&self, host: &str, url: &str) -> Child {
        self.writer(host, url, "")
    }

    /// The same; it has also told the store of that row, by a sign of life.
    pub fn writer_that_advertised(&self, host: &str, url: &str) -> Child {
        let child = self.writer(host, url, "");
        // The row is acknowledged, so the signs of life that follow speak of it.
        for _ in 0..6000 {
            let status = answer(&mut self.on("onlooker", &["--json", "status", url])).ok();
            if serde_json::from_str::<Value>(&status).unwrap()["load"]["commits"] == 1 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        child
    }

    /// The same, in the middle of a transaction, so that it cannot let go of the volume.
    pub fn writer_in_a_transaction(&self, host: &str, url: &str) -> Child {
        self.writer(host, url, "BEGIN IMMEDIATE; INSERT INTO t(v) VALUES('half');")
    }

    /// The same, and that row is durable; `then` is run after it.
    pub fn writer_that_synced(&self, host: &str, url: &str, then: &str) -> Child {
        self.writer(host, url, &format!("SELECT plimsoll_wait('durable'); {then}"))
    }

    /// The same, which has also run something else that is in its journal only.
    pub fn writer_that_then(&self, host: &str, url: &str, then: &str) -> Child {
        self.writer(host, url, then)
    }

    /// Until it is killed; where a test has failed, some minutes, so that it takes no core from whatever comes after it.
    fn writer(&self, host: &str, url: &str, then: &str) -> Child {
        let sql = &format!(
            "INSERT INTO t(v) VALUES('kept'); {then} SELECT 'ready';
                   WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000000000)
                   SELECT max(i) FROM n"
        );
        let slow = ["sync_interval_ms=600000", "max_loss_window_ms=600000", "heartbeat_ms=200"];
        let set = slow.iter().flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = set.chain(["--json", "sql", url, sql]).collect();
        let mut child = self.on(host, &args).stdout(Stdio::piped()).spawn().unwrap();
        let mut printed = String::new();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        while !printed.contains("ready") {
            assert_ne!(lines.read_line(&mut printed).unwrap(), 0, "{printed}");
        }
        child
    }
}

pub fn answer(command: &mut Command) -> Answer {
    read(command.output().unwrap())
}

fn read(output: std::process::Output) -> Answer {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Every file below a directory, with its content.
pub fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                found.push((path, content));
            }
        }
    }
    found.sort();
    found
}

/// Writes a record of a volume from another one, changed, with a checksum that is right.
pub fn record_from(from: &Path, to: &Path, change: impl FnOnce(&mut Value)) {
    let mut record: Value = serde_json::from_slice(&fs::read(from).unwrap()).unwrap();
    record.as_object_mut().unwrap().remove("check");
    change(&mut record);
    let mut text = record.to_string();
    text.pop();
    let check = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
    fs::write(to, format!("{text},\"check\":\"{check:016x}\"}}\n")).unwrap();
}

/// A database file with a table `t`, made by SQLite alone.
pub fn plain_database(path: &Path, setup: &str) -> rusqlite::Connection {
    let database = rusqlite::Connection::open(path).unwrap();
    database.execute_batch(setup).unwrap();
    database.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v)").unwrap();
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                INSERT INTO t(v) SELECT hex(randomblob(40)) FROM n";
    database.execute_batch(rows).unwrap();
    database
}

/// The rows of `t` in a database file.
pub fn rows(path: &Path) -> Vec<(i64, String)> {
    let database = rusqlite::Connection::open(path).unwrap();
    let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut statement = database.prepare("SELECT id, v FROM t ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}
