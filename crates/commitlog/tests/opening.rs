//! Becoming the writer: who is let in, and what the fence holds against.

mod support;

use std::time::Duration;

use futures::future::join;
use plimsoll_commitlog::{
    Acquire, Beat, Levels, Outcome, Standing, StatusReport, epoch_key, lives, look, status_key, tail, volume_key,
};
use plimsoll_host::Clock as _;
use plimsoll_ltx::{FileId, Layout};
use plimsoll_model::{Epoch, ErrorKind, Lsn, Stamp, Txid, WriterId};
use plimsoll_store::{
    Store as _,
    fault::{Fault, Op, Rule},
};
use support::{R, TTL, World, ask, object, sync, takeover};

fn key(txid: u64) -> String {
    Layout::Other.key(&FileId::sync(Txid(txid)))
}

/// A volume with `syncs` syncs by writer 1, which then dies; its status is fresh.
async fn with_history(world: &World, syncs: u64) {
    let lease = world.open(ask(1)).await.unwrap();
    for lsn in 1..=syncs {
        assert_eq!(lease.create_next(sync(&lease, 1, lsn)).await.unwrap(), Outcome::Durable);
    }
}

#[test]
fn a_new_volume_begins_with_its_first_sync() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!((lease.epoch(), lease.head(), lease.inherited()), (Epoch(1), None, None));
        let standing = look(&world.context).await.unwrap();
        assert_ne!(standing.volume.unwrap().uuid, [0; 16]);
        assert_eq!(standing.holder.unwrap().host, "h1");
        assert_eq!(standing.status.unwrap().record.inherited, None, "an earlier writer may still begin the history");

        assert_eq!(lease.create_next(sync(&lease, 1, 5)).await.unwrap(), Outcome::Durable);
        assert_eq!(lease.durable(), Lsn(5));
        assert_eq!(lease.inherited().unwrap().txid, Txid::ZERO);
        let tail = tail(&world.context, Levels::All).await.unwrap();
        assert_eq!(tail.head, lease.head());
        assert_eq!(tail.files.len(), 1);
    });
}

#[test]
fn opening_puts_a_fence_on_the_newest_sync() {
    World::run(|world| async move {
        with_history(&world, 3).await;
        let before = tail(&world.context, Levels::Newest).await.unwrap().head.unwrap();
        let lease = world.open(takeover(2)).await.unwrap();
        let fence = lease.head().unwrap();
        assert_eq!((fence.txid, fence.stamp.unwrap().epoch, fence.stamp.unwrap().lsn), (Txid(4), Epoch(2), Lsn(3)));
        assert_eq!(tail(&world.context, Levels::Newest).await.unwrap().head, Some(fence));
        let inherited = lease.inherited().unwrap();
        assert_eq!((inherited.txid, inherited.stamp), (Txid(3), before.stamp));
        let status = look(&world.context).await.unwrap().status.unwrap().record;
        assert_eq!((status.inherited, status.watermarks.durable.lsn), (Some(inherited), Lsn(3)));
    });
}

#[test]
fn a_live_holder_is_named_and_not_disturbed() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        world.clock.sleep(TTL / 2).await;
        let error = world.open(ask(2)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Held);
        for word in ["process 101", "host h1", "epoch 1", "15 s ago", "takeover"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(lease.create_next(sync(&lease, 1, 1)).await.unwrap(), Outcome::Durable);
        assert_eq!(lease.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Holding);
        world.clock.sleep(TTL / 2).await;
        assert_eq!(world.open(ask(2)).await.err().unwrap().kind(), ErrorKind::Held, "the sign of life counts");
    });
}

#[test]
fn a_dead_holder_is_followed_after_its_time() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        world.clock.sleep(TTL).await;
        assert_eq!(world.open(ask(2)).await.unwrap().epoch(), Epoch(2));
    });
}

#[test]
fn a_closed_volume_opens_at_once() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 1)).await.unwrap(), Outcome::Durable);
        lease.close(&StatusReport::default()).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 2)).await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(lease.heartbeat(&StatusReport::default()).await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(world.open(ask(2)).await.unwrap().epoch(), Epoch(2));
    });
}

#[test]
fn the_same_host_reopens_at_once_after_a_crash() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        assert_eq!(
            world.open(ask(1)).await.err().unwrap().kind(),
            ErrorKind::Held,
            "without the lock nothing is known"
        );
        let here = |writer| Acquire { same_host: true, ..ask(writer) };
        assert_eq!(world.open(here(2)).await.err().unwrap().kind(), ErrorKind::Held, "it is not this host's epoch");
        assert_eq!(world.open(here(1)).await.unwrap().epoch(), Epoch(2));
    });
}

#[test]
fn of_two_that_open_at_once_one_holds_and_the_other_is_told_so() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        world.clock.sleep(TTL).await;
        world.script.add(Rule { op: None, key_contains: String::new(), fault: Fault::Delay(TICK), times: u32::MAX });
        let (one, two) = join(world.open(ask(2)), world.open(ask(3))).await;
        let (lease, error) = match (one, two) {
            (Ok(lease), Err(error)) | (Err(error), Ok(lease)) => (lease, error),
            (Ok(_), Ok(_)) => panic!("both hold it"),
            (Err(one), Err(two)) => panic!("nobody holds it: {one}, {two}"),
        };
        assert_eq!(error.kind(), ErrorKind::Held);
        assert_eq!(
            lease.create_next(sync(&lease, 1, 2)).await.unwrap_err().kind(),
            ErrorKind::Invalid,
            "not its stamp"
        );
        let writer = lease.head().unwrap().stamp.unwrap().writer.0;
        assert_eq!(lease.create_next(sync(&lease, writer, 2)).await.unwrap(), Outcome::Durable);
    });
}

const TICK: Duration = Duration::from_millis(10);

#[test]
fn opening_takes_seven_round_trips_and_two_after_somebody_who_said_nothing() {
    World::run(|world| async move {
        with_history(&world, 3).await;
        world.script.add(Rule { op: None, key_contains: String::new(), fault: Fault::Delay(TICK), times: u32::MAX });
        let start = world.clock.now();
        tail(&world.context, Levels::All).await.unwrap();
        assert_eq!(world.clock.now().since(start), TICK * 2, "lists, head");
        let start = world.clock.now();
        world.open(takeover(2)).await.unwrap();
        let spent = world.clock.now().since(start);
        // Whoever was here last had not said more than that it came, so whoever was before it is asked for.
        assert_eq!(spent, TICK * 9, "records, holder, epoch, two for who was before, list, head, fence, status");
    });
}

#[test]
fn what_is_known_already_saves_round_trips_and_is_not_trusted() {
    World::run(|world| async move {
        with_history(&world, 3).await;
        world.script.add(Rule { op: None, key_contains: String::new(), fault: Fault::Delay(TICK), times: u32::MAX });
        let standing = look(&world.context).await.unwrap();
        let open = async |standing: &Standing, newest| {
            let start = world.clock.now();
            let ask = Acquire { standing: Some(standing.clone()), newest: Some(newest), ..takeover(2) };
            let lease = world.open(ask).await.unwrap();
            (lease, world.clock.now().since(start))
        };
        let newest = tail(&world.context, Levels::Newest).await.unwrap().head.unwrap().txid;
        let (lease, spent) = open(&standing, newest).await;
        assert_eq!(spent, TICK * 6, "epoch, two for who was before, list beside head, fence, status");
        assert_eq!(lease.head().unwrap().txid, newest.next());
        let before = lease.epoch();
        // What was seen then is not so any more: its epoch is taken, and another sync is the newest.
        let (lease, _) = open(&standing, newest).await;
        assert_eq!((lease.epoch(), lease.head().unwrap().txid), (before.next(), newest.next().next()));
    });
}

#[test]
fn an_epoch_whose_answer_is_lost_is_still_ours() {
    World::run(|world| async move {
        world.script.once(Op::Create, "epoch/", Fault::AppliedButNoAnswer);
        world.script.once(Op::Create, "volume.json", Fault::AppliedButNoAnswer);
        assert_eq!(world.open(ask(1)).await.unwrap().epoch(), Epoch(1));
        assert!(world.script.is_used_up());
    });
}

#[test]
fn a_fence_whose_answer_is_lost_is_still_ours() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        world.script.once(Op::Create, "ltx/0/", Fault::AppliedButNoAnswer);
        let lease = world.open(takeover(2)).await.unwrap();
        assert_eq!(lease.head().unwrap().txid, Txid(2), "there is one fence");
        assert!(world.script.is_used_up());
    });
}

#[test]
fn a_fence_whose_name_is_taken_goes_on_top_of_what_took_it() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        assert_eq!(old.create_next(sync(&old, 1, 1)).await.unwrap(), Outcome::Durable);
        world.script.once(Op::Create, "ltx/0/", Fault::Delay(TICK));
        let (new, outcome) =
            join(world.open(takeover(2)), async { old.create_next(sync(&old, 1, 2)).await.unwrap() }).await;
        // Which of the two was delayed does not matter: both orders are one history.
        let new = new.unwrap();
        assert_eq!(outcome, Outcome::Durable);
        assert_eq!((new.head().unwrap().txid, new.inherited().unwrap().stamp.unwrap().lsn), (Txid(3), Lsn(2)));
    });
}

#[test]
fn a_fence_that_became_a_stray_is_repeated_on_the_head() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        assert_eq!(old.create_next(sync(&old, 1, 1)).await.unwrap(), Outcome::Durable);
        // The fence, TXID 2, is on its way for longer than the retention.
        world.script.once(Op::Create, &key(2), Fault::FailBefore);
        world.script.once(Op::Create, &key(2), Fault::Delay(R * 2));
        let beside = async {
            // The old writer syncs 2 before the fence arrives, and does not look for newer epochs.
            world.clock.sleep(R).await;
            let (body, checksum) = object(Txid(2), sync(&old, 1, 2).stamp.into(), old.head().unwrap().checksum, 2);
            world.memory.create(&key(2), body).await.unwrap();
            let (body, _) = object(Txid(3), sync(&old, 1, 3).stamp.into(), checksum, 3);
            world.memory.create(&key(3), body).await.unwrap();
            world.memory.delete(&[key(1), key(2)]).await.unwrap();
        };
        let (new, ()) = join(world.open(takeover(2)), beside).await;
        let new = new.unwrap();
        assert!(world.memory.get(&key(2)).await.unwrap().is_some(), "the stray is there");
        assert_eq!((new.head().unwrap().txid, new.durable()), (Txid(4), Lsn(3)));
        assert_eq!(new.inherited().unwrap().txid, Txid(3));
    });
}

#[test]
fn a_fence_that_was_answered_late_and_is_the_head_counts() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        world.script.once(Op::Create, &key(2), Fault::Delay(R));
        let lease = world.open(takeover(2)).await.unwrap();
        assert_eq!((lease.head().unwrap().txid, lease.inherited().unwrap().txid), (Txid(2), Txid(1)));
    });
}

#[test]
fn an_open_gives_up_when_a_newer_epoch_is_at_the_head() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        world.script.once(Op::List, "ltx/0/", Fault::Delay(TICK));
        let beside = async {
            world.clock.sleep(TICK / 2).await;
            world.open(takeover(3)).await.unwrap()
        };
        let (slow, fast) = join(world.open(takeover(2)), beside).await;
        let error = slow.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Held);
        assert!(error.to_string().contains("process 103 on host h3 (epoch 3) took the volume"), "{error}");
        assert_eq!(fast.create_next(sync(&fast, 3, 2)).await.unwrap(), Outcome::Durable);
    });
}

#[test]
fn what_litestream_wrote_is_continued() {
    World::run(|world| async move {
        let (body, first) = object(Txid(1), None, 0, 0);
        world.memory.create(&key(1), body).await.unwrap();
        let (body, second) = object(Txid(2), None, 0, 0);
        world.memory.create(&key(2), body).await.unwrap();
        let lease = world.open(ask(1)).await.unwrap();
        assert_ne!(first, second);
        assert_eq!((lease.head().unwrap().txid, lease.inherited().unwrap().stamp), (Txid(3), None));
        assert!(look(&world.context).await.unwrap().volume.is_some(), "it has an identity now");
    });
}

#[test]
fn an_empty_level_0_is_continued_from_the_other_levels() {
    World::run(|world| async move {
        let (body, checksum) = object(Txid(1), None, 0, 0);
        world.memory.create("ltx/9/0000000000000001-0000000000000001.ltx", body).await.unwrap();
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!(lease.head().unwrap().txid, Txid(2));
        let fence = world.memory.get(&key(2)).await.unwrap().unwrap().bytes;
        assert_eq!(plimsoll_ltx::Header::decode(&fence).unwrap().link, checksum);
    });
}

/// What is merged has no stamp, and another checksum: a fence linked to it was no part of the history.
#[test]
fn a_first_sync_that_is_made_and_merged_during_a_listing_is_what_the_next_one_continues() {
    World::run(|world| async move {
        world.script.once(Op::List, "ltx/1/", Fault::Delay(Duration::from_secs(2)));
        let stamp = Stamp { writer: WriterId(7), epoch: Epoch(1), lsn: Lsn(4) };
        let (body, checksum) = object(Txid(1), Some(stamp), 0, 4);
        let (merged, _) = object(Txid(1), None, 0, 4);
        let beside = async {
            world.clock.sleep(Duration::from_secs(1)).await;
            world.memory.create(&key(1), body).await.unwrap();
            world.memory.create("ltx/1/0000000000000001-0000000000000001.ltx", merged).await.unwrap();
        };
        let (tail, ()) = join(tail(&world.context, Levels::Newest), beside).await;
        let head = tail.unwrap().head.unwrap();
        assert_eq!((head.stamp, head.checksum), (Some(stamp), checksum));
    });
}

#[test]
fn damaged_notes_of_a_dead_writer_lock_nobody_out_for_ever() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        world.memory.put(&epoch_key(Epoch(1)), b"{".to_vec().into()).await.unwrap();
        world.memory.put(&status_key(Epoch(1)), b"\xff".to_vec().into()).await.unwrap();
        assert_eq!(world.open(ask(2)).await.err().unwrap().kind(), ErrorKind::Held);
        world.clock.sleep(TTL).await;
        assert_eq!(world.open(ask(2)).await.unwrap().epoch(), Epoch(2));
    });
}

#[test]
fn a_damaged_identity_or_a_newer_format_is_named_and_refused() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        world.clock.sleep(TTL).await;
        world.memory.put(&status_key(Epoch(1)), b"{\"format\":9}".to_vec().into()).await.unwrap();
        let error = world.open(ask(2)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.object_name(), Some("memory:///private/status/00000001.json"));
        world.memory.put(volume_key(), b"{}".to_vec().into()).await.unwrap();
        let error = world.open(takeover(2)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.object_name(), Some("memory:///private/volume.json"));
    });
}

#[test]
fn a_damaged_head_is_named_and_refused() {
    World::run(|world| async move {
        with_history(&world, 1).await;
        let misplaced = object(Txid(2), None, 0, 0).0;
        for body in [vec![0; 200].into(), b"LTX1".to_vec().into(), misplaced] {
            world.memory.put(&key(1), body).await.unwrap();
            let error = world.open(takeover(2)).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(&key(1)), "{error}");
        }
    });
}

#[test]
fn an_epoch_number_that_leaves_no_next_one_is_an_error() {
    World::run(|world| async move {
        world.memory.put("epoch/ffffffff.json", b"{}".to_vec().into()).await.unwrap();
        assert_eq!(world.open(takeover(1)).await.err().unwrap().kind(), ErrorKind::Corrupt);
    });
}

/// The old writer had the next name first every time, sixty-four times in a few seconds, and the open gave up before that
/// one's next look at who holds the volume.
#[test]
fn a_writer_that_syncs_without_a_pause_is_fenced_once_it_looks() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        assert_eq!(old.create_next(sync(&old, 1, 1)).await.unwrap(), Outcome::Durable);
        let slow = Rule {
            op: None,
            key_contains: String::new(),
            fault: Fault::Delay(Duration::from_millis(10)),
            times: u32::MAX,
        };
        world.script.add(slow);
        let (busy, taking, clock) = (world.clone(), world.clone(), std::sync::Arc::clone(&world.host.clock));
        let old = std::sync::Arc::new(old);
        let beats = std::sync::Arc::clone(&old);
        let syncing = async move {
            let mut lsn = 1;
            loop {
                lsn += 1;
                match old.create_next(sync(&old, 1, lsn)).await {
                    Ok(Outcome::Durable) => {}
                    // One that was asked for just before it was fenced is not the history's, or is not told to be.
                    Ok(Outcome::Fenced(_)) => return lsn,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                        return lsn;
                    }
                }
                assert!(busy.host.clock.now().0 < Duration::from_secs(600));
            }
        };
        let looking = async move {
            loop {
                clock.sleep(Duration::from_secs(10)).await;
                if !matches!(beats.heartbeat(&StatusReport::default()).await, Ok(Beat::Holding)) {
                    return;
                }
            }
        };
        let ((syncs, ()), new) = join(join(syncing, looking), async move { taking.open(takeover(2)).await }).await;
        assert_eq!(new.unwrap().epoch(), Epoch(2));
        assert!(syncs > 64, "{syncs}");
    });
}

#[test]
fn a_writer_has_given_a_sign_of_life_if_it_has_said_something_since_and_not_that_it_lets_go() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 1)).await.unwrap(), Outcome::Durable);
        let before = look(&world.context).await.unwrap();
        assert!(!lives(&world.context, &before).await.unwrap(), "nothing since");
        world.clock.advance(TTL / 4);
        assert!(matches!(lease.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Holding));
        assert!(lives(&world.context, &before).await.unwrap());
        world.clock.advance(TTL / 4);
        lease.close(&StatusReport::default()).await.unwrap();
        assert!(!lives(&world.context, &before).await.unwrap(), "it has let go");
    });
}
