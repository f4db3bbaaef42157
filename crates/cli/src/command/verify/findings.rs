//! What was found.

use serde::Serialize;

/// Whether a finding is damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Something promised does not hold.
    Problem,
    /// Worth knowing, and harmless.
    Note,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Severity::Problem => "problem",
            Severity::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// Key or URL.
    pub(crate) object: String,
    /// What is the matter with it.
    pub(crate) what: String,
    /// What that means for the volume.
    pub(crate) consequence: String,
}

/// Everything that was found, in the order in which it was.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn problem(&mut self, object: &str, what: impl Into<String>, consequence: &str) {
        self.add(Severity::Problem, object, what.into(), consequence);
    }

    pub(crate) fn note(&mut self, object: &str, what: impl Into<String>, consequence: &str) {
        self.add(Severity::Note, object, what.into(), consequence);
    }

    fn add(&mut self, severity: Severity, object: &str, what: String, consequence: &str) {
        self.0.push(Finding { severity, object: object.to_owned(), what, consequence: consequence.to_owned() });
    }

    pub(crate) fn all(&self) -> &[Finding] {
        &self.0
    }

    /// How many of them are problems.
    pub(crate) fn problems(&self) -> usize {
        self.0.iter().filter(|finding| finding.severity == Severity::Problem).count()
    }
}
