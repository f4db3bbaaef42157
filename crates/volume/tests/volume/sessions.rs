//! Session tokens, and how far readers are behind.

use std::time::Duration;

use plimsoll_model::{ErrorKind, Level};
use plimsoll_store::fault::{Fault, Op};
use plimsoll_volume::{Receipt, Reference, Volume};

use crate::world::{World, get, marks, put};

const LAZY: [(&str, &str); 2] = [("sync_interval_ms", "5000"), ("max_loss_window_ms", "600000")];
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn whoever_brings_a_token_reads_what_its_session_has_written_on_any_host() {
    let world = World::new(1);
    let volume = world.machine("a").open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let follower = world.machine("b").open_read_only(&[("follow_interval_ms", "60000")]);
    assert_eq!(marks(&follower), [1]);
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    follower.wait_token(&volume.token().unwrap(), MINUTE * 2).unwrap();
    assert_eq!(marks(&follower), [2]);
    let quick = world.machine("c").open_read_only(&[("follow_interval_ms", "100")]);
    for mark in 3..10 {
        put(&volume, &[(1, mark)], 1, Level::Buffered).unwrap();
        quick.wait_token(&volume.token().unwrap(), MINUTE).unwrap();
        assert_eq!(marks(&quick), [mark]);
    }
    // What a reader has seen it can carry on, also to a host that starts anew.
    let seen = quick.token().unwrap();
    let fresh = world.machine("d").open_read_only(&[]);
    fresh.wait_token(&seen, Duration::ZERO).unwrap();
    volume.wait_token(&seen, Duration::ZERO).unwrap();
}

#[test]
fn a_token_survives_the_move_of_its_writer() {
    let world = World::new(2);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let volume = first.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    let token = volume.token().unwrap();
    volume.release().unwrap();
    let other = second.open(&LAZY);
    put(&other, &[(1, 3)], 1, Level::Buffered).unwrap();
    other.wait_token(&token, MINUTE).unwrap();
    let follower = world.machine("third").open_read_only(&[]);
    follower.wait_token(&token, MINUTE).unwrap();
}

/// A session would read what is older than its token: what the next writer found is read by whoever has looked only.
#[test]
fn a_follower_that_has_not_looked_since_reads_what_was_synced_before_its_writer_was_taken_over_from() {
    let world = World::new(10);
    let volume = world.machine("first").open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    let token = volume.token().unwrap();
    let follower = world.machine("third").open_read_only(&[("follow_interval_ms", "60000")]);
    assert_eq!(marks(&follower), [1]);
    volume.release().unwrap();
    let other = world.machine("second").open(&LAZY);
    other.take_over().unwrap();
    follower.wait_token(&token, MINUTE * 3).unwrap();
    assert_eq!(marks(&follower), [2]);
}

/// It fences nobody before its first sync. Commits of the same numbers were taken for those of the token.
#[test]
fn a_token_of_a_writer_without_syncs_is_not_reached_by_a_history_that_an_earlier_writer_began() {
    let world = World::new(11);
    let earlier = world.machine("first").open(&LAZY);
    put(&earlier, &[(1, 1)], 1, Level::Journaled).unwrap();
    let later = world.machine("second").open(&LAZY);
    later.take_over().unwrap();
    put(&later, &[(1, 2)], 1, Level::Journaled).unwrap();
    let token = later.token().unwrap();
    earlier.sync().unwrap();
    let follower = world.machine("third").open_read_only(&[]);
    assert_eq!(marks(&follower), [1]);
    assert_eq!(follower.wait_token(&token, Duration::from_secs(3)).unwrap_err().kind(), ErrorKind::Unavailable);
    // One that began it itself.
    let world = World::new(12);
    let only = world.machine("first").open(&LAZY);
    put(&only, &[(1, 1)], 1, Level::Journaled).unwrap();
    let token = only.token().unwrap();
    only.sync().unwrap();
    world.machine("third").open_read_only(&[]).wait_token(&token, MINUTE).unwrap();
}

#[test]
fn a_token_of_a_commit_that_was_lost_with_its_writer_is_an_error_at_once() {
    let world = World::new(3);
    let mut first = world.machine("first");
    let volume = first.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    let (lost, kept) = (volume.token().unwrap(), 1);
    first.kill();
    let other = world.machine("second").open(&[]);
    other.take_over().unwrap();
    // The new writer's commits get the same numbers.
    for mark in 3..6 {
        put(&other, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    let follower = world.machine("third").open_read_only(&[]);
    for volume in [&follower, &other] {
        let before = world.now();
        let error = volume.wait_token(&lost, MINUTE * 60).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert!(error.to_string().contains("was lost"), "{error}");
        assert!(world.now() - before < MINUTE);
    }
    assert_eq!(kept, 1);
}

/// The next process of the host replays the commit under an epoch of its own. That was once taken for a loss.
#[test]
fn a_token_of_a_commit_that_was_only_in_the_journal_is_good_after_a_crash() {
    let world = World::new(9);
    let mut machine = world.machine("a");
    let volume = machine.open(&LAZY);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
    let token = volume.token().unwrap();
    let follower = world.machine("b").open_read_only(&[]);
    for mark in 3..6 {
        machine.kill();
        let again = machine.open(&LAZY);
        again.wait_token(&token, MINUTE).unwrap();
        put(&again, &[(1, mark)], 1, Level::Journaled).unwrap();
    }
    assert_eq!(follower.wait_token(&token, Duration::from_secs(1)).unwrap_err().kind(), ErrorKind::Unavailable);
    machine.kill();
    let last = machine.open(&LAZY);
    last.sync().unwrap();
    follower.wait_token(&token, MINUTE).unwrap();
    assert_eq!(marks(&follower), [5]);
}

#[test]
fn a_wait_for_what_is_not_synced_ends_with_its_time() {
    let world = World::new(4);
    let volume = world.machine("a").open(&[("sync_interval_ms", "600000"), LAZY[1]]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    let token = volume.token().unwrap();
    let machine = world.machine("b");
    let follower = machine.open_read_only(&[("follow_interval_ms", "1000")]);
    machine.remote.asked();
    let before = world.now();
    let error = follower.wait_token(&token, Duration::from_secs(30)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!((world.now() - before).as_secs(), 30);
    let asked = machine.remote.asked().len();
    assert!(asked <= 30 + 5, "{asked} requests in 30 looks");
    let elsewhere = World::new(5);
    let other = elsewhere.machine("a").open(&[]);
    put(&other, &[(1, 1)], 1, Level::Durable).unwrap();
    assert_eq!(other.wait_token(&token, MINUTE).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn the_lag_of_a_reader_is_told_in_syncs_and_time() {
    let world = World::new(6);
    let volume = world.machine("a").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let follower = world.machine("b").open_read_only(&[]);
    assert_eq!(follower.lag().unwrap(), plimsoll_volume::Lag::default());
    world.run_for(2000);
    for mark in 2..=4 {
        put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
    }
    world.run_for(3000);
    let lag = follower.lag().unwrap();
    assert_eq!(lag.txids, 3);
    assert!(lag.ms >= 5000, "{lag:?}");
    follower.refresh().unwrap();
    assert_eq!((follower.lag().unwrap().txids, volume.lag().unwrap().txids), (0, 0));
}

#[test]
fn a_follower_that_reads_all_the_time_asks_no_more_often_than_its_interval() {
    let world = World::new(7);
    let volume = world.machine("a").open(&[("sync_interval_ms", "100")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let machine = world.machine("b");
    let follower = machine.open_read_only(&[("follow_interval_ms", "2000")]);
    marks(&follower);
    machine.remote.asked();
    for _ in 0..6000 {
        follower.snapshot().unwrap();
        world.run_for(10);
    }
    let asked = machine.remote.asked().len();
    assert!((25..=35).contains(&asked), "{asked} requests in 30 intervals");
}

#[test]
fn volumes_that_are_idle_closed_or_not_read_cost_no_request_in_a_day() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let world = World::new(8);
    let [idle, closed, unread] = ["idle", "closed", "unread"].map(|name| world.machine(name));
    let volume = closed.open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    volume.close().unwrap();
    let writer = idle.open(&[("idle_release_ms", "5000"), ("compaction_levels_ms", "30000,300000,3600000")]);
    put(&writer, &[(1, 2)], 1, Level::Durable).unwrap();
    let follower = unread.open_read_only(&[]);
    marks(&follower);
    world.run_for(60_000);
    for machine in [&idle, &closed, &unread] {
        machine.remote.asked();
    }
    world.run_for(DAY_MS);
    for machine in [&idle, &closed, &unread] {
        assert_eq!(machine.remote.asked(), [], "{}", machine.name);
    }
    assert_eq!(marks(&follower), [2]);
}

#[test]
fn a_read_only_open_never_tries_to_write() {
    let world = World::new(9);
    let writer = world.machine("a");
    let volume = writer.open(&[]);
    put(&volume, &[(1, 1), (2, 1)], 2, Level::Durable).unwrap();
    let first = volume.status().txid;
    let reader = world.machine("b");
    let follower = reader.open_read_only(&[("hydrate", "true")]);
    for mark in 2..5 {
        put(&volume, &[(1, mark)], 2, Level::Durable).unwrap();
        follower.wait_token(&volume.token().unwrap(), MINUTE).unwrap();
        assert_eq!(marks(&follower), [mark, 1]);
    }
    // Whatever else it is asked for, also what it has to refuse.
    let past = follower.at(&plimsoll_volume::Reference::Txid(plimsoll_model::Txid(first))).unwrap();
    let _ = (follower.lag(), follower.token(), follower.sync(), follower.release(), follower.compact());
    let _ = (follower.take_over(), follower.restore(&past, |_, _| {}), follower.status());
    assert!(follower.begin_write(&follower.snapshot().unwrap()).is_err());
    volume.close().unwrap();
    world.run_for(120_000);
    assert_eq!(marks(&follower), [4, 1]);
    follower.close().unwrap();
    let wrote: Vec<_> =
        reader.remote.asked().into_iter().filter(|(op, _)| matches!(op, Op::Create | Op::Put | Op::Delete)).collect();
    assert_eq!(wrote, []);
}

/// The answer to a sync is lost. When its writer finds out that it took effect, which is late, another one has the volume: the
/// commit is durable, and this host has not read what it is part of.
fn taken_over_during_a_sync(seed: u64) -> (Volume, Receipt, Volume) {
    let world = World::new(seed);
    let machine = world.machine("a");
    let volume =
        machine.open(&[("heartbeat_ms", "1000000"), ("holder_ttl_ms", "2000000"), ("l0_retention_ms", "2000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let reader = world.machine("c").open_read_only(&[("follow_interval_ms", "600000")]);
    assert_eq!(marks(&reader), [1]);
    machine.remote.script.once(Op::Create, "ltx/0", Fault::AppliedButNoAnswer);
    machine.remote.script.once(Op::Create, "ltx/0", Fault::Delay(MINUTE / 3));
    let receipt = put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    world.run_for(5000);
    assert!(machine.remote.script.is_used_up(), "it asks again");
    let other = world.machine("b").open(&[("takeover", "true")]);
    put(&other, &[(2, 3)], 2, Level::Durable).unwrap();
    (volume, receipt, reader)
}

/// It once named the state that this host had read before.
#[test]
fn a_checkpoint_of_whoever_is_taken_over_meanwhile_has_everything_that_was_acknowledged_before() {
    let (volume, receipt, reader) = taken_over_during_a_sync(9);
    volume.checkpoint("all", None).unwrap();
    receipt.wait(Level::Durable).unwrap();
    assert_eq!(get(&reader.at(&Reference::Checkpoint("all".to_owned())).unwrap(), 1), 2);
}

/// It once stood for the state that this host had read before.
#[test]
fn a_token_of_whoever_is_taken_over_meanwhile_stands_for_everything_that_is_durable() {
    let (volume, receipt, reader) = taken_over_during_a_sync(10);
    receipt.wait(Level::Durable).unwrap();
    reader.wait_token(&volume.token().unwrap(), MINUTE * 60).unwrap();
    assert_eq!(marks(&reader)[0], 2);
}
