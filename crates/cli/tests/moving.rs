//! From host to host: releasing, taking over, draining.

mod support;

use serde_json::Value;
use support::{Sandbox, answer, kill};

const COUNT: &str = "SELECT count(*) AS n FROM t WHERE v = 'kept'";

#[test]
fn a_released_volume_is_written_elsewhere_at_once() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.busy_writer("state", &url));
    let report = sandbox.run(&["--json", "release", &url]).json();
    assert_eq!((report["commits"].as_u64(), report["epoch"].is_u64()), (Some(1), true));
    let insert = ["--json", "sql", &url, "INSERT INTO t(v) VALUES('kept'); SELECT count(*) AS n FROM t WHERE v='kept'"];
    assert_eq!(answer(&mut sandbox.on("elsewhere", &insert)).ok(), "{\"n\":2}\n");
    assert!(sandbox.run(&["release", &url]).ok().contains("free at TXID"));
}

#[test]
fn a_running_process_is_asked_to_let_go() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let writer = sandbox.busy_writer("state", &url);
    sandbox.run(&["release", &url]).ok();
    assert_eq!(answer(&mut sandbox.on("elsewhere", &["--json", "sql", &url, COUNT])).ok(), "{\"n\":1}\n");
    kill(writer);
}

#[test]
fn what_is_held_elsewhere_or_not_there_is_not_released() {
    let sandbox = Sandbox::new();
    sandbox.run(&["release", &sandbox.url("nowhere")]).fails(7);
    let url = sandbox.volume("db", 3);
    let writer = sandbox.busy_writer("elsewhere", &url);
    let words = sandbox.run(&["release", &url]).fails(3);
    assert!(words.contains(&format!("process {}", writer.id())) && words.contains("plimsoll takeover"), "{words}");
    kill(writer);
}

#[test]
fn a_takeover_reports_the_loss_and_so_does_the_status() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.writer_that_advertised("state", &url));
    let report = answer(&mut sandbox.on("elsewhere", &["--json", "takeover", &url])).json();
    assert_eq!(report["losses"][0]["commits"], 1, "{report}");
    assert!(report["losses"][0]["bytes"].as_u64() > Some(0), "{report}");
    let status = sandbox.run(&["--json", "status", &url]).json();
    assert_eq!((&status["losses"][0]["commits"], &status["role"]), (&Value::from(1), &Value::from("free")));
    assert!(sandbox.run(&["status", &url]).ok().contains("1 commit ("));
    let again = answer(&mut sandbox.on("elsewhere", &["takeover", &url])).ok();
    assert!(again.contains("no other host held it"), "{again}");
}

#[test]
fn sql_that_takes_a_volume_over_says_what_that_took_with_it() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.writer_that_advertised("state", &url));
    let insert = ["--set", "takeover=true", "sql", &url, "INSERT INTO t(v) VALUES('other')"];
    let took = answer(&mut sandbox.on("elsewhere", &insert));
    assert_eq!(took.code, 0, "{}", took.err);
    assert!(took.err.contains("last advertised 1 acknowledged commit"), "{}", took.err);
    let quiet = answer(&mut sandbox.on("elsewhere", &["sql", &url, "INSERT INTO t(v) VALUES('other')"]));
    assert_eq!((quiet.code, quiet.err.as_str()), (0, ""));
}

#[test]
fn a_drain_releases_what_this_host_left_and_goes_on_after_a_failure() {
    let sandbox = Sandbox::new();
    let urls = ["a/one", "a/two", "b/three"].map(|name| sandbox.volume(name, 2));
    let taken = sandbox.volume("a/taken", 2);
    for url in urls.iter().chain([&taken]) {
        kill(sandbox.busy_writer("state", url));
    }
    let held = sandbox.busy_writer("elsewhere-by-force", &sandbox.volume("quiet", 1));
    let force = ["--set", "takeover=true", "sql", &taken, "INSERT INTO t(v) VALUES('other')"];
    answer(&mut sandbox.on("elsewhere", &force)).ok();

    let below = sandbox.run(&["--json", "drain", &sandbox.url("b")]).ok();
    assert!(below.contains("\"drained\":1") && below.contains("b/three"), "{below}");
    let drained = sandbox.run(&["--json", "drain"]);
    assert_eq!(drained.code, 4, "one was stranded: {}", drained.out);
    let lines: Vec<Value> = drained.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4, "{}", drained.out);
    assert_eq!(lines[3], serde_json::json!({ "drained": 2, "failed": 1, "kept_aside": 1 }));
    let failed = lines.iter().find(|line| line["ok"] == false).unwrap();
    assert!(failed["url"].as_str().unwrap().ends_with("a/taken"), "{failed}");
    for url in &urls {
        assert_eq!(answer(&mut sandbox.on("elsewhere", &["--json", "sql", url, COUNT])).ok(), "{\"n\":1}\n");
    }
    assert!(sandbox.run(&["drain"]).ok().contains("drained 0 volumes"));
    kill(held);
}

/// `sql` and `sync` waited for it, these failed at once; half a second later they succeeded.
#[test]
fn every_command_waits_for_a_process_of_this_host_to_let_go_and_says_so_if_it_does_not() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let txid = sandbox.run(&["--json", "status", &url]).json()["txid"].to_string();
    let file = sandbox.path("a.db");
    sandbox.run(&["export", &url, file.to_str().unwrap()]).ok();
    let commands: [&[&str]; 4] = [
        &["compact", &url],
        &["import", "--replace", file.to_str().unwrap(), &url],
        &["restore", "--txid", &txid, &url],
        &["detach", &url],
    ];
    for command in commands {
        let writer = sandbox.busy_writer("state", &url);
        sandbox.run(command).ok();
        kill(writer);
    }
    let writer = sandbox.writer_in_a_transaction("state", &url);
    for command in commands {
        let words = sandbox.run(command).fails(3);
        assert!(words.contains("did not let go within 5 s") && !words.contains("busy timeout"), "{words}");
    }
    kill(writer);
}

#[test]
fn a_restore_does_not_take_a_volume_from_a_host_that_is_alive() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    let txid = sandbox.run(&["--json", "status", &url]).json()["txid"].to_string();
    let writer = sandbox.writer_that_synced("elsewhere", &url, "");
    let restore = ["restore", &url, "--txid", &txid];
    let words = sandbox.run(&restore).fails(3);
    assert!(words.contains(&format!("held by process {} on", writer.id())), "{words}");
    assert!(words.contains("plimsoll takeover <url>"), "{words}");
    let count = sandbox.run(&["--json", "sql", "--read-only", &url, COUNT]).ok();
    assert_eq!(count, "{\"n\":1}\n", "nothing was changed");
    kill(writer);
}

/// They were told to make a volume, and nothing of what they had.
#[test]
fn commits_of_a_volume_that_is_not_at_its_url_any_more_are_spoken_of_by_every_command() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.busy_writer("state", &url));
    std::fs::remove_dir_all(sandbox.path("db")).unwrap();
    let words = sandbox.run(&["status", &url]).fails(7);
    assert!(words.contains("1 commit of this host's journal") && words.contains("stranded ls"), "{words}");
    let words = sandbox.run(&["sync", &url]).fails(7);
    assert!(words.contains("1 commit (") && words.contains("plimsoll release"), "{words}");
    let drained = sandbox.run(&["drain"]);
    assert_eq!(drained.code, 4, "{}", drained.err);
    assert!(drained.out.contains("commits kept aside of 1"), "{}", drained.out);
    assert!(drained.err.contains("not at its URL any more") && drained.err.contains("stranded ls"), "{}", drained.err);
    for command in ["status", "release", "sync"] {
        let words = sandbox.run(&[command, &url]).fails(7);
        assert!(words.contains("keeps 1 journal of it aside"), "{command}: {words}");
    }
    assert!(sandbox.run(&["stranded", "ls", &url]).ok().contains("removed volume"));
    assert!(sandbox.run(&["stranded", "ls", &sandbox.url("never")]).fails(7).contains("there is no volume"));
}

/// It was said that there is no volume, and what was lost was never asked for.
#[test]
fn a_volume_that_was_never_synced_is_taken_over_with_a_loss_report() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 3);
    kill(sandbox.writer_that_advertised("state", &url));
    // As if the store had taken its signs of life and none of its syncs.
    std::fs::remove_dir_all(sandbox.path("db/ltx")).unwrap();
    assert!(sandbox.run(&["status", &url]).ok().contains("nothing was synced yet"));
    let there = |args: &[&str]| answer(&mut sandbox.on("elsewhere", args));
    there(&["release", &url]).fails(3);
    let report = there(&["--json", "takeover", &url]).json();
    assert_eq!(report["losses"][0]["commits"], 1, "{report}");
    there(&["release", &url]).ok();
    there(&["detach", &url]).ok();
    there(&["compact", &url]).ok();
    there(&["takeover", &sandbox.url("nowhere")]).fails(7);
}
