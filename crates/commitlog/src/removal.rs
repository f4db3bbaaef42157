//! Removing a volume beside those who open it, fork it, or remove it too, without comparing clocks.
//!
//! 1. *Announce*: take the next epoch, as a writer does, with a record that says so. Whoever had the volume is fenced.
//! 2. *Look* for what speaks against it, such as forks.
//! 3. *Decide*: create `epoch/<e>.go` unless that name is taken. It holds the volume's record, so that the removal can
//!    be ended by whoever finds it.
//! 4. *Remove* `volume.json`, so that nobody opens half of what is left; then everything else, and the decision last. By
//!    requests that are sent once, each after a look that finds no newer epoch: what comes late would remove what
//!    somebody has made there since. Who goes on with what another one has decided takes an epoch for it, so that
//!    one alone is at it.
//!
//! The record of the epoch stays. So every later epoch of this URL is a higher one, and a writer of the removed volume
//! that wakes up finds it when it looks, whatever is there by then.
//!
//! Whoever takes an epoch after an announced removal, or has just made a fork, *settles* the removal first: it tries to
//! create the decision, with a no in it. If it could, the removal finds the name taken and gives up. If the decision
//! was there with a yes, the volume is gone. So of the two exactly one goes on, and nothing is ever taken back.

use futures::FutureExt as _;
use plimsoll_model::{Epoch, Error, ErrorKind, Result, WriterId};

use crate::{
    Context, EpochRecord, Standing, VolumeRecord,
    create::{create_record, insist},
    key::{EPOCHS, decision_key, epoch_key, parse_removal_key, volume_key},
    record::{self, RemovalRecord},
};

const REMOVING: &str = "removing";

/// Takes the next epoch for a removal; `None` if somebody else took it first. A removal that was announced before and
/// is not decided is called off. Two requests at most.
///
/// # Errors
/// `NotFound`: another removal is decided, see [`decided_removal`]. Those of the store: it may be announced or not.
pub async fn announce_removal(context: &Context, before: &Standing) -> Result<Option<Epoch>> {
    settle(context, before).await?;
    take_next(context, before, None).await
}

/// Takes the next epoch in order to carry out a decided removal; `None` if somebody else took it first. Whoever was at it
/// before finds out when he looks next, and stops: one alone removes what is there, so that nothing is removed twice. One
/// request.
///
/// # Errors
/// Those of the store: it may be taken or not.
pub async fn take_up_removal(context: &Context, before: &Standing, decided: Epoch) -> Result<Option<Epoch>> {
    take_next(context, before, Some(decided)).await
}

async fn take_next(context: &Context, before: &Standing, carries_out: Option<Epoch>) -> Result<Option<Epoch>> {
    let Some(epoch) = before.epoch.0.checked_add(1).map(Epoch) else {
        return Err(Error::new(ErrorKind::Corrupt, REMOVING)
            .object(context.object(&epoch_key(before.epoch)))
            .why("it is the highest number possible")
            .hint("nothing of ours writes that; remove the object if no writer is running"));
    };
    let record = EpochRecord {
        epoch,
        writer: WriterId(context.host.chance.bits()),
        host: String::new(),
        pid: 0,
        since_ms: context.host.clock.wall().0,
        nonce: context.host.chance.bits(),
        removal: true,
        carries_out,
    };
    let (key, bytes) = (epoch_key(epoch), record::encode(&record));
    Ok(insist(context, || create_record(context, &key, &bytes).boxed()).await?.then_some(epoch))
}

/// Decides that an announced removal is carried out; `false` if it was called off. One request.
///
/// # Errors
/// Those of the store: it may be decided or not, and is found by whoever removes it again.
pub async fn decide_removal(context: &Context, epoch: Epoch, volume: &VolumeRecord) -> Result<bool> {
    decide(context, &RemovalRecord { epoch, go: true, volume: Some(volume.clone()) }).await
}

/// Decides that an announced removal is not carried out. One request.
///
/// # Errors
/// Those of the store.
pub async fn call_off_removal(context: &Context, epoch: Epoch) -> Result<()> {
    decide(context, &RemovalRecord { epoch, go: false, volume: None }).await.map(drop)
}

async fn decide(context: &Context, record: &RemovalRecord) -> Result<bool> {
    let (key, bytes) = (removal_key(record.epoch), record::encode(record));
    insist(context, || create_record(context, &key, &bytes).boxed()).await
}

/// Where it is decided whether the removal of an epoch is carried out.
pub(crate) fn removal_key(epoch: Epoch) -> String {
    decision_key(&epoch_key(epoch))
}

/// Pure: the epoch whose decision says whether the removal that has this epoch is carried out, which may go on with what was
/// decided under another one; `None` if it is no removal's.
#[must_use]
pub fn removal_of(epoch: Epoch, removal: bool, carries_out: Option<Epoch>) -> Option<Epoch> {
    removal.then(|| carries_out.unwrap_or(epoch))
}

fn removal_in(standing: &Standing) -> Option<Epoch> {
    let holder = standing.holder.as_ref()?;
    removal_of(standing.epoch, holder.removal, holder.carries_out)
}

/// The removal that is decided and not carried out to its end: the epoch under which it was decided, and what the volume
/// was. One request if the newest epoch is a removal's.
///
/// # Errors
/// Those of the store; `Corrupt` for a damaged decision.
pub async fn decided_removal(context: &Context, standing: &Standing) -> Result<Option<(Epoch, VolumeRecord)>> {
    match removal_in(standing) {
        Some(epoch) => decided(context, epoch).await,
        None => Ok(None),
    }
}

async fn decided(context: &Context, epoch: Epoch) -> Result<Option<(Epoch, VolumeRecord)>> {
    let found = record::read::<RemovalRecord>(context, &removal_key(epoch)).await?;
    Ok(found.filter(|found| found.go).and_then(|found| found.volume).map(|volume| (epoch, volume)))
}

/// Calls off a removal that is announced and not decided, before the next epoch is taken or a fork counts. No request
/// if there is none, else one.
///
/// # Errors
/// `NotFound`: it is decided. Those of the store.
pub async fn settle(context: &Context, standing: &Standing) -> Result<()> {
    let Some(epoch) = removal_in(standing) else { return Ok(()) };
    call_off_removal(context, epoch).await?;
    match decided(context, epoch).await? {
        Some(_) => Err(being_removed(context)),
        None => Ok(()),
    }
}

/// For whoever found no `volume.json`, and `objects` or none: whether that is so because a removal is not carried out to
/// its end. A list, and a request if there was a removal.
///
/// # Errors
/// `NotFound` if it is so; those of the store.
pub async fn refuse_half(context: &Context, objects: bool) -> Result<()> {
    let entries = context.store.list(EPOCHS, None).await?;
    if entries.is_empty() {
        return Ok(());
    }
    // Whoever carries it out may have a newer epoch.
    let last = entries.iter().filter_map(|entry| parse_removal_key(&entry.key)).max();
    let going = match last {
        Some(last) if !objects => decided(context, last).await?.is_some(),
        _ => objects,
    };
    if going { Err(being_removed(context)) } else { Ok(()) }
}

/// Removes `volume.json` if it is this one; `false` if there is another one. By single requests: one that is sent again
/// unasked could come so late that it removes the record of whoever made a volume here since.
///
/// # Errors
/// Those of the store: it may be there or not.
pub async fn delete_volume(context: &Context, uuid: [u8; 16]) -> Result<bool> {
    insist(context, || {
        async {
            let Some(found) = record::read::<VolumeRecord>(context, volume_key()).await? else { return Ok(true) };
            if found.uuid != uuid {
                return Ok(false);
            }
            context.store.delete_once(&[volume_key().to_owned()]).await?;
            Ok(true)
        }
        .boxed()
    })
    .await
}

/// The removal that was decided under this epoch is carried out to its end. The record of whoever did so stays.
///
/// # Errors
/// Those of the store.
pub async fn end_removal(context: &Context, decided: Epoch) -> Result<()> {
    context.store.delete(&[removal_key(decided)]).await
}

/// Whether an object outlives the removal that was decided under one epoch and is carried out under another one, or the
/// same, or goes last.
#[must_use]
pub fn stays_until_last(key: &str, decided: Epoch, carried_out: Epoch) -> bool {
    key == epoch_key(carried_out) || key == removal_key(decided)
}

pub(crate) fn being_removed(context: &Context) -> Error {
    Error::new(ErrorKind::NotFound, "opening")
        .object(context.store.url())
        .why("the volume is being removed")
        .hint("plimsoll rm <url> removes what is left of it")
}
