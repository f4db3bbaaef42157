//! Commits that another writer went on without: listed, compared, exported, and discarded only when asked.

mod support;

use std::fs;

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
fn stranded_commits_are_listed_and_exported() {
    let sandbox = Sandbox::new();
    let url = stranded(&sandbox);
    let listed = sandbox.run(&["--json", "stranded", "ls", &url]).json();
    assert_eq!(listed["commits"], 1, "{listed}");
    assert!(listed["base"]["txid"].as_u64() > Some(0), "{listed}");
    assert_eq!(listed["first"]["lsn"], listed["last"]["lsn"]);
    let shown = sandbox.run(&["--json", "stranded", "show", &url]).json();
    assert_eq!((&shown["lsn"], &shown["bytes"]), (&listed["first"]["lsn"], &listed["bytes"]));

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
fn of_several_stranded_journals_one_has_to_be_named() {
    let sandbox = Sandbox::new();
    let url = stranded(&sandbox);
    kill(sandbox.busy_writer("state", &url));
    let takeover = ["--set", "takeover=true", "sql", &url, "INSERT INTO t(v) VALUES('other')"];
    answer(&mut sandbox.on("elsewhere", &takeover)).ok();
    sandbox.run(&["sync", &url]).fails(4);
    let listed = sandbox.run(&["--json", "stranded", "ls", &url]).ok();
    let listed: Vec<serde_json::Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = listed.iter().map(|kept| kept["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2, "{listed:?}");
    let file = sandbox.path("stranded.db");
    for command in [&["show", &url][..], &["diff", &url], &["export", &url, file.to_str().unwrap()]] {
        let words = sandbox.run(&[&["stranded"], command].concat()).fails(2);
        assert!(names.iter().all(|name| words.contains(name)), "{command:?}: {words}");
    }
    for (name, kept) in names.iter().zip(&listed) {
        let shown = sandbox.run(&["--json", "stranded", "show", &url, name]).json();
        assert_eq!(shown["lsn"], kept["first"]["lsn"], "{name}");
    }
}

/// The checkpoint that a journal stands on has a name that whoever writes there next may give again.
#[test]
fn discarding_a_journal_of_a_volume_that_was_removed_takes_no_checkpoint_of_the_next_one() {
    let sandbox = Sandbox::new();
    let url = stranded(&sandbox);
    let elsewhere = |args: &[&str]| answer(&mut sandbox.on("elsewhere", args));
    let stands_on = sandbox.run(&["--json", "checkpoint", "ls", &url]).json()["name"].as_str().unwrap().to_owned();
    let name = sandbox.run(&["--json", "stranded", "ls", &url]).json()["name"].as_str().unwrap().to_owned();
    elsewhere(&["rm", &url]).ok();
    elsewhere(&["create", &url]).ok();
    elsewhere(&["checkpoint", "create", &url, &stands_on]).ok();
    sandbox.run(&["stranded", "discard", &url, &name]).ok();
    assert!(elsewhere(&["checkpoint", "ls", &url]).ok().contains(&stands_on));
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

/// Somebody made another volume at the URL since. The commits were once put on its pages, which made no database.
#[test]
fn commits_of_a_volume_that_was_removed_are_not_applied_to_another_one() {
    let sandbox = Sandbox::new();
    let url = stranded(&sandbox);
    let elsewhere = |args: &[&str]| answer(&mut sandbox.on("elsewhere", args));
    elsewhere(&["rm", &url]).ok();
    elsewhere(&["create", &url]).ok();
    elsewhere(&["sql", &url, "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('another')"]).ok();
    let listed = sandbox.run(&["--json", "stranded", "ls", &url]).json();
    assert_eq!((&listed["removed_volume"], &listed["commits"]), (&true.into(), &1.into()), "{listed}");
    assert!(sandbox.run(&["stranded", "ls", &url]).ok().contains("removed volume"));
    let file = sandbox.path("stranded.db");
    let words = sandbox.run(&["stranded", "export", &url, file.to_str().unwrap()]).fails(7);
    assert!(words.contains("of a volume that was removed"), "{words}");
    assert!(!file.exists());
    sandbox.run(&["stranded", "diff", &url]).fails(7);
    sandbox.run(&["stranded", "show", &url]).ok();
    sandbox.run(&["--json", "stranded", "discard", &url, listed["name"].as_str().unwrap()]).json();
    sandbox.run(&["stranded", "show", &url]).fails(7);
}

#[test]
fn commits_that_nobody_has_set_aside_yet_are_not_passed_over_in_silence() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.busy_writer("state", &url));
    assert!(sandbox.run(&["stranded", "ls", &url]).ok().contains("nothing is stranded"), "it can be synced");
    let takeover = ["--set", "takeover=true", "sql", &url, "INSERT INTO t(v) VALUES('other')"];
    answer(&mut sandbox.on("elsewhere", &takeover)).ok();
    let listed = sandbox.run(&["stranded", "ls", &url]).ok();
    assert!(listed.contains("1 commit (") && listed.contains("`plimsoll sync"), "{listed}");
    assert!(!listed.contains("at most"), "{listed}");
    // While the other writer has not said what it found, the history may hold more than is known.
    let said = std::path::Path::new(url.strip_prefix("file://").unwrap()).join("status");
    let newest = fs::read_dir(&said).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let aside = sandbox.path("said.json");
    fs::rename(&newest, &aside).unwrap();
    let unsure = sandbox.run(&["stranded", "ls", &url]).ok();
    assert!(unsure.contains("at most 1 commit ("), "{unsure}");
    fs::rename(&aside, &newest).unwrap();
    let listed = sandbox.run(&["--json", "stranded", "ls", &url]).json();
    assert_eq!((&listed["journal"]["prospect"], &listed["journal"]["commits"]), (&"fenced".into(), &1.into()));
    let file = sandbox.path("stranded.db");
    let words = sandbox.run(&["stranded", "export", &url, file.to_str().unwrap()]).fails(7);
    assert!(words.contains("are fenced"), "{words}");
    // What sets them aside by the way says so.
    let aside = sandbox.run(&["sql", &url, "INSERT INTO t(v) VALUES('later')"]);
    assert!(
        aside.err.contains("went on without 1 commit") && aside.err.contains("plimsoll stranded ls"),
        "{}",
        aside.err
    );
    aside.ok();
    assert_eq!(sandbox.run(&["--json", "stranded", "ls", &url]).json()["set_aside"], true);
}

/// All commits of the journal were once counted as lost, and as synced by a sync that had nothing to sync.
#[test]
fn what_was_durable_before_a_takeover_is_neither_at_risk_nor_synced_again() {
    let sandbox = Sandbox::new();
    for (name, then, left) in [("all", "", 0), ("most", "INSERT INTO t(v) VALUES('late');", 1)] {
        let url = sandbox.volume(name, 3);
        kill(sandbox.writer_that_synced("state", &url, then));
        let takeover = ["--set", "takeover=true", "sql", &url, "INSERT INTO t(v) VALUES('other')"];
        answer(&mut sandbox.on("elsewhere", &takeover)).ok();
        let status = sandbox.run(&["--json", "status", &url]).json();
        assert_eq!((&status["journal"]["commits"], &status["load"]["commits"]), (&left.into(), &0.into()), "{status}");
        let text = sandbox.run(&["status", &url]).ok();
        assert_eq!(text.contains("are fenced"), left > 0, "{text}");
        let synced = sandbox.run(&["sync", &url]);
        if left > 0 {
            synced.fails(4);
        } else {
            assert!(synced.ok().contains("nothing to sync"));
        }
    }
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// It was said how many rows of a table differ, and not which.
#[test]
fn what_stranded_commits_changed_is_shown_row_by_row_and_page_by_page() {
    let sandbox = Sandbox::new();
    let url = stranded(&sandbox);
    let text = sandbox.run(&["stranded", "diff", &url]).ok();
    assert!(text.starts_with("what 1 stranded commit changed in the state that they were made on (TXID "), "{text}");
    assert!(text.contains("table t\n  + id = 4, v = 'kept'\n  1 row: 0 removed, 0 changed, 1 added\n"), "{text}");
    assert!(text.contains(" differ: ") && text.contains("\n  1 page of t\n"), "{text}");
    let found = lines(&sandbox.run(&["--json", "stranded", "diff", &url]).ok());
    let row = serde_json::json!({
        "table": "t", "change": "added", "key": { "id": 4 }, "before": null, "after": { "id": 4, "v": "kept" }
    });
    assert_eq!(found[0], row);
    let summary = &found[1];
    assert_eq!((&summary["commits"], &summary["pages_of"]["t"]), (&1.into(), &1.into()), "{summary}");
    assert_eq!(
        (&summary["pages_differing"], &summary["pages"]),
        (&2.into(), &serde_json::json!([[1, 2]])),
        "{summary}"
    );
    assert_eq!((&summary["tables"][0]["added"], &summary["tables"][0]["shown"]), (&1.into(), &1.into()), "{summary}");
    // Another writer has given the same number to a row of its own.
    let newest = lines(&sandbox.run(&["--json", "stranded", "diff", "--against", "newest", &url]).ok());
    assert_eq!((&newest[0]["change"], &newest[0]["key"]["id"]), (&"changed".into(), &4.into()), "{newest:?}");
    assert_eq!((&newest[0]["before"]["v"], &newest[0]["after"]["v"]), (&"other".into(), &"kept".into()));
    assert_eq!(fs::read_dir(sandbox.path("state/scratch")).unwrap().count(), 0);
}

#[test]
fn as_many_rows_are_shown_as_are_asked_for_and_what_cannot_be_told_is_named() {
    let sandbox = Sandbox::new();
    let url = sandbox.brief_volume("db", 50);
    let make = "CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES('a', 1), ('b', 2);
                CREATE VIRTUAL TABLE words USING fts5(x)";
    sandbox.run(&["sql", &url, make]).ok();
    let change = "DELETE FROM t WHERE id > 40; UPDATE w SET v = x'00ff' WHERE k = 'b'; INSERT INTO words VALUES('x');
                  CREATE INDEX i ON t(v); INSERT INTO t(v) SELECT v FROM t LIMIT 30;";
    kill(sandbox.writer_that_then("state", &url, change));
    let takeover = ["--set", "takeover=true", "sql", &url, "INSERT INTO t(v) VALUES('other')"];
    answer(&mut sandbox.on("elsewhere", &takeover)).ok();
    sandbox.run(&["sync", &url]).fails(4);

    let diff = |more: &[&str]| sandbox.run(&[&["stranded", "diff", &url], more].concat()).ok();
    let few = diff(&["--rows", "3"]);
    assert_eq!(few.matches("\n  ~ id = 4").count(), 3, "{few}");
    assert!(few.contains("are not shown, --all shows every one"), "{few}");
    assert!(few.contains("table w\n  ~ k = 'b': v = 2 -> x'00ff'\n"), "{few}");
    assert!(few.contains("  + type = 'index', name = 'i', tbl_name = 't', sql = 'CREATE INDEX i ON t(v)'\n"), "{few}");
    assert!(few.contains("table words\n  its rows cannot be told: it is a virtual table"), "{few}");
    assert!(few.contains(" of words_content\n"), "{few}");
    let all = diff(&["--all"]);
    assert!(!all.contains("not shown"), "{all}");
    let rows = lines(&diff(&["--json", "--all"]));
    let of_t = rows.iter().filter(|row| row["table"] == "t" && row.get("change").is_some()).count();
    let tally = rows.last().unwrap()["tables"].as_array().unwrap().iter().find(|tally| tally["table"] == "t").unwrap();
    // Ten of the numbers were given again.
    assert_eq!((of_t, &tally["changed"], &tally["added"]), (30, &10.into(), &20.into()), "{tally}");
    assert_eq!((&tally["shown"], &tally["removed"]), (&30.into(), &0.into()), "{tally}");
}
