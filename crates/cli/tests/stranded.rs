//! Commits that another writer went on without: listed, compared, exported, and discarded only when asked.

mod support;

use support::{Sandbox, answer, kill, rows};

/// A volume whose row `kept` is stranded on host `state`, while host `elsewhere` has added `other`.
fn stranded(sandbox: &Sandbox) -> String {
    let url = sandbox.brief_volume("db", 3);
    kill(sandbox.busy_writer("state", &url));
    let takeover = ["--set", "takeover=true", "sql", &url, "INSERT INTO t(v) VALUES('other')"];
    answer(&mut sandbox.on("elsewhere", &takeover)).ok();
    sandbox.run(&["sync", &url]).fails(4);
    url
}

#[test]
fn stranded_commits_are_listed_compared_and_exported() {
    let sandbox = Sandbox::new();
    let url = stranded(&sandbox);
    let listed = sandbox.run(&["--json", "stranded", "ls", &url]).json();
    assert_eq!(listed["commits"], 1, "{listed}");
    assert!(listed["base"]["txid"].as_u64() > Some(0), "{listed}");
    assert_eq!(listed["first"]["lsn"], listed["last"]["lsn"]);
    let shown = sandbox.run(&["--json", "stranded", "show", &url]).json();
    assert_eq!((&shown["lsn"], &shown["bytes"]), (&listed["first"]["lsn"], &listed["bytes"]));

    let diff = sandbox.run(&["--json", "stranded", "diff", &url]).json();
    assert_eq!(diff["tables"][0]["table"], "t");
    assert_eq!((&diff["tables"][0]["only_stranded"], &diff["tables"][0]["only_now"]), (&1.into(), &1.into()), "{diff}");
    assert!(sandbox.run(&["stranded", "diff", &url]).ok().contains("rows only stranded"));

    let file = sandbox.path("stranded.db");
    sandbox.run(&["stranded", "export", &url, file.to_str().unwrap()]).ok();
    let found = rows(&file);
    assert_eq!((found.len(), found[3].1.as_str()), (4, "kept"));
    sandbox.run(&["stranded", "export", &url, file.to_str().unwrap()]).fails(1);
    sandbox.run(&["stranded", "export", "--force", &url, file.to_str().unwrap()]).ok();
}

#[test]
fn a_stranded_journal_stays_until_it_is_discarded_by_name() {
    let sandbox = Sandbox::new();
    let url = stranded(&sandbox);
    let name = sandbox.run(&["--json", "stranded", "ls", &url]).json()["name"].as_str().unwrap().to_owned();
    sandbox.run(&["sql", &url, "INSERT INTO t(v) VALUES('later')"]).ok();
    sandbox.run(&["stranded", "discard", &url, "another"]).fails(7);
    assert!(sandbox.run(&["stranded", "ls", &url]).ok().contains(&name));
    let kept = |pins: String| pins.contains("stranded-");
    assert!(kept(sandbox.run(&["checkpoint", "ls", &url]).ok()), "what it stands on is kept");
    sandbox.run(&["stranded", "discard", &url, &name]).ok();
    assert!(!kept(sandbox.run(&["checkpoint", "ls", &url]).ok()), "and not longer than it");
    assert!(sandbox.run(&["stranded", "ls", &url]).ok().contains("nothing is stranded"));
    sandbox.run(&["stranded", "show", &url]).fails(7);
}

#[test]
fn an_export_works_as_long_as_the_state_below_is_kept_and_otherwise_says_so_and_leaves_no_file() {
    let sandbox = Sandbox::new();
    let url = stranded(&sandbox);
    // What the commits were made on is merged away.
    let now = ["--set", "l0_retention_ms=1", "--set", "retention_ms=1", "compact", &url];
    for _ in 0..2 {
        answer(&mut sandbox.on("elsewhere", &now)).ok();
    }
    let file = sandbox.path("stranded.db");
    sandbox.run(&["stranded", "export", &url, file.to_str().unwrap()]).ok();
    std::fs::remove_file(&file).unwrap();
    let pins = sandbox.run(&["--json", "checkpoint", "ls", &url]).ok();
    let pin: serde_json::Value = serde_json::from_str(pins.lines().next().unwrap()).unwrap();
    let pin = pin["name"].as_str().unwrap();
    sandbox.run(&["checkpoint", "rm", &url, pin]).ok();
    for _ in 0..2 {
        answer(&mut sandbox.on("elsewhere", &now)).ok();
    }
    let words = sandbox.run(&["stranded", "export", &url, file.to_str().unwrap()]).fails(7);
    assert!(words.contains("the state that the commits were made on cannot be had"), "{words}");
    assert!(!file.exists());
}
