//! Removing a volume beside those who open it, and what a writer of it does that wakes up later.

mod support;

use std::{sync::Arc, time::Duration};

use futures::future::join;
use plimsoll_commitlog::{
    Beat, Context, Outcome, Standing, StatusReport, VolumeRecord, announce_removal, create_volume, decide_removal,
    decided_removal, delete_volume, end_removal, epoch_key, held_for, look, look_anyway, overtaken_since, volume_key,
};
use plimsoll_host::Clock as _;
use plimsoll_model::{Epoch, ErrorKind};
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
