//! SQL logic tests: scripts of statements with the rows that they return, run on the VFS and on a plain file.
//!
//! A script is written by hand, or at random with its rows taken from a plain file. Not here: anything that
//! plain SQLite would not do too.

mod database; // SQLite, as sqllogictest wants it
mod random; // scripts from a seed
mod statements; // one statement at random

pub use database::{Database, Place};
pub use random::script;
