//! Feeds every decoder what nobody wrote: no input may panic, run for ever, or make us allocate much more than it is
//! long; and what is read must be what would be written.
//!
//! Inputs that once broke something, or reach what no other reaches, are kept in `corpus/<target>`, and files of every format
//! version in `golden`. From there, and from what the code as it is writes, they are mutated, with the checksums of a
//! format made right again, so that what is behind them is reached: by libFuzzer, which is guided by the branches that an
//! input takes (`cargo xtask fuzz`; it wants a C++ compiler), and with every test by chance from a seed.

// Time is only for reporting, and for noticing what does not end.
#![allow(clippy::disallowed_methods, reason = "nothing here is simulated")]

mod corpus; // inputs that are kept
mod guard; // what an input may cost
mod mutate; // changing an input
mod run; // one target, many inputs
mod targets; // what is fed

pub use run::{Budget, Report, feed_one, run};
pub use targets::{ALL, Target};
