//! fork, detach, rm.

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

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
    let detached = there(&["--json", "detach", &child]);
    let progress: Vec<serde_json::Value> =
        detached.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = progress.last().unwrap();
    assert!(last["of"].as_u64().unwrap() > 0 && last["gathered"] == last["of"], "{progress:?}");
    let detached = detached.json();
    assert!(detached["bytes"].as_u64().unwrap() > 0, "{detached}");
    assert!(there(&["detach", &child]).ok().contains("reads from no other volume"));
    sandbox.run(&["rm", &parent]).ok();
    assert!(!sandbox.path("parent/volume.json").exists());
    sandbox.run(&["status", &parent]).fails(7);
    sandbox.run(&["rm", &parent]).fails(7);
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

#[test]
fn a_fork_has_what_was_acknowledged_on_this_host_before() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    // By a process that is there, and lets go when it is asked to.
    let writer = sandbox.busy_writer("state", &url);
    sandbox.run(&["fork", &url, &sandbox.url("one")]).ok();
    assert_eq!(count(&sandbox, &sandbox.url("one")), "{\"n\":11}\n");
    kill(writer);
    // By one that died.
    kill(sandbox.busy_writer("state", &url));
    sandbox.run(&["fork", &url, &sandbox.url("two")]).ok();
    assert_eq!(count(&sandbox, &sandbox.url("two")), "{\"n\":12}\n");
    // A state that is named has just what was in it.
    let named = sandbox.run(&["--json", "checkpoint", "create", &url, "twelve"]).json();
    kill(sandbox.busy_writer("state", &url));
    sandbox.run(&["fork", &format!("{url}@{}", named["txid"]), &sandbox.url("three")]).ok();
    assert_eq!(count(&sandbox, &sandbox.url("three")), "{\"n\":12}\n");
}

#[test]
fn a_fork_says_what_it_leaves_out() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let writer = sandbox.writer_that_advertised("state", &url);
    // From another host, it is known what the writer said.
    let forked = support::answer(&mut sandbox.on("elsewhere", &["fork", &url, &sandbox.url("one")]));
    assert!(forked.err.contains("1 commit") && forked.err.contains(&writer.id().to_string()), "{}", forked.err);
    assert!(forked.ok().contains("synced"));
    let args = ["--json", "fork", &url, &sandbox.url("two")];
    let report = support::answer(&mut sandbox.on("elsewhere", &args)).json();
    assert_eq!(
        (report["held_by"]["commits"].as_u64(), report["held_by"]["pid"].as_u64()),
        (Some(1), Some(u64::from(writer.id())))
    );
    assert_eq!(count(&sandbox, &sandbox.url("one")), "{\"n\":10}\n");
    kill(writer);
    // A process of this host in the middle of a transaction keeps the volume.
    let writer = sandbox.writer_in_a_transaction("state", &url);
    let forked = sandbox.run(&["fork", &url, &sandbox.url("three")]);
    assert!(forked.err.contains("what is synced"), "{}", forked.err);
    forked.ok();
    kill(writer);
    sandbox.run(&["sync", &url]).ok();
    let free = sandbox.run(&["--json", "fork", &url, &sandbox.url("four")]);
    assert_eq!(free.err, "");
    assert!(free.json()["held_by"].is_null());
}

#[test]
fn a_fork_of_what_another_host_holds_says_who_and_what_it_leaves_out() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let there = |args: &[&str]| support::answer(&mut sandbox.on("elsewhere", args));
    let writer = sandbox.writer_that_advertised("state", &url);
    let made = there(&["--json", "fork", &url, &sandbox.url("one")]).json();
    assert_eq!((&made["held_by"]["pid"], &made["held_by"]["commits"]), (&writer.id().into(), &1.into()), "{made}");
    let told = there(&["fork", &url, &sandbox.url("two")]);
    let words = format!("process {} on ", writer.id());
    assert!(told.code == 0 && told.err.contains(&words) && told.err.contains(", 1 commit ("), "{}", told.err);
    assert_eq!(count(&sandbox, &sandbox.url("two")), "{\"n\":10}\n");
    kill(writer);
    // Somebody who has let go has left nothing out.
    let closed = sandbox.volume("closed", 10);
    let made = there(&["--json", "fork", &closed, &sandbox.url("three")]).json();
    assert!(made["held_by"].is_null(), "{made}");
}

/// What a fork did by itself, or had a program do for it, could be seen nowhere.
#[test]
fn a_program_detaches_its_fork_in_the_background_and_says_how_far_it_is_and_so_does_the_status() {
    let sandbox = Sandbox::new();
    let (parent, child) = (sandbox.volume("parent", 100), sandbox.url("child"));
    sandbox.run(&["fork", &parent, &child]).ok();
    sandbox.run(&["sql", &child, "INSERT INTO t(v) VALUES('own')"]).ok();
    let status = sandbox.run(&["--json", "status", &child]).json();
    let borrowed = |name: &str| status["borrowed"][name].as_u64().unwrap();
    assert_eq!((borrowed("volumes"), borrowed("objects"), borrowed("live_objects")), (1, 3, 3), "{status}");
    assert!(borrowed("live_of_bytes") > borrowed("live_bytes") && borrowed("live_bytes") > 0, "{status}");
    let text = sandbox.run(&["status", &child]).ok();
    assert!(text.contains("3 objects (") && text.contains("from another volume, for the newest state"), "{text}");

    let mut program = sandbox.on("state", &["--json", "sql", &child]);
    let mut program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut say, mut answers) = (program.stdin.take().unwrap(), BufReader::new(program.stdout.take().unwrap()));
    let mut ask = |statement: &str| -> serde_json::Value {
        writeln!(say, "{statement};").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let row: serde_json::Value = serde_json::from_str(&line).unwrap();
        serde_json::from_str(row["answer"].as_str().unwrap()).unwrap()
    };
    let begun = ask("SELECT plimsoll_detach() AS answer");
    assert_eq!(begun["state"], "running", "{begun}");
    let mut now = begun;
    for _ in 0..6000 {
        now = ask("SELECT plimsoll_status()->'detaching' AS answer");
        if now["state"] != "running" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!((&now["state"], &now["gathered"]), (&"done".into(), &now["of"]), "{now}");
    assert!(now["of"].as_u64() > Some(0), "{now}");
    drop((say, answers));
    assert!(program.wait().unwrap().success());
    let status = sandbox.run(&["--json", "status", &child]).json();
    assert_eq!(status["borrowed"], serde_json::Value::Null, "{status}");
    assert!(sandbox.run(&["status", &child]).ok().contains("from no other volume"));
    sandbox.run(&["rm", &parent]).ok();
    assert_eq!(count(&sandbox, &child), "{\"n\":101}\n");
    let words = sandbox.run(&["sql", "--read-only", &child, "SELECT plimsoll_detach()"]).fails(2);
    assert!(words.contains("opened read-only"), "{words}");
}
