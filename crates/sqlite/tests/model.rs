//! Random work on a volume, compared with the same work on an ordinary database in memory.

mod common;

use common::{assert_sound, fresh_url, open, text};
use rusqlite::Connection;

/// A small generator, so that a seed says everything.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % bound
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

/// One statement. Blobs are made from numbers, so that both sides get the same.
fn statement(random: &mut Random, in_transaction: bool) -> String {
    let id = random.below(400);
    let span = random.below(60);
    let size = random.below(3000);
    let fill = random.below(1_000_000_000);
    match random.below(if in_transaction { 12 } else { 14 }) {
        0..=2 => format!("INSERT OR REPLACE INTO t VALUES ({id}, {fill}, zeroblob({size}))"),
        3 => format!(
            "INSERT OR REPLACE INTO t SELECT value, value * {fill} % 1009, zeroblob({size} % (value + 1))
             FROM (WITH RECURSIVE n(value) AS (SELECT {id} UNION ALL SELECT value + 1 FROM n WHERE value < {id} + {span})
                   SELECT value FROM n)"
        ),
        4 => format!("UPDATE t SET k = k + {fill} % 1013, b = zeroblob({size}) WHERE id BETWEEN {id} AND {id} + {span}"),
        5 => format!("DELETE FROM t WHERE id BETWEEN {id} AND {id} + {span}"),
        6 => format!("DELETE FROM t WHERE k % 7 = {}", id % 7),
        7 => "SAVEPOINT s".to_owned(),
        8 => "ROLLBACK TO s".to_owned(),
        9 => "RELEASE s".to_owned(),
        10 => "DROP INDEX IF EXISTS i".to_owned(),
        11 => "CREATE INDEX IF NOT EXISTS i ON t(k)".to_owned(),
        12 => "VACUUM".to_owned(),
        _ => format!("PRAGMA cache_size={}", 5 + random.below(30)),
    }
}

/// Both sides answer alike: the same success, or the same message.
fn same(volume: &Connection, model: &Connection, sql: &str, seed: u64) {
    let run = |connection: &Connection| connection.execute_batch(sql).map_err(|error| error.to_string());
    assert_eq!(run(volume), run(model), "seed {seed}: {sql}");
}

fn contents(connection: &Connection) -> String {
    text(
        connection,
        "SELECT coalesce(group_concat(id || ':' || k || ':' || length(b), ' '), '') FROM (SELECT * FROM t ORDER BY id)",
    )
}

fn run(seed: u64, rounds: u64) {
    let mut random = Random(seed);
    let url = fresh_url();
    let mut volume = open(&url);
    let model = Connection::open_in_memory().unwrap();
    let page = random.pick(&["512", "1024", "4096", "16384"]);
    let auto_vacuum = random.pick(&["none", "full", "incremental"]);
    let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY, k, b)";
    volume.execute_batch(&format!("PRAGMA page_size={page}; PRAGMA auto_vacuum={auto_vacuum}; {schema}")).unwrap();
    model.execute_batch(schema).unwrap();
    for _ in 0..rounds {
        volume
            .execute_batch(&format!(
                "PRAGMA journal_mode={}; PRAGMA cache_size={}",
                random.pick(&["delete", "truncate", "persist", "memory"]),
                5 + random.below(20),
            ))
            .unwrap();
        if random.below(3) > 0 {
            same(&volume, &model, "BEGIN", seed);
            for _ in 0..random.below(12) {
                let sql = statement(&mut random, true);
                same(&volume, &model, &sql, seed);
            }
            // A reader in the middle sees the last commit, whatever has spilled.
            assert_eq!(text(&open(&url), "PRAGMA quick_check"), "ok", "seed {seed}");
            let end = random.pick(&["COMMIT", "COMMIT", "ROLLBACK"]);
            same(&volume, &model, end, seed);
        } else {
            let sql = statement(&mut random, false);
            same(&volume, &model, &sql, seed);
            // A savepoint outside of a transaction starts one.
            let _ = volume.execute_batch("COMMIT");
            let _ = model.execute_batch("COMMIT");
        }
        assert_eq!(contents(&volume), contents(&model), "seed {seed}");
        assert_eq!(contents(&open(&url)), contents(&model), "seed {seed}");
        if random.below(10) == 0 {
            drop(volume);
            volume = open(&url);
        }
    }
    assert_sound(&url, &volume);
}

#[test]
fn a_volume_behaves_like_an_ordinary_database() {
    for seed in 0..40 {
        run(seed, 40);
    }
}
