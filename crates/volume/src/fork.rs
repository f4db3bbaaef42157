//! Forks: a new volume that starts as a state of another one, without copying its data.

use std::collections::HashMap;

use futures::future::{join, join_all, ready, try_join, try_join_all, try_join4};
use plimsoll_commitlog::{
    Context, ForkName, Head, Kind, Origin, PinRecord, Pinned, VolumeRecord, create_volume, delete_volume,
    fork_pin_name, head_of, identity, look, pin, read_pin, settle, unpin,
};
use plimsoll_host::{
    WallMs,
    crash::{self, Point},
};
use plimsoll_model::{
    Error, ErrorKind, Result, Txid,
    step::{Step, taken},
};
use plimsoll_pages::{Listed, list};

use crate::{
    Elsewhere, Reference,
    checkpoint::{made_of, named, times},
    objects,
    origins::{birth, is_of},
};

/// Listings in a row that may be outrun by merging and collecting.
const LISTINGS_MAX: usize = 5;
const FORKING: &str = "forking";

/// A volume, and the URL by which others find it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its objects, with those that it started with if it is a fork: see [`OriginStore`](crate::OriginStore).
    pub context: Context,
    /// Where it is, with server and region, and without secrets.
    pub address: String,
}

/// A fork that was made.
#[derive(Clone, Debug)]
pub struct Forked {
    /// The state that it starts as.
    pub txid: Txid,
    /// Its identity.
    pub uuid: [u8; 16],
    /// Bytes of the database.
    pub bytes: u64,
    /// When that state was synced, by the store's clock, unless it is a checkpoint's.
    pub synced: Option<WallMs>,
}

/// Makes a volume at `child` that starts as a state of `parent`, the newest unless `at` says otherwise, and reads from there what it has not replaced. The
/// parent keeps these objects until the fork is removed or [detached](crate::Volume::detach).
///
/// Eight round trips, whatever the size of the volume and its history, and two more for a checkpoint's state. If it dies
/// half-way, pins may be left, which show as those of an unfinished fork.
///
/// # Errors
/// `NotFound`: there is no volume, no such checkpoint, or the state was collected. `Conflict`: there is something at
/// `child`. `Unsupported`: only Litestream has written the parent. Otherwise as the stores say.
pub async fn fork(parent: &Place, at: Option<&Reference>, child: &Place, elsewhere: &dyn Elsewhere) -> Result<Forked> {
    fork_if(parent, at, child, elsewhere, ready(Ok(()))).await
}

/// As [`fork`], if `allowed` says yes. That is asked beside the first reads, and nothing is written before its answer.
///
/// # Errors
/// As [`fork`] and `allowed`.
pub async fn fork_if(
    parent: &Place,
    at: Option<&Reference>,
    child: &Place,
    elsewhere: &dyn Elsewhere,
    allowed: impl Future<Output = Result<()>> + Send,
) -> Result<Forked> {
    let (from, to) = (&parent.context, &child.context);
    let looks = try_join4(identity(from), list(to.store(), to.layout()), look(to), allowed);
    let ahead = async {
        // A checkpoint names objects without their times, so it is read once it is known of which volume it is.
        if matches!(at, Some(Reference::Checkpoint(_))) { None } else { Some(state_of(from, at).await) }
    };
    let (looks, mut ahead) = join(looks, ahead).await;
    let (volume, found, before, ()) = looks?;
    // A volume that was there may be removed half-way.
    settle(to, &before).await?;
    if !found.files.is_empty() {
        return Err(occupied(child));
    }
    let Some(volume) = volume else {
        let error = Error::new(ErrorKind::NotFound, FORKING).object(from.store().url());
        return Err(error
            .why("there is no volume of ours at this URL")
            .hint("check the URL; what only Litestream has written must be opened for writing once"));
    };
    for _ in 0..LISTINGS_MAX {
        let found = match ahead.take() {
            Some(found) => found,
            None => state_of(from, at).await,
        };
        let Some((state, last, head)) = found? else { continue };
        let now = to.host().clock.wall();
        let origin = Origin {
            url: parent.address.clone(),
            uuid: volume.uuid,
            txid: last.id.max,
            page_count: head.page_count.0,
            page_size: head.page_size.get(),
            at_ms: now.0,
            objects: Vec::new(),
        };
        let mut record = VolumeRecord::new(Kind::Sqlite, Some(head.page_size), to.retention(), now, &*to.host().chance);
        record.parent = Some(format!("{}@{}", parent.address, origin.txid));
        record.origins = origins(&volume, origin, &state);
        let (txid, bytes) = (last.id.max, head.page_count.bytes(head.page_size));
        let synced = Some(last.modified).filter(|at| *at != WallMs(0));
        if !record.fits() {
            return Err(Error::new(ErrorKind::Invalid, FORKING)
                .object(from.store().url())
                .why("that state is made of more objects than a fork can name")
                .hint("merge them first: plimsoll compact <url>"));
        }
        match pin_all(from, &record, &state, child, bytes, elsewhere).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => return Err(give_up(from, &record, elsewhere, error).await),
        }
        crash::here(Point::ForkPinned);
        let made = match create_volume(to, &record).await {
            // It may be there, or come to be there.
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) => return Err(give_up(from, &record, elsewhere, error).await),
            Ok(made) => made,
        };
        if made {
            crash::here(Point::ForkMade);
            // A removal is announced and then looks for forks, so one of the two sees the other. So it is with a
            // checkpoint rm that took this fork for one that was never finished.
            let error = match are_there(from, &record, elsewhere).await {
                Ok(true) => None,
                Ok(false) => Some(
                    Error::new(ErrorKind::NotFound, FORKING)
                        .object(from.store().url())
                        .why("it, or a volume that it was forked from, is being removed"),
                ),
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                delete_volume(to, record.uuid).await?;
                return Err(give_up(from, &record, elsewhere, error).await);
            }
            return Ok(Forked { txid, uuid: record.uuid, bytes, synced });
        }
        unpin_all(from, &record, elsewhere).await?;
        return Err(occupied(child));
    }
    Err(Error::new(ErrorKind::NotFound, FORKING)
        .object(from.store().url())
        .why("the objects of that state are being collected")
        .hint("choose a newer state"))
}

/// The objects that make up a state, oldest first, the last of them and what that says; `None` if it is gone meanwhile.
async fn state_of(from: &Context, at: Option<&Reference>) -> Result<Option<(Vec<Listed>, Listed, Head)>> {
    let state = match at {
        None => made_of(from, None).await?,
        Some(reference) => objects(from.store(), from.host(), reference)
            .await
            .map_err(|error| error.object(from.store().url().to_owned()))?,
    };
    let Some(last) = state.last().copied() else {
        return Err(Error::new(ErrorKind::NotFound, FORKING)
            .object(from.store().url())
            .why("nothing was ever synced to it"));
    };
    let head = head_of(from, &last.id).await?;
    Ok(head.map(|head| (state, last, head)))
}

/// Which volumes the objects of a state are in: those that the parent itself started with, then its own.
fn origins(parent: &VolumeRecord, mut own: Origin, state: &[Listed]) -> Vec<Origin> {
    let mut origins: Vec<Origin> = Vec::new();
    for origin in &parent.origins {
        let used = |id| state.iter().any(|file| file.id == id);
        let objects = origin.objects.iter().filter(|object| used(object.id)).copied().collect();
        if state.iter().any(|file| is_of(origin, file.id)) {
            origins.push(Origin { objects, ..origin.clone() });
        }
    }
    // Cut short within what the parent started with, that is where the new fork's own syncs begin.
    if let (Some(last), Some(cut)) = (state.last(), origins.last_mut())
        && is_of(cut, last.id)
        && last.id != birth(cut)
    {
        (cut.txid, cut.page_count, cut.at_ms) = (own.txid, own.page_count, own.at_ms);
    }
    let is_own = |file: &&Listed| !parent.origins.iter().any(|origin| is_of(origin, file.id));
    own.objects = state.iter().filter(is_own).map(named).collect();
    // A parent that has written nothing is only a name for what it started with.
    if !own.objects.is_empty() || origins.is_empty() {
        origins.push(own);
    }
    origins
}

fn place_of(context: &Context, origin: &Origin, elsewhere: &dyn Elsewhere) -> Result<Context> {
    Ok(context.elsewhere(elsewhere.store(&origin.url)?))
}

/// Pins the fork's objects wherever they are; if one place has begun to collect them, nothing is pinned.
async fn pin_all(
    context: &Context,
    fork: &VolumeRecord,
    state: &[Listed],
    child: &Place,
    bytes: u64,
    elsewhere: &dyn Elsewhere,
) -> Result<bool> {
    let name = fork_pin_name(fork.uuid);
    let (listed, unlisted) = (times(state), HashMap::new());
    let pinned = try_join_all(fork.origins.iter().map(|origin| async {
        let place = place_of(context, origin, elsewhere)?;
        // What the parent started with itself is listed with times of its own.
        let own = place.store().url() == context.store().url();
        let record = PinRecord {
            txid: origin.txid,
            created_ms: fork.created_ms,
            note: None,
            bytes,
            fork: Some(ForkName { url: child.address.clone(), uuid: fork.uuid }),
            objects: origin.objects.clone(),
            nonce: context.host().chance.bits(),
        };
        pin(&place, &name, &record, if own { &listed } else { &unlisted }).await
    }))
    .await?;
    if pinned.iter().all(|pinned| *pinned == Pinned::Kept) {
        return Ok(true);
    }
    unpin_all(context, fork, elsewhere).await?;
    Ok(false)
}

/// After something failed for certain: nobody has to keep anything for a fork that never came to be. If that cannot be
/// said where it has to be, the error says so.
async fn give_up(context: &Context, fork: &VolumeRecord, elsewhere: &dyn Elsewhere, why: Error) -> Error {
    let Err(error) = unpin_all(context, fork, elsewhere).await else { return why };
    tracing::warn!(%error, "a fork that failed has left pins, which `plimsoll checkpoint ls` shows as unfinished");
    let before = why.advice().map_or_else(String::new, |advice| format!("{advice}; "));
    let urls: Vec<&str> = fork.origins.iter().map(|origin| origin.url.as_str()).collect();
    let name = fork_pin_name(fork.uuid);
    why.hint(format!(
        "{before}what it was to read is still kept for it: plimsoll checkpoint rm '{}' {name}",
        urls.join("', and of '")
    ))
}

/// Whether the volumes that a fork reads from are there, are not removed, and still keep its objects. A removal that is
/// not decided is called off. Two round trips, or four.
async fn are_there(context: &Context, fork: &VolumeRecord, elsewhere: &dyn Elsewhere) -> Result<bool> {
    let name = fork_pin_name(fork.uuid);
    let there = try_join_all(fork.origins.iter().map(|origin| async {
        let place = place_of(context, origin, elsewhere)?;
        let found = async {
            let (standing, pin) = try_join(look(&place), read_pin(&**place.store(), &name)).await?;
            if taken(Step::HeedRemovals) {
                settle(&place, &standing).await?;
            }
            Ok::<_, Error>(pin.is_some() && standing.volume.is_some_and(|volume| volume.uuid == origin.uuid))
        };
        match found.await {
            Ok(found) => Ok(found),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }));
    Ok(there.await?.into_iter().all(|there| there))
}

/// Gives back what a fork has others keep. Two requests for each of the volumes.
pub(crate) async fn unpin_all(context: &Context, fork: &VolumeRecord, elsewhere: &dyn Elsewhere) -> Result<()> {
    let name = fork_pin_name(fork.uuid);
    let unpinned = join_all(
        fork.origins.iter().map(|origin| async { unpin(&place_of(context, origin, elsewhere)?, &name).await }),
    );
    unpinned.await.into_iter().collect::<Result<Vec<bool>>>().map(drop)
}

fn occupied(child: &Place) -> Error {
    Error::new(ErrorKind::Conflict, FORKING)
        .object(child.context.store().url())
        .why("there is something at this URL already")
        .hint("choose another URL for the fork")
}
