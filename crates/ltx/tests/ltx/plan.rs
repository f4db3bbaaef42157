//! The restore plan.

use plimsoll_ltx::{
    FileId,
    plan::{Target, plan},
};
use plimsoll_model::{ErrorKind, Txid};
use proptest::prelude::*;

fn file((level, min, max): (u8, u64, u64)) -> FileId {
    FileId { level, min: Txid(min), max: Txid(max) }
}

type Line = (u8, u64, u64);

/// What is planned; `Err` says how it fails.
fn planned(files: &[Line], target: Target) -> Result<Vec<Line>, ErrorKind> {
    let files: Vec<FileId> = files.iter().copied().map(file).collect();
    match plan(&files, target) {
        Ok(plan) => Ok(plan.into_iter().map(|file| (file.level, file.min.0, file.max.0)).collect()),
        Err(error) => Err(error.kind()),
    }
}

fn at(txid: u64) -> Target {
    Target::Txid(Txid(txid))
}

#[test]
fn plans_are_those_of_litestream() {
    let latest = Target::Latest;
    let cases: &[(&str, &[Line], Target, &[Line])] = &[
        ("nothing yet", &[], latest, &[]),
        ("syncs only", &[(0, 1, 1), (0, 2, 2), (0, 3, 3)], latest, &[(0, 1, 1), (0, 2, 2), (0, 3, 3)]),
        ("in any order", &[(0, 3, 3), (0, 1, 1), (0, 2, 2)], latest, &[(0, 1, 1), (0, 2, 2), (0, 3, 3)]),
        (
            "a merged file replaces syncs",
            &[(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 1, 2)],
            latest,
            &[(1, 1, 2), (0, 3, 3)],
        ),
        ("a snapshot replaces all", &[(9, 1, 5), (1, 1, 5), (0, 5, 5), (0, 6, 6)], latest, &[(9, 1, 5), (0, 6, 6)]),
        ("the newest snapshot", &[(9, 1, 3), (9, 1, 5), (0, 6, 6)], latest, &[(9, 1, 5), (0, 6, 6)]),
        ("a snapshot beats a merged file that goes further", &[(9, 1, 3), (2, 1, 7)], latest, &[(9, 1, 3), (2, 1, 7)]),
        ("the furthest", &[(9, 1, 2), (1, 3, 4), (2, 3, 6), (0, 3, 3)], latest, &[(9, 1, 2), (2, 3, 6)]),
        ("of those the widest", &[(1, 1, 4), (0, 5, 5), (3, 2, 5), (1, 5, 5)], latest, &[(1, 1, 4), (3, 2, 5)]),
        ("of those the highest level", &[(0, 1, 1), (1, 1, 1), (2, 1, 1)], latest, &[(2, 1, 1)]),
        ("overlaps are fine", &[(1, 1, 4), (2, 1, 3), (1, 3, 6), (0, 6, 6)], latest, &[(1, 1, 4), (1, 3, 6)]),
        ("a file of the past is left out", &[(9, 1, 9), (0, 4, 4)], latest, &[(9, 1, 9)]),
        ("up to a transaction", &[(0, 1, 1), (0, 2, 2), (0, 3, 3)], at(2), &[(0, 1, 1), (0, 2, 2)]),
        (
            "without the merged file that goes too far",
            &[(1, 1, 3), (0, 1, 1), (0, 2, 2)],
            at(2),
            &[(0, 1, 1), (0, 2, 2)],
        ),
        ("without the snapshot that goes too far", &[(9, 1, 3), (1, 1, 2)], at(2), &[(1, 1, 2)]),
        ("a snapshot alone", &[(9, 1, 3), (0, 9, 9)], at(3), &[(9, 1, 3)]),
        ("gaps after the target do not matter", &[(0, 1, 1), (0, 9, 9)], at(1), &[(0, 1, 1)]),
        ("the last number there is", &[(9, 1, u64::MAX)], latest, &[(9, 1, u64::MAX)]),
    ];
    for (what, files, target, expected) in cases {
        assert_eq!(planned(files, *target), Ok(expected.to_vec()), "{what}");
    }
}

#[test]
fn a_gap_before_a_newer_file_is_an_error_for_the_latest_state() {
    for files in [
        &[(0, 1, 1), (0, 3, 3)][..],
        &[(9, 1, 4), (0, 6, 6)],
        &[(0, 2, 2)],
        &[(1, 1, 3), (2, 5, 9), (0, 4, 4), (0, 11, 11)],
    ] {
        assert_eq!(planned(files, Target::Latest), Err(ErrorKind::Corrupt), "{files:?}");
    }
    let error = plan(&[file((0, 1, 1)), file((0, 3, 3))], Target::Latest).unwrap_err().to_string();
    assert!(error.contains("reach transaction 1") && error.contains("begins at 3"), "{error}");
}

#[test]
fn a_snapshot_that_does_not_begin_at_the_beginning_is_none() {
    assert_eq!(planned(&[(9, 2, 5)], at(5)), Err(ErrorKind::NotFound));
}

#[test]
fn a_transaction_that_cannot_be_reproduced_is_not_found() {
    let merged = [(9, 1, 4), (1, 5, 8), (0, 8, 8), (0, 9, 9)];
    for txid in [0, 1, 3, 5, 7, 10] {
        assert_eq!(planned(&merged, at(txid)), Err(ErrorKind::NotFound), "{txid}");
    }
    for txid in [4, 8, 9] {
        assert!(planned(&merged, at(txid)).is_ok(), "{txid}");
    }
    assert_eq!(planned(&[], at(1)), Err(ErrorKind::NotFound));
}

/// The rules as they are written down, without regard to time.
fn by_the_book(files: &[Line], target: Target) -> Result<Vec<Line>, ErrorKind> {
    let end = if let Target::Txid(txid) = target { txid.0 } else { u64::MAX };
    let usable: Vec<Line> = files.iter().copied().filter(|(_, _, max)| *max <= end).collect();
    let snapshot = usable.iter().filter(|(level, min, _)| (*level, *min) == (9, 1)).max_by_key(|(_, _, max)| *max);
    let mut plan: Vec<Line> = snapshot.into_iter().copied().collect();
    let mut reached = snapshot.map_or(0, |(_, _, max)| *max);
    let extends = |reached: u64| {
        let fits = move |(level, min, max): &&Line| *level < 9 && *min <= reached + 1 && *max > reached;
        usable.iter().filter(fits).max_by_key(|(level, min, max)| (*max, u64::MAX - *min, *level)).copied()
    };
    while let Some(next) = extends(reached) {
        plan.push(next);
        reached = next.2;
    }
    match target {
        Target::Latest if usable.iter().any(|(level, min, _)| *level < 9 && *min > reached + 1) => {
            Err(ErrorKind::Corrupt)
        }
        Target::Txid(txid) if reached != txid.0 => Err(ErrorKind::NotFound),
        _ => Ok(plan),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_plan_follows_the_rules(
        files in proptest::collection::vec((0u8..=9, 1u64..12, 0u64..6), 0..14),
        txid in proptest::option::of(1u64..16),
    ) {
        let files: Vec<Line> = files
            .into_iter()
            .map(|(level, min, more)| if level == 9 { (9, 1, min + more) } else { (level, min, min + more) })
            .collect();
        let target = txid.map_or(Target::Latest, at);
        prop_assert_eq!(planned(&files, target), by_the_book(&files, target));
    }
}
