//! Tables for people, for documentation and for programs.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use anyhow::Result;
use serde::Serialize;

use crate::{
    catalogue::{Bench, Scale},
    figures::{Summary, short, summary},
    harness::Measured,
    subject::Subject,
    svg::{Bar, plot},
};

/// One figure of one subject in one case.
#[derive(Debug, Serialize)]
struct Line {
    case: String,
    subject: Subject,
    figure: String,
    #[serde(flatten)]
    found: Summary,
    reference: Option<Subject>,
}

/// See the [module](self).
#[derive(Debug, Serialize)]
pub struct Report {
    bench: &'static str,
    about: &'static str,
    headline: &'static str,
    /// How it was measured, in words: scale, how often each case, and how long all took.
    how: String,
    lines: Vec<Line>,
    failures: Vec<String>,
}

impl Report {
    /// Sums up what a bench found.
    #[must_use]
    pub fn new(bench: &Bench, scale: Scale, measured: &[Measured], took: Duration) -> Report {
        let mut lines = Vec::new();
        let mut failures = Vec::new();
        for Measured { case, rounds, failures: failed } in measured {
            failures.extend(failed.iter().map(|why| format!("{}: {why}", case.name)));
            let reference = case.reference.and_then(|reference| rounds.get(&reference)).map(Vec::as_slice);
            for (subject, found) in rounds {
                let names: BTreeSet<&String> = found.iter().flatten().flat_map(|figures| figures.keys()).collect();
                let against = reference.filter(|_| case.reference != Some(*subject));
                for name in names {
                    if let Some(found) = summary(name, found, against) {
                        let (case, figure) = (case.name.clone(), name.clone());
                        let reference = measured_against(&found, measured, &case);
                        lines.push(Line { case, subject: *subject, figure, found, reference });
                    }
                }
            }
        }
        let scale = format!("{scale:?}").to_lowercase();
        let how = format!("scale {scale}, {}, {}", rounds_of(measured), minutes(took));
        Report { bench: bench.name, about: bench.about, headline: bench.headline, how, lines, failures }
    }

    fn rows(&self) -> Vec<[String; 5]> {
        self.lines
            .iter()
            .map(|line| {
                let ratio = line.found.ratio.map_or(String::new(), |ratio| {
                    format!("{} of {}", ratio.text(), line.reference.map_or("", Subject::name))
                });
                [
                    line.case.clone(),
                    line.subject.name().to_owned(),
                    line.figure.clone(),
                    line.found.absolute.text(),
                    ratio,
                ]
            })
            .collect()
    }

    /// A table for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let rows = self.rows();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        let mut text = format!("\n{}: {}; {}\n", self.bench, self.about, self.how);
        let mut before = "";
        for [case, subject, figure, value, ratio] in &rows {
            let shown = if case == before { "" } else { case };
            let [a, b, c, d] = widths;
            let _ = writeln!(text, "{shown:a$}  {subject:b$}  {figure:c$}  {value:>d$}  {ratio}");
            before = case;
        }
        for why in &self.failures {
            let _ = writeln!(text, "failed: {why}");
        }
        text
    }

    /// A table for documentation.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "### {}\n\n{}; {}\n\n| case | subject | figure | median (min..max) | ratio in each round |\n",
            self.bench, self.about, self.how
        );
        text.push_str("|---|---|---|---|---|\n");
        for row in self.rows() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        for why in &self.failures {
            let _ = writeln!(text, "\nFailed: {why}");
        }
        text
    }

    /// Everything, for programs.
    ///
    /// # Errors
    /// None that can happen with numbers.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// A plot of the bench's headline.
    #[must_use]
    pub fn svg(&self) -> String {
        let bars: Vec<Bar> = self
            .lines
            .iter()
            .filter(|line| line.figure == self.headline)
            .map(|line| Bar {
                group: line.case.clone(),
                label: line.subject.name(),
                spread: line.found.absolute,
                text: short(line.found.absolute.median),
            })
            .collect();
        plot(&format!("{}: {}", self.bench, self.headline), &bars)
    }
}

/// Cases that take long have fewer rounds.
fn rounds_of(measured: &[Measured]) -> String {
    let counts: Vec<usize> =
        measured.iter().map(|measured| measured.rounds.values().map(Vec::len).max().unwrap_or(0)).collect();
    let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    match (least == most, most) {
        (true, 1) => "one round".to_owned(),
        (true, _) => format!("{most} rounds"),
        (false, _) => format!("{least} to {most} rounds"),
    }
}

/// So that whoever wants the same knows how long it takes.
fn minutes(took: Duration) -> String {
    match took.as_secs().div_ceil(60) {
        0 | 1 => "within a minute".to_owned(),
        minutes => format!("in {minutes} minutes"),
    }
}

fn measured_against(found: &Summary, measured: &[Measured], case: &str) -> Option<Subject> {
    found.ratio?;
    measured.iter().find(|measured| measured.case.name == case)?.case.reference
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        catalogue::{Case, benches},
        figures::Figures,
    };

    #[test]
    fn a_case_that_failed_is_named_in_the_table_and_what_others_found_is_there() {
        let case = |name: &str| Case::new(name, &[], &[Subject::Plimsoll]);
        let found = |value: f64| Some(Figures::from([("requests".to_owned(), value)]));
        let good = Measured {
            case: case("a good one"),
            rounds: BTreeMap::from([(Subject::Plimsoll, vec![found(7.0), None])]),
            failures: vec!["Plimsoll, round 1: the disk is full".to_owned()],
        };
        let bad = Measured { case: case("a bad one"), rounds: BTreeMap::new(), failures: vec!["no".to_owned()] };
        let report = Report::new(&benches()[0], Scale::Tiny, &[good, bad], Duration::from_secs(61));
        let text = report.markdown();
        for line in [
            "| a good one | Plimsoll | requests | 7.00 |  |",
            "Failed: a good one: Plimsoll, round 1: the disk is full",
            "Failed: a bad one: no",
            "scale tiny, 0 to 2 rounds, in 2 minutes",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
