//! Commands that are told to end by a signal: what they leave, and what they let go of.

mod support;

use std::{
    net::TcpListener,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use support::{Sandbox, answer, plain_database};

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
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
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
