//! An object store that cannot be reached for a while, or whose answers get lost.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use plimsoll_crash::{
    child::Child,
    ledger::{Ledger, Loss},
    proxy::{Proxy, Weather},
    server::Server,
    speech::{Found, Said},
};
use support::{PATIENCE, SEED, Volume, Worker, first_words, is_status, kill, listen, listen_past_failures, listen_to};

/// A server, a proxy before it, and a volume behind it.
struct Scene {
    server: Server,
    proxy: Proxy,
    volume: Volume,
    ledger: Ledger,
}

const WRITER: Worker<'static> =
    Worker { host: "one", generation: 1, takeover: false, settings: &[], arguments: &["--synchronous=NORMAL"] };

impl Scene {
    fn new() -> Scene {
        let server = Server::start().unwrap();
        let proxy = Proxy::start(server.address()).unwrap();
        let volume = Volume::on_server(&format!("db-{}", proxy.address().port()), proxy.address());
        Scene { server, proxy, volume, ledger: Ledger::new(SEED, None) }
    }

    /// What another host finds, which has a way of its own to the server.
    fn elsewhere(&self) -> Found {
        let name = format!("db-{}", self.proxy.address().port());
        let there = Volume::on_server(&name, self.server.address());
        there.peek().unwrap()
    }

    fn close(&mut self, child: Child, generation: u64) -> Result<(), String> {
        child.tell_to_close();
        listen(&child, &mut self.ledger, generation, PATIENCE, |said| matches!(said, Said::Closed(_)))
    }

    fn until_fails(&mut self, child: &Child) -> String {
        listen(child, &mut self.ledger, 1, PATIENCE, |_| false).unwrap_err()
    }
}

#[test]
fn reading_and_writing_go_on_locally_and_syncs_resume_by_themselves() {
    let mut scene = Scene::new();
    let child = scene.volume.start(&Worker { arguments: &["--synchronous=NORMAL", "--pause-ms=2"], ..WRITER });
    listen_to(&child, &mut scene.ledger, 1, 40);
    scene.proxy.set(Weather::Refusing);
    let before = scene.ledger.line().acked;
    listen_to(&child, &mut scene.ledger, 1, before + 150);
    listen(&child, &mut scene.ledger, 1, PATIENCE, is_status(|status| status.commits > 50 && status.trouble.is_some()))
        .expect("the load grows and the trouble is told");
    scene.proxy.set(Weather::Fair);
    let at = scene.ledger.line().acked;
    listen(
        &child,
        &mut scene.ledger,
        1,
        PATIENCE,
        |said| matches!(said, Said::Status(status) if status.n > at && status.commits < 40),
    )
    .expect("the load goes away");
    scene.close(child, 1).unwrap();
    let found = scene.elsewhere();
    scene.ledger.check_stored(&found).unwrap();
}

#[test]
fn at_the_load_line_block_waits_and_goes_on_when_the_store_is_back() {
    let mut scene = Scene::new();
    let settings = [("MAX_DIRTY_BYTES", "200000"), ("SYNC_TIMEOUT_MS", "0")];
    scene.ledger = Ledger::new(SEED, Some(200_000));
    let child = scene.volume.start(&Worker { settings: &settings, ..WRITER });
    listen_to(&child, &mut scene.ledger, 1, 40);
    scene.proxy.set(Weather::Refusing);
    let stuck = listen(&child, &mut scene.ledger, 1, Duration::from_secs(3), |_| false);
    assert_eq!(stuck.unwrap_err(), "nothing more was said in time");
    let acked = scene.ledger.line().acked;
    let more = listen(&child, &mut scene.ledger, 1, Duration::from_secs(1), |_| true);
    assert_eq!(more.unwrap_err(), "nothing more was said in time", "it waits");
    scene.proxy.set(Weather::Fair);
    listen_to(&child, &mut scene.ledger, 1, acked + 30);
    scene.close(child, 1).unwrap();
    let found = scene.elsewhere();
    scene.ledger.check_stored(&found).unwrap();
}

#[test]
fn at_the_load_line_fail_says_so_and_goes_on_when_the_store_is_back() {
    let mut scene = Scene::new();
    let settings = [("MAX_DIRTY_BYTES", "200000"), ("ON_LOAD_LINE", "fail")];
    let arguments = ["--synchronous=NORMAL", "--stubborn"];
    let child = scene.volume.start(&Worker { settings: &settings, arguments: &arguments, ..WRITER });
    // One that is larger than what the line leaves fails now and then on a good day, too.
    listen_past_failures(&child, &mut scene.ledger, 1, 40);
    scene.proxy.set(Weather::Refusing);
    let error = scene.until_fails(&child);
    assert!(error.contains("load line") || error.contains("max_dirty_bytes"), "{error}");
    scene.proxy.set(Weather::Fair);
    let acked = scene.ledger.line().acked;
    // Some tries still fail before the syncs have resumed.
    listen_past_failures(&child, &mut scene.ledger, 1, acked + 30);
    kill(child, &mut scene.ledger, 1);
    let again = scene.volume.start(&Worker { generation: 2, ..WRITER });
    let found = first_words(&again).unwrap();
    scene.ledger.check(&found, Loss::Process).unwrap();
    scene.close(again, 2).unwrap();
    let found = scene.elsewhere();
    scene.ledger.check_stored(&found).unwrap();
}

#[test]
fn at_the_load_line_write_through_acknowledges_only_what_is_durable() {
    let mut scene = Scene::new();
    let settings = [("MAX_DIRTY_BYTES", "60000"), ("ON_LOAD_LINE", "write_through"), ("SYNC_TIMEOUT_MS", "1500")];
    let arguments = ["--synchronous=NORMAL", "--stubborn"];
    let child = scene.volume.start(&Worker { settings: &settings, arguments: &arguments, ..WRITER });
    // On a busy machine a sync may take longer than that on a good day, too.
    listen_past_failures(&child, &mut scene.ledger, 1, 40);
    scene.proxy.set(Weather::Refusing);
    let error = scene.until_fails(&child);
    assert!(error.contains("sync_timeout_ms"), "it says how long it waited: {error}");
    kill(child, &mut scene.ledger, 1);
    // Whatever was acknowledged is there; what failed may be.
    scene.proxy.set(Weather::Fair);
    let again = scene.volume.start(&Worker { generation: 2, ..WRITER });
    let found = first_words(&again).unwrap();
    scene.ledger.check(&found, Loss::Process).unwrap();
}

#[test]
fn closing_without_a_store_says_what_is_not_durable_and_the_next_open_has_it() {
    let mut scene = Scene::new();
    let settings = [("CLOSE_TIMEOUT_MS", "1500")];
    let child = scene.volume.start(&Worker { settings: &settings, ..WRITER });
    listen_to(&child, &mut scene.ledger, 1, 40);
    scene.proxy.set(Weather::Refusing);
    let acked = scene.ledger.line().acked;
    listen_to(&child, &mut scene.ledger, 1, acked + 30);
    let error = scene.close(child, 1).unwrap_err();
    for part in ["commits", "are not durable", "journal", "plimsoll sync"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    scene.proxy.set(Weather::Fair);
    let again = scene.volume.start(&Worker { generation: 2, ..WRITER });
    let found = first_words(&again).unwrap();
    scene.ledger.check(&found, Loss::Process).unwrap();
    scene.close(again, 2).unwrap();
    let found = scene.elsewhere();
    scene.ledger.check_stored(&found).unwrap();
}

#[test]
fn a_lost_answer_costs_neither_a_commit_nor_makes_one_twice() {
    let mut scene = Scene::new();
    // What is merged is collected before long, many objects by one request.
    let settings = [("L0_RETENTION_MS", "400"), ("RETENTION_MS", "800")];
    let worker = Worker { settings: &settings, ..WRITER };
    let child = scene.volume.start(&Worker { arguments: &["--pause-ms=1"], ..worker.clone() });
    listen_to(&child, &mut scene.ledger, 1, 20);
    scene.proxy.set(Weather::LosingAnswers(3));
    let deadline = Instant::now() + PATIENCE;
    while scene.proxy.lost()[0] < 12 || scene.proxy.lost()[1] < 3 {
        assert!(Instant::now() < deadline, "of PUT and POST lost: {:?}", scene.proxy.lost());
        let acked = scene.ledger.line().acked;
        listen_to(&child, &mut scene.ledger, 1, acked + 1);
    }
    // The process dies with an answer lost, too.
    kill(child, &mut scene.ledger, 1);
    let again = scene.volume.start(&Worker { generation: 2, ..worker });
    let found = first_words(&again).unwrap();
    scene.ledger.check(&found, Loss::Process).unwrap();
    listen_to(&again, &mut scene.ledger, 2, found.n + 30);
    scene.close(again, 2).unwrap();
    let found = scene.elsewhere();
    scene.ledger.check_stored(&found).unwrap();
    assert_eq!(found.n, scene.ledger.line().acked);
}

#[test]
fn a_store_that_falls_silent_blocks_no_reader_and_no_local_commit() {
    let mut scene = Scene::new();
    let child = scene.volume.start(&Worker { arguments: &["--synchronous=NORMAL", "--pause-ms=2"], ..WRITER });
    listen_to(&child, &mut scene.ledger, 1, 40);
    scene.proxy.set(Weather::Silent);
    thread::sleep(Duration::from_millis(300));
    let before = scene.ledger.line().acked;
    listen_to(&child, &mut scene.ledger, 1, before + 150);
    kill(child, &mut scene.ledger, 1);
    scene.proxy.set(Weather::Fair);
    let again = scene.volume.start(&Worker { generation: 2, ..WRITER });
    let found = first_words(&again).unwrap();
    scene.ledger.check(&found, Loss::Process).unwrap();
}

/// Opens the volume, again and again while the network does not let it.
fn open_until_found(scene: &Scene, worker: &Worker<'_>) -> (Child, Found) {
    let mut why = String::new();
    for _ in 0..200 {
        let child = scene.volume.start(worker);
        let first = child.until(PATIENCE, |said| match said {
            Said::Found(found) => Some(Ok(found.clone())),
            Said::Failed(..) => Some(Err(format!("{said:?}"))),
            _ => None,
        });
        match first.unwrap() {
            Ok(found) => return (child, found),
            Err(error) => why = error,
        }
    }
    panic!("the volume does not open: {why}");
}

/// Connections are slow, break off in requests and answers, fall silent, are reset: by a seed.
#[test]
fn a_foul_network_costs_nothing_that_was_acknowledged_and_makes_one_history() {
    let seed = 3;
    let mut scene = Scene::new();
    // Requests that hang are given up after so long, and asked again.
    let settings = [("SYNC_TIMEOUT_MS", "1500")];
    let arguments = ["--synchronous=NORMAL", "--stubborn", "--pause-ms=3"];
    let worker = Worker { settings: &settings, arguments: &arguments, ..WRITER };
    scene.proxy.set(Weather::Foul(seed));
    let (child, _) = open_until_found(&scene, &worker);
    while scene.proxy.spoiled() < 8 || scene.ledger.line().acked < 60 {
        let acked = scene.ledger.line().acked;
        listen_past_failures(&child, &mut scene.ledger, 1, acked + 1);
    }
    kill(child, &mut scene.ledger, 1);

    // Its host goes on through the same weather: an epoch, a fence, a journal to replay.
    let (again, found) = open_until_found(&scene, &Worker { generation: 2, ..worker.clone() });
    scene.ledger.check(&found, Loss::Process).unwrap();
    listen_past_failures(&again, &mut scene.ledger, 2, found.n + 20);
    kill(again, &mut scene.ledger, 2);

    // Another host takes over through it, finds a state of that history, and closes when it is fair again.
    let (other, found) = open_until_found(&scene, &Worker { host: "two", generation: 3, takeover: true, ..worker });
    scene.ledger.check(&found, Loss::Host).unwrap();
    listen_past_failures(&other, &mut scene.ledger, 3, found.n + 20);
    scene.proxy.set(Weather::Fair);
    other.tell_to_close();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match other.next(deadline).unwrap() {
            Said::Failed(..) => {}
            Said::Closed(error) => break assert_eq!(error, None),
            said => scene.ledger.hear(&said, 3).unwrap(),
        }
    }
    let found = scene.elsewhere();
    scene.ledger.check_stored(&found).unwrap();
    assert_eq!(found.n, scene.ledger.line().acked, "all of it, once");
}
