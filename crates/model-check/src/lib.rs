//! Every interleaving of the commit protocol in a small world: two hosts whose processes crash and come back, late and
//! lost requests, merging and collecting, a reader.
//!
//! What is decided is decided by the engine's own pure functions ([`plimsoll_commitlog::rules`],
//! [`plimsoll_volume::rules`], restore plans, merge inputs, garbage). What is modelled is everything around them: in
//! which order requests are sent, when they arrive, whether an answer does, how time passes, who dies. A [`Step`] of
//! the protocol can be left out; then there must be a counterexample, or the step is not needed.

// Time is only for reporting.
#![allow(clippy::disallowed_methods, reason = "nothing here is simulated")]

mod bounds; // how large the world is
mod bucket; // what the store holds
mod check; // looking at every state
mod explore; // breadth first
mod object; // a sync
mod pins; // pinning beside collecting, a world of its own
mod process; // a host, and its process if that lives
mod promise; // what must hold
mod reader; // somebody who only reads
mod removal; // removing beside forking and opening, a world of its own
mod round; // merging and collecting
mod scene; // where a world begins
mod step; // what can be left out
mod story; // a counterexample in words
mod world; // the state, and what can happen next
mod writing; // being the writer

pub use bounds::{Bounds, Worlds};
pub use check::{Outcome, check};
pub use pins::{PinBounds, PinStep, check_pins};
pub use removal::{RemovalStep, check_removal};
pub use scene::Scene;
pub use step::Step;
