//! The SQLite face: a VFS over volumes, with SQL functions and PRAGMA statements.
//!
//! A program opens `file:s3://bucket/prefix?vfs=plimsoll` and finds a SQLite database there. Settings are
//! URI parameters. `PRAGMA synchronous` chooses the level at which a COMMIT returns, and
//! `PRAGMA plimsoll_durability` overrides it.
//!
//! The face holds no durable state. It maps SQLite's locks and rollback-journal protocol to snapshots
//! and write transactions; `database` says how.

mod api; // SQLite's functions
mod checkpoint; // checkpoints, as SQL functions
mod codes; // errors to result codes
mod database; // one connection's view of a volume
mod errand; // what SQL functions do with an open file
mod ffi; // declarations of sqlite3.h
mod file; // our files in SQLite's memory
mod functions; // SQL functions
mod header; // page 1 as it is shown
mod instance; // one SQLite library
mod logging; // what an extension logs
mod main_file; // callbacks of a database
mod name; // names to URLs
mod open; // opening a volume
mod pragma; // PRAGMA statements
mod private_file; // callbacks of journals
mod register; // the ways in
mod registry; // what a process shares
mod scratch; // journals
mod superjournal; // transactions over several volumes
mod vfs; // the VFS
mod writing; // an open write transaction

pub use ffi::Sqlite3;
pub use header::renew;
pub use register::extension_init;
#[cfg(feature = "linked")]
pub use register::{open_volumes, register, register_with, take_last_error};

/// The examples of the project's README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
