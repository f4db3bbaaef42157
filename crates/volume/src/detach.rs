//! Detaching a fork: copying what it still reads from other volumes, so that these need not keep it any more. A fork
//! that is written to gets there by itself, once a snapshot of its own is older than any state that is kept.

use std::{collections::HashSet, sync::Arc};

use plimsoll_commitlog::{
    Context, PinnedObject, VolumeRecord, detached_key, detaching_key, identity, mark_detached, mark_detaching, pins,
};
use plimsoll_host::crash::{self, Point};
use plimsoll_ltx::FileId;
use plimsoll_model::{
    Error, ErrorKind, Result, Txid,
    step::{Step, taken},
};
use plimsoll_pages::compact::{Progress, Watcher};
use serde::Serialize;

use crate::{
    Compacted, Volume, compactor,
    fork::unpin_all,
    origins::is_of,
    shared::{Shared, Writer},
};

/// What detaching did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detached {
    /// The state of which everything was copied; `None` if the volume was no fork, or had everything already.
    pub txid: Option<Txid>,
    /// Bytes uploaded.
    pub bytes: u64,
}

/// How far detaching in the background has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Detaching {
    /// Whether it has come to an end.
    pub state: DetachState,
    /// Bytes of pages, as they are stored, that are gathered; what is gathered is uploaded at the end.
    pub gathered: u64,
    /// Of so many; 0 while that is not known, and if there is nothing to copy.
    pub of: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// Whether detaching in the background has come to an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DetachState {
    /// It goes on.
    #[default]
    Running,
    /// The volume reads from no other one.
    Done,
    /// It has to be begun anew.
    Failed,
}

const DETACHING: &str = "detaching";

impl Volume {
    /// [`Volume::detach_watched`], and nobody watches.
    ///
    /// # Errors
    /// The same.
    pub fn detach(&self) -> Result<Detached> {
        self.detach_watched(&|_| {})
    }

    /// Copies everything that a fork still reads from other volumes, and has them keep it no longer. Takes the
    /// volume for writing if need be. Reads and writes go on meanwhile. If it is interrupted, it can be done again.
    /// `watcher` is told again and again how much is gathered, of how much.
    ///
    /// States from before are not kept, nor are followers that still read one: they begin anew with the newest. Where
    /// that matters, a fork that is left alone stands by itself once the retention is over.
    ///
    /// # Errors
    /// `Held`: checkpoints of the fork are made of what it would give up: their names are said. Otherwise as
    /// [`Volume::compact`].
    pub fn detach_watched(&self, watcher: &Watcher<'_>) -> Result<Detached> {
        let shared = self.shared();
        shared.config.host.tasks.wait(detach(shared, watcher))
    }

    /// Begins what [`Volume::detach`] does, and does not wait for it: how far it has come is in the
    /// [`Status`](crate::Status). Changes nothing if it is under way. Closing the volume ends it; it can be done again.
    ///
    /// # Errors
    /// `Invalid`: the volume was opened read-only. Whatever fails later is in the status.
    pub fn detach_in_background(&self) -> Result<Detaching> {
        let shared = self.shared();
        if shared.config.read_only {
            return Err(Error::new(ErrorKind::Invalid, DETACHING)
                .object(shared.url().to_owned())
                .why("it was opened read-only")
                .hint("open it without mode=ro"));
        }
        let begun = {
            let mut known = shared.detaching();
            if let Some(running) = known.as_ref().filter(|known| known.state == DetachState::Running) {
                return Ok(running.clone());
            }
            known.insert(Detaching::default()).clone()
        };
        let shared = Arc::clone(shared);
        let tasks = Arc::clone(&shared.config.host.tasks);
        tasks.spawn(Box::pin(async move {
            let underway = Underway(shared);
            let Underway(shared) = &underway;
            let watch = |progress: Progress| {
                if let Some(known) = &mut *shared.detaching() {
                    (known.gathered, known.of) = (progress.bytes, progress.of);
                }
            };
            let done = detach(shared, &watch).await;
            if let Err(error) = &done {
                tracing::warn!(url = shared.url(), %error, "detaching in the background failed");
            }
            if let Some(known) = &mut *shared.detaching() {
                known.state = if done.is_ok() { DetachState::Done } else { DetachState::Failed };
                known.error = done.err().map(|error| error.to_string());
            }
        }));
        Ok(begun)
    }
}

/// Detaching is under way. Once this goes, however that ended, it can be begun anew.
struct Underway(Arc<Shared>);

impl Drop for Underway {
    fn drop(&mut self) {
        // After a panic under this lock everybody else is told by the lock.
        if let Ok(mut known) = self.0.detaching.lock()
            && let Some(known) = known.as_mut().filter(|known| known.state == DetachState::Running)
        {
            known.state = DetachState::Failed;
            known.error = Some("it did not come to its end".to_owned());
        }
    }
}

async fn detach(shared: &Arc<Shared>, watcher: &Watcher<'_>) -> Result<Detached> {
    let nothing = Detached { txid: None, bytes: 0 };
    let volume = identity(&shared.context()).await?.filter(|volume| !volume.origins.is_empty());
    let Some(volume) = volume else { return Ok(nothing) };
    let writer = shared.take().await?;
    // It may have been done before, by somebody who died before the others were told.
    let copied = shared.origins.inherited().is_empty();
    let skipped = copied || !taken(Step::DetachCopies);
    let done = if skipped { Compacted::default() } else { compactor::snapshot(shared, &writer, watcher).await? };
    crash::here(Point::DetachCopied);
    let held = let_go(shared, &writer, &volume).await?;
    if !held.is_empty() {
        return Err(Error::new(ErrorKind::Held, DETACHING)
            .object(shared.url().to_owned())
            .why(format!("checkpoints are made of what it reads from elsewhere: {}", held.join(", ")))
            .hint("remove them first: plimsoll checkpoint rm <url> <name>"));
    }
    let txid = (!copied).then(|| shared.state().view.txid);
    Ok(Detached { txid, bytes: done.bytes })
}

/// Says that the volume reads from no other one, and has the others keep nothing for it. If checkpoints need what
/// they keep, nothing has changed: their names.
async fn let_go(shared: &Arc<Shared>, writer: &Writer, volume: &VolumeRecord) -> Result<Vec<String>> {
    let context = shared.context();
    // Until the second mark everything is still read where it was, so that nothing is out of reach if this process dies
    // in between. There is no way back from that one.
    if context.store().get(detached_key()).await?.is_none() {
        writer.lease.still_mine(DETACHING).await?;
        mark_detaching(&context, writer.epoch).await?;
        crash::here(Point::DetachMarking);
        let held = checkpoints_of(&context, volume).await?;
        writer.lease.still_mine(DETACHING).await?;
        if !held.is_empty() {
            context.store().delete_once(&[detaching_key().to_owned()]).await?;
            return Ok(held);
        }
        mark_detached(&context, writer.epoch).await?;
        crash::here(Point::DetachMarked);
    }
    shared.origins.forget_origins(true);
    unpin_all(&context, volume, &*shared.config.elsewhere).await?;
    shared.origins.forget_origins(false);
    crash::here(Point::DetachTold);
    Ok(Vec::new())
}

/// Checkpoints that are made of what is read from elsewhere. Whoever makes one looks for the first mark afterwards, so
/// one of the two sees the other.
async fn checkpoints_of(context: &Context, volume: &VolumeRecord) -> Result<Vec<String>> {
    let elsewhere = |object: &PinnedObject| volume.origins.iter().any(|origin| is_of(origin, object.id));
    let mut names = Vec::new();
    for (name, record) in pins(context).await? {
        if record?.objects.iter().any(elsewhere) && taken(Step::DetachChecks) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Lets go of what a fork started with, `inherited`, unless a reader of this process or a checkpoint still needs some.
pub(crate) async fn stand_alone_if_unread(
    shared: &Arc<Shared>,
    writer: &Writer,
    inherited: &HashSet<FileId>,
) -> Result<()> {
    let context = shared.context();
    if shared.in_use().iter().any(|id| inherited.contains(id)) {
        return Ok(());
    }
    let pins = writer.pins.all(&context).await?;
    if pins.iter().flat_map(|pin| &pin.record.objects).any(|object| inherited.contains(&object.id)) {
        return Ok(());
    }
    let Some(volume) = identity(&context).await? else { return Ok(()) };
    let held = let_go(shared, writer, &volume).await?;
    tracing::info!(url = shared.url(), ?held, "everything that the fork started with is replaced");
    Ok(())
}
