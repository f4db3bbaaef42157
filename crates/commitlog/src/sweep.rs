//! Removing garbage without taking away what somebody is just pinning, and without comparing clocks.
//!
//! 1. *Announce*: create `gc/<…>.json`, naming every object that is to go. All of them go, or none.
//! 2. *Look*: list the pins. If one names any of these, take the announcement back and start again without them.
//! 3. *Decide*: create `gc/<…>.go` unless that name is taken; then make sure that there is no newer epoch.
//! 4. *Remove*: the objects, then the announcement and the decision.
//!
//! Whoever pins a state creates the pin, then reads the announcements, then lists the objects. Either the pin was
//! there when the collector looked, and the collector gives up these objects; or the announcement was there when
//! the pin's maker read them, and the pin is given up; or the collector was done, and the objects are missing.
//!
//! A collector that died leaves an announcement. The next one, which has a newer epoch, settles it: it tries to
//! create the decision itself. If it could, the other one had not decided and never will: its own attempt finds the
//! name taken, or, after everything was tidied up, the newer epoch. So nothing of it goes. If the decision was
//! there, and the announcement still is, no pin that holds names any of these objects, and it is carried out to the end.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use plimsoll_host::{
    Mono,
    crash::{self, Point},
};
use plimsoll_ltx::FileId;
use plimsoll_model::{
    Epoch, Error, ErrorKind, Result,
    step::{Step, taken},
};

use crate::{
    Context, Pin, Pins,
    create::{create_record, insist},
    key::{SWEEPS, decision_key, sweep_key},
    record::{self, DecisionRecord, PinnedObject, SweepRecord},
    standing::newest_epoch,
};

/// Objects that one announcement names.
const OBJECTS_MAX: usize = 4000;
/// Objects that are removed at once.
const BATCH: usize = 1000;
/// How long nobody has to look again whether there is a newer epoch.
const LOOKED_FOR: Duration = Duration::from_secs(5);
/// How often pins may come in between before the rest is left for the next time.
const ROUNDS_MAX: usize = 4;

/// Removes objects that nothing needs, but for those that a pin names, which may have come since they were found
/// to be garbage. Returns what is gone. `epoch` is the collector's, and there is one collector per epoch at a time.
///
/// Eight requests one after the other, few of them large. Can be interrupted at any point.
///
/// # Errors
/// `Held`: a newer writer is there, which collects from now on. `Corrupt`: a damaged pin or announcement. Those of
/// the store. What was not removed is found again.
pub async fn sweep(context: &Context, epoch: Epoch, pins: &Pins, garbage: Vec<PinnedObject>) -> Result<Vec<FileId>> {
    let mut gone = Vec::new();
    if garbage.is_empty() {
        return Ok(gone);
    }
    settle(context, epoch).await?;
    let mut rest = unpinned(context, pins, garbage).await?;
    for _ in 0..ROUNDS_MAX {
        if rest.is_empty() {
            break;
        }
        let later = rest.split_off(rest.len().min(OBJECTS_MAX));
        let announced = SweepRecord { epoch, objects: rest };
        let key = sweep_key(epoch, context.host.chance.bits());
        let bytes = record::encode(&announced);
        if taken(Step::Announce) && !insist(context, || create_record(context, &key, &bytes).boxed()).await? {
            return Err(Error::new(ErrorKind::Conflict, "announcing a collection").object(context.object(&key)));
        }
        crash::here(Point::CollectAnnounced);
        let count = announced.objects.len();
        rest = announced.objects.clone();
        if taken(Step::LookAtPins) {
            rest = unpinned(context, pins, rest).await?;
        }
        if rest.len() < count {
            crash::here(Point::CollectWithdrawn);
            context.store.delete(&[key]).await?;
        } else {
            let looked = decide(context, epoch, &key).await?;
            carry_out(context, (epoch, Some(looked)), &key, &rest).await?;
            gone.extend(rest.drain(..).map(|object| object.id));
        }
        rest.extend(later);
    }
    Ok(gone)
}

async fn unpinned(context: &Context, pins: &Pins, garbage: Vec<PinnedObject>) -> Result<Vec<PinnedObject>> {
    let pins = pins.all(context).await?;
    let spared = |pin: &&Pin| taken(if pin.record.fork.is_some() { Step::SpareForks } else { Step::SpareCheckpoints });
    let named = pins.iter().filter(spared).flat_map(|pin| &pin.record.objects);
    let named: HashSet<FileId> = named.map(|object| object.id).collect();
    Ok(garbage.into_iter().filter(|object| !named.contains(&object.id)).collect())
}

/// From here on what was announced goes.
async fn decide(context: &Context, epoch: Epoch, key: &str) -> Result<Mono> {
    let decision = decision_key(key);
    let ours = record::encode(&DecisionRecord { epoch, go: true });
    let decided = insist(context, || create_record(context, &decision, &ours).boxed()).await?;
    match decided {
        true if !taken(Step::LookAtEpochs) => Ok(context.now()),
        true => look(context, epoch).await,
        false => Err(overtaken(context)),
    }
}

/// Makes sure that there is no newer epoch; when that was asked.
async fn look(context: &Context, epoch: Epoch) -> Result<Mono> {
    let sent = context.now();
    let newest = newest_epoch(context, Some(epoch)).await?.0;
    if newest > epoch { Err(overtaken(context)) } else { Ok(sent) }
}

fn overtaken(context: &Context) -> Error {
    Error::new(ErrorKind::Held, "collecting").object(context.store.url()).why("a newer writer collects from now on")
}

/// By requests that are sent once, each not long after a look: the volume may have been removed and made again while
/// this process slept, and then these names are of another history.
async fn carry_out(
    context: &Context,
    (epoch, mut looked): (Epoch, Option<Mono>),
    key: &str,
    objects: &[PinnedObject],
) -> Result<()> {
    let layout = context.layout();
    let keys: Vec<String> =
        objects.iter().flat_map(|object| [layout.key(&object.id), object.id.sidecar_key()]).collect();
    crash::here(Point::CollectDelete);
    for batch in keys.chunks(BATCH) {
        let last = Mutex::new(looked);
        insist(context, || {
            async {
                let fresh = |looked: &Mono| context.now().since(*looked) < LOOKED_FOR;
                let known = last.lock().unwrap_or_else(PoisonError::into_inner).filter(fresh);
                if known.is_none() {
                    let sent = look(context, epoch).await?;
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
                }
                context.store.delete_once(batch).await
            }
            .boxed()
        })
        .await?;
        looked = last.into_inner().unwrap_or_else(PoisonError::into_inner);
    }
    crash::here(Point::CollectDone);
    context.store.delete(&[key.to_owned(), decision_key(key)]).await
}

/// Ends what earlier collectors have begun.
async fn settle(context: &Context, epoch: Epoch) -> Result<()> {
    let found: Vec<String> = context.store.list(SWEEPS, None).await?.into_iter().map(|entry| entry.key).collect();
    for key in &found {
        let decision = decision_key(key);
        if !key.ends_with(".json") {
            // A decision without an announcement was late, or what it was for is done.
            let announced = found.iter().any(|other| other != key && decision_key(other) == *key);
            if !announced {
                context.store.delete(std::slice::from_ref(key)).await?;
            }
            continue;
        }
        let Some(sweep) = record::read::<SweepRecord>(context, key).await? else { continue };
        if sweep.epoch > epoch {
            return Err(overtaken(context));
        }
        let cancelled = record::encode(&DecisionRecord { epoch, go: false });
        let ours = insist(context, || create_record(context, &decision, &cancelled).boxed()).await?;
        let decided = if ours { None } else { record::read::<DecisionRecord>(context, &decision).await? };
        // Somebody else may have taken the announcement back since it was read, and then its name was free for a decision
        // that means nothing. One that is there after the decision was never taken back.
        let goes = decided.is_some_and(|decided| decided.go) || !taken(Step::AskDecision);
        if goes && record::read::<SweepRecord>(context, key).await?.is_none() {
            continue;
        }
        if goes {
            carry_out(context, (epoch, None), key, &sweep.objects).await?;
        } else {
            crash::here(Point::CollectCancelled);
            // In this order: a decision without its announcement means nothing.
            context.store.delete(std::slice::from_ref(key)).await?;
            context.store.delete(&[decision]).await?;
        }
    }
    Ok(())
}
