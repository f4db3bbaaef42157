//! Removing a volume.

use std::time::Duration;

use futures::future::try_join_all;
use plimsoll_commitlog::{
    Context, Standing, decode_volume, detached_key, look_past_mark, mark_removed, opened_since, pins, record_folders,
    volume_key,
};
use plimsoll_host::crash::{self, Point};
use plimsoll_ltx::{FileId, SIDECAR_FOLDER, SNAPSHOT_LEVEL};
use plimsoll_model::{Error, ErrorKind, Result};

use crate::{Elsewhere, checkpoint::is_alive, fork::unpin_all};

const REMOVING: &str = "removing";

/// Removes every object of a volume; how many there were. What else is below its URL stays. `context` is of its own objects alone, without
/// those that a fork started with. `holder_ttl` is how long a holder is respected after its last sign of life.
///
/// First its record says that it is being removed, so that nobody opens half of it; the record goes last. If this is
/// interrupted, it can be done again.
///
/// # Errors
/// `Held`: forks read from it, whose names are said, unless `force`; or a holder looks alive. `NotFound`: there is
/// no volume. Otherwise as the store says.
pub async fn remove(context: &Context, holder_ttl: Duration, force: bool, elsewhere: &dyn Elsewhere) -> Result<u64> {
    let store = context.store();
    let found = store.get(volume_key()).await?;
    let volume = found.map(|found| decode_volume(&found.bytes)).transpose()?;
    if let Some(volume) = &volume {
        // Also if it is marked already: who did that may have died before it looked again.
        let standing = look_past_mark(context).await?;
        refuse_while_held(context, &standing, holder_ttl)?;
        if !force {
            refuse_with_forks(context, elsewhere).await?;
        }
        if !volume.removed {
            mark_removed(context, volume, true).await?;
            crash::here(Point::RemovalMarked);
        }
        if let Err(error) = look_again(context, &standing, force, elsewhere).await {
            // Only our own mark: behind another one something may be gone already.
            if !volume.removed {
                mark_removed(context, volume, false).await?;
            }
            return Err(error);
        }
        crash::here(Point::RemovalDecided);
        match unpin_all(context, volume, elsewhere).await {
            Err(error) if force || store.get(detached_key()).await?.is_some() => {
                tracing::warn!(%error, "what it was forked from may still keep objects for it");
            }
            other => other?,
        }
        crash::here(Point::RemovalTold);
    }
    let keys = own_objects(context).await?;
    if volume.is_none() && keys.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, REMOVING).object(store.url()).why("there is nothing at this URL"));
    }
    if volume.is_none() {
        return Err(Error::new(ErrorKind::Invalid, REMOVING)
            .object(store.url())
            .why("what is there is no volume of ours")
            .hint("remove it with the tools of its store"));
    }
    if !keys.is_empty() {
        store.delete(&keys).await?;
    }
    crash::here(Point::RemovalEmptied);
    store.delete(&[volume_key().to_owned()]).await?;
    Ok(keys.len() as u64 + 1)
}

/// The names of a volume's own objects, but for its record. Whatever else is below its URL stays: it may be another
/// volume.
async fn own_objects(context: &Context) -> Result<Vec<String>> {
    let (store, layout) = (context.store(), context.layout());
    let levels = (0..=SNAPSHOT_LEVEL).map(|level| layout.folder(level));
    let folders: Vec<String> =
        levels.chain(record_folders().map(str::to_owned)).chain([SIDECAR_FOLDER.to_owned()]).collect();
    let lists = try_join_all(folders.iter().map(|folder| store.list(folder, None))).await?;
    let own = |key: &String| {
        layout.parse(key).is_some()
            || FileId::parse_sidecar_key(key).is_some()
            || record_folders().any(|folder| key.strip_prefix(folder).is_some_and(|name| !name.contains('/')))
    };
    let mut keys: Vec<String> = lists.into_iter().flatten().map(|entry| entry.key).filter(own).collect();
    if store.get(detached_key()).await?.is_some() {
        keys.push(detached_key().to_owned());
    }
    Ok(keys)
}

/// # Errors
/// `Held` while a holder looks alive.
fn refuse_while_held(context: &Context, standing: &Standing, holder_ttl: Duration) -> Result<()> {
    let now = context.host().clock.wall().0;
    let sign = match &standing.status {
        Some(seen) if seen.record.closed => return Ok(()),
        Some(seen) => seen.modified,
        // Somebody who is just opening it has looked for the mark, perhaps, and not yet said that it lives.
        None => standing.epoch_made,
    };
    if standing.epoch.is_zero() || u128::from(now.saturating_sub(sign.0)) >= holder_ttl.as_millis() {
        return Ok(());
    }
    let holder = standing.holder.as_ref().map_or_else(String::new, |holder| format!(" on {}", holder.host));
    Err(held(context, format!("a process{holder} holds it for writing"))
        .hint("close it there, or release it: plimsoll release <url>"))
}

/// After the mark. Whoever forks or opens for writing looks for the mark once the fork or the epoch is there, so one
/// of the two sees the other.
async fn look_again(context: &Context, before: &Standing, force: bool, elsewhere: &dyn Elsewhere) -> Result<()> {
    if opened_since(context, before.epoch).await? {
        return Err(held(context, "it was opened for writing just now".to_owned()).hint("try again"));
    }
    if force { Ok(()) } else { refuse_with_forks(context, elsewhere).await }
}

/// # Errors
/// `Held`, naming them, while forks read from the volume; when a fork cannot be asked for, as its store says.
async fn refuse_with_forks(context: &Context, elsewhere: &dyn Elsewhere) -> Result<()> {
    let mut forks = Vec::new();
    for (_, record) in pins(context).await? {
        let record = record?;
        if is_alive(&record, elsewhere).await? {
            forks.extend(record.fork.map(|fork| fork.url));
        }
    }
    if forks.is_empty() {
        return Ok(());
    }
    Err(held(context, format!("forks read from it: {}", forks.join(", "))).hint(
        "detach them first: plimsoll detach '<url of the fork>'; --force removes it all the same, which breaks them",
    ))
}

fn held(context: &Context, why: String) -> Error {
    Error::new(ErrorKind::Held, REMOVING).object(context.store().url()).why(why)
}
