//! Settings in the URI of a connection.

mod common;

use common::{fresh_url, open, open_with, text};
use rusqlite::{Connection, OpenFlags};

/// Nothing is synced by the clock.
const LAZY: &str = "sync_interval_ms=3600000&max_loss_window_ms=7200000&sync_backlog_bytes=0";

/// Commits that are acknowledged and not durable.
fn at_risk(connection: &Connection) -> String {
    text(connection, "SELECT json_extract(plimsoll_status(), '$.load.commits')")
}

#[test]
fn the_setting_durability_counts_for_a_connection_that_says_nothing() {
    let url = fresh_url();
    let uri = format!("file:{url}?durability=durable&{LAZY}");
    let connection = open(&uri);
    connection.execute_batch("CREATE TABLE t(v); INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), "durable");
    assert_eq!(at_risk(&connection), "0");
    // What a connection says goes first, and only for itself.
    connection.execute_batch("PRAGMA synchronous = FULL; INSERT INTO t VALUES (2)").unwrap();
    assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), "journaled");
    assert_eq!(at_risk(&connection), "1");
    let other = open(&uri);
    other.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    assert_eq!(at_risk(&other), "0");
    other.execute_batch("PRAGMA plimsoll_durability = buffered; INSERT INTO t VALUES (4)").unwrap();
    assert_eq!(at_risk(&other), "1");
    other.execute_batch("PRAGMA plimsoll_durability = default; INSERT INTO t VALUES (5)").unwrap();
    assert_eq!(at_risk(&other), "0");
}

#[test]
fn what_pragma_synchronous_promises_is_what_the_readme_says() {
    let connection = open(&format!("file:{}?{LAZY}", fresh_url()));
    assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), "journaled", "SQLite's default");
    for (word, level) in [("OFF", "buffered"), ("NORMAL", "buffered"), ("FULL", "journaled"), ("EXTRA", "durable")] {
        connection.execute_batch(&format!("PRAGMA synchronous = {word}")).unwrap();
        assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), level, "{word}");
    }
}

/// SQLite asks about the pragma before it refuses it.
#[test]
fn a_pragma_synchronous_that_sqlite_refuses_promises_nothing_else() {
    let connection = open(&format!("file:{}?{LAZY}", fresh_url()));
    connection.execute_batch("PRAGMA synchronous = EXTRA; CREATE TABLE t(v)").unwrap();
    for begin in ["BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT s"] {
        connection.execute_batch(begin).unwrap();
        connection.execute_batch("PRAGMA synchronous = OFF").unwrap_err();
        assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), "durable", "{begin}");
        connection.execute_batch("INSERT INTO t VALUES (1); COMMIT").unwrap();
        assert_eq!(at_risk(&connection), "0", "{begin}");
    }
    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), "buffered");
}

#[test]
fn a_commit_that_the_load_line_has_no_room_for_is_durable_also_with_synchronous_off() {
    let connection = open(&format!("file:{}?{LAZY}&max_dirty_bytes=1", fresh_url()));
    connection.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE t(v)").unwrap();
    for _ in 0..20 {
        connection.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let marks = "json_extract(plimsoll_status(), '$.durable.lsn') = json_extract(plimsoll_status(), '$.lsn')";
        assert_eq!(text(&connection, &format!("SELECT {marks}")), "1");
    }
}

#[test]
fn a_second_connection_that_asks_for_other_settings_is_told_so() {
    let url = fresh_url();
    let first = open(&format!("file:{url}?sync_interval_ms=3000&cache_bytes_max=50000000"));
    first.execute_batch("CREATE TABLE t(v)").unwrap();
    // The same, or nothing said, joins.
    drop(open(&format!("file:{url}?cache_bytes_max=50000000&sync_interval_ms=3000")));
    drop(open(&format!("file:{url}")));
    for (setting, has) in [("sync_interval_ms=1000", "3000"), ("cache_bytes_max=1000000", "50000000")] {
        let refused = open_with(&format!("file:{url}?{setting}"), OpenFlags::default()).unwrap_err().to_string();
        drop(refused);
        let words = text(&first, "PRAGMA plimsoll_error");
        assert!(words.contains(setting.split_once('=').unwrap().0) && words.contains(has), "{words}");
    }
    drop(first);
    drop(open(&format!("file:{url}?sync_interval_ms=1000")));
}
