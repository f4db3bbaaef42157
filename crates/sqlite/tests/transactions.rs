//! What a transaction does is seen whole, or not at all.

mod common;

use common::{assert_sound, fill, fresh, fresh_url, number, open, text};
use rusqlite::Connection;

#[test]
fn a_commit_is_seen_by_other_connections_and_after_reopening() {
    let (url, connection) = fresh();
    connection.execute_batch("INSERT INTO t(v) VALUES (1), (2)").unwrap();
    assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 2);
    drop(connection);
    assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 2);
}

#[test]
fn a_rollback_leaves_nothing() {
    let (url, connection) = fresh();
    connection.execute_batch("BEGIN; INSERT INTO t(v) VALUES (1); ROLLBACK").unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 0);
    assert_sound(&url, &connection);
}

#[test]
fn a_rollback_of_spilled_pages_leaves_nothing_and_commits_nothing() {
    for mode in ["delete", "truncate", "persist", "memory"] {
        let (url, connection) = fresh();
        connection.execute_batch(&format!("PRAGMA journal_mode={mode}; PRAGMA cache_size=5")).unwrap();
        fill(&connection, 100);
        let before = (text(&connection, "SELECT sum(length(v)), count(*) FROM t"), lsn(&connection));
        connection.execute_batch("BEGIN; UPDATE t SET v = randomblob(900); DELETE FROM t WHERE id % 3 = 0").unwrap();
        fill(&connection, 300);
        connection.execute_batch("ROLLBACK").unwrap();
        let after = (text(&connection, "SELECT sum(length(v)), count(*) FROM t"), lsn(&connection));
        assert_eq!(before, after, "{mode}");
        assert_sound(&url, &connection);
        connection.execute_batch("INSERT INTO t(v) VALUES ('after')").unwrap();
        assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 101);
        assert_sound(&url, &connection);
    }
}

#[test]
fn savepoints_nest_also_when_pages_spill() {
    let (url, connection) = fresh();
    connection.execute_batch("PRAGMA cache_size=5; BEGIN").unwrap();
    fill(&connection, 100);
    connection.execute_batch("SAVEPOINT a").unwrap();
    fill(&connection, 100);
    connection.execute_batch("SAVEPOINT b; UPDATE t SET v = randomblob(300); ROLLBACK TO b; RELEASE b").unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM t WHERE length(v) = 700"), 200);
    connection.execute_batch("ROLLBACK TO a; DELETE FROM t WHERE id > 90; COMMIT").unwrap();
    assert_eq!(number(&open(&url), "SELECT count(*) FROM t WHERE length(v) = 700"), 90);
    assert_sound(&url, &connection);
}

#[test]
fn a_transaction_that_changes_nothing_commits_nothing() {
    let (_, connection) = fresh();
    let before = lsn(&connection);
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT; BEGIN EXCLUSIVE; COMMIT; DELETE FROM t WHERE id = 7").unwrap();
    connection.execute_batch("BEGIN; SELECT * FROM t; COMMIT").unwrap();
    assert_eq!(lsn(&connection), before);
}

#[test]
fn each_transaction_is_one_commit() {
    let (_, connection) = fresh();
    let before = lsn(&connection);
    for round in 1..=5 {
        connection.execute_batch("BEGIN; INSERT INTO t(v) VALUES (1); INSERT INTO t(v) VALUES (2); COMMIT").unwrap();
        assert_eq!(lsn(&connection), before + round);
    }
}

#[test]
fn a_dropped_connection_takes_its_transaction_along() {
    let (url, connection) = fresh();
    connection.execute_batch("PRAGMA cache_size=5; BEGIN").unwrap();
    fill(&connection, 100);
    drop(connection);
    let connection = open(&url);
    connection.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1);
    assert_sound(&url, &connection);
}

#[test]
fn a_backup_into_a_volume_is_one_commit_and_complete() {
    for (page, wal) in [(4096, false), (4096, true), (1024, false)] {
        let directory = tempfile::tempdir().unwrap();
        let source = Connection::open(directory.path().join("source.db")).unwrap();
        source.execute_batch(&format!("PRAGMA page_size={page}; CREATE TABLE t(id INTEGER PRIMARY KEY, v)")).unwrap();
        if wal {
            assert_eq!(text(&source, "PRAGMA journal_mode=wal"), "wal");
        }
        fill(&source, 200);
        let url = fresh_url();
        let mut volume = open(&url);
        let before = lsn(&volume);
        let backup = rusqlite::backup::Backup::new(&source, &mut volume).unwrap();
        backup.run_to_completion(7, std::time::Duration::ZERO, None).unwrap();
        drop(backup);
        assert_eq!(lsn(&volume), before + 1);
        assert_eq!(number(&volume, "SELECT count(*) FROM t"), 200, "page {page}, wal {wal}");
        volume.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
        assert_eq!(text(&volume, "PRAGMA journal_mode"), "delete");
        assert_sound(&url, &volume);
    }
}

#[test]
fn a_backup_out_of_a_volume_is_complete() {
    let (_, volume) = fresh();
    fill(&volume, 200);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.db");
    volume.execute("VACUUM INTO 'file:' || ?1 || '?vfs=unix'", [path.to_str().unwrap()]).unwrap();
    let copy = Connection::open(path).unwrap();
    assert_eq!(number(&copy, "SELECT count(*) FROM t"), 200);
    assert_eq!(text(&copy, "PRAGMA integrity_check"), "ok");
}

#[test]
fn vacuum_into_another_volume_works() {
    let (_, volume) = fresh();
    fill(&volume, 200);
    let url = fresh_url();
    volume.execute("VACUUM INTO ?1", [&url]).unwrap();
    let copy = open(&url);
    assert_eq!(number(&copy, "SELECT count(*) FROM t"), 200);
    assert_sound(&url, &copy);
}

/// Bytes that are not durable, while nothing is synced by the clock.
fn bytes(connection: &Connection) -> i64 {
    number(connection, "SELECT json_extract(plimsoll_status(), '$.load.bytes')")
}

#[test]
fn a_commit_that_only_counts_on_page_one_leaves_that_to_the_first_one_after_a_sync() {
    const ONE: i64 = 4096 + 48;
    const COMMIT: i64 = 64;
    let url = fresh_url();
    let connection = open(&format!("file:{url}?sync_interval_ms=3600000&sync_backlog_bytes=0"));
    connection.execute_batch("PRAGMA page_size=4096; CREATE TABLE t(id INTEGER PRIMARY KEY, v)").unwrap();
    for round in 0..3 {
        connection.execute_batch("PRAGMA plimsoll_sync").unwrap();
        assert_eq!(bytes(&connection), 0);
        connection.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
        assert_eq!(bytes(&connection), 2 * ONE + COMMIT, "the sync has the page, round {round}");
        for _ in 0..3 {
            let before = bytes(&connection);
            connection.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
            assert_eq!(bytes(&connection) - before, ONE + COMMIT, "round {round}");
        }
        let before = bytes(&connection);
        connection.execute_batch(&format!("PRAGMA user_version={}", round + 1)).unwrap();
        assert_eq!(bytes(&connection) - before, ONE + COMMIT, "page 1 itself");
    }
    assert_eq!(text(&open(&url), "PRAGMA user_version"), "3");
    assert_sound(&url, &connection);
}

fn lsn(connection: &Connection) -> i64 {
    number(connection, "SELECT json_extract(plimsoll_status(), '$.lsn')")
}
