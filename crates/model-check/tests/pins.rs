//! Pinning beside collecting, in every order of events.

use clap::ValueEnum as _;
use plimsoll_model_check::{PinBounds, PinStep, check_pins};

#[test]
fn a_pin_that_holds_keeps_its_objects_in_every_order_of_events_beside_collectors_that_are_slow_or_die() {
    for bounds in PinBounds::WORLDS {
        let outcome = check_pins(bounds, None, 2);
        println!("{bounds:?}: {outcome}");
        assert!(outcome.broken.is_none(), "{}", outcome.broken.unwrap_or_default());
        // A world in which nothing happens proves nothing.
        assert!(outcome.missing.is_empty(), "{:?}", outcome.missing);
    }
}

#[test]
fn each_step_of_pinning_and_collecting_is_needed() {
    for step in PinStep::value_variants() {
        let outcome = check_pins(PinBounds::for_step(*step), Some(*step), 2);
        println!("without {step:?}: {outcome}");
        let story = outcome.broken.unwrap_or_else(|| panic!("{step:?} is not needed"));
        assert!(story.starts_with("broken: ") && story.contains("  1. "), "{story}");
    }
}
