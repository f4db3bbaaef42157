//! Several connections at once.

mod common;

use std::{thread, time::Duration};

use common::{assert_sound, error_code, fill, fresh, fresh_url, number, open, open_with, text};
use rusqlite::{ErrorCode, OpenFlags, TransactionBehavior, ffi};

#[test]
fn a_reader_keeps_its_state_while_others_write() {
    let (url, writer) = fresh();
    writer.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    let reader = open(&url);
    reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
    for _ in 0..3 {
        writer.execute_batch("INSERT INTO t(v) VALUES (2)").unwrap();
        fill(&writer, 100);
    }
    writer.execute_batch("DELETE FROM t; VACUUM").unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
    assert_eq!(text(&reader, "PRAGMA integrity_check"), "ok");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 0);
    assert_sound(&url, &reader);
}

#[test]
fn an_uncommitted_transaction_is_invisible_also_when_its_pages_spilled() {
    let (url, writer) = fresh();
    writer.execute_batch("PRAGMA cache_size=5; BEGIN").unwrap();
    fill(&writer, 300);
    let reader = open(&url);
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 0);
    assert_eq!(text(&reader, "PRAGMA integrity_check"), "ok");
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 300);
    assert_sound(&url, &reader);
}

#[test]
fn a_second_writer_is_told_that_the_volume_is_busy() {
    let (url, first) = fresh();
    let second = open(&url);
    first.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(error_code(second.execute_batch("BEGIN IMMEDIATE")).1, ffi::SQLITE_BUSY);
    assert_eq!(error_code(second.execute_batch("INSERT INTO t(v) VALUES (1)")).0, ErrorCode::DatabaseBusy);
    first.execute_batch("INSERT INTO t(v) VALUES (1); COMMIT").unwrap();
    second.execute_batch("INSERT INTO t(v) VALUES (2)").unwrap();
    assert_eq!(number(&first, "SELECT count(*) FROM t"), 2);
}

#[test]
fn a_reader_of_an_old_state_cannot_become_a_writer() {
    let (url, first) = fresh();
    let second = open(&url);
    first.execute_batch("BEGIN").unwrap();
    assert_eq!(number(&first, "SELECT count(*) FROM t"), 0);
    second.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    let refused = error_code(first.execute_batch("INSERT INTO t(v) VALUES (2)"));
    assert_eq!(refused, (ErrorCode::DatabaseBusy, ffi::SQLITE_BUSY_SNAPSHOT));
    first.execute_batch("ROLLBACK; INSERT INTO t(v) VALUES (2)").unwrap();
    assert_eq!(number(&second, "SELECT count(*) FROM t"), 2);
    assert_sound(&url, &first);
}

#[test]
fn a_busy_timeout_lets_many_threads_write() {
    let (url, connection) = fresh();
    connection.execute_batch("INSERT INTO t(id, v) VALUES (1, 0)").unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = open(&url);
                connection.busy_timeout(Duration::from_secs(60)).unwrap();
                connection.execute_batch("PRAGMA cache_size=5").unwrap();
                for _ in 0..50 {
                    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
                    let value = number(&transaction, "SELECT v FROM t WHERE id = 1");
                    transaction.execute("UPDATE t SET v = ?1 WHERE id = 1", [value + 1]).unwrap();
                    fill(&transaction, 3);
                    transaction.commit().unwrap();
                }
            });
        }
        scope.spawn(|| {
            let connection = open(&url);
            for _ in 0..20 {
                assert_eq!(text(&connection, "PRAGMA integrity_check"), "ok");
                assert_eq!(number(&connection, "SELECT count(*) - 1 = 3 * (SELECT v FROM t WHERE id = 1) FROM t"), 1);
            }
        });
    });
    assert_eq!(number(&connection, "SELECT v FROM t WHERE id = 1"), 200);
    assert_sound(&url, &connection);
}

/// A connection that had only read once saw that state for good, was refused each write, and kept the journal from
/// giving up anything.
#[test]
fn exclusive_locking_is_refused_for_each_volume_and_nobody_reads_an_old_state_for_good() {
    let (url, owner) = fresh();
    let side = fresh_url();
    owner.execute("ATTACH ?1 AS side", [&side]).unwrap();
    owner.execute_batch("CREATE TABLE side.t(id INTEGER PRIMARY KEY, v)").unwrap();
    let other = open(&url);
    for pragma in ["locking_mode", "main.locking_mode", "side.locking_mode"] {
        assert_eq!(text(&owner, &format!("PRAGMA {pragma}=EXCLUSIVE")), "normal", "{pragma}");
        assert_eq!(number(&owner, "SELECT count(*) FROM main.t"), number(&owner, "SELECT count(*) FROM side.t"));
        other.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
        open(&side).execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
        assert_eq!(number(&owner, "SELECT count(*) FROM main.t"), number(&other, "SELECT count(*) FROM t"));
        assert_eq!(number(&owner, "SELECT count(*) FROM side.t"), number(&other, "SELECT count(*) FROM t"));
        owner.execute_batch("INSERT INTO main.t(v) VALUES (2); INSERT INTO side.t(v) VALUES (2)").unwrap();
    }
    assert_eq!(text(&owner, "PRAGMA locking_mode=NORMAL"), "normal");
    assert_sound(&url, &owner);
}

#[test]
fn a_read_only_connection_reads_and_does_not_write() {
    let (url, writer) = fresh();
    let reader = open_with(&url, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    writer.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
    let refused = error_code(reader.execute_batch("INSERT INTO t(v) VALUES (1)"));
    assert_eq!(refused.0, ErrorCode::ReadOnly);
}

#[test]
fn shared_cache_connections_work() {
    let (url, writer) = fresh();
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_SHARED_CACHE;
    let one = open_with(&url, flags).unwrap();
    let two = open_with(&url, flags).unwrap();
    one.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    writer.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    assert_eq!(number(&two, "SELECT count(*) FROM t"), 2);
    assert_sound(&url, &two);
}

/// They have everything cached, and page 1 is stored only now and then.
#[test]
fn connections_see_each_others_commits_one_by_one() {
    let (url, one) = fresh();
    one.execute_batch("INSERT INTO t VALUES (1, 0)").unwrap();
    let two = open(&url);
    let reader = open(&url);
    for round in 1..=200 {
        // Now one of them twice, now in turns.
        let writer = if round % 3 == 0 { &two } else { &one };
        writer.execute("UPDATE t SET v = v + 1", []).unwrap();
        if round % 20 == 0 {
            writer.execute_batch("PRAGMA plimsoll_sync").unwrap();
        }
        for connection in [&reader, &one, &two] {
            assert_eq!(number(connection, "SELECT v FROM t"), round);
        }
        let other = if round % 2 == 0 { &reader } else { writer };
        other.execute_batch(&format!("INSERT INTO t VALUES ({}, 7)", round + 1)).unwrap();
        other.execute_batch(&format!("DELETE FROM t WHERE id = {}", round + 1)).unwrap();
    }
    assert_sound(&url, &one);
}
