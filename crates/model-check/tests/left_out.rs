//! Steps of the protocol are needed: without them some order of events breaks a promise.

use clap::ValueEnum as _;
use plimsoll_model_check::{Bounds, Step, check};

#[test]
fn each_step_of_the_protocol_is_needed() {
    for step in Step::value_variants() {
        let outcome = check(Bounds::for_step(*step), Some(*step), 2);
        println!("without {step:?}: {outcome}");
        let story = outcome.broken.unwrap_or_else(|| panic!("{step:?} is not needed"));
        println!("{story}");
        assert!(story.starts_with("broken: ") && story.contains("  1. "), "{story}");
    }
}
