//! Looking at earlier states, going back to them, and tokens of what was seen.

mod common;

use common::{error_code, fresh, fresh_url, number, open, open_with, text};
use rusqlite::{Connection, ErrorCode, OpenFlags};

const COUNT: &str = "SELECT count(*) FROM t";

fn synced(connection: &Connection) -> i64 {
    connection.query_row("SELECT plimsoll_wait('durable')", [], |_| Ok(())).unwrap();
    number(connection, "SELECT plimsoll_status() ->> 'txid'")
}

#[test]
fn a_connection_looks_at_an_earlier_state_and_comes_back() {
    let (url, connection) = fresh();
    connection.execute_batch("INSERT INTO t(v) VALUES(1)").unwrap();
    let txid = synced(&connection);
    connection.execute_batch("INSERT INTO t(v) VALUES(2); ALTER TABLE t ADD COLUMN w").unwrap();
    let other = open(&url);
    assert_eq!(text(&connection, "PRAGMA plimsoll_time"), "latest");
    assert_eq!(text(&connection, &format!("PRAGMA plimsoll_time={txid}")), txid.to_string());
    assert_eq!((number(&connection, COUNT), number(&other, COUNT)), (1, 2));
    assert!(connection.prepare("SELECT w FROM t").is_err(), "the column was added later");
    let refused = error_code(connection.execute("INSERT INTO t(v) VALUES(3)", []));
    assert_eq!(refused.0, ErrorCode::ReadOnly);
    assert!(text(&connection, "PRAGMA plimsoll_error").contains("PRAGMA plimsoll_time = latest"));
    other.execute("INSERT INTO t(v) VALUES(3)", []).unwrap();
    assert_eq!(number(&connection, COUNT), 1, "the past does not change");
    assert_eq!(text(&connection, "PRAGMA plimsoll_time=latest"), "latest");
    assert_eq!(number(&connection, "SELECT count(*) FROM t WHERE w IS NULL"), 3);
    connection.execute("INSERT INTO t(v) VALUES(4)", []).unwrap();
    connection.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    assert!(connection.query_row("PRAGMA plimsoll_time=1", [], |_| Ok(())).is_err(), "in a transaction");
}

#[test]
fn a_connection_is_opened_on_an_earlier_state_and_only_reads() {
    let (url, connection) = fresh();
    let txid = synced(&connection);
    connection.execute_batch("INSERT INTO t(v) VALUES(1)").unwrap();
    synced(&connection);
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_URI;
    let past = open_with(&format!("file:{url}?txid={txid}"), flags).unwrap();
    assert_eq!((number(&past, COUNT), number(&connection, COUNT)), (0, 1));
    assert!(past.is_readonly("main").unwrap(), "programs ask SQLite");
    assert_eq!(error_code(past.execute("INSERT INTO t(v) VALUES(3)", [])).0, ErrorCode::ReadOnly);
    text(&connection, "SELECT plimsoll_checkpoint('one')");
    connection.execute_batch("INSERT INTO t(v) VALUES(2)").unwrap();
    let named = open_with(&format!("file:{url}?checkpoint=one"), flags).unwrap();
    assert_eq!((number(&named, COUNT), number(&connection, COUNT)), (1, 2));
    for wrong in ["txid=999", "time=tomorrow", "time=9%20hours%20ago", "txid=1&time=1%20s%20ago", "checkpoint=none"] {
        assert!(open_with(&format!("file:{url}?{wrong}"), flags).is_err(), "{wrong}");
    }
}

#[test]
fn a_restore_is_one_transaction_for_every_open_connection() {
    let (url, connection) = fresh();
    connection.execute_batch("INSERT INTO t(v) VALUES(1), (2)").unwrap();
    let txid = synced(&connection);
    connection.execute_batch("DROP TABLE t; CREATE TABLE u(a, b, c); INSERT INTO u VALUES(1, 2, 3)").unwrap();
    let (reader, other) = (open(&url), open(&url));
    let mut statement = other.prepare("SELECT count(*) FROM u").unwrap();
    assert_eq!(statement.query_row([], |row| row.get::<_, i64>(0)).unwrap(), 1);
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(number(&reader, "SELECT sum(a + b + c) FROM u"), 6);

    let done = text(&connection, &format!("SELECT plimsoll_restore('{txid}')"));
    assert!(done.contains(&format!("\"restored_txid\":{txid}")), "{done}");
    assert_eq!(number(&reader, "SELECT sum(a + b + c) FROM u"), 6, "its transaction reads one state");
    reader.execute_batch("COMMIT").unwrap();
    for connection in [&reader, &other, &connection] {
        assert_eq!(number(connection, COUNT), 2);
        assert!(connection.prepare("SELECT * FROM u").is_err());
        assert_eq!(text(connection, "PRAGMA integrity_check"), "ok");
    }
    assert!(statement.query_row([], |row| row.get::<_, i64>(0)).is_err(), "a prepared statement notices as well");

    // A table of another shape takes the place in the schema that u had.
    connection.execute_batch("CREATE TABLE u(a)").unwrap();
    assert_eq!(number(&other, "SELECT count(*) FROM pragma_table_info('u')"), 1);
    let undo = number(&connection, &format!("SELECT '{}' ->> 'before_txid'", done.replace('\'', "''")));
    text(&connection, &format!("SELECT plimsoll_restore('{undo}')"));
    assert_eq!(number(&other, "SELECT sum(a + b + c) FROM u"), 6);
}

#[test]
fn a_restore_waits_for_no_transaction_that_writes() {
    let (url, connection) = fresh();
    let txid = synced(&connection);
    let other = open(&url);
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO t(v) VALUES(1)").unwrap();
    let refused = connection.query_row(&format!("SELECT plimsoll_restore('{txid}')"), [], |_| Ok(()));
    assert!(refused.unwrap_err().to_string().contains("is writing"));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(number(&other, COUNT), 1);
}

#[test]
fn a_session_carries_what_it_has_seen() {
    let (url, connection) = fresh();
    connection.execute_batch("INSERT INTO t(v) VALUES(1)").unwrap();
    let token = text(&connection, "SELECT plimsoll_token()");
    assert_eq!(text(&connection, &format!("SELECT plimsoll_wait_token('{token}')")), token);
    synced(&connection);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let reader = open_with(&format!("file:{url}?token={token}"), flags).unwrap();
    assert_eq!(number(&reader, COUNT), 1);
    assert_eq!(text(&reader, "SELECT plimsoll_lag()"), "{\"txids\":0,\"ms\":0}");
    for flags in [flags, OpenFlags::default()] {
        assert!(open_with(&format!("file:{url}?token=plt1abc"), flags).is_err());
    }
    let (_, elsewhere) = fresh();
    let wrong = elsewhere.query_row(&format!("SELECT plimsoll_wait_token('{token}', 10)"), [], |_| Ok(()));
    assert!(wrong.unwrap_err().to_string().contains("another volume"));
}

#[test]
fn every_function_takes_the_name_of_an_attached_database_after_its_other_arguments() {
    let (_, connection) = fresh();
    connection.execute("ATTACH ?1 AS side", [fresh_url()]).unwrap();
    connection.execute_batch("CREATE TABLE side.s(v); INSERT INTO side.s VALUES (1)").unwrap();
    let made =
        |schema: &str| number(&connection, &format!("SELECT json_array_length(plimsoll_checkpoints('{schema}'))"));
    number(&connection, "SELECT plimsoll_checkpoint('one', 'a note', 'side')");
    assert_eq!((made("main"), made("side")), (0, 1));
    assert_eq!(text(&connection, "SELECT plimsoll_checkpoints('side') ->> '$[0].note'"), "a note");
    connection.execute_batch("DELETE FROM side.s").unwrap();
    let token = text(&connection, "SELECT plimsoll_token('side')");
    assert_eq!(text(&connection, &format!("SELECT plimsoll_wait_token('{token}', 60000, 'side')")), token);
    text(&connection, "SELECT plimsoll_restore('one', 'side')");
    assert_eq!(number(&connection, "SELECT count(*) FROM side.s"), 1);
    text(&connection, "SELECT plimsoll_remove_checkpoint('one', 'side')");
    assert_eq!((made("main"), made("side")), (0, 0));
}

/// What a connection has cached is told by the version of a state, and those of a volume that was opened again begin anew.
#[test]
fn whoever_looks_back_and_forth_never_sees_one_state_as_the_other() {
    let (url, connection) = fresh();
    let mut states = Vec::new();
    for rows in 1..=12 {
        connection.execute_batch("INSERT INTO t(v) VALUES(1)").unwrap();
        states.push((synced(&connection), rows));
    }
    drop(connection);
    let connection = open(&url);
    for rows in 13..=30 {
        connection.execute_batch("INSERT INTO t(v) VALUES(1)").unwrap();
        for (txid, then) in &states {
            text(&connection, &format!("PRAGMA plimsoll_time={txid}"));
            assert_eq!(number(&connection, COUNT), *then, "TXID {txid}");
            text(&connection, "PRAGMA plimsoll_time=latest");
            assert_eq!(number(&connection, COUNT), rows, "after TXID {txid}");
        }
    }
}
