//! Processes that die, or fail, after they have taken the volume and before they have looked at their journal.

mod support;

use std::time::Duration;

use plimsoll_commitlog::{
    Lease, LoadRecord, Loss, Mark, Outcome, Sequel, StatusReport, Watermarks, aftermath, alone_since, announce_removal,
    epoch_key, forget_bygone, look, losses, sequel, status_key, toll, unwritten_since,
};
use plimsoll_model::{Epoch, ErrorKind, Lsn, WriterId};
use plimsoll_store::{
    Store as _,
    fault::{Fault, Op, Rule},
};
use support::{TTL, World, ask, sync, takeover};

/// Writer 1 has acknowledged twenty commits, of which eight are durable, and dies.
async fn first(world: &World) -> Lease {
    let lease = world.open(same(1)).await.unwrap();
    assert_eq!(lease.create_next(sync(&lease, 1, 8)).await.unwrap(), Outcome::Durable);
    let mark = |lsn| Mark { lsn: Lsn(lsn), ms: world.host.clock.wall().0 };
    let watermarks = Watermarks { appended: mark(20), journaled: mark(18), durable: mark(8) };
    let load = LoadRecord { commits: 12, bytes: 12 * 512, age_ms: 700 };
    let _ = lease.heartbeat(&StatusReport { watermarks, load, ..StatusReport::default() }).await.unwrap();
    lease
}

/// What those took with them that nobody has accounted for.
async fn took(world: &World, heir: &Lease) -> Vec<Loss> {
    let found = toll(&world.context, heir.taken_from().unwrap(), heir).await;
    assert!(found.missing.is_none(), "{:?}", found.missing);
    found.losses
}

fn same(n: u64) -> plimsoll_commitlog::Acquire {
    plimsoll_commitlog::Acquire { same_host: true, ..ask(n) }
}

/// How the next processes of writer 1 end that never come to look at the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silent {
    /// It has said what it found.
    Introduced,
    /// It has only said that it is there.
    Greeted,
    /// It has not even done that.
    Dumb,
}

async fn silent(world: &World, how: Silent) {
    fails(world, same(1), how).await;
}

/// A writer takes the volume, and comes no further.
async fn fails(world: &World, ask: plimsoll_commitlog::Acquire, how: Silent) {
    let op = match how {
        Silent::Introduced => {
            drop(world.open(ask).await.unwrap());
            return;
        }
        Silent::Greeted => Op::Put,
        Silent::Dumb => Op::Create,
    };
    let rule = Rule { op: Some(op), key_contains: "status/".into(), fault: Fault::FailBefore, times: u32::MAX };
    world.script.add(rule);
    assert_eq!(world.open(ask).await.err().unwrap().kind(), ErrorKind::Unavailable);
    world.script.clear();
}

const WAYS: [&[Silent]; 7] = [
    &[],
    &[Silent::Introduced],
    &[Silent::Greeted],
    &[Silent::Dumb],
    &[Silent::Introduced, Silent::Dumb],
    &[Silent::Greeted, Silent::Greeted, Silent::Dumb],
    &[Silent::Dumb, Silent::Introduced, Silent::Greeted, Silent::Introduced],
];

/// The first process after it had not said what it replayed, and never would.
#[test]
fn a_commit_goes_on_under_whoever_replays_it_however_many_processes_have_died_in_between() {
    for way in WAYS {
        World::run(move |world| async move {
            first(&world).await;
            for how in way {
                silent(&world, *how).await;
                assert_eq!(sequel(&world.context, Epoch(1), Lsn(15)).await.unwrap(), Sequel::NotYet, "{way:?}");
            }
            let last = world.open(same(1)).await.unwrap();
            assert_eq!(sequel(&world.context, Epoch(1), Lsn(15)).await.unwrap(), Sequel::NotYet, "{way:?}");
            // The journal has lost two of them with the power.
            last.go_on_from(Lsn(18)).await.unwrap();
            let now = last.epoch();
            assert_eq!(sequel(&world.context, Epoch(1), Lsn(15)).await.unwrap(), Sequel::Goes(now), "{way:?}");
            assert_eq!(sequel(&world.context, Epoch(1), Lsn(19)).await.unwrap(), Sequel::Lost, "{way:?}");
            // Before it syncs other commits of these numbers.
            assert_eq!(last.create_next(sync(&last, 1, 25)).await.unwrap(), Outcome::Durable);
            drop(last);
            let other = world.open(takeover(2)).await.unwrap();
            assert_eq!(sequel(&world.context, Epoch(1), Lsn(19)).await.unwrap(), Sequel::Lost, "{way:?}");
            let found = aftermath(&world.context, now, Lsn(8), true).await.unwrap();
            assert_eq!((found.held, found.settled), (Lsn(25), true), "{way:?}");
            drop(other);
        });
    }
}

/// It was thought to be safe, since whoever had taken the volume in between had inherited it all.
#[test]
fn what_was_acknowledged_is_lost_once_and_said_to_be_if_nobody_came_to_its_journal_before_another_host() {
    for way in WAYS {
        World::run(move |world| async move {
            first(&world).await;
            for how in way {
                silent(&world, *how).await;
            }
            let before = look(&world.context).await.unwrap().epoch;
            assert_eq!(world.open(ask(2)).await.err().unwrap().kind(), ErrorKind::Held, "{way:?}");
            world.clock.advance(TTL);
            let other = world.open(ask(2)).await.unwrap();
            assert_eq!(other.taken_from(), Some(before), "{way:?}");
            let found = took(&world, &other).await.remove(0);
            assert_eq!((found.commits(), found.held, found.settled), (12, Lsn(8), true), "{way:?}");
            assert!(found.bytes() == 12 * 512 && found.window_ms() <= 700, "{way:?}: {found:?}");
            let all = losses(&world.context, 100).await.unwrap();
            assert_eq!(all.iter().map(|loss| (loss.commits(), loss.host.as_str())).collect::<Vec<_>>(), [(12, "h1")]);
            assert_eq!(sequel(&world.context, Epoch(1), Lsn(15)).await.unwrap(), Sequel::Lost, "{way:?}");
        });
    }
}

/// Somebody is about to remove the volume, and comes no further.
async fn about_to_remove(world: &World) -> Epoch {
    let standing = look(&world.context).await.unwrap();
    announce_removal(&world.context, &standing).await.unwrap().unwrap()
}

/// Whoever called the removal off was told that nobody had held the volume.
#[test]
fn what_a_dead_writer_took_is_accounted_for_also_if_a_removal_was_called_off_since() {
    for way in WAYS {
        World::run(move |world| async move {
            first(&world).await;
            for how in way {
                silent(&world, *how).await;
            }
            world.clock.advance(TTL);
            about_to_remove(&world).await;
            let other = world.open(ask(2)).await.unwrap();
            let found = took(&world, &other).await.remove(0);
            assert_eq!((found.commits(), found.held, found.settled), (12, Lsn(8), true), "{way:?}");
        });
        // The same host, where nobody comes to look at the journal after all.
        World::run(move |world| async move {
            first(&world).await;
            about_to_remove(&world).await;
            assert!(world.open(same(1)).await.unwrap().owes_an_account(), "{way:?}");
            about_to_remove(&world).await;
            for how in way {
                silent(&world, *how).await;
            }
            let other = world.open(takeover(2)).await.unwrap();
            let found = took(&world, &other).await.remove(0);
            assert_eq!((found.commits(), found.held, found.settled), (12, Lsn(8), true), "{way:?}");
        });
    }
}

/// Whoever was here last has let go, and was to account for the one before.
#[test]
fn whom_a_writer_left_to_the_next_is_accounted_for_also_if_a_removal_was_called_off_since() {
    World::run(|world| async move {
        first(&world).await;
        world.open(takeover(2)).await.unwrap().close_unused().await.unwrap();
        about_to_remove(&world).await;
        let last = world.open(ask(3)).await.unwrap();
        assert_eq!(took(&world, &last).await.iter().map(Loss::commits).collect::<Vec<_>>(), [12]);
    });
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 8)).await.unwrap(), Outcome::Durable);
        lease.close(&StatusReport::default()).await.unwrap();
        about_to_remove(&world).await;
        assert_eq!(world.open(ask(2)).await.unwrap().taken_from(), None, "it had left nothing");
    });
}

/// Whoever needed a second try to take the volume was told that nobody had held it.
#[test]
fn what_a_writer_that_was_pushed_aside_took_is_accounted_for_also_if_the_taking_needs_another_try() {
    let again = |n| plimsoll_commitlog::Acquire { same_host: true, ..takeover(n) };
    for way in WAYS.into_iter().skip(1) {
        for (closes, heir) in [(false, 2), (false, 3), (true, 2), (true, 3)] {
            World::run(move |world| async move {
                first(&world).await;
                for how in way {
                    fails(&world, again(2), *how).await;
                }
                if closes {
                    world.open(again(2)).await.unwrap().close_unused().await.unwrap();
                }
                let taken = world.open(again(heir)).await.unwrap();
                let found = took(&world, &taken).await.remove(0);
                assert_eq!((found.commits(), found.held, found.settled), (12, Lsn(8), true), "{way:?}");
                // Whoever holds the volume has said so, and it is not said twice.
                taken.accounts_for();
                let _ = taken.heartbeat(&StatusReport::default()).await.unwrap();
                assert_eq!(world.open(again(heir)).await.unwrap().taken_from(), None, "{way:?}, {closes}, {heir}");
            });
        }
    }
}

/// Its commits bore the numbers of those that were lost, so that it looked as if the history held these.
#[test]
fn what_was_lost_is_not_made_up_for_by_the_commits_of_who_died_before_he_could_say_so() {
    World::run(|world| async move {
        first(&world).await;
        let second = world.open(takeover(2)).await.unwrap();
        assert!(!second.owes_an_account(), "it answers for its own journal only");
        assert_eq!(second.create_next(sync(&second, 2, 30)).await.unwrap(), Outcome::Durable);
        let second_found = second.inherited();
        drop(second);
        let third = world.open(takeover(3)).await.unwrap();
        let found = took(&world, &third).await.remove(0);
        assert_eq!((found.epoch, found.commits(), found.held, found.settled), (Epoch(1), 12, Lsn(8), true));
        assert_eq!(found.found, second_found);
    });
}

/// The fence of a process that had replayed them, and came to no sync, was taken for its newest sync.
#[test]
fn a_fence_is_no_sync_that_the_commits_of_before_are_in() {
    for how in [Silent::Introduced, Silent::Greeted, Silent::Dumb] {
        World::run(move |world| async move {
            first(&world).await;
            world.clock.advance(TTL * 2);
            silent(&world, how).await;
            let other = world.open(takeover(2)).await.unwrap();
            let found = took(&world, &other).await.remove(0);
            assert_eq!((found.commits(), found.held, found.synced_ms), (12, Lsn(8), None), "{how:?}");
        });
    }
    World::run(|world| async move {
        first(&world).await;
        let other = world.open(takeover(2)).await.unwrap();
        assert!(took(&world, &other).await.remove(0).synced_ms.is_some(), "the first sync of all");
        assert_eq!(other.create_next(sync(&other, 2, 30)).await.unwrap(), Outcome::Durable);
        let third = world.open(takeover(3)).await.unwrap();
        assert!(took(&world, &third).await.remove(1).synced_ms.is_some(), "one on top of its fence");
    });
}

/// Only the one before them was, over and over, until somebody lived for as long as between two signs of life.
#[test]
fn everybody_is_accounted_for_who_died_before_he_could_account_for_the_one_before() {
    for closes in [false, true] {
        World::run(move |world| async move {
            first(&world).await;
            for (n, lsn) in [(2, 30), (3, 40)] {
                let lease = world.open(takeover(n)).await.unwrap();
                assert_eq!(lease.create_next(sync(&lease, n, lsn)).await.unwrap(), Outcome::Durable);
            }
            if closes {
                // It could not find out what the others took, and leaves that to whoever comes next.
                world.open(takeover(4)).await.unwrap().close_unused().await.unwrap();
            }
            let last = world.open(takeover(5)).await.unwrap();
            let found = took(&world, &last).await;
            let found: Vec<_> = found.iter().map(|loss| (loss.host.as_str(), loss.commits(), loss.held)).collect();
            assert_eq!(found, [("h1", 12, Lsn(8)), ("h2", 0, Lsn(30)), ("h3", 0, Lsn(40))]);
            last.accounts_for();
            let _ = last.heartbeat(&StatusReport::default()).await.unwrap();
            drop(last);
            let next = world.open(takeover(6)).await.unwrap();
            assert_eq!(took(&world, &next).await.iter().map(|loss| loss.host.as_str()).collect::<Vec<_>>(), ["h5"]);
        });
    }
}

/// That one has let go, so it looked as if nobody had left anything to answer for.
#[test]
fn an_account_that_a_writer_left_to_the_next_outlives_a_next_one_that_dies_before_it_says_anything() {
    for how in [Silent::Greeted, Silent::Dumb] {
        World::run(move |world| async move {
            first(&world).await;
            let second = world.open(takeover(2)).await.unwrap();
            assert_eq!(second.create_next(sync(&second, 2, 30)).await.unwrap(), Outcome::Durable);
            // It could not find out what the first one took.
            second.close_unused().await.unwrap();
            fails(&world, takeover(3), how).await;
            let last = world.open(takeover(4)).await.unwrap();
            let found = took(&world, &last).await;
            let found: Vec<_> = found.iter().map(|loss| (loss.host.as_str(), loss.commits(), loss.held)).collect();
            assert_eq!(found, [("h1", 12, Lsn(8))], "{how:?}");
        });
    }
}

/// It was taken for nothing.
#[test]
fn what_a_writer_took_whose_last_words_are_damaged_or_cannot_be_read_is_not_known() {
    World::run(|world| async move {
        first(&world).await;
        let next = world.open(takeover(2)).await.unwrap();
        let away =
            Rule { op: Some(Op::Get), key_contains: "status/".into(), fault: Fault::FailBefore, times: u32::MAX };
        world.script.add(away);
        let missing = toll(&world.context, Epoch(1), &next).await.missing.unwrap();
        assert_eq!(missing.kind(), ErrorKind::Unavailable);
        world.script.clear();
        world.memory.put(&status_key(Epoch(1)), b"{}".to_vec().into()).await.unwrap();
        let found = toll(&world.context, Epoch(1), &next).await;
        assert_eq!((found.losses.len(), found.missing.unwrap().kind()), (0, ErrorKind::Corrupt));
    });
}

/// They bear the numbers of commits that others have made since.
#[test]
fn what_the_history_holds_of_a_writer_is_not_known_once_nobody_knows_what_the_first_one_after_it_found() {
    // How many come after it until its host is back, and whether the records of the first of them are damaged.
    for (heirs, damaged) in [(2, false), (2, true), (300, false)] {
        World::run(move |world| async move {
            first(&world).await;
            for n in 0..heirs {
                let lease = world.open(takeover(2 + n)).await.unwrap();
                assert_eq!(lease.create_next(sync(&lease, 2 + n, 30 + n)).await.unwrap(), Outcome::Durable);
                forget_bygone(&world.context, lease.epoch()).await.unwrap();
            }
            if damaged {
                world.memory.put(&status_key(Epoch(2)), b"{}".to_vec().into()).await.unwrap();
            }
            let found = aftermath(&world.context, Epoch(1), Lsn(8), true).await.unwrap();
            let known = heirs == 2 && !damaged;
            assert_eq!((found.held, found.settled), (Lsn(8), known), "{heirs} {damaged}");
            let gone = sequel(&world.context, Epoch(1), Lsn(15)).await.unwrap();
            assert_eq!(gone, if damaged { Sequel::NotYet } else { Sequel::Lost }, "{heirs} {damaged}");
        });
    }
}

/// Where it was taken for this host's own, the journal was replayed on what somebody else had written.
#[test]
fn an_epoch_whose_record_is_damaged_or_gone_may_have_been_anybodys() {
    World::run(|world| async move {
        for n in [1, 1, 1, 2] {
            world.open(plimsoll_commitlog::Acquire { same_host: true, ..takeover(n) }).await.unwrap();
        }
        let context = world.context.clone();
        let alone =
            async move |after, last| alone_since(&context, WriterId(1), Epoch(after), Epoch(last)).await.unwrap();
        assert!(alone(1, 3).await && alone(3, 3).await);
        assert!(!alone(1, 4).await && !alone(3, 5).await, "another one's, and one that is not there");
        assert!(!alone(0, 200).await, "too many to ask for");
        world.memory.put(&epoch_key(Epoch(2)), b"{}".to_vec().into()).await.unwrap();
        assert!(!alone(1, 3).await && alone(2, 3).await);
        world.memory.delete(&[epoch_key(Epoch(3))]).await.unwrap();
        assert!(!alone(2, 3).await);
    });
}

/// A journal that was left behind was kept aside, though nobody had written to the volume since.
#[test]
fn an_epoch_that_was_taken_for_a_removal_is_of_nobody_who_writes() {
    World::run(|world| async move {
        let writes = |n| world.open(plimsoll_commitlog::Acquire { same_host: true, ..takeover(n) });
        writes(1).await.unwrap();
        assert_eq!((about_to_remove(&world).await, about_to_remove(&world).await), (Epoch(2), Epoch(3)));
        writes(1).await.unwrap();
        about_to_remove(&world).await;
        let (context, one) = (world.context.clone(), WriterId(1));
        assert!(alone_since(&context, one, Epoch(1), Epoch(5)).await.unwrap());
        let unwritten = async move |after, last| unwritten_since(&context, Epoch(after), Epoch(last)).await.unwrap();
        assert!(unwritten(1, 3).await && unwritten(4, 5).await && unwritten(5, 5).await);
        assert!(!unwritten(1, 4).await && !unwritten(0, 3).await && !unwritten(4, 6).await);
        world.memory.put(&epoch_key(Epoch(2)), b"{}".to_vec().into()).await.unwrap();
        assert!(!unwritten(1, 3).await, "it may have been anybody's");
    });
}

/// A restore looks beside what it reads, which may take minutes: then a holder that was alive all the time seemed silent.
#[test]
fn a_holder_is_not_silent_because_somebody_looked_long_ago() {
    for seconds in [2, 29, 31, 600] {
        World::run(move |world| async move {
            let lease = world.open(ask(1)).await.unwrap();
            let standing = Some(look(&world.context).await.unwrap());
            world.clock.advance(Duration::from_secs(seconds));
            let _ = lease.heartbeat(&StatusReport::default()).await.unwrap();
            let asked = world.open(plimsoll_commitlog::Acquire { standing, ..ask(2) }).await;
            assert_eq!(asked.err().map(|error| error.kind()), Some(ErrorKind::Held), "after {seconds} s");
        });
    }
}

/// A restore looks who holds the volume before it has the local lock.
#[test]
fn what_a_process_of_this_host_has_said_since_it_was_looked_who_holds_the_volume_is_owed_too() {
    World::run(|world| async move {
        let lease = world.open(same(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 8)).await.unwrap(), Outcome::Durable);
        let mark = |lsn| Mark { lsn: Lsn(lsn), ms: world.host.clock.wall().0 };
        let durable = Watermarks { appended: mark(8), journaled: mark(8), durable: mark(8) };
        let _ = lease.heartbeat(&StatusReport { watermarks: durable, ..StatusReport::default() }).await.unwrap();
        let standing = Some(look(&world.context).await.unwrap());
        let watermarks = Watermarks { appended: mark(20), journaled: mark(18), durable: mark(8) };
        let load = LoadRecord { commits: 12, bytes: 12 * 512, age_ms: 700 };
        let _ = lease.heartbeat(&StatusReport { watermarks, load, ..StatusReport::default() }).await.unwrap();
        let next = world.open(plimsoll_commitlog::Acquire { standing, ..same(1) }).await.unwrap();
        assert!(next.owes_an_account());
    });
}

#[test]
fn a_lease_that_is_given_up_unused_says_what_it_owes() {
    World::run(|world| async move {
        first(&world).await;
        let failed = world.open(same(1)).await.unwrap();
        assert!(failed.owes_an_account());
        // As if its journal had gone with the disk, and somebody knew.
        failed.close_unused().await.unwrap();
        let other = world.open(ask(2)).await.unwrap();
        assert_eq!(other.taken_from(), None);
        assert_eq!(losses(&world.context, 100).await.unwrap().len(), 1);
    });
    World::run(|world| async move {
        let lease = world.open(same(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 8)).await.unwrap(), Outcome::Durable);
        drop(lease);
        let failed = world.open(same(1)).await.unwrap();
        assert!(!failed.owes_an_account());
    });
    // What was never synced to the disk is in the journal as well, unless power was lost.
    World::run(|world| async move {
        let lease = world.open(same(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 8)).await.unwrap(), Outcome::Durable);
        let mark = |lsn| Mark { lsn: Lsn(lsn), ms: world.host.clock.wall().0 };
        let watermarks = Watermarks { appended: mark(20), journaled: mark(8), durable: mark(8) };
        let _ = lease.heartbeat(&StatusReport { watermarks, ..StatusReport::default() }).await.unwrap();
        assert!(world.open(same(1)).await.unwrap().owes_an_account());
    });
}

/// It would be told again, for as long as nobody else writes.
#[test]
fn what_this_journal_had_said_before_it_was_let_go_is_not_owed_any_more() {
    World::run(|world| async move {
        let lease = first(&world).await;
        let mark = |lsn| Mark { lsn: Lsn(lsn), ms: world.host.clock.wall().0 };
        let watermarks = Watermarks { appended: mark(20), journaled: mark(18), durable: mark(8) };
        lease.close(&StatusReport { watermarks, ..StatusReport::default() }).await.unwrap();
        assert!(!world.open(same(1)).await.unwrap().owes_an_account());
    });
}
