//! Statements, their results, and how failures come out.

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use support::Sandbox;

#[test]
fn statements_run_in_order_and_print_their_rows() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let sql = "DELETE FROM t; INSERT INTO t(v) VALUES('a;b'), (NULL), (x'00ff'), (1.5); SELECT v FROM t; SELECT count(*) AS n FROM t";
    let lines = sandbox.run(&["--json", "sql", &url, sql]).ok();
    assert_eq!(lines, "{\"v\":\"a;b\"}\n{\"v\":null}\n{\"v\":{\"blob\":\"00ff\"}}\n{\"v\":1.5}\n{\"n\":4}\n");
    let table = sandbox.run(&["sql", &url, "SELECT id, v FROM t WHERE v IS NULL"]).ok();
    assert_eq!(table.split_whitespace().collect::<Vec<_>>(), ["id", "v", "2", "NULL"]);
}

#[test]
fn statements_are_read_from_stdin() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let out =
        sandbox.feed("INSERT INTO t(v) VALUES(1);\nSELECT count(*) AS n FROM t;\n", &["--json", "sql", &url]).ok();
    assert_eq!(out, "{\"n\":4}\n");
}

/// All of stdin was once read before the first statement ran: whoever waited for an answer waited for ever.
#[test]
fn a_statement_from_stdin_is_answered_before_the_next_one_is_written() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let mut session = sandbox.on("state", &["--json", "sql", &url]);
    let mut session = session.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = session.stdin.take().unwrap();
    let mut output = BufReader::new(session.stdout.take().unwrap()).lines();
    for rows in [4, 5] {
        write!(input, "INSERT INTO t(v) VALUES(';'); -- one; more\nSELECT count(*) AS n\nFROM t;").unwrap();
        input.flush().unwrap();
        assert_eq!(output.next().unwrap().unwrap(), format!("{{\"n\":{rows}}}"));
    }
    drop(input);
    assert!(session.wait().unwrap().success());
}

#[test]
fn what_a_command_committed_is_durable_when_it_ends() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 1);
    sandbox.run(&["--set", "sync_interval_ms=600000", "sql", &url, "INSERT INTO t(v) VALUES('x')"]).ok();
    std::fs::remove_dir_all(sandbox.path("state")).unwrap();
    let out = sandbox.run(&["--json", "sql", &url, "SELECT v FROM t WHERE id = 2"]).ok();
    assert_eq!(out, "{\"v\":\"x\"}\n");
}

#[test]
fn a_session_fails_if_what_it_committed_was_not_durable_when_it_ended() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    // No sign of life makes its directory anew while that is put aside.
    let settings = ["sync_interval_ms=600000", "close_timeout_ms=500", "heartbeat_ms=600000", "holder_ttl_ms=1200000"];
    let late: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let mut session = sandbox.on("state", &[&late[..], &["--json", "sql", &url]].concat());
    session.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut session = session.spawn().unwrap();
    let mut input = session.stdin.take().unwrap();
    let mut output = BufReader::new(session.stdout.take().unwrap()).lines();
    write!(input, "INSERT INTO t(v) VALUES('x'); SELECT count(*) AS n FROM t;").unwrap();
    input.flush().unwrap();
    assert_eq!(output.next().unwrap().unwrap(), "{\"n\":4}");
    // The store is gone, and what is at its place is none.
    let (store, aside) = (sandbox.path("db"), sandbox.path("aside"));
    std::fs::rename(&store, &aside).unwrap();
    std::fs::write(&store, "").unwrap();
    drop(input);
    let ended = session.wait_with_output().unwrap();
    assert!(!ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    assert!(sandbox.run(&["sync", &url]).ok().contains("synced 1 commit"));
}

#[test]
fn a_level_can_be_asked_for() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 1);
    let level = |word| {
        let args = ["--json", "sql", &url, "--durability", word, "PRAGMA plimsoll_durability"];
        sandbox.run(&args).ok()
    };
    assert!(level("durable").contains("durable"));
    assert!(level("buffered").contains("buffered"));
    let words = sandbox.run(&["sql", &url, "--durability", "fsync", "SELECT 1"]).fails(2);
    assert!(words.contains("journaled"), "{words}");
    let words = sandbox.run(&["sql", &url, "--durability", "replicated", "SELECT 1"]).fails(1);
    assert!(words.contains("standbys"), "{words}");
}

#[test]
fn a_read_only_session_cannot_write() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let count = sandbox.run(&["--json", "sql", "--read-only", &url, "SELECT count(*) AS n FROM t"]).ok();
    assert_eq!(count, "{\"n\":3}\n");
    let words = sandbox.run(&["sql", "--read-only", &url, "DELETE FROM t"]).fails(1);
    assert!(words.contains("readonly"), "{words}");
}

#[test]
fn a_wrong_statement_says_where_and_those_before_it_stay() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 1);
    let words = sandbox.run(&["sql", &url, "INSERT INTO t(v) VALUES(2); SELEC 1"]).fails(1);
    assert!(words.contains("syntax error") && words.contains("SELEC 1"), "{words}");
    assert_eq!(sandbox.run(&["--json", "sql", &url, "SELECT count(*) AS n FROM t"]).ok(), "{\"n\":2}\n");
}

#[test]
fn a_volume_is_not_made_by_looking_into_it() {
    let sandbox = Sandbox::new();
    let words = sandbox.run(&["sql", &sandbox.url("nowhere"), "SELECT 1"]).fails(7);
    assert!(words.contains("there is no volume"), "{words}");
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn a_held_volume_names_its_holder() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 1);
    let writer = sandbox.writer_in_a_transaction("state", &url);
    let pid = writer.id().to_string();
    let insert = ["sql", &url, "INSERT INTO t(v) VALUES(1)"];
    let elsewhere = support::answer(&mut sandbox.on("elsewhere", &insert)).fails(3);
    assert!(elsewhere.contains("held by process") && elsewhere.contains(&pid), "{elsewhere}");
    assert!(elsewhere.contains("takeover"), "{elsewhere}");
    let here = sandbox.run(&insert).fails(3);
    assert!(here.contains(&format!("process {pid} of this host")), "{here}");
    support::kill(writer);
}

#[test]
fn a_process_that_is_only_slow_hands_the_volume_to_another_of_its_host() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 1);
    let writer = sandbox.busy_writer("state", &url);
    sandbox.run(&["sql", &url, "INSERT INTO t(v) VALUES('second')"]).ok();
    let kept = sandbox.run(&["--json", "sql", &url, "SELECT v FROM t WHERE id > 1 ORDER BY id"]).ok();
    assert_eq!(kept, "{\"v\":\"kept\"}\n{\"v\":\"second\"}\n");
    support::kill(writer);
}

#[test]
fn what_is_no_volume_is_refused_with_a_reason() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("plain.db"), b"SQLite format 3\0").unwrap();
    for command in ["status", "sync", "verify", "compact"] {
        let words = sandbox.run(&[command, &sandbox.url("plain.db")]).fails(2);
        assert!(words.contains("plain file") && words.contains("plimsoll import"), "{words}");
    }
    for (url, said) in [("s3://bucket", "prefix"), ("ftp://x/y", "scheme"), ("s3:b/x", "'//' is missing")] {
        let words = sandbox.run(&["status", url]).fails(2);
        assert!(words.contains(said), "{words}");
    }
}

#[test]
fn an_unreachable_store_is_its_own_failure() {
    let sandbox = Sandbox::new();
    let url = "s3://bucket/db?endpoint=http://127.0.0.1:1";
    let mut command = sandbox.on("state", &["--set", "sync_timeout_ms=300", "status", url]);
    command.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    let words = support::answer(&mut command).fails(6);
    assert!(words.contains("s3://bucket/db") && !words.contains("AWS_SECRET"), "{words}");
}

#[test]
fn the_account_in_a_url_is_part_of_where_the_volume_is() {
    let sandbox = Sandbox::new();
    let ask = |url: &str| {
        let mut command = sandbox.on("state", &["sql", url, "SELECT 1"]);
        support::answer(command.env("AZURE_STORAGE_ACCOUNT_KEY", "a2V5"))
    };
    // Nobody answers there; without an account nobody is asked.
    let words = ask("az://c/app?account=one&endpoint=http://127.0.0.1:1").fails(6);
    assert!(words.contains("no connection"), "{words}");
    assert!(ask("az://c/app?endpoint=http://127.0.0.1:1").fails(2).contains("account"));
}
