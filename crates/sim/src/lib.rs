//! The whole engine on simulated hosts, from a seed.
//!
//! Several hosts open one volume in one store, or a volume, its forks and theirs. Each has a clock of its own, a disk that loses what was not synced,
//! and applications that write, read, wait and close. Requests take time, get lost, lose their answers, or arrive
//! much too late. Hosts are killed, lose power, sleep for hours, are cut off, are lost altogether. Nothing here is a
//! copy of the engine: journal, levels, commit log, pages, cache, merging and the volume itself run as they are.
//!
//! A judge keeps a list of every commit that was tried and of all that was said about it, and holds it against the
//! promises of ARCHITECTURE's table: Prefix, Honest levels, No silent loss, One history, Bounded loss, Nothing reachable is
//! deleted, Forward reads, The cache is not durability, Bytes are checked.
//!
//! The same seed gives the same run, byte for byte of its trace.

mod advertised; // what writers said of themselves
mod aim; // what a run is after
mod aside; // journals that were kept aside
mod bucket; // the store itself
mod called_off; // removals that come no further
mod commits; // what was tried, as a tree
mod coverage; // what a run is there to try
mod deed; // what is done with pointers to states
mod dice; // randomness
mod executor; // every task on one thread
mod family; // a volume and its forks
mod fate; // what befalls the hosts
mod finale; // those who look at what is left
mod handle; // an open volume and what it has said
mod history; // what the store holds, object by object
mod judge; // promises
mod machine; // a host
mod manners; // who takes a volume from whom
mod moving; // from host to host
#[cfg(feature = "mutate")]
pub mod mutants; // the test of the test
mod network; // the way to the store
mod past; // earlier states, read and held against what they were
mod pointers; // what was said of states beside the newest
mod policy; // what was in force
mod profile; // what a run is like
mod promise; // what is promised
mod records; // pins and collectors that meet
mod run; // from the first blow to the last check
mod scene; // what hosts do first
mod staging; // runs that begin with one
mod state; // what a volume should hold
mod store; // the store as a host sees it
mod tenure; // who held the volume
mod time; // virtual time
mod trace; // what happened
mod waiting; // doing nothing else
mod worker; // what applications do

pub use aim::Aim;
pub use coverage::{Coverage, Event};
pub use promise::{Broken, Promise};
pub use run::{Progress, Report, run, run_watched};
