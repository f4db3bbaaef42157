//! The state machine with times made up, then the wrapper.

use std::{future::pending, sync::Arc};

use futures::FutureExt;
use plimsoll_host::os;
use plimsoll_model::{Error, ErrorKind, Result};

use super::*;
use crate::{
    Body, MemoryStore, Store,
    fault::{Fault, FaultyStore, Rule, Script},
};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Mono {
    Mono(SECOND * seconds)
}

fn machine() -> Machine {
    Machine::new(BreakerPolicy { failures_max: 2, probe_interval: SECOND * 10 })
}

fn opened_at_zero() -> Machine {
    let mut machine = machine();
    machine.record(at(0), Admission::Pass, Outcome::NoAnswer);
    assert_eq!(machine.state(), BreakerState::Closed);
    machine.record(at(0), Admission::Pass, Outcome::NoAnswer);
    assert_eq!(machine.state(), BreakerState::Open);
    machine
}

#[test]
fn only_consecutive_failures_open_it() {
    let mut machine = machine();
    for _ in 0..10 {
        machine.record(at(0), Admission::Pass, Outcome::NoAnswer);
        machine.record(at(0), Admission::Pass, Outcome::Answered);
        machine.record(at(0), Admission::Pass, Outcome::Abandoned);
    }
    assert_eq!(machine.state(), BreakerState::Closed);
    assert_eq!(machine.admit(at(0)), Admission::Pass);
}

#[test]
fn while_open_it_refuses_and_says_for_how_long() {
    let mut machine = opened_at_zero();
    assert_eq!(machine.admit(at(3)), Admission::Refuse { wait: SECOND * 7 });
}

#[test]
fn after_the_interval_exactly_one_probe_goes_through() {
    let mut machine = opened_at_zero();
    assert_eq!(machine.admit(at(10)), Admission::Probe);
    assert_eq!(machine.state(), BreakerState::HalfOpen);
    assert_eq!(machine.admit(at(11)), Admission::Refuse { wait: SECOND * 9 });
    machine.record(at(12), Admission::Probe, Outcome::NoAnswer);
    assert_eq!(machine.admit(at(21)), Admission::Refuse { wait: SECOND });
    assert_eq!(machine.admit(at(22)), Admission::Probe);
    machine.record(at(23), Admission::Probe, Outcome::Answered);
    assert_eq!(machine.state(), BreakerState::Closed);
}

#[test]
fn an_abandoned_probe_makes_room_for_the_next() {
    let mut machine = opened_at_zero();
    assert_eq!(machine.admit(at(10)), Admission::Probe);
    machine.record(at(11), Admission::Probe, Outcome::Abandoned);
    assert_eq!(machine.admit(at(11)), Admission::Probe);
}

#[test]
fn latecomers_do_not_prolong_the_outage_but_a_late_answer_ends_it() {
    let mut machine = opened_at_zero();
    machine.record(at(9), Admission::Pass, Outcome::NoAnswer);
    assert_eq!(machine.admit(at(10)), Admission::Probe);
    machine.record(at(11), Admission::Pass, Outcome::NoAnswer);
    assert_eq!(machine.state(), BreakerState::HalfOpen);
    machine.record(at(11), Admission::Pass, Outcome::Answered);
    assert_eq!(machine.state(), BreakerState::Closed);
}

#[test]
fn an_operation_that_is_dropped_half_way_leaves_the_breaker_as_it_was() {
    let host = os::host().unwrap();
    let policy = BreakerPolicy { failures_max: 1, probe_interval: Duration::ZERO };
    let breaker = Breaker::new(policy, Arc::clone(&host.clock));
    host.tasks.wait(async {
        let failure = async { Err::<(), _>(Error::new(ErrorKind::Unavailable, "reading")) };
        breaker.guard("s3://b/p", "k", failure).await.unwrap_err();
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.guard("s3://b/p", "k", pending::<Result<()>>()).now_or_never().is_none());
        assert_eq!(breaker.state(), BreakerState::Open, "the probe was dropped, the next one may start");
        breaker.guard("s3://b/p", "k", async { Ok(()) }).await.unwrap();
        assert_eq!(breaker.state(), BreakerState::Closed);
    });
}

#[test]
fn while_open_nothing_reaches_the_store_and_the_error_names_the_object() {
    let host = os::host().unwrap();
    let script = Script::default();
    script.add(Rule { op: None, key_contains: String::new(), fault: Fault::FailBefore, times: 2 });
    let memory = MemoryStore::private(Arc::clone(&host.clock));
    let faulty = FaultyStore::new(memory.clone(), script, Arc::clone(&host.clock));
    let policy = BreakerPolicy { failures_max: 2, probe_interval: Duration::from_secs(3600) };
    let store = BreakerStore::new(faulty, Breaker::new(policy, Arc::clone(&host.clock)));
    host.tasks.wait(async {
        store.put("a", Body::default()).await.unwrap_err();
        store.put("a", Body::default()).await.unwrap_err();
        let error = store.put("a", Body::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("memory:///private/a: not sent"), "{error}");
        assert!(memory.get("a").await.unwrap().is_none());
    });
}

/// A probe that was a large upload once kept everybody else out for as long as that took.
#[test]
fn a_probe_that_takes_its_time_does_not_keep_others_from_probing() {
    let mut machine = opened_at_zero();
    assert_eq!(machine.admit(at(10)), Admission::Probe);
    assert_eq!(machine.admit(at(19)), Admission::Refuse { wait: SECOND });
    assert_eq!(machine.admit(at(20)), Admission::Probe);
    assert_eq!(machine.admit(at(21)), Admission::Refuse { wait: SECOND * 9 });
    machine.record(at(22), Admission::Probe, Outcome::Answered);
    assert_eq!(machine.admit(at(22)), Admission::Pass);
    // The first one ends at last.
    machine.record(at(500), Admission::Probe, Outcome::NoAnswer);
    assert_eq!(machine.state(), BreakerState::Closed);
}
