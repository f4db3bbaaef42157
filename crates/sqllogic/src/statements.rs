//! One statement at random.

/// A small generator of random numbers: the same seed gives the same script for ever.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.roll(words.len() as u64)).unwrap_or(0)]
    }
}

/// A table; its name may be free at the moment.
fn table(dice: &mut Dice) -> &'static str {
    dice.pick(&["a", "a", "a", "b", "b", "c"])
}

fn value(dice: &mut Dice) -> String {
    match dice.roll(6) {
        0 => "NULL".to_owned(),
        1 => format!("{}", dice.roll(1000)),
        2 => format!("-{}.25", dice.roll(50)),
        3 => format!("'word {}'", dice.roll(20)),
        4 => format!("printf('%.*c', {}, 'x')", dice.roll(3000)),
        _ => format!("zeroblob({})", dice.roll(9000)),
    }
}

fn condition(dice: &mut Dice) -> String {
    match dice.roll(4) {
        0 => format!("id % {} = 0", 2 + dice.roll(9)),
        1 => format!("n > {}", dice.roll(1000)),
        2 => format!("s BETWEEN 'word {}' AND 'x'", dice.roll(20)),
        _ => format!("id BETWEEN {0} AND {0} + {1}", dice.roll(400), dice.roll(60)),
    }
}

/// A statement that returns no rows. It may fail, on any SQLite in the same way.
pub(crate) fn change(dice: &mut Dice) -> String {
    let t = table(dice);
    match dice.roll(24) {
        0 | 1 => format!("CREATE TABLE {t}(id INTEGER PRIMARY KEY, n, s UNIQUE ON CONFLICT IGNORE, d)"),
        2..=5 => format!("INSERT INTO {t}(n, s, d) VALUES ({}, {}, {})", value(dice), value(dice), value(dice)),
        6..=8 => format!(
            "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {}) \
             INSERT INTO {t}(n, s, d) SELECT i * {}, 'many ' || i, {} FROM i",
            1 + dice.roll(120),
            dice.roll(30),
            value(dice)
        ),
        9 => format!("INSERT OR REPLACE INTO {t}(id, n) VALUES ({}, {})", dice.roll(300), value(dice)),
        10..=12 => format!("UPDATE {t} SET {} = {} WHERE {}", dice.pick(&["n", "d"]), value(dice), condition(dice)),
        13 => format!("UPDATE OR FAIL {t} SET id = id + 1 WHERE {}", condition(dice)),
        14 | 15 => format!("DELETE FROM {t} WHERE {}", condition(dice)),
        16 => format!("CREATE INDEX {t}_n ON {t}(n, s) WHERE n IS NOT NULL"),
        17 => format!("DROP {}", dice.pick(&["INDEX a_n", "INDEX b_n", "TABLE c", "TABLE b"])),
        18 => format!("ALTER TABLE {t} ADD COLUMN {} DEFAULT 7", dice.pick(&["e", "f", "g"])),
        19 => "BEGIN".to_owned(),
        20 => dice.pick(&["COMMIT", "COMMIT", "ROLLBACK"]).to_owned(),
        21 => dice.pick(&["SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"]).to_owned(),
        22 => dice.pick(&["VACUUM", "REINDEX", "ANALYZE"]).to_owned(),
        _ => format!("DELETE FROM {t}"),
    }
}

/// A statement that returns rows in an order that is stated, without changing anything.
pub(crate) fn question(dice: &mut Dice) -> String {
    let t = table(dice);
    match dice.roll(7) {
        0 => format!("SELECT id, n, substr(s, 1, 20), length(d) FROM {t} WHERE {} ORDER BY id", condition(dice)),
        1 => format!("SELECT count(*), sum(n), max(s), total(length(d)) FROM {t}"),
        2 => format!("SELECT typeof(n), count(*) FROM {t} GROUP BY 1 HAVING count(*) > 1 ORDER BY 1"),
        3 => "SELECT count(*), min(a.id), max(b.id) FROM a JOIN b ON a.n = b.n".to_owned(),
        4 => format!("SELECT id, sum(length(d)) OVER (ORDER BY id ROWS 3 PRECEDING) FROM {t} ORDER BY id LIMIT 20"),
        5 => "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY 1, 2".to_owned(),
        _ => "PRAGMA integrity_check".to_owned(),
    }
}
