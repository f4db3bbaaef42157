//! Runs of the simulation as tests: the same twice, many things in a short time, and what was broken once.

use plimsoll_sim::{Coverage, run};

/// Together they try everything, in about a minute.
const SHORT: std::ops::Range<u64> = 0..32;

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in [2, 5, 13] {
        let (one, other) = (run(seed, false), run(seed, false));
        assert!(one.trace.lines().count() > 100, "seed {seed} did next to nothing");
        let differs = one.trace.lines().zip(other.trace.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert!(one.trace == other.trace && one.steps == other.steps, "seed {seed}");
    }
}

#[test]
fn what_the_engine_logs_changes_nothing() {
    let (quiet, loud) = (run(2, false), run(2, true));
    let without_log: Vec<&str> = loud.trace.lines().filter(|line| !line.contains("   log ")).collect();
    assert_eq!(without_log, quiet.trace.lines().collect::<Vec<_>>());
}

#[test]
fn a_short_run_keeps_every_promise_and_tries_everything() {
    let mut coverage = Coverage::default();
    for seed in SHORT {
        let report = run(seed, false);
        assert_eq!(report.broken, None, "seed {seed}");
        coverage.add(&report.coverage);
    }
    assert_eq!(coverage.missing(), [], "\n{coverage}");
}
