//! What becomes of one connection in foul weather. Pure.

use std::time::Duration;

use crate::random::Random;

/// One way in which a network fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does not.
    Passes,
    /// Each piece of an answer comes late.
    Delayed(Duration),
    /// Answers come at so many bytes a second.
    Throttled(u64),
    /// The connection ends after so many bytes of requests.
    RequestCut(u64),
    /// The connection ends after so many bytes of answers, in the middle of a body for example.
    AnswerCut(u64),
    /// The connection stays open, and nothing comes back after so many bytes of answers.
    Swallowed(u64),
    /// The connection is reset as soon as something was sent.
    Reset,
}

/// The fate of a connection by its number: most have one, since a client keeps those that work.
#[must_use]
pub fn fate(seed: u64, connection: u64) -> Fate {
    let mut random = Random::of(seed, connection);
    let bytes = 1 << random.below(16);
    let bytes = bytes + random.below(bytes);
    match random.below(12) {
        0 | 1 => Fate::Delayed(Duration::from_millis(5 + random.below(120))),
        2 => Fate::Throttled(20_000 + random.below(200_000)),
        3 | 4 => Fate::RequestCut(bytes),
        5..=7 => Fate::AnswerCut(bytes),
        8 => Fate::Swallowed(bytes),
        9 => Fate::Reset,
        _ => Fate::Passes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything_and_every_fate_occurs() {
        let all: Vec<Fate> = (0..300).map(|connection| fate(7, connection)).collect();
        assert_eq!(all, (0..300).map(|connection| fate(7, connection)).collect::<Vec<_>>());
        let has = |wanted: fn(&Fate) -> bool| all.iter().any(wanted);
        assert!(has(|fate| matches!(fate, Fate::Delayed(_))) && has(|fate| matches!(fate, Fate::Throttled(_))));
        assert!(has(|fate| matches!(fate, Fate::RequestCut(_))) && has(|fate| matches!(fate, Fate::AnswerCut(_))));
        assert!(has(|fate| matches!(fate, Fate::Swallowed(_))) && has(|fate| *fate == Fate::Reset));
        assert!(has(|fate| *fate == Fate::Passes));
    }
}
