//! Looking at earlier states, and going back to them.

mod support;

use support::{Sandbox, rows};

const COUNT: &str = "SELECT count(*) AS n FROM t";

/// A volume of three rows, the TXID of that state, and then a disaster.
fn ruined(sandbox: &Sandbox) -> (String, u64) {
    let url = sandbox.volume("db", 3);
    let txid = sandbox.run(&["--json", "status", &url]).json()["txid"].as_u64().unwrap();
    sandbox.run(&["sql", &url, "DELETE FROM t; DROP TABLE t; CREATE TABLE t(id INTEGER PRIMARY KEY, v, w)"]).ok();
    (url, txid)
}

#[test]
fn an_earlier_state_is_queried_and_exported_and_never_written_to() {
    let sandbox = Sandbox::new();
    let (url, txid) = ruined(&sandbox);
    let past = format!("{url}@{txid}");
    assert_eq!(sandbox.run(&["--json", "sql", &past, COUNT]).ok(), "{\"n\":3}\n");
    assert_eq!(sandbox.run(&["--json", "sql", &url, COUNT]).ok(), "{\"n\":0}\n");
    sandbox.run(&["sql", &past, "INSERT INTO t(v) VALUES('no')"]).fails(1);
    let file = sandbox.path("past.db");
    sandbox.run(&["export", &past, file.to_str().unwrap()]).ok();
    assert_eq!(rows(&file).len(), 3);
    sandbox.run(&["sql", &format!("{url}@99999"), COUNT]).fails(7);
    let words = sandbox.run(&["sql", &format!("{url}@3 fortnights ago"), COUNT]).fails(2);
    assert!(words.contains("5 minutes ago"), "{words}");
    sandbox.run(&["sql", &format!("{url}@1 hour ago"), COUNT]).fails(7);
}

#[test]
fn a_restore_brings_a_state_back_and_is_undone_in_the_same_way() {
    let sandbox = Sandbox::new();
    let (url, txid) = ruined(&sandbox);
    let restored = sandbox.run(&["--json", "restore", &url, "--txid", &txid.to_string()]).json();
    assert_eq!(restored["restored_txid"], txid);
    assert!(restored["pages"].as_u64() > Some(0));
    assert_eq!(restored["url"], url.as_str());
    assert!(restored["before_txid"].as_u64() > Some(txid), "{restored}");
    assert_eq!(sandbox.run(&["--json", "sql", &url, "PRAGMA integrity_check"]).ok(), "{\"integrity_check\":\"ok\"}\n");
    assert_eq!(sandbox.run(&["--json", "sql", &url, COUNT]).ok(), "{\"n\":3}\n");
    let before = restored["checkpoint"].as_str().unwrap();
    let words = sandbox.run(&["restore", "--no-checkpoint", &url, before]).ok();
    assert!(words.contains("to undo it: plimsoll restore"), "{words}");
    assert_eq!(sandbox.run(&["--json", "sql", &url, "SELECT count(w) AS n FROM t"]).ok(), "{\"n\":0}\n");
    let at_newest = sandbox.run(&["--json", "status", &url]).json()["txid"].to_string();
    assert!(sandbox.run(&["restore", &url, "--txid", &at_newest]).ok().contains("nothing to restore"));
}

#[test]
fn what_a_restore_says_to_undo_it_by_undoes_it() {
    let sandbox = Sandbox::new();
    let (url, txid) = ruined(&sandbox);
    for how in [&["restore"][..], &["restore", "--no-checkpoint"]] {
        let words = sandbox.run(&[how, &[&url, "--txid", &txid.to_string()]].concat()).ok();
        assert_eq!(sandbox.run(&["--json", "sql", &url, COUNT]).ok(), "{\"n\":3}\n");
        let (_, undo) = words.trim_end().rsplit_once("to undo it: plimsoll ").unwrap();
        sandbox.run(&undo.split(' ').collect::<Vec<_>>()).ok();
        assert_eq!(sandbox.run(&["--json", "sql", &url, COUNT]).ok(), "{\"n\":0}\n", "{undo}");
    }
}

#[test]
fn a_checkpoint_is_a_state_to_look_at_export_and_restore_also_when_everything_else_of_its_time_is_gone() {
    let sandbox = Sandbox::new();
    let url = sandbox.brief_volume("db", 3);
    sandbox.run(&["checkpoint", "create", &url, "three"]).ok();
    sandbox.run(&["sql", &url, "DELETE FROM t"]).ok();
    let brief = ["--set", "l0_retention_ms=1", "--set", "retention_ms=1", "compact", &url];
    for _ in 0..2 {
        sandbox.run(&brief).ok();
    }
    let past = format!("{url}@three");
    assert_eq!(sandbox.run(&["--json", "sql", &past, COUNT]).ok(), "{\"n\":3}\n");
    let file = sandbox.path("three.db");
    sandbox.run(&["export", &past, file.to_str().unwrap()]).ok();
    assert_eq!(rows(&file).len(), 3);
    let restored = sandbox.run(&["--json", "restore", "--no-checkpoint", &url, "three"]).json();
    assert!(restored["checkpoint"].is_null(), "{restored}");
    assert_eq!(sandbox.run(&["--json", "sql", &url, COUNT]).ok(), "{\"n\":3}\n");
}

#[test]
fn a_directory_with_an_at_in_its_name_is_a_volume_like_any_other_if_that_is_escaped() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("me%40home", 2);
    assert!(sandbox.path("me@home").is_dir());
    let txid = sandbox.run(&["--json", "status", &url]).json()["txid"].as_u64().unwrap();
    sandbox.run(&["sql", &url, "DELETE FROM t"]).ok();
    assert_eq!(sandbox.run(&["--json", "sql", &url, COUNT]).ok(), "{\"n\":0}\n");
    let past = format!("{url}@{txid}");
    assert_eq!(sandbox.run(&["--json", "sql", &past, COUNT]).ok(), "{\"n\":2}\n");
}

#[test]
fn a_restore_takes_exactly_one_state() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 1);
    sandbox.run(&["restore", &url]).fails(2);
    sandbox.run(&["restore", &format!("{url}@1"), "--txid", "1"]).fails(2);
    sandbox.run(&["restore", &url, "--time", "teatime"]).fails(2);
}
