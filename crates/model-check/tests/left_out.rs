//! Steps of the protocol are needed: without them some order of events breaks a promise.

use plimsoll_model_check::{Bounds, Step, check};

#[test]
fn without_a_fence_a_newer_head_or_a_comparison_there_is_a_counterexample() {
    for step in Step::QUICK {
        let outcome = check(Bounds::for_step(step), Some(step), 2);
        println!("without {step:?}: {outcome}");
        let story = outcome.broken.unwrap_or_else(|| panic!("{step:?} is not needed"));
        println!("{story}");
        assert!(story.starts_with("broken: ") && story.contains("  1. A opens"), "{story}");
    }
}
