//! What the transactions of a worker do: numbered, and decided by a seed alone, so that whoever knows
//! the seeds knows the state after each of them.

use crate::random::Random;

/// Rows of ordinary size.
const SMALL_IDS: u64 = 300;
/// Rows of large transactions start here.
const LARGE_FROM: u64 = 1000;
const LARGE_ROWS: u64 = 260;
/// Content of a large row: all of them together are more than a transaction keeps in memory (4 MiB).
const LARGE_BYTES: u64 = 20_000;

/// One change of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Inserts or replaces a row.
    Put {
        /// Key.
        id: u64,
        /// An indexed number.
        k: i64,
        /// Length of its content.
        bytes: u64,
        /// Seed of its content.
        fill: u64,
    },
    /// Adds to the numbers of rows with these keys.
    Add {
        /// First key.
        from: u64,
        /// Last key.
        to: u64,
        /// What is added.
        by: i64,
    },
    /// Deletes rows with these keys.
    Delete {
        /// First key.
        from: u64,
        /// Last key.
        to: u64,
    },
    /// Changes that are rolled back to a savepoint.
    Undone(Vec<Op>),
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes the tables: always the first.
    Create,
    /// Changes rows.
    Change(Vec<Op>),
}

/// What happens between two transactions, and changes no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    /// Nothing.
    Nothing,
    /// A transaction that is rolled back.
    RolledBack(Vec<Op>),
    /// `VACUUM`.
    Vacuum,
    /// Another size of SQLite's page cache, so that it spills, or does not.
    CachePages(u64),
    /// Nothing for so many milliseconds.
    Pause(u64),
}

/// Transaction `n`, the first is 1, as generation `generation` of the workers does it.
#[must_use]
pub fn step(seed: u64, generation: u64, n: u64) -> Step {
    if n == 1 {
        return Step::Create;
    }
    let mut random = Random::of(seed, (generation << 32) | n);
    let ops = match random.below(60) {
        0 => large(&mut random),
        1..=5 => vec![delete(&mut random)],
        6..=12 => vec![add(&mut random)],
        13..=25 => several(&mut random, 40),
        26..=29 => {
            let mut ops = several(&mut random, 5);
            ops.push(Op::Undone(several(&mut random, 20)));
            ops.extend(several(&mut random, 5));
            ops
        }
        _ => vec![put(&mut random)],
    };
    Step::Change(ops)
}

/// What comes after transaction `n`.
#[must_use]
pub fn aside(seed: u64, generation: u64, n: u64) -> Aside {
    let mut random = Random::of(!seed, (generation << 32) | n);
    match random.below(100) {
        0..=3 => Aside::RolledBack(several(&mut random, 60)),
        4 => Aside::RolledBack(large(&mut random)),
        5 => Aside::Vacuum,
        6..=8 => Aside::CachePages(5 + random.below(60)),
        9 => Aside::CachePages(2000),
        10 => Aside::Pause(random.below(400)),
        _ => Aside::Nothing,
    }
}

fn put(random: &mut Random) -> Op {
    let id = random.below(SMALL_IDS);
    let bytes = if random.once_in(20) { random.below(20_000) } else { random.below(900) };
    Op::Put { id, k: number(random), bytes, fill: random.bits() }
}

fn number(random: &mut Random) -> i64 {
    random.below(1_000_000).cast_signed()
}

fn span(random: &mut Random) -> (u64, u64) {
    if random.once_in(6) {
        let from = LARGE_FROM + random.below(LARGE_ROWS);
        return (from, from + random.below(LARGE_ROWS));
    }
    let from = random.below(SMALL_IDS);
    (from, from + random.below(40))
}

fn add(random: &mut Random) -> Op {
    let (from, to) = span(random);
    Op::Add { from, to, by: number(random) }
}

fn delete(random: &mut Random) -> Op {
    let (from, to) = span(random);
    Op::Delete { from, to }
}

fn several(random: &mut Random, most: u64) -> Vec<Op> {
    let count = 1 + random.below(most);
    (0..count)
        .map(|_| match random.below(8) {
            0 => delete(random),
            1 => add(random),
            _ => put(random),
        })
        .collect()
}

fn large(random: &mut Random) -> Vec<Op> {
    (0..LARGE_ROWS)
        .map(|row| Op::Put { id: LARGE_FROM + row, k: number(random), bytes: LARGE_BYTES, fill: random.bits() })
        .collect()
}

/// The content of a row: never the same twice, and nothing that compresses.
#[must_use]
pub fn content(fill: u64, bytes: u64) -> Vec<u8> {
    let mut random = Random::new(fill);
    let mut content = vec![0; usize::try_from(bytes).expect("BUG: a row larger than memory")];
    for part in content.chunks_mut(8) {
        part.copy_from_slice(&random.bits().to_le_bytes()[..part.len()]);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything() {
        for n in 1..200 {
            assert_eq!(step(7, 3, n), step(7, 3, n));
            assert_eq!(aside(7, 3, n), aside(7, 3, n));
        }
        assert_ne!(step(7, 3, 50), step(7, 4, 50), "another generation writes another history");
    }

    #[test]
    fn every_kind_of_work_is_done() {
        let steps: Vec<Step> = (2..400).map(|n| step(1, 1, n)).collect();
        let has = |wanted: fn(&Op) -> bool| {
            steps.iter().any(|step| matches!(step, Step::Change(ops) if ops.iter().any(wanted)))
        };
        assert!(has(|op| matches!(op, Op::Put { bytes: LARGE_BYTES, .. })));
        assert!(has(|op| matches!(op, Op::Add { .. })));
        assert!(has(|op| matches!(op, Op::Delete { .. })));
        assert!(has(|op| matches!(op, Op::Undone(_))));
        let asides: Vec<Aside> = (1..400).map(|n| aside(1, 1, n)).collect();
        assert!(asides.contains(&Aside::Vacuum));
        assert!(asides.iter().any(|aside| matches!(aside, Aside::RolledBack(_))));
    }
}
