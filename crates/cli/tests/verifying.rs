//! `verify` finds damage in every kind of object.

mod support;

use std::{fs, path::PathBuf};

use support::{Sandbox, files};

/// A volume with objects of every kind, and one file of each.
fn kinds(sandbox: &Sandbox) -> (String, Vec<PathBuf>) {
    let url = sandbox.volume("db", 500);
    // Only what is large is described.
    sandbox.run(&["sql", &url, "INSERT INTO t(v) VALUES(hex(randomblob(900000)))"]).ok();
    sandbox.run(&["compact", &url]).ok();
    sandbox.run(&["sql", &url, "INSERT INTO t(v) VALUES(1)"]).ok();
    let all = files(&sandbox.path("db"));
    let kinds = ["ltx/0/", "ltx/1/", "ltx/2/", "ltx/3/", "ltx/9/", "index/", "epoch/", "status/", "volume.json"];
    let first = |kind: &&str| {
        let file = all.iter().find(|(path, _)| path.to_str().unwrap().contains(kind));
        file.unwrap_or_else(|| panic!("no object in {kind}")).0.clone()
    };
    (url, kinds.iter().map(first).collect())
}

#[test]
fn a_sound_volume_is_sound_and_nothing_is_changed() {
    let sandbox = Sandbox::new();
    let (url, _) = kinds(&sandbox);
    let before = files(&sandbox.path("db"));
    let report = sandbox.run(&["--json", "verify", &url]).json();
    assert_eq!(report["problems"], 0, "{report}");
    assert_eq!(report["findings"].as_array().unwrap().len(), 0, "{report}");
    assert!(sandbox.run(&["verify", &url]).ok().contains("is sound"));
    assert_eq!(files(&sandbox.path("db")), before);
}

#[test]
fn a_flipped_byte_is_found_in_each_kind_of_object() {
    let sandbox = Sandbox::new();
    let (url, files) = kinds(&sandbox);
    for file in files {
        let whole = fs::read(&file).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 2] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&file, &damaged).unwrap();
            let answer = sandbox.run(&["--json", "verify", &url]);
            assert_eq!(answer.code, 5, "byte {at} of {}: {} {}", file.display(), answer.out, answer.err);
            let report: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
            let found = report["findings"].as_array().unwrap();
            let name = file.strip_prefix(sandbox.path("db")).unwrap().to_str().unwrap();
            let named = found.iter().any(|finding| finding["object"] == name && finding["severity"] == "problem");
            assert!(named, "byte {at} of {name}: {report}");
            assert!(found.iter().all(|finding| !finding["consequence"].as_str().unwrap().is_empty()));
        }
        fs::write(&file, &whole).unwrap();
    }
    sandbox.run(&["verify", &url]).ok();
}

#[test]
fn a_missing_sync_is_found() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    sandbox.run(&["sql", &url, "INSERT INTO t(v) VALUES(1)"]).ok();
    fs::remove_file(sandbox.path("db/ltx/0/0000000000000003-0000000000000003.ltx")).unwrap();
    let answer = sandbox.run(&["verify", &url]);
    assert_eq!(answer.code, 5, "{}", answer.out);
    assert!(answer.out.contains("cannot be put together") && answer.out.contains("missing"), "{}", answer.out);
}

#[test]
fn an_object_under_another_name_is_found() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let level0 = |txid: u64| sandbox.path(&format!("db/ltx/0/{txid:016x}-{txid:016x}.ltx"));
    let last = fs::read_dir(sandbox.path("db/ltx/0")).unwrap().count() as u64;
    fs::copy(level0(last), level0(last + 1)).unwrap();
    let answer = sandbox.run(&["verify", &url]);
    assert_eq!(answer.code, 5, "{}", answer.out);
    assert!(answer.out.contains("its header says"), "{}", answer.out);
}

#[test]
fn damage_inside_the_database_is_told_from_damage_to_objects() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("bad.db");
    let database = support::plain_database(&file, "");
    database.execute_batch("CREATE INDEX i ON t(v)").unwrap();
    let page: i64 =
        database.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'i'", [], |row| row.get(0)).unwrap();
    drop(database);
    let mut bytes = fs::read(&file).unwrap();
    let start = (usize::try_from(page).unwrap() - 1) * 4096;
    bytes[start + 100..start + 4000].fill(0x55);
    fs::write(&file, bytes).unwrap();
    let url = sandbox.url("db");
    sandbox.run(&["import", file.to_str().unwrap(), &url]).ok();
    let answer = sandbox.run(&["verify", &url]);
    assert_eq!(answer.code, 5, "{} {}", answer.out, answer.err);
    assert!(answer.out.contains("the objects hold what was written"), "{}", answer.out);
}

#[test]
fn foreign_files_are_noted_and_no_problem() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    fs::write(sandbox.path("db/README"), "mine").unwrap();
    let report = sandbox.run(&["--json", "verify", &url]).json();
    assert_eq!(report["findings"][0]["object"], "README");
    assert_eq!(report["findings"][0]["severity"], "note");
}

#[test]
fn nothing_at_all_is_not_found() {
    let sandbox = Sandbox::new();
    sandbox.run(&["verify", &sandbox.url("nowhere")]).fails(7);
}
