//! Volumes in memory, opened through the VFS.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// A URL that no other test uses.
pub fn fresh_url() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("memory:///test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn open(url: &str) -> Connection {
    open_with(url, OpenFlags::default()).unwrap()
}

pub fn open_with(url: &str, flags: OpenFlags) -> rusqlite::Result<Connection> {
    plimsoll_sqlite::register().unwrap();
    let connection = Connection::open_with_flags_and_vfs(url, flags, c"plimsoll")?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    Ok(connection)
}

/// A new volume with a table.
pub fn fresh() -> (String, Connection) {
    let url = fresh_url();
    let connection = open(&url);
    connection.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v)").unwrap();
    (url, connection)
}

pub fn text(connection: &Connection, sql: &str) -> String {
    let value = connection.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
    match value {
        rusqlite::types::Value::Null => "NULL".to_owned(),
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Real(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        rusqlite::types::Value::Blob(bytes) => format!("{bytes:?}"),
    }
}

pub fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// SQLite finds nothing wrong, with what this connection has cached and with what a new one reads.
pub fn assert_sound(url: &str, connection: &Connection) {
    assert_eq!(text(connection, "PRAGMA integrity_check"), "ok");
    assert_eq!(text(&open(url), "PRAGMA integrity_check"), "ok");
}

/// Rows of `t` that are larger than the page cache of `PRAGMA cache_size=5`.
pub fn fill(connection: &Connection, rows: u32) {
    connection
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?1)
             INSERT INTO t(v) SELECT randomblob(700) FROM n",
            [rows],
        )
        .unwrap();
}

pub fn error_code<T: std::fmt::Debug>(result: rusqlite::Result<T>) -> (ErrorCode, i32) {
    match result {
        Err(rusqlite::Error::SqliteFailure(error, _)) => (error.code, error.extended_code),
        other => panic!("expected a failure of SQLite, not {other:?}"),
    }
}
