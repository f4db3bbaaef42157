//! A process is killed at each named point of what is done to whole volumes, forking, detaching, removing, restoring,
//! and both this host and another go on from what is left: with the volume, and with the one that it was forked from.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

mod support;

use std::time::Instant;

use plimsoll_crash::{
    child::{Child, Silence},
    ledger::Ledger,
    speech::{Found, Said},
};
use plimsoll_host::crash::Point;
use support::{PATIENCE, SEED, Volume, Worker, copy, first_words, kill, listen, listen_to};

/// The two hosts that go on: one that was never here, and the one on which the process died.
const HOSTS: [&str; 2] = ["other", "one"];
/// Transactions before anything is forked.
const BEFORE: u64 = 20;

/// Volumes in one folder, seen from several hosts.
struct Fleet(Volume);

impl Fleet {
    /// With one volume, `parent`, that was written and closed on host `one`.
    fn new() -> (Fleet, Ledger) {
        let fleet = Fleet(Volume::in_directory());
        let mut ledger = Ledger::new(SEED, None);
        fleet.write("one", "parent", 1, BEFORE, &mut ledger);
        (fleet, ledger)
    }

    fn database(&self, name: &str) -> String {
        self.0.dir.path().join("stores").join(name).display().to_string()
    }

    fn start(&self, host: &str, arguments: Vec<String>) -> Child {
        Child::start(&self.0.launch(arguments, &self.0.host(host), &[], true)).unwrap()
    }

    /// Opens a volume, finds a state of its history, writes, and closes it.
    fn write(&self, host: &str, name: &str, generation: u64, transactions: u64, ledger: &mut Ledger) {
        let child = self.worker(host, name, generation, &[&format!("--transactions={transactions}")]);
        listen(&child, ledger, generation, PATIENCE, |said| matches!(said, Said::Closed(_)))
            .unwrap_or_else(|error| panic!("{name} on {host}: {error}"));
    }

    fn worker(&self, host: &str, name: &str, generation: u64, more: &[&str]) -> Child {
        let mut arguments = vec!["worker".to_owned(), format!("--database={}", self.database(name))];
        arguments.extend([format!("--seed={SEED}"), format!("--generation={generation}")]);
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        self.start(host, arguments)
    }

    fn peek(&self, name: &str) -> Result<Found, String> {
        self.peek_from("onlooker", name)
    }

    fn peek_from(&self, host: &str, name: &str) -> Result<Found, String> {
        first_words(&self.start(host, vec!["peek".to_owned(), format!("--database={}", self.database(name))]))
    }

    fn deed(&self, host: &str, what: &str, name: &str, object: &str, more: &[String]) -> Child {
        let mut arguments = vec!["deed".to_owned(), what.to_owned(), format!("--database={}", self.database(name))];
        arguments.push(format!("--object={object}"));
        arguments.extend_from_slice(more);
        self.start(host, arguments)
    }

    /// Does something to a whole volume.
    fn act(&self, host: &str, what: &str, name: &str, object: &str) -> Result<(), String> {
        match self.deed(host, what, name, object, &[]).next(Instant::now() + PATIENCE) {
            Ok(Said::Closed(None)) => Ok(()),
            Ok(Said::Failed(_, error)) => Err(error),
            other => panic!("{what} {name} on {host}: {other:?}"),
        }
    }

    /// The same on host `one`, which dies in the middle of it.
    fn dies(&self, point: Point, what: &str, name: &str, object: &str) {
        let mut child = self.deed("one", what, name, object, &[format!("--crash-at={}", point.name())]);
        match child.next(Instant::now() + PATIENCE) {
            Err(Silence::Gone) => assert!(child.was_killed(), "{point:?}: it ended in another way"),
            other => panic!("{point:?} was not passed: {other:?}"),
        }
    }

    /// Has each host go on from what is there now.
    fn each_goes_on(&self, then: impl Fn(&str)) {
        let left = tempfile::tempdir().unwrap();
        let backup = left.path().join("left");
        copy(self.0.dir.path(), &backup);
        for host in HOSTS {
            copy(&backup, self.0.dir.path());
            then(host);
        }
    }
}

/// The state after transaction `n`, and nothing else.
fn is(found: Result<Found, String>, n: u64, ledger: &Ledger, what: &str) {
    let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
    ledger.clone().is_a_state(&found).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(found.n, n, "{what}");
}

#[test]
fn killed_at_any_point_of_forking_there_is_a_whole_fork_or_none_and_the_parent_goes_on() {
    for point in [Point::ForkPinned, Point::ForkMade] {
        let (fleet, ledger) = Fleet::new();
        fleet.dies(point, "fork", "parent", &fleet.database("child"));
        fleet.each_goes_on(|host| {
            let what = format!("{point:?}, {host}");
            fleet.write(host, "parent", 2, 3, &mut ledger.clone());
            let again = fleet.act(host, "fork", "parent", &fleet.database("child"));
            let at_fork = if point == Point::ForkMade { BEFORE } else { BEFORE + 3 };
            assert_eq!(again.is_err(), point == Point::ForkMade, "{what}: {again:?}");
            let mut child = ledger.clone();
            if at_fork > BEFORE {
                child.hear(&Said::Begin(BEFORE + 1), 2).unwrap();
                child.hear(&Said::Begin(BEFORE + 2), 2).unwrap();
                child.hear(&Said::Begin(BEFORE + 3), 2).unwrap();
            }
            is(fleet.peek("child"), at_fork, &child, &what);
            fleet.write(host, "child", 3, 3, &mut child);
            let refused = fleet.act(host, "remove", "parent", "").unwrap_err();
            assert!(refused.contains("child"), "{what}: {refused}");
            // What the dead one left keeps nobody from anything.
            fleet.act(host, "remove", "child", "").unwrap();
            fleet.act(host, "remove", "parent", "").unwrap();
        });
    }
}

#[test]
fn killed_at_any_point_of_detaching_the_fork_and_its_parent_go_on_and_detaching_ends_another_time() {
    for point in [Point::DetachCopied, Point::DetachMarking, Point::DetachMarked, Point::DetachTold] {
        let (fleet, ledger) = Fleet::new();
        fleet.act("one", "fork", "parent", &fleet.database("child")).unwrap();
        let mut child = ledger.clone();
        fleet.write("one", "child", 2, 3, &mut child);
        fleet.dies(point, "detach", "child", "");
        fleet.each_goes_on(|host| {
            let what = format!("{point:?}, {host}");
            let mut child = child.clone();
            is(fleet.peek("child"), BEFORE + 3, &child, &what);
            fleet.write(host, "parent", 3, 3, &mut ledger.clone());
            fleet.write(host, "child", 4, 3, &mut child);
            fleet.act(host, "detach", "child", "").unwrap();
            fleet.act(host, "remove", "parent", "").unwrap_or_else(|error| panic!("{what}: {error}"));
            is(fleet.peek("child"), BEFORE + 6, &child, &what);
        });
    }
}

#[test]
fn killed_at_any_point_of_removing_a_fork_nobody_opens_half_of_it_and_its_parent_goes_on() {
    for point in [Point::RemovalMarked, Point::RemovalDecided, Point::RemovalTold, Point::RemovalEmptied] {
        let (fleet, ledger) = Fleet::new();
        fleet.act("one", "fork", "parent", &fleet.database("child")).unwrap();
        let mut child = ledger.clone();
        fleet.write("one", "child", 2, 3, &mut child);
        fleet.dies(point, "remove", "child", "");
        fleet.each_goes_on(|host| {
            let what = format!("{point:?}, {host}");
            // Also where most of it is local.
            for from in ["onlooker", host] {
                let found = fleet.peek_from(from, "child");
                if matches!(point, Point::RemovalMarked | Point::RemovalDecided) {
                    is(found, BEFORE + 3, &child, &what);
                } else {
                    assert!(found.is_err(), "{what}: {from} found {found:?}");
                }
            }
            fleet.write(host, "parent", 3, 3, &mut ledger.clone());
            fleet.act(host, "remove", "child", "").unwrap_or_else(|error| panic!("{what}: {error}"));
            fleet.act(host, "remove", "parent", "").unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(!std::path::Path::new(&fleet.database("parent")).join("volume.json").exists());
        });
    }
}

#[test]
fn killed_while_it_removes_the_parent_of_a_fork_the_fork_goes_on_and_loses_nothing() {
    let (fleet, ledger) = Fleet::new();
    fleet.act("one", "fork", "parent", &fleet.database("child")).unwrap();
    // It sees no fork, and one is there once it has said that it removes the volume.
    std::fs::rename(fleet.database("child"), fleet.database("aside")).unwrap();
    fleet.dies(Point::RemovalMarked, "remove", "parent", "");
    std::fs::rename(fleet.database("aside"), fleet.database("child")).unwrap();
    fleet.each_goes_on(|host| {
        let mut child = ledger.clone();
        fleet.write(host, "child", 2, 3, &mut child);
        let refused = fleet.act(host, "remove", "parent", "").unwrap_err();
        assert!(refused.contains("child"), "{host}: {refused}");
        fleet.act(host, "detach", "child", "").unwrap();
        fleet.act(host, "remove", "parent", "").unwrap();
        is(fleet.peek("child"), BEFORE + 3, &child, host);
    });
}

#[test]
fn killed_in_the_middle_of_a_restore_it_is_made_or_not_and_its_host_has_made_it() {
    let (fleet, mut ledger) = Fleet::new();
    let child = fleet.worker("one", "parent", 2, &["--transactions=8", "--checkpoint-every=5"]);
    let mut kept = None;
    let closed = |said: &Said| {
        if let Said::Kept(name, n) = said {
            kept.get_or_insert((name.clone(), *n));
        }
        matches!(said, Said::Closed(_))
    };
    listen(&child, &mut ledger, 2, PATIENCE, closed).unwrap();
    let (name, n) = kept.unwrap();
    fleet.dies(Point::RestoreCommitted, "restore", "parent", &name);
    fleet.each_goes_on(|host| {
        // Whoever writes goes on from the journal, if it is this host's.
        let found = first_words(&fleet.worker(host, "parent", 3, &["--transactions=0"])).unwrap();
        let mut ledger = ledger.clone();
        ledger.is_a_state(&found).unwrap();
        assert!(found.n == n || (host == "other" && found.n == BEFORE + 8), "{host} found {}", found.n);
        fleet.act(host, "restore", "parent", &name).unwrap();
        is(fleet.peek("parent"), n, &ledger, host);
    });
}

#[test]
fn killed_while_it_discards_a_stranded_journal_both_hosts_go_on_with_the_history() {
    let (fleet, mut ledger) = Fleet::new();
    // A journal that no sync has, and another host that goes on without it.
    let slow = [("SYNC_INTERVAL_MS", "600000"), ("SYNC_BACKLOG_BYTES", "0"), ("MAX_LOSS_WINDOW_MS", "900000")];
    let database = fleet.database("parent");
    let lost = Volume { dir: tempfile::tempdir().unwrap(), database, endpoint: None };
    let arguments = ["--synchronous=FULL"];
    let worker = Worker { generation: 2, settings: &slow, arguments: &arguments, ..Worker::default() };
    let launch = lost.launch_worker(&worker);
    let mut variables = launch.variables.clone();
    variables.retain(|(name, _)| name != "PLIMSOLL_STATE_DIR");
    variables.push(("PLIMSOLL_STATE_DIR".to_owned(), fleet.0.host("one").display().to_string()));
    let child = Child::start(&plimsoll_crash::child::Launch { variables, ..launch }).unwrap();
    let mut aside = ledger.clone();
    listen_to(&child, &mut aside, 2, BEFORE + 5);
    kill(child, &mut aside, 2);
    let goes_on = fleet.worker("other", "parent", 3, &["--transactions=3"]);
    assert_eq!(first_words(&goes_on).unwrap().n, BEFORE);
    listen(&goes_on, &mut ledger, 3, PATIENCE, |said| matches!(said, Said::Closed(_))).unwrap();
    let back = fleet.worker("one", "parent", 4, &["--transactions=3"]);
    assert_eq!(first_words(&back).unwrap().stranded.len(), 1);
    listen(&back, &mut ledger, 4, PATIENCE, |said| matches!(said, Said::Closed(_))).unwrap();
    fleet.dies(Point::DiscardDropped, "discard", "parent", "");
    fleet.each_goes_on(|host| {
        let mut ledger = ledger.clone();
        fleet.act(host, "discard", "parent", "").unwrap();
        fleet.write(host, "parent", 5, 3, &mut ledger);
        is(fleet.peek("parent"), BEFORE + 9, &ledger, host);
    });
}
