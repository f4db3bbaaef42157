use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use plimsoll_host::{Clock, Host, Mono, WallMs};
use plimsoll_journal::Journal;
use plimsoll_model::{ErrorKind, Level, PageCount};
use plimsoll_store::fault::{Fault, Op};
use plimsoll_volume::{Config, Role, Volume};

use crate::world::{World, content, marks, page, put};

const LAZY: (&str, &str) = ("sync_interval_ms", "60000");
const PUSHY: (&str, &str) = ("takeover", "true");

#[test]
fn a_takeover_fences_the_first_writer_strands_its_tail_and_nothing_is_acknowledged_after() {
    let world = World::new(1);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[LAZY]);
    put(&old, &[(1, 1)], 1, Level::Durable).unwrap();
    let tail = put(&old, &[(1, 2)], 1, Level::Journaled).unwrap();

    let new = second.open(&[PUSHY]);
    put(&new, &[(1, 3)], 1, Level::Durable).unwrap();

    assert_eq!(tail.wait(Level::Durable).unwrap_err().kind(), ErrorKind::Fenced);
    for level in [Level::Buffered, Level::Journaled, Level::Durable] {
        assert_eq!(tail.wait(level).unwrap_err().kind(), ErrorKind::Fenced, "{level}");
        assert_eq!(put(&old, &[(1, 4)], 1, level).err().unwrap().kind(), ErrorKind::Fenced, "{level}");
    }
    world.run_for(100);
    let status = old.status();
    assert_eq!(status.role, Role::Fenced);
    assert_eq!(status.stranded.len(), 1);
    let (_, kept) = Journal::inspect(&first.disk, status.stranded[0].as_ref()).unwrap();
    assert_eq!(kept.last.0, 2, "the commit that the history lacks");
    assert_eq!(marks(&old), [3], "what is read is the winner's history");
    put(&new, &[(1, 5)], 1, Level::Durable).unwrap();
    assert_eq!(old.close().unwrap_err().kind(), ErrorKind::Fenced);
}

/// It once went on until it had found out what the history holds of its commits, which the store may not answer for long.
#[test]
fn a_writer_that_was_told_of_another_one_acknowledges_nothing_while_it_asks_what_became_of_its_commits() {
    let world = World::new(13);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[LAZY, ("heartbeat_ms", "500")]);
    put(&old, &[(1, 1)], 1, Level::Durable).unwrap();
    let tail = put(&old, &[(1, 2)], 1, Level::Buffered).unwrap();
    put(&second.open(&[PUSHY]), &[(1, 3)], 1, Level::Durable).unwrap();

    first.remote.script.once(Op::List, "status/", Fault::Delay(Duration::from_secs(20)));
    world.run_for(1000);
    assert!(first.remote.script.is_used_up(), "it was told, and asks");
    assert_eq!(old.status().role, Role::Writer, "it has no answer yet");
    let before = world.now();
    for level in [Level::Buffered, Level::Journaled] {
        assert_eq!(put(&old, &[(1, 4)], 1, level).err().unwrap().kind(), ErrorKind::Fenced, "{level}");
    }
    assert!(world.now() - before < Duration::from_secs(1), "{:?}", world.now() - before);
    for level in [Level::Buffered, Level::Journaled] {
        assert_eq!(tail.wait(level).unwrap_err().kind(), ErrorKind::Fenced, "{level}");
    }
}

/// It once let the volume go with everything durable, after it had said that it was fenced, and took it again with the next write.
#[test]
fn a_writer_that_was_told_of_another_one_is_fenced_for_good_also_if_it_is_released_meanwhile() {
    // It asks what became of its commits; it is about to be told.
    for (asked, told) in [("status/", true), ("epoch/", false)] {
        let world = World::new(14);
        let (first, second) = (world.machine("first"), world.machine("second"));
        let old = first.open(&[("heartbeat_ms", "500")]);
        put(&old, &[(1, 1)], 1, Level::Durable).unwrap();
        put(&second.open(&[PUSHY]), &[(1, 2)], 1, Level::Durable).unwrap();
        first.remote.script.once(Op::List, asked, Fault::Delay(Duration::from_secs(3)));
        world.run_for(600);
        assert!(first.remote.script.is_used_up(), "it asks for {asked}");
        if told {
            assert_eq!(put(&old, &[(1, 3)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Fenced);
        }
        assert_eq!(old.release().unwrap_err().kind(), ErrorKind::Fenced, "{asked}");
        assert_eq!(put(&old, &[(1, 4)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Fenced, "{asked}");
        world.run_for(5000);
        assert_eq!((old.status().role, old.status().stranded.len()), (Role::Fenced, 0), "{asked}");
        old.close().unwrap();
    }
}

#[test]
fn a_close_says_what_was_stranded_even_if_nobody_used_the_volume_since() {
    let world = World::new(12);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[LAZY, ("heartbeat_ms", "500")]);
    put(&old, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&old, &[(1, 2)], 1, Level::Journaled).unwrap();
    put(&second.open(&[PUSHY]), &[(1, 3)], 1, Level::Durable).unwrap();
    world.run_for(2000);
    assert_eq!((old.status().role, old.status().stranded.len()), (Role::Fenced, 1));
    let error = old.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.to_string().contains("commits 2 to 2 are not in its history and are kept in"), "{error}");
}

#[test]
fn a_fenced_writer_with_nothing_missing_strands_nothing() {
    let world = World::new(2);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[("heartbeat_ms", "500")]);
    put(&old, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&second.open(&[PUSHY]), &[(1, 2)], 1, Level::Durable).unwrap();
    world.run_for(2000);
    assert_eq!((old.status().role, old.status().stranded.len()), (Role::Fenced, 0));
}

#[test]
fn closing_a_fenced_volume_does_not_wait_for_what_cannot_come() {
    let world = World::new(3);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[LAZY]);
    put(&old, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&old, &[(1, 2)], 1, Level::Buffered).unwrap();
    put(&second.open(&[PUSHY]), &[(1, 3)], 1, Level::Durable).unwrap();
    let before = world.now();
    let error = old.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.to_string().contains("commits 2 to 2 are not in its history and are kept in"), "{error}");
    assert!((world.now() - before).as_millis() < 100, "{:?}", world.now() - before);
}

#[test]
fn a_holder_that_looks_alive_is_respected_and_named() {
    let world = World::new(4);
    let volume = world.machine("first").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let polite = world.machine("second").open(&[]);
    let error = put(&polite, &[(1, 2)], 1, Level::Durable).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Held);
    assert!(error.to_string().contains("host first"), "{error}");
    volume.close().unwrap();
    put(&polite, &[(1, 2)], 1, Level::Durable).unwrap();
}

#[test]
fn a_writer_that_died_is_followed_by_another_host_after_its_silence_and_by_its_own_at_once() {
    let world = World::new(5);
    let mut first = world.machine("first");
    put(&first.open(&[]), &[(1, 1)], 1, Level::Durable).unwrap();
    first.kill();
    put(&first.open(&[]), &[(1, 2)], 1, Level::Durable).unwrap();
    first.kill();
    let other = world.machine("other").open(&[]);
    assert_eq!(put(&other, &[(1, 3)], 1, Level::Durable).err().unwrap().kind(), ErrorKind::Held);
    world.run_for(31_000);
    put(&other, &[(1, 3)], 1, Level::Durable).unwrap();
}

/// It died between two signs of life. What it had said then was all that a report knew, so mostly that nothing was lost.
#[test]
fn whoever_takes_over_learns_when_the_dead_writer_synced_last_and_how_much_it_may_have_taken_with_it_beyond_what_it_said()
 {
    let world = World::new(31);
    let mut first = world.machine("first");
    let volume = first.open(&[("max_dirty_bytes", "1000000"), ("max_loss_window_ms", "7000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    world.run_for(15_000);
    put(&volume, &[(1, 2)], 1, Level::Durable).unwrap();
    let synced = first.host().clock.wall().0;
    put(&volume, &[(1, 3)], 1, Level::Journaled).unwrap();
    first.kill();
    world.run_for(5_000);
    let second = world.machine("second").open(&[]);
    let loss = second.take_over().unwrap().known.remove(0);
    assert_eq!((loss.commits, loss.held), (0, 2), "it had not said anything of the third");
    let of = loss.synced_ms.unwrap();
    assert!(loss.alive_ms < of && of <= synced, "{loss:?}, the sync was answered at {synced}");
    assert_eq!((loss.line_bytes, loss.line_ms), (Some(1_000_000), Some(7_000)));
}

#[test]
fn a_second_process_of_the_host_gets_its_turn() {
    let world = World::new(6);
    let machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    let other = machine.beside().open(&[]);
    assert_eq!(put(&other, &[(1, 2)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Held);
    world.run_for(500);
    // The first write after the handover finds that it began to read too early.
    let _ = put(&other, &[(1, 2)], 1, Level::Buffered);
    put(&other, &[(1, 2)], 1, Level::Durable).unwrap();
    assert_eq!(volume.status().role, Role::Follower);
    world.run_for(3000);
    assert_eq!(marks(&volume), [2]);
}

#[test]
fn what_was_handed_over_and_nobody_took_can_be_written_again_after_a_moment() {
    let world = World::new(13);
    let machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    let other = machine.beside().open(&[]);
    assert_eq!(put(&other, &[(1, 2)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Held);
    while volume.status().role != Role::Follower {
        world.run_for(10);
    }
    assert_eq!(put(&volume, &[(1, 3)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Held);
    let began = world.now();
    drop(volume.begin_write_in_turn(&volume.snapshot().unwrap()).unwrap());
    assert!((world.now() - began).as_millis() <= 250, "a moment");
}

/// Without a busy timeout, a statement was told that the database is locked if it came while the volume was being handed
/// over to a process that had asked for it, been refused, and ended.
#[test]
fn whoever_has_no_patience_is_not_refused_for_a_process_that_asked_and_went() {
    for began in 0..30 {
        let world = World::new(16);
        let machine = world.machine("a");
        let volume = machine.open(&[LAZY]);
        put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
        let other = machine.beside().open(&[]);
        assert_eq!(put(&other, &[(1, 2)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Held);
        drop(other);
        // The sync and closing the epoch take a while, so that there are moments in between.
        for key in ["ltx/0/", "status/"] {
            for op in [Op::Create, Op::Put] {
                machine.remote.script.once(op, key, Fault::Delay(Duration::from_millis(100)));
            }
        }
        world.run_for(began * 30);
        for mark in 3..6 {
            let mut txn = volume.begin_write_in_turn(&volume.snapshot().unwrap()).unwrap();
            txn.write(page(1), &content(mark)).unwrap();
            txn.commit(PageCount(1), Level::Buffered).unwrap();
            // The next one comes as soon as there is a moment to come in.
            world.run_for(1);
        }
        volume.close().unwrap();
    }
}

/// Time passes between any two looks at it, as for a process that the system hardly ever lets run.
struct Halting {
    clock: Arc<dyn Clock>,
    halts: Arc<AtomicBool>,
    lost_ms: AtomicU64,
}

impl Halting {
    fn lost(&self) -> Duration {
        Duration::from_millis(self.lost_ms.load(Ordering::Relaxed))
    }
}

impl Clock for Halting {
    fn now(&self) -> Mono {
        self.lost_ms.fetch_add(if self.halts.load(Ordering::Relaxed) { 60 } else { 0 }, Ordering::Relaxed);
        self.clock.now() + self.lost()
    }
    fn wall(&self) -> WallMs {
        self.clock.wall()
    }
    fn sleep_until(&self, deadline: Mono) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(Mono(deadline.0.saturating_sub(self.lost())))
    }
}

/// SQLite's tests were told that the database is locked, on a machine with ten processes waiting for each core.
#[test]
fn whoever_has_no_patience_is_not_refused_for_a_turn_that_ends_while_he_is_told_of_it() {
    for halted_at in 0..40 {
        let world = World::new(17);
        let machine = world.machine("a");
        let halts = Arc::new(AtomicBool::new(false));
        let clock = machine.host().clock;
        let clock = Arc::new(Halting { clock, halts: Arc::clone(&halts), lost_ms: AtomicU64::new(0) });
        let config = machine.config(&[LAZY]);
        let volume = Volume::open(Config { host: Host { clock, ..machine.host() }, ..config }).unwrap();
        put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
        let other = machine.beside().open(&[]);
        assert_eq!(put(&other, &[(1, 2)], 1, Level::Buffered).err().unwrap().kind(), ErrorKind::Held);
        drop(other);
        while volume.status().role != Role::Follower {
            world.run_for(10);
        }
        world.run_for(halted_at * 7);
        halts.store(true, Ordering::Relaxed);
        volume.begin_write_in_turn(&volume.snapshot().unwrap()).map(drop).unwrap();
        halts.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_process_that_waits_gets_its_turn_from_one_that_never_stops_writing_and_the_other_way_round() {
    let world = World::new(7);
    let machine = world.machine("a");
    let busy = machine.open(&[]);
    let patient = machine.beside().open(&[]);
    let mut turns = [0_u32; 2];
    let mut open = None;
    for mark in 1..2000 {
        // Whenever one transaction ends, the next one begins.
        let mut begin = || {
            let mut txn = busy.begin_write(&busy.snapshot().ok()?).ok()?;
            txn.write(page(1), &content(mark)).ok()?;
            Some(txn)
        };
        open = open.or_else(&mut begin);
        world.run_for(10);
        if let Some(txn) = open.take() {
            turns[0] += u32::from(plimsoll_volume::WriteTxn::commit(txn, PageCount(1), Level::Buffered).is_ok());
            open = begin();
        }
        turns[1] += u32::from(put(&patient, &[(1, mark)], 1, Level::Buffered).is_ok());
    }
    assert!(turns[0] > 100 && turns[1] > 100, "{turns:?}");
}

#[test]
fn an_idle_writer_lets_go_and_takes_the_volume_again_with_its_next_write() {
    let world = World::new(8);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let volume = first.open(&[("idle_release_ms", "2000")]);
    put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    world.run_for(5000);
    assert_eq!(volume.status().role, Role::Follower);
    let other = second.open(&[("idle_release_ms", "2000")]);
    put(&other, &[(1, 2)], 1, Level::Durable).unwrap();
    world.run_for(5000);
    assert_eq!(marks(&volume), [2]);
    put(&volume, &[(1, 3)], 1, Level::Durable).unwrap();
    assert_eq!(volume.status().stranded.len(), 0);
}

#[test]
fn an_idle_writer_keeps_the_volume_until_its_last_commit_is_durable() {
    let world = World::new(15);
    let volume = world.machine("a").open(&[("idle_release_ms", "2000"), ("sync_interval_ms", "20000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    world.run_for(15_000);
    assert_eq!((volume.status().role, volume.status().load.commits), (Role::Writer, 1));
    world.run_for(10_000);
    assert_eq!((volume.status().role, marks(&volume)), (Role::Follower, vec![2]));
    assert_eq!(marks(&world.machine("b").open(&[])), [2]);
}

#[test]
fn an_idle_release_of_zero_keeps_the_volume() {
    let world = World::new(9);
    let volume = world.machine("a").open(&[("idle_release_ms", "0")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    world.run_for(300_000);
    assert_eq!(volume.status().role, Role::Writer);
}

#[test]
fn letting_go_does_not_wait_for_a_heartbeat_longer_than_the_store_takes() {
    let world = World::new(10);
    let machine = world.machine("a");
    let volume = machine.open(&[("heartbeat_ms", "100"), ("idle_release_ms", "2000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    machine.remote.set_latency(300);
    world.run_for(5000);
    assert_eq!(volume.status().role, Role::Follower);
    // The epoch is closed: nobody has to wait until it looks dead.
    put(&world.machine("b").open(&[]), &[(1, 2)], 1, Level::Durable).unwrap();
}

#[test]
fn an_open_that_cannot_read_the_journal_takes_nothing_and_hides_nothing_that_it_may_hold() {
    let world = World::new(11);
    let mut first = world.machine("first");
    let volume = first.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
    world.run_for(15_000);
    first.kill();
    let journal = std::path::Path::new("/state/volume/journal/0000000000000001.wal");
    assert!(first.disk.flip(journal, 30, 1));
    let before = world.keys("");
    assert_eq!(first.try_open(&[]).err().unwrap().kind(), ErrorKind::Corrupt);
    assert_eq!(world.keys(""), before);
    // Who had acknowledged something is waited for, and what goes with it is said.
    let second = world.machine("second").open(&[]);
    assert_eq!(put(&second, &[(1, 3)], 1, Level::Durable).err().unwrap().kind(), ErrorKind::Held);
    world.run_for(31_000);
    assert_eq!(second.take_over().unwrap().known[0].commits, 1);
}

#[test]
fn two_writers_that_race_for_a_new_volume_make_one_history() {
    for seed in 0..20 {
        let world = World::new(seed);
        let machines = [world.machine("first"), world.machine("second")];
        let volumes = [machines[0].open(&[PUSHY, LAZY]), machines[1].open(&[PUSHY, LAZY])];
        for round in 1..6 {
            for (at, volume) in volumes.iter().enumerate() {
                let _ = put(volume, &[(1, round * 10 + at as u64)], 1, Level::Buffered);
            }
        }
        let synced: Vec<bool> = volumes.iter().map(|volume| volume.sync().is_ok()).collect();
        let winner = synced.iter().position(|synced| *synced).expect("one of them wins");
        assert_eq!(marks(&world.machine("reader").open_read_only(&[])), marks(&volumes[winner]), "seed {seed}");
    }
}

/// What a reader of the same process had seen by then was compared with itself, and not with the fence.
#[test]
fn a_volume_that_was_taken_while_the_journal_was_judged_is_not_held_on_the_other_writers_state() {
    let world = World::new(14);
    let (mut first, second) = (world.machine("first"), world.machine("second"));
    let volume = first.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    first.kill();
    let other = second.open(&[PUSHY]);
    put(&other, &[(1, 3)], 1, Level::Durable).unwrap();
    let volume = first.open(&[]);
    other.close().unwrap();
    let fences = world.keys("ltx/0/").len() + 1;
    // Time for another host to come in between.
    first.remote.set_latency(1_000);
    let (of, by, clock, remote) = (volume.clone(), world.machine("third"), first.host().clock, first.remote.clone());
    let place = world.clone();
    first.host().tasks.spawn(Box::pin(async move {
        while place.keys("ltx/0/").len() < fences {
            clock.sleep(Duration::from_millis(100)).await;
        }
        // It reads up to its fence; then it asks whose the commits of its journal are.
        clock.sleep(Duration::from_millis(4_500)).await;
        remote.set_latency(0);
        put(&by.open(&[PUSHY]), &[(1, 4)], 1, Level::Durable).unwrap();
        of.refresh().unwrap();
    }));
    let refused = put(&volume, &[(1, 5)], 1, Level::Buffered).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::Held));
    assert_eq!(marks(&volume), [4]);
}

#[test]
fn a_process_that_only_opens_the_volume_does_not_take_it_from_one_that_writes() {
    let world = World::new(15);
    let machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    for _ in 0..5 {
        assert_eq!(marks(&machine.beside().open(&[])), [1]);
        world.run_for(1_000);
        assert_eq!(volume.status().role, Role::Writer);
    }
    assert_eq!(world.keys("epoch/").len(), 1);
}

/// It refused its own commits for two seconds out of two, and gave away what nobody could take.
#[test]
fn in_an_outage_a_process_keeps_what_another_one_of_its_host_could_not_take_and_goes_on_writing() {
    for pending in [true, false] {
        let world = World::new(16);
        let machine = world.machine("a");
        let volume = machine.open(&[]);
        put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
        let other = machine.beside().open(&[]);
        world.run_for(1_000);
        machine.remote.set_down(true);
        if pending {
            put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
            world.run_for(3_000);
        }
        for round in 0..100 {
            let refused = put(&other, &[(1, 9)], 1, Level::Buffered).err();
            assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Held));
            world.run_for(100);
            assert_eq!(volume.status().role, Role::Writer, "round {round}");
            if pending {
                put(&volume, &[(1, 10 + round)], 1, Level::Buffered).unwrap();
            }
        }
        machine.remote.set_down(false);
        world.run_for(20_000);
        let _ = put(&other, &[(1, 9)], 1, Level::Buffered);
        world.run_for(6_000);
        assert_eq!(volume.status().role, Role::Follower, "the wish is heard once the store is back");
        let _ = put(&other, &[(1, 9)], 1, Level::Buffered);
        put(&other, &[(1, 9)], 1, Level::Durable).unwrap();
    }
}

/// It had closed its epoch, as if there had been nothing to say.
#[test]
fn a_process_that_fails_before_it_has_replayed_its_journal_hides_nothing_and_the_next_one_goes_on() {
    for comes_back in [true, false] {
        let world = World::new(17);
        let mut first = world.machine("first");
        let volume = first.open(&[LAZY]);
        put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
        put(&volume, &[(1, 2)], 1, Level::Journaled).unwrap();
        let token = volume.token().unwrap();
        world.run_for(15_000);
        first.kill();
        // What it changes on its disk before it takes the volume, it has done; the next change fails.
        let mut changes = 0;
        while world.keys("epoch/").len() < 2 {
            first.disk.die_after(changes);
            assert!(first.try_open(&[LAZY]).is_err());
            first.kill();
            changes += 1;
        }
        let second = world.machine("second").open(&[]);
        assert_eq!(put(&second, &[(1, 3)], 1, Level::Durable).err().unwrap().kind(), ErrorKind::Held);
        if comes_back {
            let again = first.open(&[]);
            again.wait_token(&token, Duration::from_secs(60)).unwrap();
            again.sync().unwrap();
            second.wait_token(&token, Duration::from_secs(60)).unwrap();
            assert_eq!(marks(&second), [2]);
            continue;
        }
        world.run_for(31_000);
        assert_eq!(second.take_over().unwrap().known[0].commits, 1);
        let lost = second.wait_token(&token, Duration::from_secs(60)).unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Fenced, "{lost}");
    }
}
