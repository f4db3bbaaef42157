//! What the object store is asked, and what it is given.

use std::{fs, path::Path};

use rusqlite::Connection;

use crate::{calls, check, turn};

const SYNCS: u32 = 20;
const ROWS: u32 = 3000;

/// A volume in a directory, with nothing in the background that a test did not ask for.
fn open(dir: &Path, host: &str, more: &str) -> Connection {
    let (store, state) = (dir.join("store"), dir.join(host));
    let uri = format!(
        "file:file://{}?vfs=plimsoll&state_dir={}&sync_interval_ms=600000&sync_timeout_ms=0&hydrate=false\
         &heartbeat_ms=600000&holder_ttl_ms=1800000&compaction_levels_ms=3600000&follow_interval_ms=600000{more}",
        store.display(),
        state.display()
    );
    Connection::open(uri).unwrap()
}

/// Number and bytes of the objects of level 0.
fn syncs(dir: &Path) -> (usize, u64) {
    let objects: Vec<u64> =
        fs::read_dir(dir.join("store/ltx/0")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    (objects.len(), objects.iter().sum())
}

/// A sentence with numbers in it, different in each row.
fn insert(connection: &Connection) {
    connection
        .execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT, n INTEGER);
             INSERT INTO t(v, n)
               WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
               SELECT 'order ' || (i * 7919 % 100003) || ' of customer ' || (i * 104729 % 9973) || ': ' || (i % 50)
                      || ' crates by rail, to be in the harbour on 2026-' || (1 + i % 12) || '-' || (1 + i % 28), i * 31 FROM n"
        ))
        .unwrap();
}

fn wait_durable(connection: &Connection) {
    connection.query_row("SELECT plimsoll_wait('durable')", [], |_| Ok(())).unwrap();
}

#[test]
fn a_sync_of_ordinary_rows_is_one_object_and_smaller_than_its_pages() {
    let _turn = turn();
    calls::register();
    let dir = tempfile::tempdir().unwrap();
    let connection = open(dir.path(), "host", "");
    insert(&connection);
    wait_durable(&connection);
    // What a sync changes of the pages before is little, and leaving it out makes the figure no better.
    let pages = || connection.query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0)).unwrap();
    let (before, pages_before) = (syncs(dir.path()), pages());
    for _ in 0..SYNCS {
        insert(&connection);
        wait_durable(&connection);
    }
    let (after, pages) = (syncs(dir.path()), pages() - pages_before);
    let figures = [
        ("objects_per_sync", (after.0 - before.0) as f64 / f64::from(SYNCS)),
        ("bytes_per_dirty_byte", (after.1 - before.1) as f64 / (f64::from(pages) * 4096.0)),
    ];
    check("upload", &figures);
}

#[test]
fn opening_a_volume_and_reading_a_row_takes_few_requests() {
    let _turn = turn();
    calls::register();
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path(), "host", "");
    for _ in 0..SYNCS {
        insert(&writer);
        wait_durable(&writer);
    }
    writer.close().unwrap();
    let before = calls::requests();
    let reader = open(dir.path(), "another", "&mode=ro");
    let row = |id: u32| reader.query_row("SELECT n FROM t WHERE id = ?1", [id], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(row(1), 31);
    let opened = calls::requests();
    // Far from what opening has brought.
    assert_eq!(row(SYNCS / 2 * ROWS + 7), 7 * 31);
    let read = calls::requests();
    check("opening", &[("requests", (opened - before) as f64), ("requests_of_a_cold_read", (read - opened) as f64)]);
}

#[test]
fn a_commit_that_waits_for_the_store_takes_one_request_and_its_share_of_merging() {
    const COMMITS: u32 = 512;
    let _turn = turn();
    calls::register();
    let dir = tempfile::tempdir().unwrap();
    let connection = open(dir.path(), "host", "");
    insert(&connection);
    wait_durable(&connection);
    connection.execute_batch("PRAGMA synchronous = EXTRA").unwrap();
    let mut update = connection.prepare("UPDATE t SET n = n + 1 WHERE id = ?1").unwrap();
    let mut commits = |from: u32| {
        for number in from..from + COMMITS {
            update.execute([1 + number % ROWS]).unwrap();
        }
    };
    // Merging by number has begun.
    commits(0);
    let before = (calls::requests(), syncs(dir.path()).0);
    commits(COMMITS);
    let after = (calls::requests(), syncs(dir.path()).0);
    assert!(fs::read_dir(dir.path().join("store/ltx/1")).unwrap().count() > 4, "nothing was merged");
    let each = |count: u64| count as f64 / f64::from(COMMITS);
    let figures = [("objects", each((after.1 - before.1) as u64)), ("requests", each(after.0 - before.0))];
    check("commit_extra", &figures);
}
