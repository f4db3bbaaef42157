//! What another host does to a volume that is open here.

mod common;

use std::{fs, path::Path, thread, time::Duration};

use common::{error_code, fresh_url, number, open, open_with, text};
use plimsoll_host::os;
use plimsoll_metrics::Metrics;
use plimsoll_model::{Level, PageCount, PageNo};
use plimsoll_settings::Override;
use plimsoll_store::VolumeUrl;
use plimsoll_volume::{Connections, Opening, Process, Volume};
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// A volume as another host opens it, that takes over if need be.
fn elsewhere(url: &str, state: &Path) -> Volume {
    let process = Process {
        host: os::host().unwrap(),
        metrics: Metrics::new(),
        environment: Default::default(),
        host_name: "elsewhere".to_owned(),
        pid: 1,
        connections: Connections::default(),
    };
    let overrides = [("state_dir", state.to_str().unwrap()), ("takeover", "true")]
        .map(|(name, value)| Override::new(name, value, "the test"))
        .to_vec();
    process.open(Opening { url: VolumeUrl::parse(url).unwrap(), overrides, read_only: false }).unwrap()
}

/// The pages of a database that statements make.
fn pages(statements: &str) -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA page_size=4096").unwrap();
    connection.execute_batch(statements).unwrap();
    drop(connection);
    fs::read(path).unwrap().chunks(4096).map(<[u8]>::to_vec).collect()
}

fn write(volume: &Volume, pages: &[Vec<u8>]) {
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    for (number, page) in (1..).zip(pages) {
        txn.write(PageNo::new(number).unwrap(), page).unwrap();
    }
    let count = PageCount(u32::try_from(pages.len()).unwrap());
    txn.commit(count, Level::Durable).unwrap().wait(Level::Durable).unwrap();
}

/// Both hosts made a table since, under the same schema number and on the same page.
#[test]
fn a_fenced_connection_does_not_read_the_rows_of_the_winner_as_those_of_a_table_of_its_own() {
    const COMMON: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);";
    let url = fresh_url();
    let loser = open(&format!("{url}?sync_interval_ms=3600000"));
    loser.execute_batch(COMMON).unwrap();
    loser.execute_batch("PRAGMA plimsoll_sync; CREATE TABLE ours(a); INSERT INTO ours VALUES ('ours')").unwrap();

    let state = tempfile::tempdir().unwrap();
    let winner = elsewhere(&url, state.path());
    write(&winner, &pages(&format!("{COMMON} CREATE TABLE theirs(b); INSERT INTO theirs VALUES ('theirs')")));
    assert!(loser.query_row("SELECT plimsoll_wait('durable')", [], |_| Ok(())).is_err(), "it is fenced");

    // Until it lets go of what it had, it reads that.
    let read = || loser.query_row("SELECT a FROM ours", [], |row| row.get::<_, String>(0));
    let mut looks = 0;
    let refused = loop {
        match read() {
            Ok(row) => assert_eq!(row, "ours"),
            refused => break refused,
        }
        looks += 1;
        assert!(looks < 10_000, "it goes on as if nothing had happened");
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(error_code(refused).0, ErrorCode::SystemIoFailure);
    assert!(text(&loser, "SELECT plimsoll_error()").contains("another writer has taken the volume"));

    // Also in this process a new connection begins with the winner's state, and may go on from it.
    winner.close().unwrap();
    let again = open(&url);
    assert_eq!(text(&again, "SELECT b FROM theirs"), "theirs");
    again.execute_batch("INSERT INTO theirs VALUES ('more')").unwrap();
    assert_eq!(number(&open(&url), "SELECT count(*) FROM theirs"), 2);
    assert!(loser.execute_batch("INSERT INTO ours VALUES ('lost')").is_err(), "the old one stays fenced");
}

#[test]
fn where_nothing_bounds_a_wait_a_token_is_waited_for_until_it_is_reached() {
    let url = fresh_url();
    let state = tempfile::tempdir().unwrap();
    let writer = elsewhere(&url, state.path());
    let pages = pages("CREATE TABLE t(v)");
    write(&writer, &pages);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let reader = open_with(&format!("file:{url}?sync_timeout_ms=0&follow_interval_ms=20"), flags).unwrap();
    let mut txn = writer.begin_write(&writer.snapshot().unwrap()).unwrap();
    txn.write(PageNo::FIRST, &pages[0]).unwrap();
    txn.commit(PageCount(2), Level::Buffered).unwrap();
    // Its next sync has it, in a second.
    let token = writer.token().unwrap().to_string();
    assert_eq!(text(&reader, &format!("SELECT plimsoll_wait_token('{token}')")), token);
    writer.close().unwrap();
}

#[test]
fn a_volume_that_was_created_and_never_synced_can_be_opened_without_creating_one() {
    let rw = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    let url = fresh_url();
    assert_eq!(error_code(open_with(&url, rw)).0, ErrorCode::CannotOpen, "there is none");

    let state = tempfile::tempdir().unwrap();
    let creator = elsewhere(&url, state.path());
    drop(creator.begin_write(&creator.snapshot().unwrap()).unwrap());

    let connection = open_with(&url, rw).unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM sqlite_schema"), 0);
    creator.close().unwrap();
    connection.execute_batch("CREATE TABLE t(x)").unwrap();
    assert_eq!(number(&open(&url), "SELECT count(*) FROM t"), 0);
}
