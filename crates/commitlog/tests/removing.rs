//! Removing a volume beside those who open it, and what a writer of it does that wakes up later.

mod support;

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::join};
use plimsoll_commitlog::{
    Beat, Context, Mark, Outcome, PinRecord, Standing, StatusReport, VolumeRecord, Watermarks, announce_removal,
    create_volume, decide_removal, decided_removal, delete_volume, end_removal, epoch_key, held_for, look, look_anyway,
    overtaken_since, pin, read_pin, status_key, take_up_removal, unpin, volume_key,
};
use plimsoll_host::Clock as _;
use plimsoll_model::{Epoch, ErrorKind, Lsn};
use plimsoll_store::{
    RetryPolicy, RetryStore, Store as _,
    fault::{Fault, Op},
};
use support::{R, TTL, World, ask, sync, takeover};

async fn announced(world: &World) -> (Epoch, VolumeRecord) {
    let standing: Standing = look(&world.context).await.unwrap();
    let epoch = announce_removal(&world.context, &standing).await.unwrap().unwrap();
    (epoch, standing.volume.unwrap())
}

async fn keys(world: &World) -> Vec<String> {
    world.memory.list("", None).await.unwrap().into_iter().map(|entry| entry.key).collect()
}

/// Removes everything, as `plimsoll rm` does.
async fn remove(world: &World) {
    let (epoch, volume) = announced(world).await;
    assert!(decide_removal(&world.context, epoch, &volume).await.unwrap());
    assert!(delete_volume(&world.context, volume.uuid).await.unwrap());
    let mut rest = keys(world).await;
    rest.retain(|key| !key.starts_with(epoch_key(epoch).trim_end_matches(".json")));
    world.memory.delete(&rest).await.unwrap();
    end_removal(&world.context, epoch).await.unwrap();
    assert_eq!(keys(world).await, [epoch_key(epoch)]);
}

/// A writer that was asleep once put its sync on top of the database that somebody had made at the same URL.
#[test]
fn a_writer_whose_volume_was_removed_writes_nothing_into_what_is_there_since() {
    for (recreated, beats) in [(false, false), (false, true), (true, false), (true, true)] {
        World::run(move |world| async move {
            let old = world.open(ask(1)).await.unwrap();
            for lsn in 1..=2 {
                assert_eq!(old.create_next(sync(&old, 1, lsn)).await.unwrap(), Outcome::Durable);
            }
            world.clock.advance(TTL + Duration::from_secs(1));
            remove(&world).await;
            if recreated {
                let new = world.open(ask(2)).await.unwrap();
                assert!(new.epoch() > old.epoch());
                for lsn in 1..=2 {
                    assert_eq!(new.create_next(sync(&new, 2, lsn)).await.unwrap(), Outcome::Durable);
                }
            }
            let before = keys(&world).await;
            if beats {
                assert!(matches!(old.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Fenced(_)));
            } else {
                assert!(matches!(old.create_next(sync(&old, 1, 3)).await.unwrap(), Outcome::Fenced(_)));
            }
            assert_eq!(keys(&world).await, before, "recreated: {recreated}, beats: {beats}");
        });
    }
}

#[test]
fn a_writer_whose_own_record_is_gone_or_somebody_elses_is_fenced_and_a_touched_one_is_no_reason() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 1)).await.unwrap(), Outcome::Durable);
        assert_eq!(lease.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Holding);
        world.clock.advance(TTL * 2);
        // As after a restore of the bucket from a backup.
        let own = world.memory.get(&epoch_key(Epoch(1))).await.unwrap().unwrap();
        world.memory.put(&epoch_key(Epoch(1)), own.bytes.into()).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 2)).await.unwrap(), Outcome::Durable);
        // As after removing everything by hand, and making a volume anew.
        world.clock.advance(TTL * 2);
        let all = keys(&world).await;
        world.memory.delete(&all).await.unwrap();
        let new = world.open(ask(2)).await.unwrap();
        assert_eq!(new.epoch(), lease.epoch());
        let before = keys(&world).await;
        assert!(matches!(lease.create_next(sync(&lease, 1, 3)).await.unwrap(), Outcome::Fenced(_)));
        assert_eq!(keys(&world).await, before);
        let error = lease.create_next(sync(&lease, 1, 3)).await.unwrap_err();
        assert!(error.to_string().contains("the volume was removed"), "{error}");
    });
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 1)).await.unwrap(), Outcome::Durable);
        let all = keys(&world).await;
        world.memory.delete(&all).await.unwrap();
        assert!(matches!(lease.heartbeat(&StatusReport::default()).await.unwrap(), Beat::Fenced(_)));
    });
}

#[test]
fn whoever_opens_calls_off_a_removal_that_is_not_decided_and_respects_one_that_is() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        old.close(&StatusReport::default()).await.unwrap();
        let (epoch, volume) = announced(&world).await;
        // At once: nobody holds a volume in order to remove it.
        let new = world.open(ask(2)).await.unwrap();
        assert_eq!((new.epoch(), new.taken_from()), (Epoch(epoch.0 + 1), None));
        assert!(!decide_removal(&world.context, epoch, &volume).await.unwrap());
        new.close(&StatusReport::default()).await.unwrap();

        let (epoch, volume) = announced(&world).await;
        assert!(decide_removal(&world.context, epoch, &volume).await.unwrap());
        for ask in [ask(2), takeover(3)] {
            assert_eq!(world.open(ask).await.err().unwrap().kind(), ErrorKind::NotFound);
        }
        let standing = look_anyway(&world.context).await.unwrap();
        assert_eq!(decided_removal(&world.context, &standing).await.unwrap(), Some((epoch, volume)));
    });
}

#[test]
fn of_an_open_and_a_removal_at_the_same_time_at_most_one_goes_on() {
    let mut outcomes = [0, 0];
    for delay in 0..24 {
        let ended = World::run(move |world| async move {
            let old = world.open(ask(1)).await.unwrap();
            assert_eq!(old.create_next(sync(&old, 1, 1)).await.unwrap(), Outcome::Durable);
            old.close(&StatusReport::default()).await.unwrap();
            let tick = Duration::from_millis(10);
            world.script.add(plimsoll_store::fault::Rule {
                op: None,
                key_contains: String::new(),
                fault: Fault::Delay(tick),
                times: u32::MAX,
            });
            let removal = async {
                world.clock.sleep(tick * delay / 2).await;
                let standing = look_anyway(&world.context).await.unwrap();
                let Some(volume) = standing.volume.clone() else { return false };
                if held_for(&standing, TTL, world.host.clock.wall()).is_some() {
                    return false;
                }
                match announce_removal(&world.context, &standing).await.unwrap() {
                    Some(epoch) => decide_removal(&world.context, epoch, &volume).await.unwrap(),
                    None => false,
                }
            };
            let open = async {
                world.clock.sleep(tick * 5).await;
                let lease = world.open(takeover(2)).await?;
                match overtaken_since(&world.context, lease.epoch()).await? {
                    Some(error) => Err(error),
                    None => Ok(lease),
                }
            };
            let (opened, removed) = join(open, removal).await;
            (opened.is_ok(), removed)
        });
        outcomes[0] += u32::from(ended.0);
        outcomes[1] += u32::from(ended.1);
        assert!(!(ended.0 && ended.1), "after {delay} half requests both went on");
    }
    assert!(outcomes.iter().all(|times| *times > 0), "{outcomes:?}");
}

#[test]
fn removing_the_record_again_after_a_lost_answer_spares_that_of_a_successor() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        lease.close(&StatusReport::default()).await.unwrap();
        let volume = look(&world.context).await.unwrap().volume.unwrap();
        let patient = RetryStore::new(Arc::clone(world.context.store()), RetryPolicy::default(), &world.host);
        let context = Context::new(world.host.clone(), Arc::new(patient), R);
        world.script.once(Op::Delete, volume_key(), Fault::AppliedButNoAnswer);
        let successor = VolumeRecord { uuid: [7; 16], ..volume.clone() };
        let beside = async {
            while world.memory.get(volume_key()).await.unwrap().is_some() {
                world.clock.sleep(Duration::from_millis(1)).await;
            }
            assert!(create_volume(&world.context, &successor).await.unwrap());
        };
        let (deleted, ()) = join(delete_volume(&context, volume.uuid), beside).await;
        assert!(!deleted.unwrap());
        assert_eq!(look(&world.context).await.unwrap().volume, Some(successor));
    });
}

/// Two hosts keep the state that stranded commits stand on under one name.
#[test]
fn removing_a_pin_again_after_a_lost_answer_spares_one_of_that_name_that_was_made_since() {
    World::run(|world| async move {
        let made = |created_ms| PinRecord {
            txid: plimsoll_model::Txid(1),
            created_ms,
            note: None,
            bytes: 512,
            fork: None,
            objects: Vec::new(),
            nonce: created_ms,
        };
        let nothing = std::collections::HashMap::new();
        let _ = pin(&world.context, "base", &made(1), &nothing).await.unwrap();
        let patient = RetryStore::new(Arc::clone(world.context.store()), RetryPolicy::default(), &world.host);
        let context = Context::new(world.host.clone(), Arc::new(patient), R);
        world.script.once(Op::Delete, "pins/", Fault::AppliedButNoAnswer);
        let beside = async {
            while world.memory.get("pins/base.json").await.unwrap().is_some() {
                world.clock.sleep(Duration::from_millis(1)).await;
            }
            let _ = pin(&world.context, "base", &made(2), &nothing).await.unwrap();
        };
        let (removed, ()) = join(unpin(&context, "base"), beside).await;
        assert!(removed.unwrap());
        assert!(world.script.is_used_up());
        assert_eq!(read_pin(&**world.context.store(), "base").await.unwrap(), Some(made(2)));
        assert!(unpin(&context, "base").await.unwrap() && !unpin(&context, "base").await.unwrap());
    });
}

#[test]
fn whoever_carries_out_what_another_one_has_decided_takes_an_epoch_for_it_that_nobody_calls_off() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        old.close(&StatusReport::default()).await.unwrap();
        let (decided, volume) = announced(&world).await;
        assert!(decide_removal(&world.context, decided, &volume).await.unwrap());
        let standing = look_anyway(&world.context).await.unwrap();
        let mine = take_up_removal(&world.context, &standing, decided).await.unwrap().unwrap();
        assert!(mine > decided);
        assert_eq!(take_up_removal(&world.context, &standing, decided).await.unwrap(), None, "one alone");
        assert_eq!(world.open(ask(2)).await.err().unwrap().kind(), ErrorKind::NotFound);
        let standing = look_anyway(&world.context).await.unwrap();
        assert_eq!(decided_removal(&world.context, &standing).await.unwrap(), Some((decided, volume.clone())));
        assert!(delete_volume(&world.context, volume.uuid).await.unwrap());
        plimsoll_commitlog::refuse_half(&world.context, false).await.unwrap_err();
        let mut rest = keys(&world).await;
        rest.retain(|key| !plimsoll_commitlog::stays_until_last(key, decided, mine));
        world.memory.delete(&rest).await.unwrap();
        end_removal(&world.context, decided).await.unwrap();
        assert_eq!(keys(&world).await, [epoch_key(mine)]);
        plimsoll_commitlog::refuse_half(&world.context, false).await.unwrap();
        assert_eq!(world.open(ask(2)).await.unwrap().epoch(), mine.next());
    });
}

/// Between its listing and its fence it slept, and the name of the fence was far beyond what was there by then.
#[test]
fn whoever_slept_before_its_fence_puts_none_into_what_was_made_at_the_url_since() {
    World::run(|world| async move {
        let old = world.open(ask(1)).await.unwrap();
        for lsn in 1..=5 {
            assert_eq!(old.create_next(sync(&old, 1, lsn)).await.unwrap(), Outcome::Durable);
        }
        old.close(&StatusReport::default()).await.unwrap();
        let slow = {
            let world = world.clone();
            async move {
                let body = |head: &plimsoll_commitlog::Head, epoch, stamp| {
                    // It sleeps while it encodes the fence, and the volume is removed and made again.
                    world.clock.advance(TTL * 2);
                    let meanwhile = async {
                        remove(&world).await;
                        let new = world.open(ask(3)).await.unwrap();
                        assert_eq!(new.create_next(sync(&new, 3, 1)).await.unwrap(), Outcome::Durable);
                    };
                    meanwhile.now_or_never().expect("memory answers at once");
                    support::fence_body(head, epoch, stamp)
                };
                plimsoll_commitlog::acquire(&world.context, &ask(2), body).await
            }
        };
        assert_eq!(slow.await.err().unwrap().kind(), ErrorKind::Held);
        let syncs = world.memory.list("ltx/0/", None).await.unwrap();
        assert_eq!(syncs.len(), 1, "{syncs:?}");
    });
}

#[test]
fn a_writer_that_was_silent_looks_before_it_writes_or_removes_anything() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 1)).await.unwrap(), Outcome::Durable);
        // No request while it was heard of lately.
        world.script.once(Op::List, "epoch/", Fault::FailBefore);
        lease.still_mine("merging").await.unwrap();
        world.script.clear();
        world.clock.advance(TTL * 2);
        lease.still_mine("merging").await.unwrap();
        world.clock.advance(TTL * 2);
        remove(&world).await;
        let error = lease.still_mine("merging").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert!(lease.is_fenced());
    });
}

/// The answer to its letting go was slow. Whoever detached the volume meanwhile once heard that it was fenced.
#[test]
fn a_writer_that_is_letting_go_is_not_fenced_by_whoever_takes_the_volume_then() {
    World::run(|world| async move {
        let lease = world.open(ask(1)).await.unwrap();
        assert_eq!(lease.create_next(sync(&lease, 1, 1)).await.unwrap(), Outcome::Durable);
        world.script.once(Op::Put, "status/", Fault::AppliedButNoAnswer);
        lease.close(&StatusReport::default()).await.unwrap_err();
        let _next = world.open(ask(2)).await.unwrap();
        world.clock.advance(TTL * 2);
        assert_eq!(lease.still_mine("detaching").await.unwrap_err().kind(), ErrorKind::Closed);
        assert!(!lease.is_fenced());
        lease.close(&StatusReport::default()).await.unwrap();
    });
}

#[test]
fn a_sign_of_life_that_comes_after_its_volume_was_removed_is_no_debt_of_the_one_that_is_there_since() {
    for with_a_record in [false, true] {
        World::run(move |world| async move {
            let old = world.open(ask(1)).await.unwrap();
            assert_eq!(old.create_next(sync(&old, 1, 1)).await.unwrap(), Outcome::Durable);
            let mark = Mark { lsn: Lsn(9), ms: world.host.clock.wall().0 };
            let watermarks = Watermarks { appended: mark, ..Watermarks::default() };
            let _ = old.heartbeat(&StatusReport { watermarks, ..StatusReport::default() }).await.unwrap();
            let late = world.memory.get(&status_key(old.epoch())).await.unwrap().unwrap().bytes;
            world.clock.advance(TTL);
            remove(&world).await;
            world.memory.put(&status_key(old.epoch()), late.into()).await.unwrap();
            if with_a_record {
                // As whoever makes a volume without writing to it.
                let record = VolumeRecord { uuid: [7; 16], ..old.volume().clone() };
                assert!(create_volume(&world.context, &record).await.unwrap());
            }
            let new = world.open(ask(2)).await.unwrap();
            assert_eq!((new.taken_from(), new.owes_an_account()), (None, false), "{with_a_record}");
        });
    }
}
