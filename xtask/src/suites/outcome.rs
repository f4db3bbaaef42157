//! What a run of one test file said.

/// Read from what the test program printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How many cases there were; `None` if it did not come to its end.
    pub(super) cases: Option<u64>,
    /// Names of the cases that failed, each once.
    pub(super) failed: Vec<String>,
    /// Memory, or files, that were left.
    pub(super) leaks: Vec<String>,
    /// The lines that say what was expected and what came, and the last words of a run without an end.
    pub(super) words: Vec<String>,
}

/// Lines to show of a run that did not come to its end.
const LAST_WORDS: usize = 12;

impl Outcome {
    pub(super) fn read(text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once(" errors out of ") {
                outcome.cases = rest.split(' ').next().and_then(|number| number.parse().ok());
            } else if let Some(names) = line.strip_prefix("!Failures on these tests:") {
                outcome.failed = names.split_whitespace().map(str::to_owned).collect();
                outcome.failed.sort();
                outcome.failed.dedup();
            } else if line.starts_with("Unfreed memory") || line.ends_with("files were left open") {
                outcome.leaks.push(line.to_owned());
            } else if line.starts_with("! ") || line.starts_with("Error: ") {
                outcome.words.push(line.to_owned());
            }
        }
        if outcome.cases.is_none() {
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(LAST_WORDS));
            outcome.words = last.map(|line| (*line).to_owned()).collect();
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_leaks_are_found() {
        let text = "a-1... Ok\na-2...\n! a-2 expected: [1]\n! a-2 got:      [2]\n\
            SQLite 2022-12-28 df5c\n1 errors out of 2 tests on host Linux 64-bit little-endian\n\
            !Failures on these tests: a-2 a-2\n3 files were left open\nAll memory allocations freed - no leaks\n";
        let outcome = Outcome::read(text);
        assert_eq!(outcome.cases, Some(2));
        assert_eq!(outcome.failed, ["a-2"]);
        assert_eq!(outcome.leaks, ["3 files were left open"]);
        assert_eq!(outcome.words, ["! a-2 expected: [1]", "! a-2 got:      [2]"]);
    }

    #[test]
    fn a_run_without_an_end_has_no_cases() {
        let outcome = Outcome::read("a-1... Ok\na-2...");
        assert_eq!(outcome.cases, None);
        assert_eq!(outcome.words, ["a-1... Ok", "a-2..."]);
    }
}
