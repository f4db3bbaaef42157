//! What a run of one test file amounts to, given what may differ.

use std::fmt;

use super::{
    glob,
    list::{Exception, of_file},
    outcome::Outcome,
};

/// Lines to show of what went wrong.
const SHOWN_MAX: usize = 40;

/// See the module's words.
#[derive(Debug)]
pub(super) struct Verdict {
    file: String,
    /// How many cases ran.
    pub(super) cases: u64,
    /// How many of them differ as listed.
    pub(super) expected: usize,
    /// What is wrong.
    problems: Vec<String>,
    words: Vec<String>,
}

impl Verdict {
    /// Compares what happened with what may happen. A listed difference that is gone is wrong too: the list shall be true.
    /// But of `either` it may be.
    pub(super) fn of(file: &str, outcome: &Outcome, differs: &[Exception], either: &[Exception]) -> Verdict {
        let listed: Vec<_> = of_file(file, differs).collect();
        let either: Vec<_> = of_file(file, either).collect();
        let is_listed = |case: &String| listed.iter().chain(&either).any(|pattern| glob::matches(pattern, case));
        let (expected, surprising): (Vec<_>, Vec<_>) = outcome.failed.iter().partition(|case| is_listed(case));
        let mut problems: Vec<String> = surprising.iter().map(|case| format!("{case} failed")).collect();
        problems.extend(outcome.leaks.iter().cloned());
        if outcome.cases.is_none() {
            problems.push("it did not come to its end".to_owned());
        }
        let unused = listed.iter().filter(|pattern| !outcome.failed.iter().any(|case| glob::matches(pattern, case)));
        problems.extend(unused.map(|pattern| format!("{pattern} is listed as different and is not")));
        // What was expected to differ is not what to look at.
        let named = |word: &&String| !expected.iter().any(|case| word.starts_with(&format!("! {case} ")));
        Verdict {
            file: file.to_owned(),
            cases: outcome.cases.unwrap_or(0),
            expected: expected.len(),
            problems,
            words: outcome.words.iter().filter(named).cloned().collect(),
        }
    }

    /// It could not be run.
    pub(super) fn broken(file: &str, why: String) -> Verdict {
        Verdict { file: file.to_owned(), cases: 0, expected: 0, problems: vec![why], words: Vec::new() }
    }

    /// Whether nothing is wrong.
    pub(super) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_good() { "ok" } else { "FAILED" };
        write!(f, "{}: {word}, {} cases", self.file, self.cases)?;
        if self.expected > 0 {
            write!(f, ", {} differ as listed", self.expected)?;
        }
        if !self.is_good() {
            for line in self.problems.iter().chain(&self.words).take(SHOWN_MAX) {
                write!(f, "\n    {line}")?;
            }
            write!(f, "\n   ")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceptions(names: &[&str]) -> Vec<Exception> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        vec![Exception { reason: "it is a test".to_owned(), names }]
    }

    fn outcome(failed: &[&str]) -> Outcome {
        let failed = failed.iter().map(|case| (*case).to_owned()).collect();
        Outcome { cases: Some(9), failed, ..Outcome::default() }
    }

    #[test]
    fn what_is_listed_may_differ_and_nothing_else() {
        let listed = exceptions(&["a/a-1.*", "b/a-2"]);
        assert!(Verdict::of("a", &outcome(&["a-1.1", "a-1.2"]), &listed, &[]).is_good());
        assert!(!Verdict::of("a", &outcome(&["a-1.1", "a-2"]), &listed, &[]).is_good());
    }

    #[test]
    fn what_is_listed_has_to_differ() {
        assert!(!Verdict::of("a", &outcome(&[]), &exceptions(&["a/a-1"]), &[]).is_good());
        assert!(Verdict::of("a", &outcome(&[]), &exceptions(&["b/b-1"]), &[]).is_good());
    }

    #[test]
    fn what_is_decided_by_who_is_quicker_may_differ_and_need_not() {
        let either = exceptions(&["a/a-1"]);
        assert!(Verdict::of("a", &outcome(&["a-1"]), &[], &either).is_good());
        assert!(Verdict::of("a", &outcome(&[]), &[], &either).is_good());
        assert!(!Verdict::of("a", &outcome(&["a-2"]), &[], &either).is_good());
    }

    #[test]
    fn leaks_and_a_missing_end_are_failures() {
        let leaking = Outcome { leaks: vec!["3 files were left open".to_owned()], ..outcome(&[]) };
        assert!(!Verdict::of("a", &leaking, &[], &[]).is_good());
        assert!(!Verdict::of("a", &Outcome::default(), &[], &[]).is_good());
    }
}
