//! Removing a volume beside forking and opening it, in every order of events.

use clap::ValueEnum as _;
use plimsoll_model_check::{RemovalStep, check_removal};

#[test]
fn neither_a_fork_that_was_made_nor_an_open_volume_loses_its_objects_to_a_removal_in_any_order_of_events() {
    let outcome = check_removal(None, 2);
    println!("{outcome}");
    assert!(outcome.broken.is_none(), "{}", outcome.broken.unwrap_or_default());
    // A world in which nothing happens proves nothing.
    assert!(outcome.missing.is_empty(), "{:?}", outcome.missing);
}

#[test]
fn each_step_of_removing_forking_and_opening_is_needed() {
    for step in RemovalStep::value_variants() {
        let outcome = check_removal(Some(*step), 2);
        println!("without {step:?}: {outcome}");
        let story = outcome.broken.unwrap_or_else(|| panic!("{step:?} is not needed"));
        assert!(story.starts_with("broken: ") && story.contains("  1. "), "{story}");
    }
}
