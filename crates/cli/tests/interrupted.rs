//! Commands that are told to end by a signal: what they leave, and what they let go of.

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use support::{Sandbox, answer, kill, plain_database};

/// Waits until something is so.
#[track_caller]
fn until(so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if so() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("it did not happen within a minute");
}

/// The exit code and words of a process that is asked to end.
fn interrupted(child: Child) -> (Option<i32>, String) {
    ended(child, Signal::TERM)
}

fn ended(child: Child, signal: Signal) -> (Option<i32>, String) {
    kill_process(Pid::from_child(&child), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Hidden files of the size of the database were left, one for each try.
#[test]
fn an_export_that_is_interrupted_leaves_no_file() {
    let sandbox = Sandbox::new();
    // A store that takes requests and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("s3://bucket/db?endpoint=http://{}", silent.local_addr().unwrap());
    let folder = sandbox.path("exported");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("a.db");
    let mut export = sandbox.on("state", &["--set", "allow_http=true", "export", &url, file.to_str().unwrap()]);
    export.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b").env("AWS_REGION", "x");
    let export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The request comes after the file was made.
    let request = silent.accept().unwrap();
    let (code, words) = interrupted(export);
    assert_eq!(code, Some(143), "{words}");
    assert!(words.contains("interrupted") && words.contains("nothing was written to"), "{words}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    drop(request);
}

/// Other hosts waited for half a minute.
#[test]
fn an_import_that_is_interrupted_lets_the_volume_go() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("plain.db");
    let database = plain_database(&file, "");
    database.execute_batch("CREATE TABLE large(v); INSERT INTO large VALUES(zeroblob(100000000))").unwrap();
    drop(database);
    let url = sandbox.url("db");
    let mut import = sandbox.on("state", &["import", file.to_str().unwrap(), &url]);
    let import = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(|| sandbox.path("db/epoch/00000001.json").exists());
    let (code, words) = interrupted(import);
    // On a fast machine it may have come to its end.
    assert!(matches!(code, Some(0 | 143)), "{code:?}: {words}");
    if code == Some(143) {
        assert!(words.contains("letting go of"), "{words}");
        answer(&mut sandbox.on("elsewhere", &["ls", "--objects", &url])).ok();
    }
    // Nobody has to wait.
    answer(&mut sandbox.on("elsewhere", &["import", "--replace", file.to_str().unwrap(), &url])).ok();
    let count = ["--json", "sql", &url, "SELECT count(*) AS n FROM t"];
    assert_eq!(answer(&mut sandbox.on("elsewhere", &count)).ok(), "{\"n\":2000}\n");
}

/// A copy as large as the database was left below `state_dir`, for good.
#[test]
fn an_import_that_is_interrupted_or_killed_leaves_no_copy_of_a_database_in_wal_mode() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("plain.db");
    let database = plain_database(&file, "PRAGMA journal_mode=WAL");
    let scratch = sandbox.path("state/scratch");
    let left = || std::fs::read_dir(&scratch).map_or(0, Iterator::count);
    for signal in [Signal::TERM, Signal::KILL] {
        // The volume is opened once the copy was made, and the store never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("s3://bucket/db?endpoint=http://{}", silent.local_addr().unwrap());
        let mut import = sandbox.on("state", &["--set", "allow_http=true", "import", file.to_str().unwrap(), &url]);
        import.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b").env("AWS_REGION", "x");
        let import = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let request = silent.accept().unwrap();
        assert_eq!(left(), 1, "of {signal:?}");
        ended(import, signal);
        drop(request);
    }
    assert_eq!(left(), 1, "whoever is killed removes nothing, and the one before it was not");
    sandbox.run(&["import", file.to_str().unwrap(), &sandbox.url("db")]).ok();
    assert_eq!(left(), 0);
    drop(database);
}

#[test]
fn sql_that_is_interrupted_lets_the_volume_go_and_what_it_had_committed_is_durable() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let insert = |host: &str| answer(&mut sandbox.on(host, &["sql", &url, "INSERT INTO t(v) VALUES('other')"])).ok();
    // In the middle of a statement.
    let (code, _) = interrupted(sandbox.busy_writer("state", &url));
    assert_eq!(code, Some(143));
    insert("elsewhere");
    // Waiting for the next statement, with one transaction committed and another one begun.
    let slow = ["sync_interval_ms=600000", "max_loss_window_ms=600000"];
    let set = slow.iter().flat_map(|setting| ["--set", setting]);
    let mut reading = sandbox.on("state", &set.chain(["sql", &url]).collect::<Vec<_>>());
    let mut reading = reading.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let statements = b"INSERT INTO t(v) VALUES('kept'); BEGIN; INSERT INTO t(v) VALUES('half'); SELECT 'ready';\n";
    let mut stdin = reading.stdin.take().unwrap();
    stdin.write_all(statements).unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(reading.stdout.as_mut().unwrap());
    while !line.contains("ready") {
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "{line}");
    }
    let (code, words) = interrupted(reading);
    assert_eq!(code, Some(143), "{words}");
    assert!(words.contains("letting go of") && words.contains("what was committed stays"), "{words}");
    insert("elsewhere");
    let found = "SELECT group_concat(v, ',') AS v FROM (SELECT v FROM t WHERE id > 3 ORDER BY id)";
    let found = answer(&mut sandbox.on("elsewhere", &["--json", "sql", &url, found])).ok();
    assert_eq!(found, "{\"v\":\"kept,other,kept,other\"}\n");
    drop(stdin);
}

#[test]
fn a_drain_that_is_interrupted_says_what_it_has_done_and_that_there_is_more() {
    let sandbox = Sandbox::new();
    let (free, held) = (sandbox.volume("free", 3), sandbox.volume("held", 3));
    kill(sandbox.busy_writer("state", &free));
    // A process of this host that cannot let go is waited for.
    let holder = sandbox.writer_in_a_transaction("state", &held);
    let drain = sandbox.on("state", &["--json", "drain"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut drain = drain.unwrap();
    let mut line = String::new();
    BufReader::new(drain.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("/free"), "{line}");
    let (code, words) = interrupted(drain);
    // On a slow machine its patience may have come to an end.
    assert!(matches!(code, Some(3 | 143)), "{code:?}: {words}");
    if code == Some(143) {
        assert!(words.contains("drained 1 of 2; run it again"), "{words}");
        assert!(!words.contains("closed"), "{words}");
    }
    answer(&mut sandbox.on("elsewhere", &["sql", &free, "INSERT INTO t(v) VALUES('other')"])).ok();
    kill(holder);
}
