//! Every page size, vacuum and journal mode.

mod common;

use common::{assert_sound, error_code, fill, fresh, fresh_url, number, open, text};
use rusqlite::Connection;

#[test]
fn every_page_size_works() {
    for page in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        let url = fresh_url();
        let connection = open(&url);
        connection
            .execute_batch(&format!(
                "PRAGMA page_size={page}; PRAGMA cache_size=5; CREATE TABLE t(id INTEGER PRIMARY KEY, v)"
            ))
            .unwrap();
        for _ in 0..3 {
            fill(&connection, 300);
            connection.execute_batch("DELETE FROM t WHERE id % 2 = 0; BEGIN; UPDATE t SET v = 1; ROLLBACK").unwrap();
        }
        let rows = number(&connection, "SELECT count(*) FROM t");
        assert_eq!(number(&connection, "SELECT count(*) FROM t WHERE length(v) = 700"), rows);
        assert_sound(&url, &connection);
        connection.execute_batch("VACUUM").unwrap();
        drop(connection);
        let connection = open(&url);
        assert_eq!(number(&connection, "PRAGMA page_size"), page);
        assert_eq!(number(&connection, "SELECT count(*) FROM t"), rows);
        assert_sound(&url, &connection);
    }
}

#[test]
fn the_page_size_of_a_volume_never_changes() {
    let (url, connection) = fresh();
    let mut asked = connection.prepare("PRAGMA page_size=8192").unwrap();
    assert_eq!(asked.column_count(), 0, "as SQLite answers");
    assert!(asked.query([]).unwrap().next().unwrap().is_none());
    drop(asked);
    assert_eq!(number(&connection, "PRAGMA page_size"), 4096);
    fill(&connection, 10);
    let refused = connection.execute_batch("VACUUM").unwrap_err();
    let why = text(&connection, "SELECT plimsoll_error()");
    assert!(why.contains("pages of 4096 bytes for ever"), "{refused}: {why}");
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 10);
    connection.execute_batch("PRAGMA page_size=4096; VACUUM; INSERT INTO t(v) VALUES (1)").unwrap();
    assert_eq!(number(&open(&url), "PRAGMA page_size"), 4096);
    assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 11);
    assert_sound(&url, &connection);
}

#[test]
fn vacuum_gives_pages_back() {
    let (url, connection) = fresh();
    connection.execute_batch("PRAGMA cache_size=5").unwrap();
    fill(&connection, 1000);
    let before = number(&connection, "PRAGMA page_count");
    connection.execute_batch("DELETE FROM t WHERE id > 10; VACUUM").unwrap();
    assert!(number(&connection, "PRAGMA page_count") < before / 10);
    assert_eq!(number(&open(&url), "PRAGMA page_count"), number(&connection, "PRAGMA page_count"));
    assert_sound(&url, &connection);
    fill(&connection, 1000);
    assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 1010);
    assert_sound(&url, &connection);
}

#[test]
fn automatic_vacuum_gives_pages_back() {
    for mode in ["full", "incremental"] {
        let url = fresh_url();
        let connection = open(&url);
        connection
            .execute_batch(&format!(
                "PRAGMA auto_vacuum={mode}; PRAGMA cache_size=5; CREATE TABLE t(id INTEGER PRIMARY KEY, v)"
            ))
            .unwrap();
        fill(&connection, 1000);
        let before = number(&connection, "PRAGMA page_count");
        connection.execute_batch("DELETE FROM t WHERE id > 10").unwrap();
        drain(&connection, "PRAGMA incremental_vacuum(50)");
        connection.execute_batch("BEGIN; DELETE FROM t").unwrap();
        drain(&connection, "PRAGMA incremental_vacuum");
        connection.execute_batch("ROLLBACK").unwrap();
        assert_sound(&url, &connection);
        drain(&connection, "PRAGMA incremental_vacuum");
        assert!(number(&connection, "PRAGMA page_count") < before / 10, "{mode}");
        assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 10);
        assert_sound(&url, &connection);
    }
}

/// Runs a statement that returns after each page.
fn drain(connection: &Connection, sql: &str) {
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while rows.next().unwrap().is_some() {}
}

#[test]
fn every_journal_mode_works() {
    for mode in ["delete", "truncate", "persist", "memory", "off"] {
        for locking in ["normal", "exclusive"] {
            let url = fresh_url();
            let connection = open(&url);
            connection.execute_batch(&format!("PRAGMA locking_mode={locking}")).unwrap();
            assert_eq!(text(&connection, &format!("PRAGMA journal_mode={mode}")), mode);
            connection.execute_batch("PRAGMA cache_size=5; CREATE TABLE t(id INTEGER PRIMARY KEY, v)").unwrap();
            for round in 1..=5 {
                fill(&connection, 100);
                if mode != "off" {
                    connection.execute_batch("BEGIN; UPDATE t SET v = randomblob(500); ROLLBACK").unwrap();
                    connection.execute_batch("BEGIN; SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; COMMIT").unwrap();
                }
                assert_eq!(number(&connection, "SELECT count(*) FROM t WHERE length(v) = 700"), 100 * round);
            }
            assert_eq!(text(&connection, "PRAGMA integrity_check"), "ok", "{mode} {locking}");
            assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 500, "{mode} {locking}");
            assert_sound(&url, &connection);
        }
    }
}

#[test]
fn a_rollback_without_a_journal_leaves_the_volume_as_it_was() {
    let (url, connection) = fresh();
    fill(&connection, 100);
    connection.execute_batch("PRAGMA journal_mode=off; PRAGMA cache_size=5; BEGIN; UPDATE t SET v = 1").unwrap();
    // SQLite cannot undo what it has cached, and says so or not; the volume never saw any of it.
    let _ = connection.execute_batch("ROLLBACK");
    drop(connection);
    let connection = open(&url);
    assert_eq!(number(&connection, "SELECT count(*) FROM t WHERE length(v) = 700"), 100);
    assert_sound(&url, &connection);
}

#[test]
fn journal_modes_can_change_between_transactions() {
    let (url, connection) = fresh();
    for mode in ["persist", "delete", "truncate", "memory", "persist", "off", "delete", "truncate", "persist"] {
        assert_eq!(text(&connection, &format!("PRAGMA journal_mode={mode}")), mode);
        connection.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
    }
    assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 9);
    assert_sound(&url, &connection);
}

#[test]
fn wal_is_refused_and_the_mode_stays() {
    for locking in ["normal", "exclusive"] {
        let (url, connection) = fresh();
        connection.execute_batch(&format!("PRAGMA locking_mode={locking}; SELECT * FROM t")).unwrap();
        assert_eq!(text(&connection, "PRAGMA journal_mode=WAL"), "delete");
        assert_eq!(text(&connection, "PRAGMA journal_mode"), "delete");
        connection.execute_batch("PRAGMA journal_mode=truncate").unwrap();
        assert_eq!(text(&connection, "PRAGMA main.journal_mode='wal'"), "truncate");
        connection.execute_batch("INSERT INTO t(v) VALUES (1)").unwrap();
        assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 1);
        assert_sound(&url, &connection);
    }
}

#[test]
fn temporary_tables_and_large_sorts_use_ordinary_files() {
    let (url, connection) = fresh();
    connection.execute_batch("PRAGMA temp_store=file; PRAGMA cache_size=5").unwrap();
    fill(&connection, 2000);
    connection.execute_batch("CREATE TEMP TABLE copy AS SELECT * FROM t ORDER BY v").unwrap();
    connection.execute_batch("CREATE INDEX i ON t(v); UPDATE copy SET v = 1").unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM copy WHERE v = 1"), 2000);
    assert_sound(&url, &connection);
}

#[test]
fn a_journal_larger_than_memory_allows_still_rolls_back() {
    let (url, connection) = fresh();
    fill(&connection, 10_000);
    let before = text(&connection, "SELECT sum(unicode(hex(v))) FROM t");
    connection.execute_batch("PRAGMA cache_size=5; BEGIN; UPDATE t SET v = randomblob(700); ROLLBACK").unwrap();
    assert_eq!(text(&connection, "SELECT sum(unicode(hex(v))) FROM t"), before);
    assert_sound(&url, &connection);
}

/// SQLite itself only says that something could not be written.
#[test]
fn a_backup_with_another_page_size_leaves_the_volume_as_it_was_and_says_why() {
    for page_size in [1024, 8192] {
        let (url, mut volume) = fresh();
        fill(&volume, 10);
        let source = Connection::open_in_memory().unwrap();
        source
            .execute_batch(&format!(
                "PRAGMA page_size={page_size}; CREATE TABLE other(x); INSERT INTO other VALUES (1)"
            ))
            .unwrap();
        let backup = rusqlite::backup::Backup::new(&source, &mut volume).unwrap();
        let result = backup.run_to_completion(100, std::time::Duration::ZERO, None);
        drop(backup);
        assert_ne!(error_code::<()>(result).1, 0);
        let said = text(&volume, "SELECT plimsoll_error()");
        for part in ["pages of 4096 bytes for ever", &page_size.to_string(), "VACUUM"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(number(&open(&url), "PRAGMA page_size"), 4096);
        assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 10);
        assert_sound(&url, &open(&url));
    }
}
