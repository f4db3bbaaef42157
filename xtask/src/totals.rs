//! Counting test results in what test programs print.

use std::fmt;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Passed.
    pub(crate) passed: u64,
    /// Failed, or did not end.
    pub(crate) failed: u64,
}

impl Totals {
    /// Adds what a line says, if it is the summary of a test program: libtest's (which others imitate) or nextest's.
    pub(crate) fn read(&mut self, line: &str) {
        // What nextest repeats of a test that failed is indented, and counted by its own summary.
        if let Some(rest) = line.strip_prefix("test result:") {
            self.passed += number_before(rest, "passed");
            self.failed += number_before(rest, "failed");
        } else if line.trim_start().starts_with("Summary [") {
            let run = number_before(line, "tests run").max(number_before(line, "test run"));
            let passed = number_before(line, "passed");
            self.passed += passed;
            self.failed += run.saturating_sub(passed);
        }
    }
}

/// The number in front of a word, 0 if there is none. Behind a slash stands how many there were to run.
fn number_before(line: &str, word: &str) -> u64 {
    let Some(at) = line.find(word) else { return 0 };
    let before = line[..at].split_whitespace().next_back().unwrap_or_default();
    before.split('/').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (u64, u64) {
        let mut totals = Totals::default();
        text.lines().for_each(|line| totals.read(line));
        (totals.passed, totals.failed)
    }

    #[test]
    fn the_summaries_of_libtest_add_up() {
        let text = "running 2 tests\ntest a ... ok\n\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(read(text), (5, 1));
    }

    #[test]
    fn what_nextest_did_not_see_pass_has_failed() {
        assert_eq!(read("     Summary [   1.234s] 10 tests run: 10 passed, 0 skipped"), (10, 0));
        assert_eq!(read("     Summary [   1.234s] 10 tests run: 7 passed (1 slow), 2 failed, 1 timed out"), (7, 3));
        assert_eq!(read("     Summary [   1.234s] 4/9 tests run: 3 passed, 1 failed, 0 skipped"), (3, 1));
        assert_eq!(read("     Summary [   0.004s] 1 test run: 1 passed, 0 skipped"), (1, 0));
    }

    #[test]
    fn a_test_that_failed_counts_once_although_nextest_shows_what_it_printed() {
        let text = "        FAIL [   0.010s] (2/2) a b\n  stdout ───\n\n    running 1 test\n    test b ... FAILED\n\n    \
            test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s\n\n\
            ────────────\n     Summary [   0.010s] 2 tests run: 1 passed, 1 failed, 0 skipped";
        assert_eq!(read(text), (1, 1));
    }

    #[test]
    fn other_lines_say_nothing() {
        assert_eq!(read("99 passed\nSummary\n"), (0, 0));
    }
}
