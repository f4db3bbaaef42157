//! Kills real processes that write to a volume, and checks what is left.
//!
//! A worker process opens a volume, says what it finds there, and writes numbered transactions, each
//! decided by a seed; it says when a COMMIT has returned. Whoever started it listens, kills it at a
//! random moment, and starts the next one on the same host or on another. What that one finds has to
//! be the state after some transaction, with everything that was promised in it.
//!
//! Not here: anything of the engine but its SQLite face, which the worker uses as an application does, and what the
//! command calls where something is done to a whole volume.

#![allow(clippy::missing_panics_doc, reason = "its panics are bugs of its own")]
// The harness stands outside of what it tests: real time, real processes.
#![allow(clippy::disallowed_methods, reason = "the engine's clock and tasks are not for tools")]

pub mod campaign; // rounds of killing and looking
pub mod child; // a worker process, from outside
pub mod deed; // the process that is killed while it does something to a whole volume
pub mod hosts; // folders that stand for hosts
pub mod ledger; // what was promised
pub mod model; // the table as it has to be
pub mod power; // a disk that loses what was not synced
pub mod profile; // settings of a volume
pub mod proxy; // a bad network
pub mod random; // a stream of numbers from a seed
pub mod run; // a campaign on several threads, with its report
pub mod server; // an S3 server
pub mod speech; // what a worker says
pub mod unfenced; // S3 servers that cannot fence
mod voyage; // the rounds on one volume
pub mod work; // what transactions do
pub mod worker; // the process that is killed
