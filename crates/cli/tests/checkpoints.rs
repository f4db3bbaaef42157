//! checkpoint, du, and what compacting would remove.

mod support;

use support::{Sandbox, kill};

#[test]
fn a_checkpoint_is_made_listed_and_removed() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 100);
    let made = sandbox.run(&["--json", "checkpoint", "create", &url, "first", "--note", "before the upgrade"]).json();
    assert_eq!((made["name"].as_str(), made["note"].as_str()), (Some("first"), Some("before the upgrade")));
    assert!(made["bytes"].as_u64().unwrap() >= 8192);
    sandbox.run(&["checkpoint", "create", &url, "first"]).fails(1);
    sandbox.run(&["checkpoint", "create", &url, "a/b"]).fails(2);
    sandbox.run(&["checkpoint", "create", &url]).ok();
    let listed = sandbox.run(&["checkpoint", "ls", &url]).ok();
    assert!(listed.contains("before the upgrade") && listed.contains("at-"), "{listed}");
    sandbox.run(&["checkpoint", "rm", &url, "first"]).ok();
    sandbox.run(&["checkpoint", "rm", &url, "first"]).fails(7);
    let left = sandbox.run(&["--json", "checkpoint", "ls", &url]).ok();
    assert!(left.starts_with("{\"alive\":null") && left.lines().count() == 1, "{left}");
    sandbox.run(&["verify", &url]).ok();
    sandbox.run(&["checkpoint", "create", &sandbox.url("nowhere"), "x"]).fails(7);
    assert!(!sandbox.path("nowhere").exists(), "looking for a volume makes none");
}

#[test]
fn a_checkpoint_takes_along_what_is_only_in_the_journal() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    kill(sandbox.busy_writer("state", &url));
    let made = sandbox.run(&["--json", "checkpoint", "create", &url, "all"]).json();
    let txid = made["txid"].to_string();
    sandbox.run(&["export", "--at", &txid, &url, "out.db"]).ok();
    assert_eq!(support::rows(&sandbox.path("out.db")).len(), 11);
}

#[test]
fn sql_makes_lists_and_removes_checkpoints() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let sql = "INSERT INTO t(v) VALUES('x'); SELECT plimsoll_checkpoint('mine', 'why') > 1 AS made";
    assert_eq!(sandbox.run(&["--json", "sql", &url, sql]).ok(), "{\"made\":1}\n");
    let sql = "SELECT value->>'name' AS name, value->>'note' AS note FROM json_each(plimsoll_checkpoints())";
    assert_eq!(sandbox.run(&["--json", "sql", &url, sql]).ok(), "{\"name\":\"mine\",\"note\":\"why\"}\n");
    let remove = "SELECT plimsoll_remove_checkpoint('mine') AS removed";
    let words = sandbox.run(&["sql", "--read-only", &url, remove]).fails(2);
    assert!(words.contains("opened read-only"), "{words}");
    assert_eq!(sandbox.run(&["--json", "sql", &url, remove]).ok(), "{\"removed\":\"mine\"}\n");
    assert_eq!(sandbox.run(&["--json", "checkpoint", "ls", &url]).ok(), "");
    let words = sandbox.run(&["sql", &url, remove]).fails(7);
    assert!(words.contains("it has none named mine"), "{words}");
    // What a fork reads is not removed under it.
    sandbox.run(&["fork", &url, &sandbox.url("child")]).ok();
    let listed = sandbox.run(&["--json", "checkpoint", "ls", &url]).json();
    let checkpoints = "SELECT plimsoll_checkpoints() AS all_of_them";
    assert_eq!(sandbox.run(&["--json", "sql", &url, checkpoints]).ok(), "{\"all_of_them\":\"[]\"}\n", "a fork is none");
    let fork = format!("SELECT plimsoll_remove_checkpoint('{}')", listed["name"].as_str().unwrap());
    assert!(sandbox.run(&["sql", &url, &fork]).fails(3).contains("/child"));
}

#[test]
fn du_says_what_is_kept_for_whom_and_a_dry_run_what_would_go() {
    let sandbox = Sandbox::new();
    let url = sandbox.brief_volume("db", 100);
    sandbox.run(&["checkpoint", "create", &url, "old"]).ok();
    let short = ["--set", "l0_retention_ms=1", "--set", "retention_ms=1"];
    let run = |args: &[&str]| sandbox.run(&[&short[..], args].concat());
    run(&["sql", &url, "DELETE FROM t"]).ok();
    run(&["compact", &url]).ok();
    let report = run(&["--json", "du", &url]).json();
    assert_eq!(report["pins"][0]["name"], "old");
    assert!(report["pins"][0]["holds"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["pins"][0]["holds"], report["pinned"]);
    assert!(report["live"].as_u64().unwrap() > 0);
    run(&["checkpoint", "rm", &url, "old"]).ok();
    let report = run(&["--json", "du", &url]).json();
    assert!(report["garbage"].as_u64().unwrap() > 0, "{report}");
    let dry = run(&["compact", "--dry-run", &url]).ok();
    assert!(dry.contains("would remove") && dry.contains(".ltx"), "{dry}");
    assert!(run(&["du", &url]).ok().contains("nothing: garbage"));
}

#[test]
fn a_checkpoint_can_be_read_and_brought_back() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    sandbox.run(&["checkpoint", "create", &url, "before"]).ok();
    sandbox.run(&["sql", &url, "DROP TABLE t"]).ok();
    sandbox.run(&["compact", &url]).ok();
    let count = "SELECT count(*) AS n FROM t";
    assert_eq!(sandbox.run(&["--json", "sql", &format!("{url}@before"), count]).ok(), "{\"n\":10}\n");
    sandbox.run(&["restore", &format!("{url}@before")]).ok();
    assert_eq!(sandbox.run(&["--json", "sql", &url, count]).ok(), "{\"n\":10}\n");
    sandbox.run(&["restore", &format!("{url}@after")]).fails(7);
}

#[test]
fn du_adds_up_to_what_is_in_the_store() {
    let sandbox = Sandbox::new();
    let url = sandbox.brief_volume("db", 1000);
    sandbox.run(&["checkpoint", "create", &url, "old"]).ok();
    let short = ["--set", "l0_retention_ms=1", "--set", "retention_ms=1"];
    let run = |args: &[&str]| sandbox.run(&[&short[..], args].concat());
    for _ in 0..2 {
        run(&["sql", &url, "UPDATE t SET v = hex(randomblob(50))"]).ok();
        run(&["compact", &url]).ok();
    }
    let report = run(&["--json", "du", &url]).json();
    let parts = ["live", "window", "pinned", "garbage"].map(|part| report[part].as_u64().unwrap());
    let sum: u64 = parts.iter().sum();
    assert!(parts[2] > sum / 10, "{report}");
    let objects = run(&["--json", "ls", "--objects", &url]).ok();
    let bytes = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["bytes"].as_u64().unwrap();
    assert_eq!(objects.lines().map(bytes).sum::<u64>(), sum);
    // Rounded, for people.
    let table = run(&["du", &url]).ok();
    let all = table.lines().find(|line| line.contains("altogether")).unwrap();
    let shown: f64 = all.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(all.contains("KiB") && (shown * 1024.0 / sum as f64 - 1.0).abs() < 0.05, "{sum}: {table}");
}
