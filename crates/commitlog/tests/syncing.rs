//! Being the writer: what an outcome means, and what a fenced writer is told.

mod support;

use std::time::Duration;

use futures::future::join;
use plimsoll_commitlog::{
    Beat, FenceInfo, Lease, LoadRecord, Mark, Outcome, StatusReport, Watermarks, aftermath, losses, status_key,
};
use plimsoll_host::Clock as _;
use plimsoll_ltx::{FileId, Layout};
use plimsoll_model::{Epoch, ErrorKind, Lsn, Stamp, Txid, WriterId};
use plimsoll_store::{
    Store as _,
    fault::{Fault, Op},
};
use support::{R, World, ask, object, sync, takeover};

fn key(txid: u64) -> String {
    Layout::Other.key(&FileId::sync(Txid(txid)))
}

async fn durable(lease: &Lease, writer: u64, lsn: u64) {
    assert_eq!(lease.create_next(sync(lease, writer, lsn)).await.unwrap(), Outcome::Durable);
}

fn fenced(outcome: Outcome) -> FenceInfo {
    match outcome {
        Outcome::Fenced(info) => info,
        Outcome::Durable => panic!("it was reported as durable"),
    }
}

#[test]
fn the_writer_before_is_fenced_and_told_what_survived() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        durable(&old, 1, 5).await;
        let new = world.open(takeover(2)).await.unwrap();
        let info = fenced(old.create_next(sync(&old, 1, 9)).await.unwrap());
        assert_eq!((info.epoch, info.held, info.settled), (Epoch(2), Lsn(5), true));
        assert_eq!(info.holder.unwrap().host, "h2");
        let error = old.create_next(sync(&old, 1, 9)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert!(error.to_string().contains("process 102 on host h2 (epoch 2)"), "{error}");
        assert!(matches!(old.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Fenced(_)));
        assert_eq!(old.close(&StatusReport::default()).await.unwrap_err().kind(), ErrorKind::Fenced);
        durable(&new, 2, 6).await;
    });
}

#[test]
fn an_answer_that_was_lost_is_ours_when_asked_again() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        durable(&lease, 1, 1).await;
        world.script.once(Op::Create, "ltx/0/", Fault::AppliedButNoAnswer);
        let next = sync(&lease, 1, 2);
        assert_eq!(lease.create_next(next.clone()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(lease.durable(), Lsn(1), "nothing is assumed");
        assert_eq!(lease.create_next(next).await.unwrap(), Outcome::Durable);
        assert_eq!(lease.durable(), Lsn(2));
    });
}

/// Its journal has those commits too, and would keep them aside as lost.
#[test]
fn a_first_sync_of_an_earlier_process_of_the_same_journal_does_not_say_that_the_history_holds_nothing_of_the_later_one()
{
    World::run(|world| async move {
        let same = |n| plimsoll_commitlog::Acquire { same_host: true, ..ask(n) };
        let earlier = world.open(same(1)).await.unwrap();
        let later = world.open(same(1)).await.unwrap();
        later.go_on_from(Lsn(5)).await.unwrap();
        durable(&earlier, 1, 5).await;
        let info = fenced(later.create_next(sync(&later, 1, 7)).await.unwrap());
        assert_eq!((info.winner.unwrap().lsn, info.settled), (Lsn(5), false));
        // Somebody else's does.
        let other = world.open(takeover(2)).await.unwrap();
        let newest = world.open(takeover(3)).await.unwrap();
        durable(&newest, 3, 8).await;
        let info = fenced(other.create_next(sync(&other, 2, 8)).await.unwrap());
        assert!(info.settled);
    });
}

/// Ours may have been there before, and be merged and collected since.
#[test]
fn what_has_our_name_late_and_is_of_somebody_newer_does_not_say_that_ours_was_never_there() {
    for (epoch, settled) in [(9, false), (0, true)] {
        World::run(move |world| async move {
            let lease = world.open(ask(1)).await.unwrap();
            durable(&lease, 1, 1).await;
            let stamp = Stamp { writer: WriterId(9), epoch: Epoch(epoch), lsn: Lsn(1) };
            let stray = object(Txid(2), Some(stamp).filter(|stamp| !stamp.epoch.is_zero()), 0, 99).0;
            world.memory.create(&key(2), stray).await.unwrap();
            world.script.once(Op::Create, "ltx/0/", Fault::Delay(R));
            let info = fenced(lease.create_next(sync(&lease, 1, 2)).await.unwrap());
            assert_eq!((info.held, info.settled), (Lsn(1), settled), "{epoch}");
        });
    }
}

#[test]
fn a_sign_of_life_that_the_store_did_not_take_was_none() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        durable(&lease, 1, 1).await;
        world.script.once(Op::Put, "status/", Fault::FailBefore);
        assert_eq!(lease.heartbeat(&StatusReport::default()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(lease.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Holding);
    });
}

#[test]
fn a_name_that_was_taken_after_a_lost_request_is_theirs() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        durable(&old, 1, 1).await;
        world.script.once(Op::Create, "ltx/0/", Fault::FailBefore);
        let next = sync(&old, 1, 2);
        assert_eq!(old.create_next(next.clone()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        world.open(takeover(2)).await.unwrap();
        let info = fenced(old.create_next(next).await.unwrap());
        assert_eq!((info.held, info.settled), (Lsn(1), true));
    });
}

#[test]
fn a_sync_whose_answer_was_lost_before_the_takeover_is_held() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        durable(&old, 1, 1).await;
        world.script.once(Op::Create, "ltx/0/", Fault::AppliedButNoAnswer);
        let next = sync(&old, 1, 2);
        old.create_next(next).await.unwrap_err();
        world.open(takeover(2)).await.unwrap();
        let Beat::Fenced(info) = old.heartbeat(&StatusReport::default()).await.unwrap() else {
            panic!("it was fenced")
        };
        assert_eq!((info.held, info.settled), (Lsn(2), true));
    });
}

#[test]
fn another_sync_cannot_replace_one_whose_outcome_is_unknown() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        world.script.once(Op::Create, "ltx/0/", Fault::AppliedButNoAnswer);
        lease.create_next(sync(&lease, 1, 1)).await.unwrap_err();
        let error = lease.create_next(sync(&lease, 1, 2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(lease.close(&StatusReport::default()).await.unwrap_err().kind(), ErrorKind::Invalid);
        durable(&lease, 1, 1).await;
        lease.close(&StatusReport::default()).await.unwrap();
    });
}

#[test]
fn a_sleeping_writer_whose_name_is_free_again_is_fenced() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        durable(&old, 1, 1).await;
        world.script.once(Op::Create, &key(2), Fault::Delay(R * 2));
        let beside = async {
            world.clock.sleep(Duration::from_secs(1)).await;
            let new = world.open(takeover(2)).await.unwrap();
            durable(&new, 2, 2).await;
            world.clock.sleep(R + R / 2).await;
            world.memory.delete(&[key(1), key(2)]).await.unwrap();
        };
        let (outcome, ()) = join(old.create_next(sync(&old, 1, 9)), beside).await;
        let info = fenced(outcome.unwrap());
        assert!(world.memory.get(&key(2)).await.unwrap().is_some(), "its late request did make the object");
        assert_eq!((info.epoch, info.held, info.settled), (Epoch(2), Lsn(1), true));
    });
}

#[test]
fn a_late_answer_without_a_rival_is_durable_after_another_look() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        durable(&lease, 1, 1).await;
        world.clock.sleep(R * 5).await;
        world.script.once(Op::List, "epoch/", Fault::FailBefore);
        let next = sync(&lease, 1, 2);
        assert_eq!(
            lease.create_next(next.clone()).await.unwrap_err().kind(),
            ErrorKind::Unavailable,
            "the look failed"
        );
        assert_eq!(lease.create_next(next).await.unwrap(), Outcome::Durable);
        assert!(world.script.is_used_up());
        world.script.once(Op::List, "epoch/", Fault::FailBefore);
        durable(&lease, 1, 3).await;
        assert!(!world.script.is_used_up(), "the look is fresh now");
    });
}

#[test]
fn heartbeats_keep_the_look_fresh() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        // Before the first sync they do not.
        durable(&lease, 1, 1).await;
        for beat in 0..20 {
            world.clock.sleep(R / 4).await;
            assert_eq!(lease.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Holding, "{beat}");
        }
        world.script.once(Op::List, "", Fault::FailBefore);
        durable(&lease, 1, 2).await;
        assert!(!world.script.is_used_up(), "no request but the create");
    });
}

#[test]
fn a_look_is_as_old_as_its_request_and_not_as_its_answer() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        durable(&lease, 1, 1).await;
        world.script.once(Op::List, "epoch/", Fault::Delay(R * 2 / 5));
        assert_eq!(lease.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Holding);
        world.clock.sleep(R / 5).await;
        world.script.once(Op::List, "epoch/", Fault::FailBefore);
        let late = lease.create_next(sync(&lease, 1, 2)).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Unavailable, "it looks again");
    });
}

#[test]
fn a_heartbeat_whose_look_failed_keeps_nothing_fresh() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        world.clock.sleep(R).await;
        world.script.once(Op::List, "epoch/", Fault::FailBefore);
        assert_eq!(lease.heartbeat(&StatusReport::default()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        world.script.once(Op::List, "epoch/", Fault::FailBefore);
        assert_eq!(lease.create_next(sync(&lease, 1, 1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn a_heartbeat_during_a_sync_can_end_both() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        durable(&old, 1, 1).await;
        world.script.once(Op::Create, &key(2), Fault::Delay(Duration::from_secs(20)));
        // A newer epoch that has not published its fence yet.
        let beside = async {
            world.memory.put("epoch/00000002.json", b"{}".to_vec().into()).await.unwrap();
            old.heartbeat(&StatusReport::default()).await.unwrap()
        };
        let (outcome, beat) = join(old.create_next(sync(&old, 1, 2)), beside).await;
        assert!(matches!(beat, Beat::Fenced(FenceInfo { settled: false, epoch: Epoch(2), .. })), "{beat:?}");
        assert!(!fenced(outcome.unwrap()).settled, "nothing is acknowledged once fenced");
    });
}

#[test]
fn what_survived_is_told_once_the_new_writer_has_said_it() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        durable(&old, 1, 3).await;
        world.memory.put("epoch/00000002.json", b"{}".to_vec().into()).await.unwrap();
        let Beat::Fenced(info) = old.heartbeat(&StatusReport::default()).await.unwrap() else {
            panic!("it was fenced")
        };
        assert_eq!((info.held, info.settled), (Lsn(3), false));
        world.open(takeover(3)).await.unwrap();
        let info = old.aftermath().await.unwrap();
        assert_eq!((info.epoch, info.held, info.settled), (Epoch(3), Lsn(3), true));
        let found = aftermath(&world.context, Epoch(1), Lsn::ZERO, true).await.unwrap();
        assert_eq!((found.held, found.settled), (Lsn(3), true), "also for who finds the journal later");
    });
}

#[test]
fn an_earlier_writer_may_begin_the_history_and_both_are_told_the_truth() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        let new = world.open(takeover(2)).await.unwrap();
        durable(&old, 1, 4).await;
        let info = fenced(new.create_next(sync(&new, 2, 7)).await.unwrap());
        assert_eq!((info.epoch, info.held, info.settled), (Epoch(2), Lsn::ZERO, true));
        assert_eq!(info.winner.unwrap().epoch, Epoch(1));
        let Beat::Fenced(info) = old.heartbeat(&StatusReport::default()).await.unwrap() else {
            panic!("it was fenced")
        };
        assert_eq!((info.held, info.settled), (Lsn(4), false), "the second did not inherit anything");
        world.open(takeover(3)).await.unwrap();
        assert!(old.aftermath().await.unwrap().settled);
    });
}

#[test]
fn an_object_of_litestream_under_our_name_is_reported() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        durable(&lease, 1, 1).await;
        world.memory.create(&key(2), object(Txid(2), None, 0, 0).0).await.unwrap();
        let info = fenced(lease.create_next(sync(&lease, 1, 2)).await.unwrap());
        assert_eq!((info.epoch, info.holder, info.held, info.settled), (Epoch(1), None, Lsn(1), true));
        let error = lease.create_next(sync(&lease, 1, 2)).await.unwrap_err();
        assert!(error.to_string().contains("Litestream"), "{error}");
    });
}

#[test]
fn a_damaged_object_under_our_name_is_an_error_and_no_outcome() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        world.memory.put(&key(1), vec![0; 300].into()).await.unwrap();
        let error = lease.create_next(sync(&lease, 1, 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&key(1)), "{error}");
    });
}

#[test]
fn a_sync_that_does_not_continue_the_head_is_refused() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        let first = sync(&lease, 1, 1);
        durable(&lease, 1, 1).await;
        assert_eq!(lease.create_next(first).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(lease.create_next(sync(&lease, 2, 2)).await.unwrap_err().kind(), ErrorKind::Invalid);
    });
}

#[test]
fn what_a_dead_writer_took_with_it_is_counted() {
    World::run(|world| async move {
        let mark = |lsn| Mark { lsn: Lsn(lsn), ms: 0 };
        let watermarks = Watermarks { appended: mark(20), journaled: mark(18), durable: mark(5) };
        let report = StatusReport {
            watermarks,
            load: LoadRecord { commits: 15, bytes: 1, age_ms: 1 },
            ..StatusReport::default()
        };
        let dead = world.open(ask(1)).await.unwrap();
        durable(&dead, 1, 5).await;
        assert_eq!(dead.heartbeat(&report).await.unwrap(), Beat::Holding);
        durable(&dead, 1, 9).await;
        assert_eq!(losses(&world.context, 10).await.unwrap(), [], "it may be alive");
        let next = world.open(takeover(2)).await.unwrap();
        let losses = losses(&world.context, 10).await.unwrap();
        assert_eq!(losses.len(), 1);
        assert_eq!((losses[0].epoch, losses[0].host.as_str()), (Epoch(1), "h1"));
        assert_eq!((losses[0].held, losses[0].settled, losses[0].commits()), (Lsn(9), true, 11));
        drop(next);
    });
}

#[test]
fn a_sign_of_life_says_what_it_was_given() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        let report = StatusReport { load: LoadRecord { commits: 3, bytes: 4, age_ms: 5 }, ..StatusReport::default() };
        assert_eq!(lease.heartbeat(&report).await.unwrap(), Beat::Holding);
        let text = world.memory.get(&status_key(Epoch(1))).await.unwrap().unwrap().bytes;
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains(r#""load":{"commits":3,"bytes":4,"age_ms":5}"#) && text.contains(r#""closed":false"#));
        lease.close(&report).await.unwrap();
        let text = world.memory.get(&status_key(Epoch(1))).await.unwrap().unwrap().bytes;
        assert!(String::from_utf8(text.to_vec()).unwrap().contains(r#""closed":true"#));
    });
}

/// Nobody waits for ever for a lease to be closed. The store may take it after that, and a sign of life that came next once
/// had everybody wait for this writer again.
#[test]
fn a_sign_of_life_does_not_take_a_farewell_back_that_nobody_waited_for() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        let report = StatusReport::default();
        world.script.once(Op::Put, "status/", Fault::AppliedButNoAnswer);
        // Who gives up: nothing but the way from the store was slow.
        assert_eq!(lease.close(&report).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(lease.heartbeat(&report).await.unwrap_err().kind(), ErrorKind::Closed);
        let text = world.memory.get(&status_key(Epoch(1))).await.unwrap().unwrap().bytes;
        assert!(String::from_utf8(text.to_vec()).unwrap().contains(r#""closed":true"#));
        lease.close(&report).await.unwrap();
    });
}

/// A sign of life once renewed what a late answer is measured by also before the first sync. But a volume without any
/// sync cannot be fenced: an older writer had begun its history, merged it and given up the name of the first sync.
#[test]
fn signs_of_life_before_the_first_sync_do_not_make_a_late_one_durable() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        let new = world.open(takeover(2)).await.unwrap();
        for lsn in 1..4 {
            durable(&old, 1, lsn).await;
        }
        let end = world.clock.now() + R + R;
        while world.clock.now() < end {
            world.clock.sleep(R / 10).await;
            assert_eq!(new.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Holding);
        }
        world.memory.delete(&[key(1), key(2)]).await.unwrap();
        fenced(new.create_next(sync(&new, 2, 1)).await.unwrap());
    });
}
