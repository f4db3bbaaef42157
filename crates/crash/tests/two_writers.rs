//! Two processes, each believing that the volume is its own.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use plimsoll_crash::{
    child::Silence,
    ledger::{Ledger, Loss},
    speech::{Said, Synchronous},
};
use support::{PATIENCE, SEED, Volume, Worker, first_words, listen_to};

#[test]
fn a_writer_that_slept_through_a_takeover_is_told_and_its_last_commits_are_kept_aside() {
    for retention_ms in ["60000", "600"] {
        let volume = Volume::in_directory();
        let mut ledger = Ledger::new(SEED, None);
        // Syncs are rare, so that there is something to lose; and answered long after what they are about.
        let settings = [("SYNC_INTERVAL_MS", "400"), ("L0_RETENTION_MS", retention_ms)];
        let first = Worker { host: "first", generation: 1, settings: &settings, ..Worker::default() };
        let arguments = ["--synchronous=NORMAL", "--stubborn", "--pause-ms=1"];
        let first = volume.start(&Worker { arguments: &arguments, ..first });
        listen_to(&first, &mut ledger, 1, 60);
        first.put_to_sleep();
        while let Ok(said) = first.next(Instant::now() + Duration::from_millis(50)) {
            ledger.hear(&said, 1).unwrap();
        }
        let acked_asleep = ledger.line().acked;

        let settings = [("L0_RETENTION_MS", retention_ms)];
        let second = Worker { host: "second", generation: 2, takeover: true, settings: &settings, ..Worker::default() };
        let second = volume.start(&second);
        let found = first_words(&second).unwrap();
        ledger.check(&found, Loss::Host).unwrap();
        listen_to(&second, &mut ledger, 2, found.n + 60);
        // Objects of the first writer may be merged and removed meanwhile.
        thread::sleep(Duration::from_millis(1500));

        first.wake();
        let acked = acknowledged_until_told(&first, acked_asleep);
        let mut told = 0;
        let quiet = Instant::now() + Duration::from_secs(2);
        loop {
            match first.next(if told > 3 { quiet } else { Instant::now() + PATIENCE }) {
                Ok(Said::Failed(_, _)) => told += 1,
                Ok(Said::Committed(n, level)) => panic!("{n} was acknowledged at {level:?} after the fence"),
                Ok(_) => {}
                Err(Silence::NotYet) => break,
                Err(Silence::Gone) => panic!("it is gone"),
            }
        }
        assert!(told > 3, "each try is told so, not only the first");
        drop(first);

        second.tell_to_close();
        while let Ok(said) = second.next(Instant::now() + PATIENCE) {
            ledger.hear(&said, 2).unwrap();
        }
        let stored = volume.peek().unwrap();
        ledger.check_stored(&stored).unwrap();
        assert_eq!(stored.n, ledger.line().acked, "all of the second writer's history, and nothing else");

        let back = volume.start(&Worker { host: "first", generation: 3, takeover: true, ..Worker::default() });
        let seen = first_words(&back).unwrap();
        ledger.check(&seen, Loss::Process).unwrap();
        assert!(acked > found.n, "there was something to lose");
        let [stranded] = seen.stranded.as_slice() else { panic!("one journal is kept aside: {:?}", seen.stranded) };
        assert!(std::fs::read_dir(stranded).unwrap().next().is_some(), "and has something in it");
    }
}

/// Listens to the fenced writer until it has an error; the last transaction that it acknowledged.
fn acknowledged_until_told(first: &plimsoll_crash::child::Child, mut acked: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match first.next(deadline).unwrap() {
            Said::Committed(n, level) => {
                assert_ne!(level, Synchronous::Extra);
                acked = acked.max(n);
            }
            Said::Failed(_, error) => {
                assert!(error.contains("another writer has taken the volume"), "{error}");
                return acked;
            }
            _ => {}
        }
    }
}

#[test]
fn a_second_host_is_refused_while_the_first_is_alive() {
    let volume = Volume::in_directory();
    let mut ledger = Ledger::new(SEED, None);
    let first = volume.start(&Worker { host: "first", generation: 1, ..Worker::default() });
    listen_to(&first, &mut ledger, 1, 20);
    let arguments = ["--synchronous=FULL"];
    let second = Worker { host: "second", generation: 2, arguments: &arguments, ..Worker::default() };
    let second = volume.start(&second);
    first_words(&second).unwrap();
    let refused = second
        .until(PATIENCE, |said| match said {
            Said::Failed(_, error) => Some(error.clone()),
            Said::Committed(..) => panic!("it wrote although another host holds the volume"),
            _ => None,
        })
        .unwrap();
    assert!(refused.contains("takeover"), "it says what to do: {refused}");
    let acked = ledger.line().acked;
    listen_to(&first, &mut ledger, 1, acked + 20);
}
