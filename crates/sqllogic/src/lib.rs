//! SQL logic tests: scripts of statements with the rows that they return, run on the VFS and on a plain file.
//!
//! A script is written by hand, or at random with its rows taken from a plain file, or comes from SQLite's own project
//! (`plimsoll-sqllogic`, which `cargo xtask sqllogic` runs). Not here: anything that
//! plain SQLite would not do too.

mod database; // SQLite, as sqllogictest wants it
mod original; // scripts of SQLite's project
mod random; // scripts from a seed
mod statements; // one statement at random

pub use database::{Database, Place};
pub use original::{Outcome, run_original};
pub use random::script;
