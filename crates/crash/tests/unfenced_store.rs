//! An S3 server that accepts `If-None-Match: *` and ignores it, always or in races: a second writer could not be noticed there.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

mod support;

use plimsoll_crash::{
    child::{Child, Launch},
    ledger::{Ledger, Loss},
    speech::Said,
    unfenced::Unfenced,
};
use support::{PATIENCE, SEED, Volume, Worker, first_words, listen};

fn start(server: &Unfenced, mut launch: Launch, trusted: bool) -> Child {
    launch.variables.push(("PLIMSOLL_UNSAFE_NO_FENCING".to_owned(), trusted.to_string()));
    launch.variables.extend(server.variables());
    Child::start(&launch).unwrap()
}

#[test]
fn a_store_that_cannot_fence_is_refused_for_writing_by_name_and_read_all_the_same() {
    let objects = tempfile::tempdir().unwrap();
    let server = Unfenced::start(objects.path()).unwrap();
    let volume = Volume::on_server("db", server.address());
    let mut ledger = Ledger::new(SEED, None);

    // Somebody who runs exactly one writer, and says so.
    let arguments = ["--transactions=12"];
    let worker = Worker { host: "one", generation: 1, arguments: &arguments, ..Worker::default() };
    let child = start(&server, volume.launch_worker(&worker), true);
    let closed = |said: &Said| matches!(said, Said::Closed(_));
    listen(&child, &mut ledger, 1, PATIENCE, closed).unwrap();

    // Somebody who does not.
    let again = Worker { generation: 2, ..worker };
    let child = start(&server, volume.launch_worker(&again), false);
    let found = first_words(&child).unwrap();
    ledger.check(&found, Loss::Process).unwrap();
    let refused = child
        .until(PATIENCE, |said| match said {
            Said::Failed(_, error) => Some(error.clone()),
            Said::Committed(..) => panic!("it wrote where a second writer would not be noticed"),
            _ => None,
        })
        .unwrap();
    for part in ["unsafe_no_fencing", "s3://crash", &server.address().to_string()] {
        assert!(refused.contains(part), "{part}: {refused}");
    }

    let state = tempfile::tempdir().unwrap();
    let arguments = vec!["peek".to_owned(), format!("--database={}", volume.database)];
    let found = first_words(&start(&server, volume.launch(arguments, state.path(), &[], false), false)).unwrap();
    ledger.check_stored(&found).unwrap();
    assert_eq!(found.n, 12);
}
