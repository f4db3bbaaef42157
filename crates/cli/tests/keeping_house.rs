//! compact, ls, config, completions, and what all commands share.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
};

use support::{Sandbox, kill};

#[test]
fn compacting_merges_every_level_and_takes_a_snapshot() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 100);
    let report = sandbox.run(&["--json", "compact", &url]).json();
    let levels: Vec<u64> =
        report["merged"].as_array().unwrap().iter().map(|id| id["level"].as_u64().unwrap()).collect();
    assert_eq!(levels, [1, 2, 3, 9]);
    assert!(report["bytes"].as_u64().unwrap() > 0);
    sandbox.run(&["verify", &url]).ok();
    assert_eq!(sandbox.run(&["--json", "sql", &url, "SELECT count(*) AS n FROM t"]).ok(), "{\"n\":100}\n");
    sandbox.run(&["compact", &sandbox.url("nowhere")]).fails(7);
    assert!(!sandbox.path("nowhere").exists(), "looking for a volume makes none");
}

#[test]
fn a_volume_keeps_level_0_as_long_as_it_was_made_to_and_for_a_minute_at_least() {
    let sandbox = Sandbox::new();
    let hurry = ["--set", "l0_retention_ms=1000"];
    let (brief, fork) = (sandbox.url("brief"), sandbox.url("fork"));
    let create = [&hurry[..], &["create", &brief]].concat();
    let refused = sandbox.on("state", &create).env_remove("PLIMSOLL_TEST_ANY_RETENTION").output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && words.contains("expected 60000 or more"), "{words}");
    let url = sandbox.volume("db", 10);
    let fork = [&hurry[..], &["fork", &url, &fork]].concat();
    assert!(!sandbox.on("state", &fork).env_remove("PLIMSOLL_TEST_ANY_RETENTION").status().unwrap().success());
    let compacted = sandbox.run(&[&hurry[..], &["--set", "retention_ms=1", "compact", &url]].concat());
    assert!(compacted.err.contains("l0_retention_ms = 1000 is less than the 300000"), "{}", compacted.err);
    assert!(sandbox.path("db/ltx/0/0000000000000001-0000000000000001.ltx").exists());
}

#[test]
fn compacting_takes_along_what_is_only_in_the_journal() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    kill(sandbox.busy_writer("state", &url));
    sandbox.run(&["compact", &url]).ok();
    sandbox.run(&["export", &url, "out.db"]).ok();
    assert_eq!(support::rows(&sandbox.path("out.db")).len(), 11);
}

#[test]
fn a_damaged_volume_does_not_hide_the_others() {
    let sandbox = Sandbox::new();
    sandbox.volume("store/bad", 1);
    sandbox.volume("store/good", 1);
    fs::write(sandbox.path("store/bad/volume.json"), "{}").unwrap();
    let words = sandbox.run(&["ls", &sandbox.url("store")]).fails(5);
    assert!(words.contains("bad/volume.json"), "{words}");
    let listed = sandbox.on("state", &["ls", &sandbox.url("store")]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("good"));
}

#[test]
fn volumes_below_a_prefix_are_listed() {
    let sandbox = Sandbox::new();
    sandbox.volume("store/one", 10);
    let url = sandbox.volume("store/deep/two", 10);
    fs::create_dir(sandbox.path("store/unrelated")).unwrap();
    fs::write(sandbox.path("store/unrelated/file"), "x").unwrap();
    let writer = sandbox.busy_writer("state", &url);
    let lines = sandbox.run(&["--json", "ls", &sandbox.url("store")]).ok();
    let volumes: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(volumes.len(), 2, "{lines}");
    assert_eq!((volumes[0]["name"].as_str(), volumes[1]["name"].as_str()), (Some("deep/two"), Some("one")));
    assert_eq!(volumes[0]["holder"].as_str().unwrap().split(" on ").next(), Some(&*format!("process {}", writer.id())));
    assert!(volumes[1]["holder"].is_null());
    assert!(volumes[1]["txid"].as_u64().unwrap() > 1 && volumes[1]["bytes"].as_u64().unwrap() >= 8192);
    kill(writer);
    let table = sandbox.run(&["ls", &sandbox.url("store")]).ok();
    assert!(table.contains("deep/two") && table.contains("last sync"), "{table}");
    sandbox.run(&["ls", &sandbox.url("empty")]).fails(7);
}

#[test]
fn objects_of_a_volume_are_listed_by_level() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    sandbox.run(&["compact", &url]).ok();
    let lines = sandbox.run(&["--json", "ls", "--objects", &url]).ok();
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], 9);
    assert!(sandbox.path("db").join(last["key"].as_str().unwrap()).exists());
    assert!(sandbox.run(&["ls", "--objects", &url]).ok().contains("snapshot"));
}

#[test]
fn a_setting_says_where_its_value_is_from() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("mine.toml"), "sync_interval_ms = 200\nlog = \"warn\"\n").unwrap();
    let args = ["--json", "--config", "mine.toml", "--set", "log=off", "config"];
    let values = sandbox.run(&args).json();
    assert_eq!(values["sync_interval_ms"]["value"], 200);
    assert_eq!(values["sync_interval_ms"]["source"], "mine.toml:1");
    assert_eq!(values["log"]["source"], "--set");
    assert_eq!(values["heartbeat_ms"]["source"], "default");
    assert_eq!(values["state_dir"]["source"], "environment PLIMSOLL_STATE_DIR");
    let url = format!("{}?max_dirty_bytes=5", sandbox.url("db"));
    let values = sandbox.run(&["--json", "config", &url]).json();
    assert_eq!(values["max_dirty_bytes"]["value"], 5);
    assert_eq!(values["max_dirty_bytes"]["source"], "URL parameter");
    assert!(sandbox.run(&["config"]).ok().contains("sync_interval_ms"));
    assert!(sandbox.run(&["config", "--markdown"]).ok().contains("| `sync_interval_ms` | `1000` |"));
}

#[test]
fn a_setting_that_cannot_be_used_names_key_source_and_form() {
    let sandbox = Sandbox::new();
    let words = sandbox.run(&["--set", "sync_intervall_ms=5", "config"]).fails(2);
    assert!(words.contains("sync_intervall_ms (--set)") && words.contains("did you mean sync_interval_ms"), "{words}");
    let words = sandbox.run(&["--set", "sync_interval_ms=5s", "config"]).fails(2);
    assert!(words.contains("'5s'") && words.contains("milliseconds"), "{words}");
    let words = sandbox.run(&["--config", "missing.toml", "config"]).fails(2);
    assert!(words.contains("missing.toml") && words.contains("--config"), "{words}");
    let words = sandbox.run(&["--set", "log=x=y=z", "config"]).fails(2);
    assert!(words.contains("log (--set)"), "{words}");
    let words = sandbox.run(&["status", &format!("{}?hydrat=no", sandbox.url("db"))]).fails(2);
    assert!(words.contains("hydrat (URL parameter)"), "{words}");
}

#[test]
fn help_tells_the_exit_codes_and_shells_complete() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(&["--help"]).ok();
    assert!(help.contains("Exit codes:") && help.contains("5  stored bytes fail their checks"), "{help}");
    assert!(sandbox.run(&["completions", "bash"]).ok().contains("_plimsoll"));
    sandbox.run(&["no-such-command"]).fails(2);
}

#[test]
fn metrics_are_served_where_the_setting_says() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sql = "SELECT 'ready'; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let listen = format!("metrics_listen={address}");
    let mut child = sandbox.on("state", &["--json", "--set", &listen, "sql", &url, sql]);
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let mut scrape = TcpStream::connect(address).unwrap();
    scrape.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    scrape.read_to_string(&mut text).unwrap();
    assert!(text.contains("plimsoll_store_requests_total"), "{text}");
    let taken = sandbox.run(&["--set", &listen, "config"]).fails(1);
    assert!(taken.contains("metrics_listen"), "{taken}");
    kill(child);
}

#[test]
fn what_goes_on_is_told_on_stderr_when_asked() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let insert = ["sql", &url, "INSERT INTO t(v) VALUES(1)"];
    assert_eq!(sandbox.run(&insert).err, "");
    let verbose = sandbox.run(&[&["-v"], &insert[..]].concat());
    assert!(verbose.err.contains("holding the volume for writing"), "{}", verbose.err);
    assert_eq!(verbose.ok(), "");
}

#[test]
fn where_there_is_no_volume_there_is_nothing_to_look_at() {
    let sandbox = Sandbox::new();
    let nowhere = &sandbox.url("nowhere");
    let commands: [&[&str]; 4] = [&["du"], &["checkpoint", "ls"], &["compact", "--dry-run"], &["detach"]];
    for command in commands {
        let words = sandbox.run(&[command, &[nowhere]].concat()).fails(7);
        assert!(words.contains("no volume at this URL"), "{words}");
    }
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn a_list_has_the_size_of_forks_and_no_volumes_that_were_removed() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("below/db", 100);
    sandbox.run(&["fork", &url, &sandbox.url("below/fork")]).ok();
    let listed = sandbox.run(&["--json", "ls", &sandbox.url("below")]).ok();
    let listed: Vec<serde_json::Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["bytes"], listed[1]["bytes"], "{listed:?}");
    assert!(listed[1]["synced_ms"].is_u64() && listed[1]["txid"].as_u64() > Some(0), "{listed:?}");
    let status = sandbox.run(&["status", &sandbox.url("below/fork")]).ok();
    assert!(status.contains("started as") && status.contains("below/db"), "{status}");
    for name in ["below/fork", "below/db"] {
        sandbox.run(&["rm", &sandbox.url(name)]).ok();
    }
    sandbox.run(&["ls", &sandbox.url("below")]).fails(7);
}

#[test]
fn compacting_again_finds_nothing_to_do_and_changes_nothing() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 100);
    sandbox.run(&["compact", &url]).ok();
    let before = support::files(&sandbox.path("db"));
    assert!(sandbox.run(&["compact", &url]).ok().contains("nothing to merge"));
    assert!(support::files(&sandbox.path("db")) == before);
}

#[test]
fn a_state_behind_a_url_is_refused_by_commands_that_take_none_and_a_name_with_an_at_sign_is_escaped() {
    let sandbox = Sandbox::new();
    let (plain, escaped) = (sandbox.url("a@b"), sandbox.url("a%40b"));
    for command in ["create", "du", "status", "compact", "release", "verify"] {
        let words = sandbox.run(&[command, &plain]).fails(2);
        assert!(words.contains("takes no state") && words.contains("%40"), "{words}");
    }
    assert!(!sandbox.path("a@b").exists());
    sandbox.run(&["create", &escaped]).ok();
    assert!(sandbox.path("a@b").is_dir());
    sandbox.run(&["sql", &escaped, "CREATE TABLE t(v)"]).ok();
    let txid = sandbox.run(&["--json", "status", &escaped]).json()["txid"].clone();
    sandbox.run(&["sql", &format!("{escaped}@{txid}"), "SELECT * FROM t"]).ok();
    sandbox.run(&["sql", &format!("{escaped}@"), "SELECT * FROM t"]).fails(2);
}

#[test]
fn an_endpoint_in_a_url_is_a_setting_as_any_other_parameter() {
    let sandbox = Sandbox::new();
    let url = "s3://bucket/app?endpoint=http://in-url:1&region=in-url";
    let shown = |args: &[&str]| {
        let mut command = sandbox.on("state", &[&["--json", "config", url], args].concat());
        command.env("PLIMSOLL_ENDPOINT", "http://in-environment:1").env("PLIMSOLL_REGION", "in-environment");
        command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s").env("PLIMSOLL_ALLOW_HTTP", "true");
        let settings = support::answer(&mut command).json();
        [settings["endpoint"]["value"].clone(), settings["region"]["value"].clone()]
    };
    assert_eq!(shown(&[]), ["http://in-url:1", "in-url"]);
    assert_eq!(shown(&["--set", "endpoint=http://set:1", "--set", "region=set"]), ["http://set:1", "set"]);
}

/// `plimsoll create url/pins` made a volume that broke the one around it, and one around a folder of volumes hid them all.
#[test]
fn a_volume_is_made_neither_inside_another_one_nor_around_one() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("all/db", 1);
    let plain = sandbox.path("plain.db");
    drop(support::plain_database(&plain, ""));
    let plain = plain.to_str().unwrap();
    for new in ["all/db/pins", "all/db/a/b", "all"].map(|name| sandbox.url(name)) {
        for command in [&["create", &new][..], &["import", plain, &new], &["fork", &url, &new]] {
            let words = sandbox.run(command).fails(1);
            assert!(words.contains("another volume") && words.contains(&url), "{command:?}: {words}");
        }
    }
    for name in ["pins", "a", "volume.json"] {
        assert_eq!(sandbox.path(&format!("all/db/{name}")).exists(), name == "volume.json", "{name}");
    }
    assert!(!sandbox.path("all/volume.json").exists());
    sandbox.run(&["create", &sandbox.url("all/other")]).ok();
    assert!(sandbox.run(&["ls", &sandbox.url("all")]).ok().contains("other"));
    sandbox.run(&["verify", &url]).ok();
}

#[test]
fn a_failure_is_told_to_programs_as_json() {
    let sandbox = Sandbox::new();
    let words = sandbox.run(&["--json", "status", &sandbox.url("nowhere")]).fails(7);
    let told: serde_json::Value = serde_json::from_str(&words).unwrap();
    assert_eq!((&told["error"]["kind"], &told["error"]["exit"]), (&"not_found".into(), &7.into()));
    assert!(told["error"]["message"].as_str().unwrap().contains("there is no volume"), "{told}");
}
