//! Retries on a clock that only tests move.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use futures::future::{BoxFuture, ready};
use plimsoll_host::{Chance, Clock, Mono, WallMs, os};

use super::*;
use crate::{
    MemoryStore,
    fault::{Fault, FaultyStore, Op, Rule, Script},
};

/// Time passes only by sleeping, and then at once. The longest pause is always drawn.
#[derive(Default)]
struct Lab {
    now: Mutex<Duration>,
    pauses: Mutex<Vec<Duration>>,
}

impl Clock for Lab {
    fn now(&self) -> Mono {
        Mono(*self.now.lock().unwrap())
    }

    fn wall(&self) -> WallMs {
        WallMs(0)
    }

    fn sleep_until(&self, deadline: Mono) -> BoxFuture<'static, ()> {
        let mut now = self.now.lock().unwrap();
        self.pauses.lock().unwrap().push(deadline.0.saturating_sub(*now));
        *now = deadline.0.max(*now);
        Box::pin(ready(()))
    }
}

impl Chance for Lab {
    fn bits(&self) -> u64 {
        u64::MAX
    }

    fn below(&self, bound: u64) -> u64 {
        bound.saturating_sub(1)
    }
}

fn lab() -> (Arc<Lab>, Host) {
    let lab = Arc::new(Lab::default());
    let host = Host { clock: Arc::clone(&lab) as _, chance: Arc::clone(&lab) as _, ..os::host().unwrap() };
    (lab, host)
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        attempts_max: 5,
        total_max: Duration::from_secs(60),
        pause_first: Duration::from_secs(1),
        pause_max: Duration::from_secs(4),
    }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "reading").object("s3://b/k").hint("check the network")
}

#[test]
fn no_try_starts_after_the_budget_though_the_machine_slept_during_a_pause() {
    struct Asleep(Lab);
    impl Clock for Asleep {
        fn now(&self) -> Mono {
            self.0.now()
        }
        fn wall(&self) -> WallMs {
            self.0.wall()
        }
        fn sleep_until(&self, deadline: Mono) -> BoxFuture<'static, ()> {
            self.0.sleep_until(Mono(deadline.0 + Duration::from_secs(3600)))
        }
    }
    let (lab, host) = lab();
    let host = Host { clock: Arc::new(Asleep(Lab::default())), chance: lab as _, ..host };
    assert_eq!(exhaust(&policy(), &host, unavailable).1, 1);
}

/// Runs a policy over attempts that all fail, and returns the error and the number of tries.
fn exhaust(policy: &RetryPolicy, host: &Host, error: impl Fn() -> Error + Sync) -> (Error, u32) {
    let tries = AtomicU32::new(0);
    let attempt = || {
        tries.fetch_add(1, Ordering::Relaxed);
        ready(Err::<(), Error>(error()))
    };
    let outcome = host.tasks.wait(policy.run(host, attempt));
    (outcome.unwrap_err(), tries.load(Ordering::Relaxed))
}

#[test]
fn pauses_double_up_to_their_bound_and_the_tries_are_counted() {
    let (lab, host) = lab();
    let (error, tries) = exhaust(&policy(), &host, unavailable);
    assert_eq!(tries, 5);
    let seconds: Vec<_> = lab.pauses.lock().unwrap().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [1, 2, 4, 4]);
    assert_eq!(error.to_string(), "reading s3://b/k (tried 5 times in 11.0 s; check the network)");
}

#[test]
fn no_try_starts_after_the_time_is_spent() {
    let (_, host) = lab();
    let policy = RetryPolicy { total_max: Duration::from_secs(6), ..policy() };
    let (_, tries) = exhaust(&policy, &host, unavailable);
    assert_eq!(tries, 3, "at 0, 1 and 3 seconds; the next would be at 7");
}

#[test]
fn what_is_not_an_outage_is_final_at_once() {
    for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Corrupt, ErrorKind::Io] {
        let (_, host) = lab();
        let (error, tries) = exhaust(&policy(), &host, || Error::new(kind, "reading"));
        assert_eq!((error.kind(), tries), (kind, 1));
    }
}

#[test]
fn one_try_means_one_try() {
    let (lab, host) = lab();
    assert_eq!(exhaust(&RetryPolicy::NEVER, &host, unavailable).1, 1);
    assert!(lab.pauses.lock().unwrap().is_empty());
}

#[test]
fn every_operation_survives_outages_shorter_than_the_budget() {
    let (_, host) = lab();
    let script = Script::default();
    let memory = MemoryStore::private(Arc::clone(&host.clock));
    let faulty = FaultyStore::new(memory, script.clone(), Arc::clone(&host.clock));
    let store = RetryStore::new(faulty, policy(), &host);
    let fail = |op| script.add(Rule { op: Some(op), key_contains: String::new(), fault: Fault::FailBefore, times: 4 });
    host.tasks.wait(async {
        fail(Op::Create);
        assert_eq!(store.create("a", Body::from(vec![1])).await.unwrap(), Created::New);
        fail(Op::Put);
        store.put("b", Body::from(vec![2, 3])).await.unwrap();
        fail(Op::Get);
        assert_eq!(&store.get("b").await.unwrap().unwrap().bytes[..], [2, 3]);
        fail(Op::GetRange);
        assert_eq!(&store.get_range("b", 1..2).await.unwrap().unwrap()[..], [3]);
        fail(Op::GetTail);
        assert_eq!(&store.get_tail("b", 1).await.unwrap().unwrap().bytes[..], [3]);
        fail(Op::List);
        assert_eq!(store.list("", None).await.unwrap().len(), 2);
        fail(Op::Delete);
        store.delete(&["a".into(), "b".into()]).await.unwrap();
        assert!(store.list("", None).await.unwrap().is_empty());
    });
    assert!(script.is_used_up());
}

/// What was listed before may be another volume's by then.
#[test]
fn a_delete_that_may_be_sent_once_is_sent_once() {
    let (_, host) = lab();
    let script = Script::default();
    let memory = MemoryStore::private(Arc::clone(&host.clock));
    let faulty = FaultyStore::new(memory, script.clone(), Arc::clone(&host.clock));
    let store = RetryStore::new(faulty, policy(), &host);
    script.add(Rule { op: Some(Op::Delete), key_contains: String::new(), fault: Fault::FailBefore, times: 1 });
    host.tasks.wait(async {
        store.put("a", Body::default()).await.unwrap();
        let error = store.delete_once(&["a".into()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(store.get("a").await.unwrap().is_some(), "nobody has tried again");
    });
    assert!(script.is_used_up());
}

#[test]
fn a_create_whose_answer_was_lost_is_reported_as_existing() {
    let (_, host) = lab();
    let script = Script::default();
    let memory = MemoryStore::private(Arc::clone(&host.clock));
    let faulty = FaultyStore::new(memory, script.clone(), Arc::clone(&host.clock));
    let store = RetryStore::new(faulty, policy(), &host);
    script.once(Op::Create, "a", Fault::AppliedButNoAnswer);
    assert_eq!(host.tasks.wait(store.create("a", Body::default())).unwrap(), Created::Exists);
}
