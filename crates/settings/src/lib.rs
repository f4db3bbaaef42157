//! Settings: one table of keys, and the layers that give them values.
//!
//! Defaults < `plimsoll.toml` < environment (`PLIMSOLL_…`) < overrides (URL parameters, command
//! line, API). An unknown key, a wrong type or a unit suffix is an error that names the key, the
//! source and the expected form. Nothing here reads the environment or a file by itself: the
//! environment is an argument, files are read through [`plimsoll_host::Files`].

mod file; // the text of plimsoll.toml -> keys and raw values
mod layers; // sources in order -> settings, each with its source
mod locate; // where plimsoll.toml is
mod source; // where a value came from
mod table; // the one table: key, type, default, meaning
mod value; // how a value of each type is written
mod watch; // taking up a changed file while running

pub use layers::{Input, Override, RESERVED, Row, Sourced, is_reserved};
pub use locate::{Candidate, FILE_BYTES_MAX, FileText, candidates, find};
pub use source::Source;
pub use table::{Adopted, KEYS, Key, Settings, key, markdown};
pub use value::JournalSyncPolicy;
pub use watch::Watch;

/// Environment variables by name.
pub type Environment = std::collections::BTreeMap<String, String>;

#[cfg(test)]
mod tests;
