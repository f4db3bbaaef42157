//! Measures Plimsoll beside what people would pick instead, in one run and in turns.
//!
//! Every measurement is a process of its own, a *job*: it sees one subject, one case, one place. So memory and threads
//! are those of the subject alone, and a subject that breaks its process ends only its own job. The harness runs the
//! subjects of a case one after the other, again and again, and compares within each round, since what a machine can
//! do changes from minute to minute.

// What is measured here is the real machine.
#![allow(clippy::disallowed_methods, reason = "a measurement takes the real clock and threads")]

pub mod catalogue; // everything that can be measured
mod command; // what only the command can do
mod download; // what a scan cannot be faster than
pub mod figures; // what a job finds, and how rounds are summed up
mod floor; // what a commit cannot be without
pub mod harness; // runs jobs in turns
pub mod job; // what a job is asked, and how it answers
pub mod measure; // the clock, percentiles, and /proc
pub mod probe; // work for tools that count
pub mod report; // text, Markdown, JSON
pub mod s3; // the object store
mod s3_request; // what it is asked
pub mod subject; // what is measured
mod svg; // plots
mod workload; // tables and rows

mod bench; // a file per bench
