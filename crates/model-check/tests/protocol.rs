//! The protocol keeps its promises in every order of events of small worlds.

use plimsoll_model_check::{Worlds, check};

#[test]
fn every_order_of_events_in_a_small_world_keeps_every_promise() {
    let mut missing: Option<Vec<&str>> = None;
    for (name, bounds) in Worlds::small() {
        let outcome = check(bounds, None, 2);
        println!("{name}: {outcome}");
        assert!(outcome.broken.is_none(), "{name}: {}", outcome.broken.unwrap_or_default());
        let also = |event: &&str| outcome.missing.contains(event);
        missing = Some(missing.map_or(outcome.missing.clone(), |all| all.into_iter().filter(also).collect()));
    }
    // A world in which nothing happens proves nothing.
    assert_eq!(missing, Some(Vec::new()));
}
