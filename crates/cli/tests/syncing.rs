//! After a crash: what the journal holds becomes durable, or is kept.

mod support;

use support::{Sandbox, answer, kill};

#[test]
fn what_a_killed_process_had_acknowledged_is_synced() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.busy_writer("state", &url));
    let report = sandbox.run(&["--json", "sync", &url]).json();
    assert_eq!(report["commits"], 1);
    let count = ["--json", "sql", &url, "SELECT count(*) AS n FROM t WHERE v = 'kept'"];
    assert_eq!(answer(&mut sandbox.on("elsewhere", &count)).ok(), "{\"n\":1}\n");
    let again = sandbox.run(&["--json", "sync", &url]).json();
    assert_eq!(again["commits"], 0);
}

/// A process that has the volume open may still sync what a fresh one cannot read: elsewhere it would be stranded.
#[test]
fn whoever_only_looks_at_a_damaged_journal_is_not_sent_to_another_host() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.busy_writer("state", &url));
    let volumes = std::fs::read_dir(sandbox.path("state")).unwrap().map(|entry| entry.unwrap().path().join("journal"));
    let journal = volumes.into_iter().find(|journal| journal.is_dir()).unwrap();
    let segment = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|end| end == "wal")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let words = sandbox.run(&["sync", &url]).fails(5);
    assert!(words.contains("keep the directory") && !words.contains("another host"), "{words}");
}

#[test]
fn a_running_process_is_asked_to_sync() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let writer = sandbox.busy_writer("state", &url);
    sandbox.run(&["sync", &url]).ok();
    kill(writer);
    let count = ["--json", "sql", &url, "SELECT count(*) AS n FROM t WHERE v = 'kept'"];
    assert_eq!(answer(&mut sandbox.on("elsewhere", &count)).ok(), "{\"n\":1}\n");
}

#[test]
fn a_journal_in_use_is_left_to_its_process() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let writer = sandbox.writer_in_a_transaction("state", &url);
    let words = sandbox.run(&["sync", &url]).fails(3);
    assert!(words.contains(&format!("process {} of this host", writer.id())), "{words}");
    kill(writer);
}

#[test]
fn commits_that_another_writer_went_on_without_are_kept_and_reported() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.busy_writer("state", &url));
    let takeover = ["--set", "takeover=true", "sql", &url, "INSERT INTO t(v) VALUES('other')"];
    answer(&mut sandbox.on("elsewhere", &takeover)).ok();
    let words = sandbox.run(&["sync", &url]).fails(4);
    assert!(words.contains("kept in") && words.contains("stranded"), "{words}");
    let status = sandbox.run(&["--json", "status", &url]).json();
    assert_eq!(status["stranded"].as_array().unwrap().len(), 1);
    assert!(sandbox.run(&["status", &url]).ok().contains("stranded"));
}

#[test]
fn a_sync_of_nothing_says_so() {
    let sandbox = Sandbox::new();
    sandbox.run(&["sync", &sandbox.url("nowhere")]).fails(7);
    let url = sandbox.volume("db", 3);
    assert!(sandbox.run(&["sync", &url]).ok().contains("nothing to sync"));
}
