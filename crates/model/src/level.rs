//! Durability levels.

use std::{fmt, str::FromStr};

/// What a write has survived when it is acknowledged. Ordered from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// In memory, handed to the journal. Survives a clean shutdown.
    Buffered,
    /// The journal is synced to the local disk. Survives the process and the host's power.
    Journaled,
    /// Standbys hold it. Survives the loss of this host. No volume offers it yet.
    Replicated,
    /// In the object store. Survives the loss of every host.
    Durable,
}

impl Level {
    /// Every level, from weak to strong.
    pub const ALL: [Level; 4] = [Level::Buffered, Level::Journaled, Level::Replicated, Level::Durable];

    /// The name used in settings, statements and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Buffered => "buffered",
            Level::Journaled => "journaled",
            Level::Replicated => "replicated",
            Level::Durable => "durable",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseLevelError(String);

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a durability level; use buffered, journaled or durable", self.0)
    }
}

impl std::error::Error for ParseLevelError {}

impl FromStr for Level {
    type Err = ParseLevelError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Level::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(word))
            .ok_or_else(|| ParseLevelError(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_by_what_they_survive() {
        assert!(Level::Buffered < Level::Journaled);
        assert!(Level::Journaled < Level::Replicated);
        assert!(Level::Replicated < Level::Durable);
    }

    #[test]
    fn names_parse_back_in_any_case() {
        for level in Level::ALL {
            assert_eq!(level.name().to_uppercase().parse(), Ok(level));
        }
        assert!("fsync".parse::<Level>().unwrap_err().to_string().contains("journaled"));
    }
}
