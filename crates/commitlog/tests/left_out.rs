//! Each step of the protocol is needed: without it some random world goes wrong.

#![cfg(feature = "mutate")]

mod support;

use plimsoll_commitlog::Steps;
use support::sim::simulate;

fn goes_wrong_without(leave_out: impl Fn(&mut Steps)) {
    let mut steps = Steps::default();
    leave_out(&mut steps);
    let wrong = (0..3000).find_map(|seed| simulate(seed, |context| context.with_steps(steps)).err());
    println!("{}", wrong.expect("no world noticed that the step was left out"));
}

#[test]
fn the_fence_is_needed() {
    goes_wrong_without(|steps| steps.fence = false);
}

#[test]
fn giving_up_on_a_newer_head_is_needed() {
    goes_wrong_without(|steps| steps.give_up = false);
}

#[test]
fn reading_the_tail_again_is_needed() {
    goes_wrong_without(|steps| steps.read_tail_again = false);
}

#[test]
fn the_look_is_needed() {
    goes_wrong_without(|steps| steps.look = false);
}

#[test]
fn comparing_the_stamp_is_needed() {
    goes_wrong_without(|steps| steps.compare = false);
}
