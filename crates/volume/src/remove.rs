//! Removing a volume.

use plimsoll_commitlog::{Context, decode_volume, look, mark_removed, pins, volume_key};
use plimsoll_model::{Error, ErrorKind, Result};

use crate::{Elsewhere, checkpoint::is_alive, fork::unpin_all};

const REMOVING: &str = "removing";

/// Removes every object below a volume's URL; how many there were. `context` is of its own objects alone, without
/// those that a fork started with. `holder_ttl` is how long a holder is respected after its last sign of life.
///
/// First its record says that it is being removed, so that nobody opens half of it; the record goes last. If this is
/// interrupted, it can be done again.
///
/// # Errors
/// `Held`: forks read from it, whose names are said, unless `force`; or a holder looks alive. `NotFound`: there is
/// no volume. Otherwise as the store says.
pub async fn remove(
    context: &Context,
    holder_ttl: std::time::Duration,
    force: bool,
    elsewhere: &dyn Elsewhere,
) -> Result<u64> {
    let store = context.store();
    let found = store.get(volume_key()).await?;
    let volume = found.map(|found| decode_volume(&found.bytes)).transpose()?;
    if let Some(volume) = &volume {
        let begun = volume.removed;
        if !begun {
            let standing = look(context).await?;
            let now = context.host().clock.wall().0;
            let alive = standing.status.as_ref().filter(|seen| !seen.record.closed);
            if alive.is_some_and(|seen| u128::from(now.saturating_sub(seen.modified.0)) < holder_ttl.as_millis()) {
                let holder = standing.holder.map_or_else(String::new, |holder| format!(" on {}", holder.host));
                return Err(held(context, format!("a process{holder} holds it for writing"))
                    .hint("close it there, or release it: plimsoll release <url>"));
            }
        }
        if !force {
            refuse_with_forks(context, elsewhere).await?;
        }
        if !begun {
            mark_removed(context, volume, true).await?;
            // Whoever forks looks for the mark once the fork is there, so one of the two sees the other.
            if !force && let Err(error) = refuse_with_forks(context, elsewhere).await {
                mark_removed(context, volume, false).await?;
                return Err(error);
            }
        }
        unpin_all(context, volume, elsewhere).await?;
    }
    let keys: Vec<String> = store.list("", None).await?.into_iter().map(|entry| entry.key).collect();
    if keys.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, REMOVING).object(store.url()).why("there is nothing at this URL"));
    }
    if volume.is_none() {
        return Err(Error::new(ErrorKind::Invalid, REMOVING)
            .object(store.url())
            .why("what is there is no volume of ours")
            .hint("remove it with the tools of its store"));
    }
    let rest: Vec<String> = keys.iter().filter(|key| *key != volume_key()).cloned().collect();
    if !rest.is_empty() {
        store.delete(&rest).await?;
    }
    store.delete(&[volume_key().to_owned()]).await?;
    Ok(keys.len() as u64)
}

/// # Errors
/// `Held`, naming them, while forks read from the volume; when a fork cannot be asked for, as its store says.
async fn refuse_with_forks(context: &Context, elsewhere: &dyn Elsewhere) -> Result<()> {
    let mut forks = Vec::new();
    for (_, record) in pins(context).await? {
        let record = record?;
        if is_alive(context, &record, elsewhere).await? {
            forks.extend(record.fork.map(|fork| fork.url));
        }
    }
    if forks.is_empty() {
        return Ok(());
    }
    Err(held(context, format!("forks read from it: {}", forks.join(", ")))
        .hint("detach them first: plimsoll detach <url>; or force it, which breaks them"))
}

fn held(context: &Context, why: String) -> Error {
    Error::new(ErrorKind::Held, REMOVING).object(context.store().url()).why(why)
}
