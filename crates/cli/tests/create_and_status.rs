//! Making a volume, and looking at one.

mod support;

use support::{Sandbox, files, kill, record_from};

#[test]
fn a_new_volume_is_durable_and_empty() {
    let sandbox = Sandbox::new();
    let url = sandbox.url("db");
    let made = sandbox.run(&["--json", "create", &url, "--page-size", "8192"]).json();
    assert_eq!(made["page_size"], 8192);
    let other_host = support::answer(&mut sandbox.on("elsewhere", &["sql", &url, "--json", "PRAGMA page_size"])).ok();
    assert_eq!(other_host, "{\"page_size\":8192}\n");
    let check = sandbox.run(&["--json", "sql", &url, "PRAGMA integrity_check"]).ok();
    assert_eq!(check, "{\"integrity_check\":\"ok\"}\n");
}

#[test]
fn a_volume_is_not_made_twice() {
    let sandbox = Sandbox::new();
    let url = sandbox.url("db");
    sandbox.run(&["create", &url]).ok();
    let words = sandbox.run(&["create", &url]).fails(1);
    assert!(words.contains(&url) && words.contains("holds a database"), "{words}");
}

#[test]
fn a_page_size_that_is_none_is_a_usage_error() {
    let sandbox = Sandbox::new();
    let words = sandbox.run(&["create", &sandbox.url("db"), "--page-size", "5000"]).fails(2);
    assert!(words.contains("5000") && words.contains("power of two"), "{words}");
}

#[test]
fn status_tells_what_is_there_and_changes_nothing() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 100);
    let before = (files(&sandbox.path("db")), files(&sandbox.path("state")));
    let status = sandbox.run(&["--json", "status", &url]).json();
    assert_eq!(status["role"], "free");
    assert_eq!(status["epoch"], 2);
    assert_eq!(status["page_size"], 4096);
    assert_eq!(status["bytes"], status["page_count"].as_u64().unwrap() * 4096);
    assert_eq!(status["levels"]["0"]["objects"], status["txid"]);
    assert_eq!(status["load"]["commits"], 0);
    assert_eq!(status["load"]["max_loss_window_ms"], 30_000);
    assert_eq!(status["watermarks"]["durable"]["lsn"], status["watermarks"]["appended"]["lsn"]);
    let text = sandbox.run(&["status", &url]).ok();
    assert!(text.contains("load line 256 MiB, 30 s") && text.contains("nothing at risk"), "{text}");
    assert!(text.is_ascii(), "{text}");
    assert_eq!((files(&sandbox.path("db")), files(&sandbox.path("state"))), before);
}

#[test]
fn status_shows_who_holds_a_volume_and_what_is_at_risk() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let writer = sandbox.busy_writer("state", &url);
    let status = sandbox.run(&["--json", "status", &url]).json();
    assert_eq!(status["role"], "held");
    assert_eq!(status["holder"]["pid"], writer.id());
    assert_eq!(status["journal"]["commits"], 1);
    assert_eq!(status["load"]["commits"], 1);
    assert!(status["load"]["bytes"].as_u64().unwrap() > 0);
    let text = sandbox.run(&["status", &url]).ok();
    assert!(text.contains("at risk: 1 commit,"), "{text}");
    kill(writer);
}

#[test]
fn status_of_a_dead_holder_says_that_it_is_silent() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    kill(sandbox.busy_writer("state", &url));
    let settings = ["--set", "heartbeat_ms=1", "--set", "holder_ttl_ms=2"];
    std::thread::sleep(std::time::Duration::from_millis(5));
    let status = sandbox.run(&[&settings[..], &["--json", "status", &url]].concat()).json();
    assert_eq!(status["role"], "silent");
}

#[test]
fn without_the_store_status_still_tells_what_is_at_risk_here() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    kill(sandbox.busy_writer("state", &url));
    std::fs::rename(sandbox.path("db"), sandbox.path("away")).unwrap();
    // A directory that cannot be looked into, also not by root.
    std::os::unix::fs::symlink(sandbox.path("db"), sandbox.path("db")).unwrap();
    let answer = sandbox.run(&["status", &url]);
    assert!(answer.out.contains("1 commit (") && answer.out.contains("load line"), "{}{}", answer.out, answer.err);
    assert!(answer.err.contains(&url), "{}", answer.err);
    assert_ne!(answer.code, 0);
    let json: serde_json::Value = serde_json::from_str(&sandbox.run(&["--json", "status", &url]).out).unwrap();
    assert_eq!(json["journal"]["commits"], 1);
}

#[test]
fn status_of_nothing_is_not_found() {
    let sandbox = Sandbox::new();
    let words = sandbox.run(&["status", &sandbox.url("no/such/bucket")]).fails(7);
    assert!(words.contains("no volume at this URL") && words.contains("plimsoll create"), "{words}");
}

/// The clocks of two hosts were compared, and an opening was refused that had been said to succeed.
#[test]
fn a_holder_is_alive_or_silent_by_the_clock_of_the_store_whatever_its_own_says() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    kill(sandbox.writer_that_advertised("state", &url));
    let newest = files(&sandbox.path("db/status")).pop().unwrap().0;
    let set_clock = |at: u64| record_from(&newest, &newest, |said| said["alive_ms"] = at.into());
    let role =
        |settings: &[&str]| sandbox.run(&[settings, &["--json", "status", &url]].concat()).json()["role"].clone();
    set_clock(1);
    let patient = ["--set", "holder_ttl_ms=3600000"];
    assert_eq!(role(&patient), "held");
    let insert = ["sql", &url, "INSERT INTO t(v) VALUES('other')"];
    support::answer(&mut sandbox.on("elsewhere", &[&patient[..], &insert].concat())).fails(3);
    set_clock(99_999_999_999_999);
    let hasty = ["--set", "heartbeat_ms=1", "--set", "holder_ttl_ms=2"];
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(role(&hasty), "silent");
    support::answer(&mut sandbox.on("elsewhere", &[&hasty[..], &insert].concat())).ok();
}

#[test]
fn a_removal_that_came_to_nothing_is_nobody_who_holds_the_volume() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let newest = files(&sandbox.path("db/epoch")).pop().unwrap().0;
    record_from(&newest, &sandbox.path("db/epoch/00000003.json"), |removal| {
        removal["epoch"] = 3.into();
        removal["removal"] = true.into();
    });
    let status = sandbox.run(&["--json", "status", &url]).json();
    assert_eq!((&status["role"], &status["holder"]), (&"free".into(), &serde_json::Value::Null), "{status}");
    let text = sandbox.run(&["status", &url]).ok();
    assert!(text.lines().any(|line| line == "writer     nobody"), "{text}");
}

#[test]
fn what_does_not_succeed_for_the_holder_is_shown_to_everybody_as_it_said_it() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    assert!(!sandbox.run(&["status", &url]).ok().contains("trouble"));
    let newest = files(&sandbox.path("db/status")).pop().unwrap().0;
    record_from(&newest, &newest, |said| said["trouble"] = "merging 9: too large (spread the data)".into());
    let json = support::answer(&mut sandbox.on("elsewhere", &["--json", "status", &url])).json();
    assert_eq!(json["trouble"], "merging 9: too large (spread the data)");
    let text = support::answer(&mut sandbox.on("elsewhere", &["status", &url])).ok();
    let told = |line: &str| line.starts_with("trouble    merging 9: too large (spread the data), as the writer said ");
    assert!(text.lines().any(told), "{text}");
}
