//! A short campaign: the long ones are run by hand.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

use std::path::PathBuf;

use plimsoll_crash::{
    campaign::Mode,
    run::{Options, Store, run},
};

#[test]
fn what_was_acknowledged_survives_a_minute_of_killing() {
    let options = Options {
        rounds: None,
        seconds: Some(60),
        seed: None,
        store: Store::File,
        losing_answers: None,
        mode: Mode::Mixed,
        power: false,
        jobs: 2,
    };
    run(&options, PathBuf::from(env!("CARGO_BIN_EXE_plimsoll-crash"))).unwrap();
}
