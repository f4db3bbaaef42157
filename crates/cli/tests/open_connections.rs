//! Commands that replace what a volume holds, while a connection to it stays open.

mod support;

use plimsoll_host::os;
use plimsoll_metrics::Metrics;
use plimsoll_volume::{Connections, Process};
use rusqlite::Connection;
use support::{Sandbox, plain_database};

/// A connection in this process, on the host `state`. Settings of it are those of the first that a process opens.
fn connect(sandbox: &Sandbox, url: &str) -> Connection {
    let process = Process {
        host: os::host().unwrap(),
        metrics: Metrics::new(),
        environment: [
            ("PLIMSOLL_STATE_DIR".to_owned(), sandbox.path("state").display().to_string()),
            ("PLIMSOLL_SYNC_INTERVAL_MS".to_owned(), "600000".to_owned()),
            ("PLIMSOLL_MAX_LOSS_WINDOW_MS".to_owned(), "600000".to_owned()),
        ]
        .into(),
        host_name: os::host_name(),
        pid: std::process::id(),
        connections: Connections::default(),
    };
    plimsoll_sqlite::register_with(process).unwrap();
    let connection = Connection::open_with_flags_and_vfs(url, rusqlite::OpenFlags::default(), c"plimsoll").unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    connection
}

fn is_sound(connection: &Connection) -> bool {
    connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap() == "ok"
}

/// Both databases have been changed equally often, so both had the same schema number. Prepared statements and
/// schemas of open connections went on being those of the other database, whose tables are on other pages.
#[test]
fn a_connection_that_stays_open_notices_an_import_and_a_restore_of_another_schema() {
    let sandbox = Sandbox::new();
    let url = sandbox.url("db");
    let connection = connect(&sandbox, &url);
    connection.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE u(a)").unwrap();
    connection.execute_batch("INSERT INTO u VALUES('before')").unwrap();
    sandbox.run(&["checkpoint", "create", &url, "before"]).ok();

    let file = sandbox.path("im.db");
    let other = Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE v(a, b)").unwrap();
    let schema = |connection: &Connection| -> i64 {
        connection.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(schema(&other), schema(&connection), "they differ in what the number stands for");
    drop(other);
    sandbox.run(&["import", "--replace", file.to_str().unwrap(), &url]).ok();
    let refused = connection.execute("INSERT INTO u VALUES('lost')", []).unwrap_err();
    assert!(refused.to_string().contains("no such table: u"), "{refused}");
    connection.execute("INSERT INTO v VALUES(1, 2)", []).unwrap();
    assert!(is_sound(&connection));

    sandbox.run(&["restore", &format!("{url}@before")]).ok();
    let refused = connection.execute("INSERT INTO v VALUES(3, 4)", []).unwrap_err();
    assert!(refused.to_string().contains("no such table: v"), "{refused}");
    let rows = connection.query_row("SELECT group_concat(a) FROM u", [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(rows, "before");
    assert!(is_sound(&connection));
}

#[test]
fn what_is_there_already_is_neither_imported_nor_restored_again() {
    let sandbox = Sandbox::new();
    let (url, file) = (sandbox.volume("db", 5), sandbox.path("a.db"));
    let source = plain_database(&file, "");
    for id in 1..9 {
        source.execute("UPDATE t SET v = 'changed' WHERE id = ?1", [id]).unwrap();
    }
    drop(source);
    let before = sandbox.run(&["--json", "checkpoint", "create", &url, "before"]).json();
    sandbox.run(&["import", "--replace", file.to_str().unwrap(), &url]).ok();
    let imported = sandbox.run(&["--json", "status", &url]).json()["page_count"].clone();
    let newest = || sandbox.run(&["--json", "sql", &url, "PRAGMA schema_version"]).ok();
    let schema = newest();
    let again = sandbox.run(&["--json", "import", "--replace", file.to_str().unwrap(), &url]).json();
    assert_eq!((&again["pages"], newest()), (&imported, schema), "{again}");
    let back = ["--json", "restore", &format!("{url}@{}", before["txid"])];
    assert_ne!(sandbox.run(&back).json()["pages"], 0);
    let second = sandbox.run(&back).json();
    assert_eq!((&second["pages"], &second["checkpoint"]), (&0.into(), &serde_json::Value::Null), "{second}");
}

/// It was once taken for one that is not there, since nothing of it was in the store.
#[test]
fn a_volume_of_which_nothing_was_synced_yet_is_released_and_compacted_as_any_other() {
    let sandbox = Sandbox::new();
    for command in ["release", "compact"] {
        let url = sandbox.url(command);
        let connection = connect(&sandbox, &url);
        connection.execute_batch("CREATE TABLE t(v); INSERT INTO t VALUES('kept')").unwrap();
        sandbox.run(&[command, &url]).ok();
        let found = support::answer(&mut sandbox.on("elsewhere", &["--json", "sql", &url, "SELECT v FROM t"])).ok();
        assert_eq!(found, "{\"v\":\"kept\"}\n");
    }
}
