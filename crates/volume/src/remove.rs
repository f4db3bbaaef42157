//! Removing a volume.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use plimsoll_commitlog::{
    Context, Standing, VolumeRecord, announce_removal, call_off_removal, decide_removal, decided_removal,
    delete_volume, detached_key, detaching_key, end_removal, held_for, lives, look_anyway, opened_since, pins,
    record_folders, stays_until_last, take_up_removal,
};
use plimsoll_host::crash::{self, Point};
use plimsoll_ltx::{FileId, SIDECAR_FOLDER, SNAPSHOT_LEVEL};
use plimsoll_model::{
    Epoch, Error, ErrorKind, Result,
    step::{Step, taken},
};

use crate::{Elsewhere, checkpoint::is_alive, fork::unpin_all, usage::PARALLEL};

const REMOVING: &str = "removing";

/// Removals that may be announced, or opens that may come first, before this one gives up.
const RACES_MAX: usize = 8;
/// How often what a writer of the removed volume had still on its way is looked for.
const ROUNDS_MAX: usize = 3;
/// Objects that are removed after one look.
const BATCH: usize = 500;
/// How often the store may fail to answer before a removal is given up.
const FAILURES_MAX: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);

/// Removes every object of a volume; how many there were. What else is below its URL stays. `context` is of its own objects alone, without
/// those that a fork started with. `holder_ttl` is how long a holder is respected after its last sign of life.
///
/// It takes the next epoch, and decides once that is there and nothing speaks against it: see [`announce_removal`]. From
/// then on nobody opens it for writing, and as soon as anything is gone, nobody reads it. The record of that epoch stays,
/// so that a writer of this volume that wakes up later notices, also if there is another one at this URL by then. If this
/// is interrupted, it can be done again.
///
/// # Errors
/// `Held`: forks read from it, whose names are said, unless `force`; or a holder looks alive, or somebody opened or
/// forked it just now: then nothing was removed. `NotFound`: there is no volume. Otherwise as the store says.
pub async fn remove(context: &Context, holder_ttl: Duration, force: bool, elsewhere: &dyn Elsewhere) -> Result<u64> {
    for _ in 0..RACES_MAX {
        let standing = look_anyway(context).await?;
        if let Some((decided, volume)) = decided_removal(context, &standing).await? {
            let Some(epoch) = take_up_removal(context, &standing, decided).await? else { continue };
            return carry_out(context, Going { decided, epoch }, &volume, force, elsewhere).await;
        }
        let Some(volume) = &standing.volume else {
            match remove_left_over(context, &standing, force).await? {
                Some(removed) => return Ok(removed),
                None => continue,
            }
        };
        refuse_while_held(context, &standing, holder_ttl)?;
        if !force {
            refuse_with_forks(context, elsewhere).await?;
        }
        let Some(epoch) = announce_removal(context, &standing).await? else { continue };
        crash::here(Point::RemovalMarked);
        if let Err(error) = look_again(context, &standing, force, elsewhere).await {
            if let Err(error) = call_off_removal(context, epoch).await {
                tracing::warn!(%error, "the removal could not be called off; whoever opens the volume does that");
            }
            return Err(error);
        }
        if !decide_removal(context, epoch, volume).await? {
            return Err(just_now(context));
        }
        crash::here(Point::RemovalDecided);
        return carry_out(context, Going { decided: epoch, epoch }, volume, force, elsewhere).await;
    }
    Err(just_now(context))
}

/// A removal that is being carried out.
#[derive(Clone, Copy)]
struct Going {
    /// Under which epoch it was decided.
    decided: Epoch,
    /// Under which it is carried out. Nobody else has a newer one, as long as this one alone removes.
    epoch: Epoch,
}

impl Going {
    /// Right before anything is removed.
    async fn look(self, context: &Context) -> Result<()> {
        if !opened_since(context, self.epoch).await? {
            return Ok(());
        }
        Err(held(context, "somebody else removes it now, or has made another volume there".to_owned())
            .hint("try again"))
    }

    /// Removes what there is of a volume, but for what goes last; how much that was. Where a request fails, the next one is
    /// sent after another look, not by itself.
    async fn empty(self, context: &Context) -> Result<u64> {
        let (mut removed, mut rounds, mut failures) = (0, 0, 0);
        while rounds < ROUNDS_MAX {
            let mut keys = own_objects(context).await?;
            keys.retain(|key| !stays_until_last(key, self.decided, self.epoch));
            if keys.is_empty() {
                break;
            }
            match self.delete(context, &keys).await {
                Ok(()) => (removed, rounds) = (removed + keys.len() as u64, rounds + 1),
                Err(error) if error.kind() == ErrorKind::Unavailable && failures < FAILURES_MAX => {
                    failures += 1;
                    let host = context.host();
                    let pause = PAUSE * 2_u32.pow(failures);
                    let jitter = host.chance.below(pause.as_millis() as u64);
                    host.clock.sleep(pause / 2 + Duration::from_millis(jitter)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// The names were listed before the look: if somebody makes a volume here after that, what was listed is gone.
    async fn delete(self, context: &Context, keys: &[String]) -> Result<()> {
        for batch in keys.chunks(BATCH) {
            self.look(context).await?;
            context.store().delete_once(batch).await?;
        }
        Ok(())
    }
}

/// Once the removal is announced. Whoever opens for writing gives a sign of life and then looks for a newer epoch; whoever
/// forks calls the removal off once the fork's record is there. So one of the two sees the other.
async fn look_again(context: &Context, before: &Standing, force: bool, elsewhere: &dyn Elsewhere) -> Result<()> {
    if lives(context, before).await? {
        return Err(just_now(context));
    }
    if force { Ok(()) } else { refuse_with_forks(context, elsewhere).await }
}

/// Removes what a decided removal has left. Its record goes first, lest somebody reads half of the rest.
async fn carry_out(
    context: &Context,
    going: Going,
    volume: &VolumeRecord,
    force: bool,
    elsewhere: &dyn Elsewhere,
) -> Result<u64> {
    let store = context.store();
    // Also because a decision that comes so late that this epoch is forgotten means nothing.
    going.look(context).await?;
    if !delete_volume(context, volume.uuid).await? {
        return Err(held(context, "another volume was made there meanwhile".to_owned()));
    }
    match unpin_all(context, volume, elsewhere).await {
        Err(error) if force || store.get(detached_key()).await?.is_some() => {
            tracing::warn!(%error, "what it was forked from may still keep objects for it");
        }
        other => other?,
    }
    crash::here(Point::RemovalTold);
    let removed = 1 + going.empty(context).await?;
    crash::here(Point::RemovalEmptied);
    end_removal(context, going.decided).await?;
    Ok(removed)
}

/// Without `volume.json` there is no volume of ours. After a removal there may be what one of its writers still had on
/// its way, or what somebody else has put there since. `None`: somebody else came first.
async fn remove_left_over(context: &Context, standing: &Standing, force: bool) -> Result<Option<u64>> {
    let store = context.store();
    let mut keys = own_objects(context).await?;
    let removal = standing.holder.as_ref().is_some_and(|holder| holder.removal);
    if removal {
        keys.retain(|key| !is_trace(key, standing.epoch));
    }
    if keys.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, REMOVING)
            .object(store.url())
            .why("there is nothing at this URL")
            .hint("check the URL: plimsoll ls <prefix> lists volumes"));
    }
    if !removal || !force {
        let hint = match removal {
            true => "a volume was removed there: if this is what its writer has left, force it",
            false => "remove it with the tools of its store",
        };
        return Err(Error::new(ErrorKind::Invalid, REMOVING)
            .object(store.url())
            .why("what is there is no volume of ours")
            .hint(hint));
    }
    // As any other removal, so that whoever makes a volume there meanwhile is left alone.
    let Some(epoch) = announce_removal(context, standing).await? else { return Ok(None) };
    let before = keys.len() as u64;
    Going { decided: epoch, epoch }.empty(context).await?;
    Ok(Some(before))
}

/// What removals leave behind: the record of the last one, and what was decided about it.
fn is_trace(key: &str, epoch: Epoch) -> bool {
    stays_until_last(key, epoch, epoch)
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
    for mark in [detaching_key(), detached_key()] {
        if store.get(mark).await?.is_some() {
            keys.push(mark.to_owned());
        }
    }
    Ok(keys)
}

/// # Errors
/// `Held` while a holder looks alive, or somebody is just opening it.
fn refuse_while_held(context: &Context, standing: &Standing, holder_ttl: Duration) -> Result<()> {
    if held_for(standing, holder_ttl, context.host().clock.wall()).is_none() {
        return Ok(());
    }
    let holder = standing.holder.as_ref().map_or_else(String::new, |holder| format!(" on {}", holder.host));
    Err(held(context, format!("a process{holder} holds it for writing"))
        .hint("close it there, or release it: plimsoll release <url>"))
}

/// # Errors
/// `Held`, naming them, while forks read from the volume; when a fork cannot be asked for, as its store says.
async fn refuse_with_forks(context: &Context, elsewhere: &dyn Elsewhere) -> Result<()> {
    let asked = pins(context).await?.into_iter().map(|(_, record)| async move {
        let record = record?;
        Ok::<_, Error>(if is_alive(&record, elsewhere).await? { record.fork.map(|fork| fork.url) } else { None })
    });
    let asked: Vec<Option<String>> = stream::iter(asked).buffered(PARALLEL).try_collect().await?;
    let forks: Vec<String> = asked.into_iter().flatten().collect();
    if forks.is_empty() || !taken(Step::LookForForks) {
        return Ok(());
    }
    Err(held(context, format!("forks read from it: {}", forks.join(", "))).hint(
        "detach them first: plimsoll detach '<url of the fork>'; --force removes it all the same, which breaks them",
    ))
}

fn just_now(context: &Context) -> Error {
    held(context, "it was opened for writing, forked, or removed by somebody else just now".to_owned())
        .hint("try again")
}

fn held(context: &Context, why: String) -> Error {
    Error::new(ErrorKind::Held, REMOVING).object(context.store().url()).why(why)
}
