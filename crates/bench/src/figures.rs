//! What a job finds, and how the rounds of a case are summed up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one job found, by name. Units stand in the names.
pub type Figures = BTreeMap<String, f64>;

/// The middle and the ends of what several rounds found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the rounds found less.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of some values; `None` without any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Spread { median, min, max })
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        if self.min == self.max {
            return short(self.median);
        }
        format!("{} ({}..{})", short(self.median), short(self.min), short(self.max))
    }
}

/// A number with three significant digits.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size >= 99_999.5 => format!("{:.0}k", value / 1000.0),
        _ if size >= 9_999.5 => format!("{:.1}k", value / 1000.0),
        _ if size >= 99.95 => format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size == 0.0 => "0".to_owned(),
        _ if size < 0.01 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}

/// One figure over all rounds, and as a part of the reference's in the same round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// As measured.
    pub absolute: Spread,
    /// Divided by what the reference found in the same round.
    pub ratio: Option<Spread>,
}

/// Sums up one figure of one subject: `rounds` and `reference` are parallel.
#[must_use]
pub fn summary(name: &str, rounds: &[Option<Figures>], reference: Option<&[Option<Figures>]>) -> Option<Summary> {
    let found = |figures: &Option<Figures>| figures.as_ref().and_then(|figures| figures.get(name)).copied();
    let values: Vec<f64> = rounds.iter().filter_map(found).collect();
    let ratios: Vec<f64> = reference
        .unwrap_or_default()
        .iter()
        .zip(rounds)
        .filter_map(|(reference, own)| Some((found(reference)?, found(own)?)))
        .filter(|(reference, _)| *reference != 0.0)
        .map(|(reference, own)| own / reference)
        .collect();
    Some(Summary { absolute: Spread::of(&values)?, ratio: Spread::of(&ratios) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_compares_what_was_measured_in_the_same_round() {
        let rounds = |values: [f64; 3]| values.map(|value| Some(Figures::from([("x".to_owned(), value)])));
        // A machine that slows down by half each round.
        let (own, reference) = (rounds([100.0, 50.0, 25.0]), rounds([50.0, 25.0, 12.5]));
        let found = summary("x", &own, Some(&reference)).unwrap();
        assert_eq!(found.absolute, Spread { median: 50.0, min: 25.0, max: 100.0 });
        assert_eq!(found.ratio, Some(Spread { median: 2.0, min: 2.0, max: 2.0 }));
    }

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.0, "0"), (0.001, "0.0010"), (1.234, "1.23"), (45.67, "45.7"), (999.6, "1000"), (25_800.0, "25.8k")];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
