//! fork, detach, rm.

mod support;

use support::{Sandbox, kill};

const COUNT: &str = "SELECT count(*) AS n FROM t";

fn count(sandbox: &Sandbox, url: &str) -> String {
    sandbox.run(&["--json", "sql", url, COUNT]).ok()
}

#[test]
fn a_fork_is_made_written_exported_verified_and_detached() {
    let sandbox = Sandbox::new();
    let (parent, child) = (sandbox.volume("parent", 100), sandbox.url("deep/child"));
    let made = sandbox.run(&["--json", "fork", &parent, &child]).json();
    assert!(made["txid"].as_u64().unwrap() > 1 && made["bytes"].as_u64().unwrap() >= 8192, "{made}");
    sandbox.run(&["sql", &parent, "DELETE FROM t"]).ok();
    sandbox.run(&["compact", &parent]).ok();
    // From a host that has nothing of it.
    let there = |args: &[&str]| support::answer(&mut sandbox.on("elsewhere", args));
    assert_eq!(there(&["--json", "sql", &child, COUNT]).ok(), "{\"n\":100}\n");
    there(&["sql", &child, "INSERT INTO t(v) VALUES('own')"]).ok();
    there(&["verify", &child]).ok();
    there(&["export", &child, "child.db"]).ok();
    assert_eq!(support::rows(&sandbox.path("child.db")).len(), 101);
    let used = there(&["--json", "du", &child]).json();
    assert!(used["inherited"].as_u64() > used["live"].as_u64(), "{used}");
    let listed = sandbox.run(&["checkpoint", "ls", &parent]).ok();
    assert!(listed.contains("fork-") && listed.contains("deep/child"), "{listed}");
    let status = there(&["--json", "status", &child]).json();
    assert!(status["txid"].as_u64() > made["txid"].as_u64() || status.to_string().contains("txid"), "{status}");

    sandbox.run(&["fork", &parent, &child]).fails(1);
    let refused = sandbox.run(&["rm", &parent]).fails(3);
    assert!(refused.contains("deep/child"), "{refused}");
    let detached = there(&["--json", "detach", &child]).json();
    assert!(detached["bytes"].as_u64().unwrap() > 0, "{detached}");
    assert!(there(&["detach", &child]).ok().contains("reads from no other volume"));
    sandbox.run(&["rm", &parent]).ok();
    assert!(!sandbox.path("parent/volume.json").exists());
    assert_eq!(count(&sandbox, &child), "{\"n\":101}\n");
    there(&["verify", &child]).ok();
}

#[test]
fn a_fork_begins_at_the_state_that_is_named() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let made = sandbox.run(&["--json", "checkpoint", "create", &url, "ten"]).json();
    sandbox.run(&["sql", &url, "DELETE FROM t WHERE id > 3"]).ok();
    sandbox.run(&["fork", &format!("{url}@ten"), &sandbox.url("one")]).ok();
    sandbox.run(&["fork", &format!("{url}@{}", made["txid"]), &sandbox.url("two")]).ok();
    sandbox.run(&["fork", "--detach", &url, &sandbox.url("three")]).ok();
    assert_eq!(count(&sandbox, &sandbox.url("one")), "{\"n\":10}\n");
    assert_eq!(count(&sandbox, &sandbox.url("two")), "{\"n\":10}\n");
    assert_eq!(count(&sandbox, &sandbox.url("three")), "{\"n\":3}\n");
    sandbox.run(&["fork", &format!("{url}@none"), &sandbox.url("four")]).fails(7);
    sandbox.run(&["fork", &sandbox.url("nowhere"), &sandbox.url("four")]).fails(7);
    assert!(!sandbox.path("four").exists());
}

#[test]
fn what_a_fork_left_behind_that_never_came_to_be_is_told_and_removed() {
    let sandbox = Sandbox::new();
    let (url, child) = (sandbox.volume("db", 10), sandbox.url("child"));
    sandbox.run(&["fork", &url, &child]).ok();
    std::fs::remove_file(sandbox.path("child/volume.json")).unwrap();
    let listed = sandbox.run(&["checkpoint", "ls", &url]).ok();
    assert!(listed.contains("unfinished"), "{listed}");
    let name = listed.split_whitespace().find(|word| word.starts_with("fork-")).unwrap();
    sandbox.run(&["checkpoint", "rm", &url, name]).ok();
    assert_eq!(sandbox.run(&["--json", "checkpoint", "ls", &url]).ok(), "");
}

#[test]
fn a_volume_that_is_held_is_not_removed() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let writer = sandbox.busy_writer("state", &url);
    assert!(sandbox.run(&["rm", &url]).fails(3).contains("holds it for writing"));
    kill(writer);
    // The same host lets go of it.
    sandbox.run(&["sync", &url]).ok();
    sandbox.run(&["rm", &url]).ok();
    sandbox.run(&["rm", &url]).fails(7);
}
