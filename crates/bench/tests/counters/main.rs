//! What hot paths take, counted and compared with `bounds.toml`. No clock: what is counted here is the same each time.

mod calls;
mod heap;
mod instructions;
mod store;
mod system;

use std::{
    collections::BTreeMap,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

type Bounds = BTreeMap<String, BTreeMap<String, f64>>;

fn bounds() -> Bounds {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/bounds.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

/// Compares figures with their bounds. Each bound has to be counted, and each figure bound.
fn check(section: &str, figures: &[(&str, f64)]) {
    let bounds = bounds();
    let bounds = &bounds[section];
    assert_eq!(bounds.len(), figures.len(), "[{section}] bounds something else than what is counted");
    let over: Vec<String> = figures
        .iter()
        .filter(|(name, value)| *value > bounds[*name])
        .map(|(name, value)| format!("{name} = {value}, at most {}", bounds[*name]))
        .collect();
    println!("[{section}] {figures:?}");
    assert!(over.is_empty(), "[{section}] {over:?}");
}

/// One test at a time: some of what is counted is the whole process's.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A volume in memory with files on disk, whose background work is over.
struct Scene {
    connection: Connection,
    _dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

const ROWS: u32 = 20_000;

impl Scene {
    fn new(name: &str) -> Scene {
        let turn = turn();
        calls::register();
        let dir = tempfile::tempdir().unwrap();
        let connection = open(&dir, name);
        connection
            .execute_batch(&format!(
                "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
                 INSERT INTO t SELECT i, printf('%0100d', i) FROM n"
            ))
            .unwrap();
        connection.query_row("SELECT plimsoll_wait('durable')", [], |_| Ok(())).unwrap();
        Scene { connection, _dir: dir, _turn: turn }
    }

    /// Allocations and calls to the file system of this thread, each time that `work` is done.
    fn count(&self, times: u32, mut work: impl FnMut(&Connection, u32)) -> [(&'static str, f64); 5] {
        // Buffers reach their size.
        for number in 0..times {
            work(&self.connection, number);
        }
        let (heap, calls) = (heap::allocations(), calls::counted());
        for number in times..2 * times {
            work(&self.connection, number);
        }
        let (heap, calls) = (heap::allocations() - heap, calls::counted().since(calls));
        let each = |count: u64| count as f64 / f64::from(times);
        [
            ("allocations", each(heap)),
            ("file_reads", each(calls.reads)),
            ("file_writes", each(calls.writes)),
            ("file_bytes_written", each(calls.bytes_written)),
            ("file_syncs", each(calls.syncs)),
        ]
    }
}

/// With nothing in the background that a test did not ask for.
fn open(dir: &tempfile::TempDir, name: &str) -> Connection {
    let state = dir.path().join("state");
    let uri = format!(
        "file:memory:///{name}-{}?vfs=plimsoll&state_dir={}&sync_interval_ms=600000&hydrate=false",
        std::process::id(),
        state.display()
    );
    Connection::open(uri).unwrap()
}

#[test]
fn a_warm_read_stays_within_its_bounds() {
    let scene = Scene::new("read");
    scene.connection.execute_batch("PRAGMA cache_size = 1").unwrap();
    let mut query = scene.connection.prepare("SELECT length(v) FROM t WHERE id = ?1").unwrap();
    let figures = scene.count(500, |_, number| {
        let id = 1 + number.wrapping_mul(7919) % ROWS;
        let length: i64 = query.query_row([id], |row| row.get(0)).unwrap();
        assert_eq!(length, 100);
    });
    check("warm_read", &figures);
}

fn commits(level: &str) -> [(&'static str, f64); 5] {
    let scene = Scene::new(level);
    scene.connection.execute_batch(&format!("PRAGMA synchronous = {level}")).unwrap();
    let mut insert = scene.connection.prepare("INSERT INTO t(v) VALUES (?1)").unwrap();
    let text = "x".repeat(100);
    scene.count(200, |_, _| {
        insert.execute([&text]).unwrap();
    })
}

#[test]
fn a_commit_at_normal_stays_within_its_bounds() {
    check("commit_normal", &commits("NORMAL"));
}

#[test]
fn a_commit_at_full_stays_within_its_bounds() {
    check("commit_full", &commits("FULL"));
}

#[test]
fn open_volumes_that_nobody_uses_stay_within_their_bounds() {
    const VOLUMES: u32 = 100;
    let _turn = turn();
    calls::register();
    let dir = tempfile::tempdir().unwrap();
    let idle = |number: u32| {
        let connection = open(&dir, &format!("idle-{number}"));
        connection.execute_batch("CREATE TABLE t(v); INSERT INTO t VALUES (1)").unwrap();
        connection.query_row("SELECT plimsoll_wait('durable')", [], |_| Ok(())).unwrap();
        connection
    };
    let handles = || fs::read_dir("/proc/self/fd").unwrap().count() as f64;
    let mut open_ones = vec![idle(0)];
    let before = (heap::live_bytes(), handles());
    open_ones.extend((1..=VOLUMES).map(idle));
    let after = (heap::live_bytes(), handles());
    let each = |value: f64| value / f64::from(VOLUMES);
    let names = fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
    // Threads for blocking work come and go, and are bounded for the whole process.
    let threads = names.filter(|name| name.contains("plimsoll")).count();
    let figures = [
        ("bytes", each((after.0 - before.0) as f64)),
        ("handles", each(after.1 - before.1)),
        ("threads", threads as f64),
    ];
    check("idle", &figures);
}
