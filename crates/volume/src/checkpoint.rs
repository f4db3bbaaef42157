//! Checkpoints: names for states, which are kept until the names are removed.

use std::collections::HashMap;

use futures::future::{try_join, try_join_all};
use plimsoll_commitlog::{
    Context, Kind, Origin, PinRecord, Pinned, PinnedObject, VolumeRecord, create_volume, decode_volume, delete_volume,
    detached_key, detaching_key, head_of, identity, pin, pins, read_pin, unpin, volume_key,
};
use plimsoll_host::WallMs;
use plimsoll_ltx::FileId;
use plimsoll_model::{Error, ErrorKind, Result, Txid};
use plimsoll_pages::{Listed, list, list_newest};

use crate::{Elsewhere, Volume, origins::is_of, past::earlier, shared::Shared};

/// Listings in a row that may be outrun by merging and collecting.
const LISTINGS_MAX: usize = 5;
const PINNING: &str = "making a checkpoint of";
const REMOVING: &str = "removing a checkpoint of";

impl Volume {
    /// Names the newest state, and keeps it until the name is removed. Everything that was acknowledged before the
    /// call is part of it, if this host has the volume: it is synced first. Otherwise it is the newest state in the
    /// store. Works while others write. A sync and five round trips, whatever the size of the volume.
    ///
    /// # Errors
    /// `Invalid`: no name for a checkpoint, or a volume that was opened read-only. As [`Volume::sync`] and
    /// [`checkpoint`].
    pub fn checkpoint(&self, name: &str, note: Option<&str>) -> Result<PinRecord> {
        let shared = self.shared();
        writable(shared, PINNING)?;
        let lsn = self.sync()?;
        let synced = {
            let state = shared.state();
            // Whoever was taken over meanwhile may have learned that its commits are durable, and not have read the sync that
            // they are part of.
            let holds = state.writer.is_some() && state.view.lsn >= lsn && !state.view.txid.is_zero();
            holds.then_some(state.view.txid)
        };
        shared.config.host.tasks.wait(checkpoint(&shared.context(), name, note, synced))
    }

    /// Every checkpoint and fork of the volume. A list, and a request for each.
    ///
    /// # Errors
    /// As the store says.
    pub fn pins(&self) -> Result<Vec<(String, Result<PinRecord>)>> {
        let shared = self.shared();
        shared.config.host.tasks.wait(async { pins(&shared.context()).await })
    }

    /// Removes a checkpoint. What only it needed is garbage from now on. Works while others write.
    ///
    /// # Errors
    /// `Invalid`: the volume was opened read-only. As [`remove_checkpoint`], which is not forced.
    pub fn remove_checkpoint(&self, name: &str) -> Result<()> {
        let shared = self.shared();
        writable(shared, REMOVING)?;
        let elsewhere = &*shared.config.elsewhere;
        shared.config.host.tasks.wait(remove_checkpoint(&shared.context(), name, false, elsewhere))
    }
}

/// # Errors
/// `Invalid` if it was opened read-only.
fn writable(shared: &Shared, doing: &'static str) -> Result<()> {
    if !shared.config.read_only {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, doing)
        .object(shared.url().to_owned())
        .why("it was opened read-only, and a checkpoint is something that is written")
        .hint("open it without mode=ro"))
}

/// Names a state, and keeps it until the name is removed: the newest in the store, or that after sync `at`.
///
/// What its writer has acknowledged and not synced is not part of it: [`Volume::checkpoint`](crate::Volume::checkpoint)
/// syncs first. Five round trips, whatever the size of the volume and its history; a state that is not the newest any
/// more costs a small read besides for each sync since then that is not collected yet.
///
/// # Errors
/// `Conflict`: there is one of this name. `Invalid`: it is no name for a checkpoint. `NotFound`: nothing was ever
/// written, or the state at `at` was collected, or nothing vouches for it. Otherwise as the store says; there may or may not be a checkpoint then.
pub async fn checkpoint(context: &Context, name: &str, note: Option<&str>, at: Option<Txid>) -> Result<PinRecord> {
    for _ in 0..LISTINGS_MAX {
        let state = made_of(context, at).await?;
        let Some(last) = state.last() else { return Err(nothing(context)) };
        let Some(head) = head_of(context, &last.id).await? else { continue };
        if let Some(record) = name_state(context, name, note, &state, head.page_count.bytes(head.page_size)).await? {
            return Ok(record);
        }
    }
    Err(collected(context))
}

/// Names a state that is made of these objects; `None` if some are being collected. Three round trips.
///
/// # Errors
/// As [`checkpoint`].
pub(crate) async fn name_state(
    context: &Context,
    name: &str,
    note: Option<&str>,
    state: &[Listed],
    bytes: u64,
) -> Result<Option<PinRecord>> {
    let Some(last) = state.last() else { return Err(nothing(context)) };
    let record = PinRecord {
        txid: last.id.max,
        created_ms: context.host().clock.wall().0,
        note: note.map(str::to_owned),
        bytes,
        fork: None,
        objects: state.iter().map(named).collect(),
        nonce: context.host().chance.bits(),
    };
    // What a volume started with does not change.
    let times = times(state);
    let (pinned, volume) = try_join(pin(context, name, &record, &times), identity(context)).await?;
    if pinned == Pinned::Collected {
        return Ok(None);
    }
    if !is_given_up(context, &record, &volume.map(|volume| volume.origins).unwrap_or_default()).await? {
        return Ok(Some(record));
    }
    unpin(context, name).await?;
    Err(collected(context))
}

/// Whether a state is made of what a fork has stopped to read from other volumes.
async fn is_given_up(context: &Context, record: &PinRecord, origins: &[Origin]) -> Result<bool> {
    let elsewhere = record.objects.iter().any(|object| origins.iter().any(|origin| is_of(origin, object.id)));
    if !elsewhere {
        return Ok(false);
    }
    let marks = [detaching_key(), detached_key()].map(|key| context.store().get(key));
    Ok(try_join_all(marks).await?.iter().any(Option::is_some))
}

fn collected(context: &Context) -> Error {
    Error::new(ErrorKind::NotFound, PINNING)
        .object(context.store().url())
        .why("the objects of that state are being collected")
        .hint("choose a newer state")
}

/// A name for a checkpoint that was given none.
#[must_use]
pub fn checkpoint_name(context: &Context) -> String {
    format!("at-{}", context.host().clock.wall())
}

/// Removes a checkpoint, or what a fork has left behind. What only it needed is garbage from now on.
///
/// # Errors
/// `NotFound`: there is none of this name. `Held`: a fork reads from here, unless `force` says that it may lose
/// what it has not copied. Otherwise as the store says.
pub async fn remove_checkpoint(context: &Context, name: &str, force: bool, elsewhere: &dyn Elsewhere) -> Result<()> {
    let absent = || {
        Error::new(ErrorKind::NotFound, REMOVING)
            .object(context.store().url())
            .why(format!("it has none named {name}"))
            .hint("plimsoll checkpoint ls <url> lists them")
    };
    if !force {
        let record = read_pin(&**context.store(), name).await?.ok_or_else(absent)?;
        let mut alive = is_alive(&record, elsewhere).await?;
        if let Some(fork) = record.fork.as_ref().filter(|_| !alive) {
            // A fork that is just being made finds its place taken, and gives up.
            let there = context.elsewhere(elsewhere.store(&fork.url)?);
            let (now, chance) = (context.host().clock.wall(), &*context.host().chance);
            let mark = VolumeRecord::new(Kind::Sqlite, None, there.retention(), now, chance);
            let mark = VolumeRecord { removed: true, ..mark };
            if there.store().get(volume_key()).await?.is_none() && create_volume(&there, &mark).await? {
                let removed = unpin(context, name).await;
                delete_volume(&there, mark.uuid).await?;
                return if removed? { Ok(()) } else { Err(absent()) };
            }
            alive = is_alive(&record, elsewhere).await?;
        }
        if alive {
            let fork = record.fork.map_or_else(String::new, |fork| fork.url);
            return Err(Error::new(ErrorKind::Held, REMOVING)
                .object(context.store().url())
                .why(format!("the fork {fork} reads from it"))
                .hint(
                    "detach the fork first (plimsoll detach <url>), remove it, or force it: then the fork is broken",
                ));
        }
    }
    if unpin(context, name).await? { Ok(()) } else { Err(absent()) }
}

/// Whether a pin is that of a fork which exists. One request if it is a fork's at all.
///
/// # Errors
/// When the fork cannot be asked for: then nobody knows.
pub(crate) async fn is_alive(record: &PinRecord, elsewhere: &dyn Elsewhere) -> Result<bool> {
    let Some(fork) = &record.fork else { return Ok(false) };
    let found = elsewhere.store(&fork.url)?.get(volume_key()).await?;
    let found = found.map(|found| decode_volume(&found.bytes)).transpose()?;
    Ok(found.is_some_and(|volume| volume.uuid == fork.uuid))
}

/// The objects that make up the newest state or an earlier one, oldest first. Empty if nothing was ever written.
pub(crate) async fn made_of(context: &Context, at: Option<Txid>) -> Result<Vec<Listed>> {
    let (store, layout) = (context.store(), context.layout());
    let mut listings = 0;
    loop {
        listings += 1;
        // Where that is not enough, all is listed the next time.
        let newest = at.is_none() && listings == 1;
        let listing = if newest { list_newest(store, layout).await?.0 } else { list(store, layout).await? };
        let found = match at.filter(|txid| *txid != listing.head()) {
            None => listing.newest(),
            Some(txid) => earlier(store, layout, &listing, txid).await,
        };
        match found {
            // Seen in the middle of merging and collecting, for a listing takes more than one request.
            Err(error)
                if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) && listings < LISTINGS_MAX => {}
            other => return other.map_err(|error| error.object(store.url())),
        }
    }
}

/// When the objects of a state were written, as far as a listing said so.
pub(crate) fn times(state: &[Listed]) -> HashMap<FileId, WallMs> {
    state.iter().filter(|file| file.modified != WallMs(0)).map(|file| (file.id, file.modified)).collect()
}

pub(crate) fn named(file: &Listed) -> PinnedObject {
    PinnedObject { id: file.id, bytes: file.size }
}

fn nothing(context: &Context) -> Error {
    Error::new(ErrorKind::NotFound, PINNING)
        .object(context.store().url())
        .why("there is no volume at this URL, or nothing was ever synced to it")
        .hint("check the URL, or make a volume: plimsoll create <url>")
}
