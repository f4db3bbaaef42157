//! Transactions over several databases.

mod common;

use common::{assert_sound, error_code, fill, fresh, fresh_url, number, open, text};
use rusqlite::{Connection, ErrorCode};

/// Nothing is synced by the clock.
const LAZY: &str = "sync_interval_ms=3600000&max_loss_window_ms=7200000&sync_backlog_bytes=0";

/// Two volumes on one connection, a table `t` in each.
fn pair() -> (String, String, Connection) {
    let (main, connection) = fresh();
    let side = fresh_url();
    connection.execute("ATTACH ?1 AS side", [&side]).unwrap();
    connection.execute_batch("CREATE TABLE side.t(id INTEGER PRIMARY KEY, v)").unwrap();
    (main, side, connection)
}

fn counts(main: &str, side: &str) -> (i64, i64) {
    (number(&open(main), "SELECT count(*) FROM t"), number(&open(side), "SELECT count(*) FROM t"))
}

const BOTH: &str = "INSERT INTO main.t(v) VALUES (1); INSERT INTO side.t(v) VALUES (1)";

#[test]
fn a_transaction_over_two_volumes_commits_in_both() {
    for mode in ["delete", "truncate", "persist", "memory", "off"] {
        let (main, side, connection) = pair();
        connection.execute_batch(&format!("PRAGMA main.journal_mode={mode}; PRAGMA side.journal_mode={mode}")).unwrap();
        for round in 1..=3 {
            connection.execute_batch(&format!("BEGIN; {BOTH}; COMMIT")).unwrap();
            assert_eq!(counts(&main, &side), (round, round), "{mode}");
        }
        assert_sound(&main, &connection);
        assert_sound(&side, &connection);
    }
}

#[test]
fn a_rollback_over_two_volumes_leaves_both() {
    let (main, side, connection) = pair();
    connection.execute_batch("PRAGMA main.cache_size=5; PRAGMA side.cache_size=5; BEGIN").unwrap();
    fill(&connection, 200);
    connection.execute_batch("INSERT INTO side.t SELECT * FROM main.t; ROLLBACK").unwrap();
    assert_eq!(counts(&main, &side), (0, 0));
    connection.execute_batch(&format!("BEGIN; {BOTH}; COMMIT")).unwrap();
    assert_eq!(counts(&main, &side), (1, 1));
    assert_sound(&main, &connection);
}

#[test]
fn a_large_transaction_over_two_volumes_that_shrinks_both_commits() {
    let (main, side, connection) = pair();
    connection.execute_batch("PRAGMA main.cache_size=5; PRAGMA side.cache_size=5").unwrap();
    fill(&connection, 500);
    connection.execute_batch("INSERT INTO side.t SELECT * FROM main.t").unwrap();
    connection
        .execute_batch("BEGIN; DELETE FROM main.t WHERE id > 5; DELETE FROM side.t WHERE id > 5; COMMIT")
        .unwrap();
    assert_eq!(counts(&main, &side), (5, 5));
    connection.execute_batch("VACUUM main; VACUUM side").unwrap();
    assert_sound(&main, &connection);
    assert_sound(&side, &connection);
}

#[test]
fn a_volume_and_an_ordinary_file_do_not_share_a_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.db");
    let file = format!("file:{}?vfs=unix", path.display());

    let (main, connection) = fresh();
    connection.execute("ATTACH ?1 AS side", [&file]).unwrap();
    connection.execute_batch("CREATE TABLE side.t(id INTEGER PRIMARY KEY, v)").unwrap();
    error_code(connection.execute_batch(&format!("BEGIN; {BOTH}; COMMIT")));
    assert_eq!(number(&connection, "SELECT count(*) FROM main.t"), 0);
    assert_eq!(number(&connection, "SELECT count(*) FROM side.t"), 0);
    assert!(text(&connection, "SELECT plimsoll_error()").contains("separate transactions"));
    // Apart from each other both work.
    connection.execute_batch("INSERT INTO main.t(v) VALUES (1)").unwrap();
    connection.execute_batch("INSERT INTO side.t SELECT * FROM main.t").unwrap();
    assert_sound(&main, &connection);
    assert_eq!(text(&connection, "PRAGMA side.integrity_check"), "ok");
}

#[test]
fn an_ordinary_file_that_leads_the_transaction_rolls_back_cleanly() {
    plimsoll_sqlite::register().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let connection = Connection::open(directory.path().join("file.db")).unwrap();
    connection.execute_batch("PRAGMA cache_size=5; CREATE TABLE t(id INTEGER PRIMARY KEY, v)").unwrap();
    let side = fresh_url();
    connection.execute("ATTACH 'file:' || ?1 || '?vfs=plimsoll' AS side", [&side]).unwrap();
    connection.execute_batch("CREATE TABLE side.t(id INTEGER PRIMARY KEY, v); BEGIN").unwrap();
    fill(&connection, 100);
    connection.execute_batch(BOTH).unwrap();
    error_code(connection.execute_batch("COMMIT"));
    assert_eq!(number(&connection, "SELECT count(*) FROM main.t"), 0);
    assert_eq!(number(&connection, "SELECT count(*) FROM side.t"), 0);
    assert_eq!(text(&connection, "PRAGMA integrity_check"), "ok");
    // Without a journal on disk there is nothing that could be left half-way.
    connection.execute_batch(&format!("PRAGMA main.journal_mode=memory; BEGIN; {BOTH}; COMMIT")).unwrap();
    assert_eq!(number(&open(&side), "SELECT count(*) FROM t"), 1);
    assert_eq!(number(&connection, "SELECT count(*) FROM main.t"), 1);
}

#[test]
fn a_conflict_in_one_volume_rolls_back_both() {
    let (main, side, connection) = pair();
    connection.execute_batch("BEGIN; SELECT * FROM side.t; INSERT INTO main.t(v) VALUES (1)").unwrap();
    open(&side).execute_batch("INSERT INTO t(v) VALUES (7)").unwrap();
    error_code(connection.execute_batch("INSERT INTO side.t(v) VALUES (1)"));
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(counts(&main, &side), (0, 1));
    connection.execute_batch(&format!("BEGIN; {BOTH}; COMMIT")).unwrap();
    assert_eq!(counts(&main, &side), (1, 2));
}

#[test]
fn a_transaction_over_two_volumes_is_as_durable_in_both_as_each_was_promised() {
    let connection = open(&format!("file:{}?{LAZY}", fresh_url()));
    connection.execute("ATTACH ?1 AS side", [format!("file:{}?{LAZY}", fresh_url())]).unwrap();
    for schema in ["main", "side"] {
        let table = format!("CREATE TABLE {schema}.t(id INTEGER PRIMARY KEY, v); PRAGMA {schema}.synchronous=EXTRA");
        connection.execute_batch(&table).unwrap();
    }
    connection.execute_batch(&format!("BEGIN; {BOTH}; COMMIT")).unwrap();
    for schema in ["main", "side"] {
        let (newest, durable) = ("$.lsn", "$.durable.lsn");
        let [newest, durable] =
            [newest, durable].map(|path| format!("json_extract(plimsoll_status('{schema}'), '{path}')"));
        assert_eq!(text(&connection, &format!("SELECT {newest} = {durable}")), "1", "{schema}");
    }
}

/// SQLite looks for the super-journal when it rolls back: without it, it would go on with what it had written.
#[test]
fn a_transaction_that_one_of_two_volumes_has_no_room_for_leaves_both_as_they_were() {
    let (main, side) = (fresh_url(), fresh_url());
    let connection = open(&format!("file:{main}?{LAZY}&max_dirty_bytes=100000&on_load_line=fail"));
    connection.execute("ATTACH ?1 AS side", [&side]).unwrap();
    connection.execute_batch("CREATE TABLE main.t(id INTEGER PRIMARY KEY, v)").unwrap();
    connection.execute_batch("CREATE TABLE side.t(id INTEGER PRIMARY KEY, v)").unwrap();
    connection.execute_batch(&format!("BEGIN; {BOTH}; COMMIT; BEGIN; {BOTH}")).unwrap();
    fill(&connection, 300);
    assert_eq!(error_code(connection.execute_batch("COMMIT")).0, ErrorCode::DiskFull);
    let here = ["main", "side"].map(|schema| number(&connection, &format!("SELECT count(*) FROM {schema}.t")));
    assert_eq!((here, counts(&main, &side)), ([1, 1], (1, 1)));
    connection.execute_batch(&format!("BEGIN; {BOTH}; COMMIT")).unwrap();
    assert_eq!(counts(&main, &side), (2, 2));
    assert_sound(&main, &connection);
    assert_sound(&side, &connection);
}

#[test]
fn a_transaction_over_two_volumes_commits_after_others_that_had_one_of_them_open_have_closed() {
    let (main, side, connection) = pair();
    drop([open(&main), open(&side)]);
    connection.execute_batch(&format!("BEGIN; {BOTH}; COMMIT")).unwrap();
    assert_eq!(counts(&main, &side), (1, 1));
}
