//! Where a value came from.

use std::fmt;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    #[default]
    Default,
    /// A line of a settings file.
    File {
        /// Path of the file.
        name: String,
        /// Line, from 1.
        line: usize,
    },
    /// This environment variable.
    Environment(String),
    /// Whatever the caller named it: "URL parameter", "--set".
    Override(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { name, line } => write!(f, "{name}:{line}"),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::Override(name) => f.write_str(name),
        }
    }
}
