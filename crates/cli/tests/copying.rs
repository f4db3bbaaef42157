//! Databases in and out: import, export.

mod support;

use std::fs;

use support::{Sandbox, plain_database, rows};

#[test]
fn a_database_comes_out_as_it_went_in_byte_for_byte() {
    let sandbox = Sandbox::new();
    for page_size in [512, 4096, 65536] {
        let (file, copy) = (sandbox.path(&format!("{page_size}.db")), sandbox.path(&format!("{page_size}.out")));
        drop(plain_database(&file, &format!("PRAGMA page_size={page_size}")));
        let url = sandbox.url(&format!("v{page_size}"));
        let report = sandbox.run(&["--json", "import", file.to_str().unwrap(), &url]).json();
        assert_eq!(report["page_size"], page_size);
        let report = sandbox.run(&["--json", "export", &url, copy.to_str().unwrap()]).json();
        assert_eq!(report["txid"], 1, "one commit");
        assert!(fs::read(&file).unwrap() == fs::read(&copy).unwrap(), "{page_size}");
    }
}

#[test]
fn a_database_in_wal_mode_is_imported_with_what_is_only_in_its_log() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("wal.db");
    let in_use = plain_database(&file, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0");
    assert!(fs::metadata(sandbox.path("wal.db-wal")).unwrap().len() > 10_000);
    let url = sandbox.url("db");
    sandbox.run(&["import", file.to_str().unwrap(), &url]).ok();
    let copy = sandbox.path("out.db");
    sandbox.run(&["export", &url, copy.to_str().unwrap()]).ok();
    assert_eq!(fs::read(&copy).unwrap()[18..20], [1, 1], "a volume has no write-ahead log");
    drop(in_use);
    assert_eq!(rows(&copy), rows(&file));
    let leftovers = fs::read_dir(sandbox.path("state/scratch")).unwrap().count();
    assert_eq!(leftovers, 0, "the copy is removed");
}

#[test]
fn a_hot_journal_is_rolled_back_before_the_import() {
    let sandbox = Sandbox::new();
    let (file, crashed) = (sandbox.path("a.db"), sandbox.path("crashed.db"));
    let database = plain_database(&file, "PRAGMA cache_size=2");
    let expected = rows(&file);
    database.execute_batch("BEGIN; UPDATE t SET v = 'half'").unwrap();
    fs::copy(&file, &crashed).unwrap();
    fs::copy(sandbox.path("a.db-journal"), sandbox.path("crashed.db-journal")).unwrap();
    drop(database);
    let url = sandbox.url("db");
    sandbox.run(&["import", crashed.to_str().unwrap(), &url]).ok();
    let copy = sandbox.path("out.db");
    sandbox.run(&["export", &url, copy.to_str().unwrap()]).ok();
    assert_eq!(rows(&copy), expected);
}

#[test]
fn a_volume_is_replaced_only_when_asked() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("a.db");
    drop(plain_database(&file, ""));
    let url = sandbox.volume("db", 5000);
    let words = sandbox.run(&["import", file.to_str().unwrap(), &url]).fails(1);
    assert!(words.contains("--replace") && words.contains(&url), "{words}");
    sandbox.run(&["import", "--replace", file.to_str().unwrap(), &url]).ok();
    let copy = sandbox.path("out.db");
    sandbox.run(&["export", &url, copy.to_str().unwrap()]).ok();
    assert_eq!(rows(&copy), rows(&file));
    sandbox.run(&["verify", &url]).ok();
}

#[test]
fn replacing_uploads_only_what_differs() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("a.db");
    let source = plain_database(&file, "");
    source.execute_batch("CREATE TABLE ballast(v); INSERT INTO ballast VALUES (randomblob(2000000))").unwrap();
    let url = sandbox.url("db");
    sandbox.run(&["import", file.to_str().unwrap(), &url]).ok();
    let stored = || -> u64 {
        let listed = sandbox.run(&["--json", "ls", "--objects", &url]).ok();
        listed
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["bytes"].as_u64().unwrap())
            .sum()
    };
    let before = stored();
    source.execute_batch("CREATE TABLE another(v)").unwrap();
    drop(source);
    sandbox.run(&["import", "--replace", file.to_str().unwrap(), &url]).ok();
    let grown = stored() - before;
    assert!((1..100_000).contains(&grown), "{grown} bytes more");
    let copy = sandbox.path("out.db");
    sandbox.run(&["export", &url, copy.to_str().unwrap()]).ok();
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&file).unwrap());
    // Once more: nothing differs.
    sandbox.run(&["import", "--replace", file.to_str().unwrap(), &url]).ok();
    sandbox.run(&["verify", &url]).ok();
}

#[test]
fn pages_of_another_size_cannot_replace() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("a.db");
    drop(plain_database(&file, "PRAGMA page_size=1024"));
    let url = sandbox.volume("db", 5);
    let words = sandbox.run(&["import", "--replace", file.to_str().unwrap(), &url]).fails(1);
    assert!(words.contains("1024") && words.contains("4096"), "{words}");
    assert_eq!(sandbox.run(&["--json", "sql", &url, "SELECT count(*) AS n FROM t"]).ok(), "{\"n\":5}\n");
}

#[test]
fn what_is_no_database_is_not_imported() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("text"), "hello").unwrap();
    let words = sandbox.run(&["import", "text", &sandbox.url("db")]).fails(2);
    assert!(words.contains("SQLite"), "{words}");
    sandbox.run(&["import", "missing.db", &sandbox.url("db")]).fails(7);
    let cut = sandbox.path("cut.db");
    drop(plain_database(&cut, ""));
    let whole = fs::read(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() - 4096]).unwrap();
    let answer = sandbox.run(&["import", "cut.db", &sandbox.url("db")]);
    assert_ne!(answer.code, 0);
    assert!(!sandbox.path("db").join("volume.json").exists(), "nothing was made");
}

#[test]
fn an_earlier_state_can_be_exported() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let txid = sandbox.run(&["--json", "status", &url]).json()["txid"].as_u64().unwrap();
    sandbox.run(&["sql", &url, "DELETE FROM t; VACUUM"]).ok();
    let copy = sandbox.path("out.db");
    sandbox.run(&["export", &url, copy.to_str().unwrap(), "--at", &txid.to_string()]).ok();
    assert_eq!(rows(&copy).len(), 10);
    let words = sandbox.run(&["export", &url, "later.db", "--at", "999"]).fails(7);
    assert!(words.contains("999"), "{words}");
    assert!(!sandbox.path("later.db").exists());
}

#[test]
fn what_was_cut_off_does_not_come_back_when_the_database_grows_again() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 5000);
    sandbox.run(&["sql", &url, "DELETE FROM t WHERE id > 10; VACUUM"]).ok();
    let grow = "INSERT INTO t(v) SELECT hex(zeroblob(60)) FROM t a, t b, t c";
    sandbox.run(&["sql", &url, grow]).ok();
    let copy = sandbox.path("out.db");
    sandbox.run(&["export", &url, copy.to_str().unwrap()]).ok();
    assert_eq!(rows(&copy).len(), 1010);
}

#[test]
fn an_exported_file_is_as_long_as_the_database_in_it_also_if_that_was_longer_before() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 5000);
    sandbox.run(&["sql", &url, "DELETE FROM t WHERE id > 10; VACUUM"]).ok();
    let copy = sandbox.path("out.db");
    let told = sandbox.run(&["--json", "export", &url, copy.to_str().unwrap()]).json();
    assert_eq!(Some(fs::metadata(&copy).unwrap().len()), told["bytes"].as_u64(), "{told}");
    assert_eq!(rows(&copy).len(), 10);
}

#[test]
fn a_file_is_replaced_only_by_force_and_only_whole() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    let file = sandbox.path("out.db");
    fs::write(&file, "precious").unwrap();
    let words = sandbox.run(&["export", &url, "out.db"]).fails(1);
    assert!(words.contains("--force"), "{words}");
    sandbox.run(&["export", "--force", &sandbox.url("nowhere"), "out.db"]).fails(7);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    sandbox.run(&["export", "--force", &url, "out.db"]).ok();
    assert_eq!(rows(&file).len(), 10);
    let hidden = fs::read_dir(sandbox.path(""))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".plimsoll"));
    assert_eq!(hidden.count(), 0, "no temporary file stays");
}

#[test]
fn an_export_says_what_this_host_still_has_to_sync() {
    let sandbox = Sandbox::new();
    let url = sandbox.volume("db", 10);
    support::kill(sandbox.busy_writer("state", &url));
    let answer = sandbox.run(&["export", &url, "out.db"]);
    assert!(answer.err.contains("1 commit of this host's journal"), "{}", answer.err);
    answer.ok();
    assert_eq!(rows(&sandbox.path("out.db")).len(), 10);
}
