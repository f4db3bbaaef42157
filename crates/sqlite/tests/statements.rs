//! PRAGMA statements, functions, names and settings.

mod common;

use common::{error_code, fresh, fresh_url, number, open, open_with, text};
use rusqlite::{Connection, OpenFlags};

#[test]
fn durability_follows_synchronous_until_it_is_set() {
    let (_, connection) = fresh();
    for (synchronous, level) in [("off", "buffered"), ("normal", "buffered"), ("full", "journaled"), ("3", "durable")] {
        connection.execute_batch(&format!("PRAGMA synchronous={synchronous}")).unwrap();
        assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), level);
    }
    assert_eq!(number(&connection, "PRAGMA synchronous"), 3);
    assert_eq!(text(&connection, "PRAGMA plimsoll_durability=journaled"), "journaled");
    connection.execute_batch("PRAGMA synchronous=off").unwrap();
    assert_eq!(text(&connection, "SELECT plimsoll_durability('durable')"), "durable");
    assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), "durable");
    assert_eq!(text(&connection, "PRAGMA plimsoll_durability=default"), "buffered");
}

#[test]
fn a_new_connection_promises_what_sqlite_promises() {
    let (_, connection) = fresh();
    let level = match number(&connection, "PRAGMA synchronous") {
        3 => "durable",
        2 => "journaled",
        _ => "buffered",
    };
    assert_eq!(text(&connection, "PRAGMA plimsoll_durability"), level);
}

#[test]
fn a_level_that_does_not_exist_is_refused_with_words() {
    let (_, connection) = fresh();
    for (sql, words) in [
        ("PRAGMA plimsoll_durability=fsync", "journaled"),
        ("PRAGMA plimsoll_durability=replicated", "standbys"),
        ("SELECT plimsoll_wait('soon')", "durable"),
        ("SELECT plimsoll_wait(NULL)", "NULL"),
        ("SELECT plimsoll_status('nowhere')", "nowhere"),
    ] {
        let error = connection.query_row(sql, [], |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains(words), "{sql}: {error}");
    }
}

#[test]
fn every_column_that_a_pragma_answers_with_has_a_name() {
    let (_, connection) = fresh();
    for pragma in [
        "page_size=8192",
        "page_size",
        "journal_mode=wal",
        "locking_mode=exclusive",
        "synchronous=full",
        "plimsoll_error",
        "plimsoll_status",
        "plimsoll_sync",
        "plimsoll_wait",
        "plimsoll_time",
        "plimsoll_time=latest",
        "plimsoll_durability",
        "plimsoll_durability=default",
    ] {
        let statement = connection.prepare(&format!("PRAGMA {pragma}")).unwrap();
        // Panics for a column whose name is NULL.
        drop(statement.column_names());
    }
    assert_eq!(text(&connection, "PRAGMA plimsoll_error"), "", "there was no error");
}

#[test]
fn waiting_names_the_commit_that_was_waited_for() {
    let (_, connection) = fresh();
    connection.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    let last = number(&connection, "SELECT json_extract(plimsoll_status(), '$.lsn')");
    assert_eq!(text(&connection, "PRAGMA plimsoll_wait=journaled"), last.to_string());
    assert_eq!(text(&connection, "PRAGMA plimsoll_sync"), last.to_string());
    assert_eq!(number(&connection, "SELECT plimsoll_wait('durable')"), last);
    assert_eq!(number(&connection, "SELECT plimsoll_sync('main')"), last);
}

#[test]
fn a_durable_commit_has_reached_the_store_when_it_returns() {
    let (_, connection) = fresh();
    connection.execute_batch("PRAGMA synchronous=extra; INSERT INTO t(v) VALUES (1)").unwrap();
    let status = "SELECT json_extract(plimsoll_status(), '$.lsn') - json_extract(plimsoll_status(), '$.durable.lsn')";
    assert_eq!(number(&connection, status), 0);
    assert_eq!(text(&connection, "SELECT json_extract(plimsoll_status(), '$.load.commits')"), "0");
}

#[test]
fn the_status_is_json() {
    let (_, connection) = fresh();
    assert_eq!(number(&connection, "SELECT json_valid(plimsoll_status())"), 1);
    // Ages differ from one look to the next.
    let lasting = |status: String| -> String {
        let sql = "SELECT json_extract(?1, '$.url', '$.role', '$.epoch', '$.lsn', '$.page_count')";
        connection.query_row(sql, [status], |row| row.get(0)).unwrap()
    };
    let (pragma, function) = ("PRAGMA plimsoll_status", "SELECT plimsoll_status('main')");
    assert_eq!(lasting(text(&connection, pragma)), lasting(text(&connection, function)));
}

#[test]
fn the_functions_are_there_without_a_volume() {
    plimsoll_sqlite::register().unwrap();
    let connection = Connection::open_in_memory().unwrap();
    assert_eq!(text(&connection, "SELECT plimsoll_version()"), env!("CARGO_PKG_VERSION"));
    assert!(connection.query_row("SELECT plimsoll_status()", [], |_| Ok(())).is_err());
}

#[test]
fn a_view_cannot_change_what_is_promised() {
    let (_, connection) = fresh();
    connection.execute_batch("CREATE VIEW trap AS SELECT plimsoll_durability('buffered')").unwrap();
    assert!(connection.query_row("SELECT * FROM trap", [], |_| Ok(())).is_err());
}

#[test]
fn a_plain_file_is_not_taken_for_a_volume() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plain.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    let path = path.to_str().unwrap();
    for name in [path.to_owned(), format!("file://{path}")] {
        let refused = open_with(&name, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE);
        assert_eq!(error_code(refused.map(drop)).0, rusqlite::ErrorCode::CannotOpen);
        let why = text(&Connection::open_in_memory().unwrap(), "SELECT plimsoll_error()");
        assert!(why.contains("plimsoll import"), "{why}");
    }
}

#[test]
fn opening_without_locks_is_refused() {
    plimsoll_sqlite::register().unwrap();
    for parameter in ["nolock=1", "immutable=1"] {
        let name = format!("file:{}?vfs=plimsoll&{parameter}", fresh_url());
        assert_eq!(error_code(Connection::open(name).map(drop)).0, rusqlite::ErrorCode::CannotOpen);
    }
}

#[test]
fn uri_names_and_plain_names_mean_the_same_volume() {
    let (url, connection) = fresh();
    connection.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    let same = Connection::open(format!("file:{url}?vfs=plimsoll&sync_interval_ms=1000")).unwrap();
    assert_eq!(number(&same, "SELECT count(*) FROM t"), 1);
    assert_eq!(number(&open(&format!("{url}/?sync_interval_ms=1000")), "SELECT count(*) FROM t"), 1);
}

/// It showed whatever had gone wrong last anywhere in the process.
#[test]
fn the_error_of_one_thread_is_not_shown_to_connections_of_another() {
    let (_, connection) = fresh();
    let open = || Connection::open("file:nowhere://x?vfs=plimsoll").unwrap_err();
    std::thread::scope(|scope| scope.spawn(|| drop(open())).join().unwrap());
    assert_eq!(text(&connection, "SELECT plimsoll_error()"), "NULL");
    open();
    assert!(text(&connection, "SELECT plimsoll_error()").contains("scheme"));
}

#[test]
fn the_error_of_one_connection_is_not_shown_to_another() {
    let url = fresh_url();
    let (one, other) = (open(&format!("file:{url}")), open(&format!("file:{url}")));
    one.execute_batch("CREATE TABLE t(v)").unwrap();
    one.query_row("SELECT plimsoll_wait('durable')", [], |_| Ok(())).unwrap();
    one.query_row("PRAGMA plimsoll_time = '1'", [], |_| Ok(())).unwrap();
    one.execute_batch("INSERT INTO t VALUES (1)").unwrap_err();
    assert!(text(&one, "SELECT plimsoll_error()").contains("which is past"));
    let asked = |connection: &Connection| {
        connection.query_row("SELECT plimsoll_error()", [], |row| row.get::<_, Option<String>>(0)).unwrap()
    };
    assert_eq!(asked(&other), None);
    Connection::open("file:nowhere://x?vfs=plimsoll").unwrap_err();
    assert_eq!(asked(&open(&format!("file:{url}"))), None);
}
