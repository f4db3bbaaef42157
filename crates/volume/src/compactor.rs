//! Merging and collecting while the volume is held.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::try_join;
use plimsoll_commitlog::{PinnedObject, forget_bygone, sweep};
use plimsoll_host::{
    Mono,
    crash::{self, Point},
};
use plimsoll_ltx::{FileId, SNAPSHOT_LEVEL};
use plimsoll_model::{
    Error, ErrorKind, Result, Txid,
    step::{Step, taken},
};
use plimsoll_pages::{
    Listed, Listing,
    compact::{
        CROWD, Crowd, Watcher, first_snapshot, fitting, garbage, is_crowded, merge_inputs, price, snapshot_inputs,
        superseded,
    },
    list, list_level, list_level_after, list_newest,
};

use crate::{
    detach::stand_alone_if_unread,
    setbacks::Setbacks,
    shared::{Shared, Writer},
};

/// Pause after a round that failed.
const RETRY: Duration = Duration::from_secs(10);
/// A writer that has held the volume for so long is not a command which ends in a moment: it merges large objects, too,
/// before their time comes. What such a command would read of them, it would read for nothing.
const SETTLED: Duration = Duration::from_secs(5);

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Objects made.
    pub merged: Vec<FileId>,
    /// Bytes uploaded.
    pub bytes: u64,
    /// Objects removed.
    pub removed: u64,
}

/// Merges each level when its time has come, until the writer stops.
pub(crate) async fn run(shared: Arc<Shared>, writer: Arc<Writer>) {
    let clock = &shared.config.host.clock;
    let began = clock.now();
    let mut intervals: Vec<Duration> = Vec::new();
    let mut due: Vec<Mono> = Vec::new();
    let mut merged_at = Txid::ZERO;
    let mut newest_merge = None;
    // Merges of syncs since it was looked whether they crowd the levels above. What others have left there is not known.
    let mut new_merges = CROWD;
    while !writer.stopped() {
        let now = clock.now();
        let wanted = shared.settings().compaction_levels.clone();
        if wanted != intervals {
            due = wanted.iter().map(|interval| began + *interval).collect();
            intervals = wanted;
        }
        let head = writer.lease.head().map_or(Txid::ZERO, |head| head.txid);
        let Some(first) = due.first().copied() else {
            writer.compactor.sleep(&**clock, None).await;
            continue;
        };
        let again = writer.setbacks().due(now);
        let settled = now >= began + SETTLED;
        let waits = writer.waiting().crowd();
        let crowded = waits == Crowd::Cheap || waits == Crowd::Dear && settled;
        let left = writer.setbacks().rest_due(now);
        if again.is_empty() && left.is_none() && (head <= merged_at || (now < first && !crowded)) {
            // Nothing new costs nothing: a new sync rings.
            let timer = (head > merged_at).then_some(first);
            let soon = (waits == Crowd::Dear && !settled).then_some(began + SETTLED);
            let deadline = timer.into_iter().chain(soon).chain(writer.setbacks().next()).min();
            writer.compactor.sleep(&**clock, deadline).await;
            continue;
        }
        let mut levels = again;
        for (at, interval) in intervals.iter().enumerate() {
            if now >= due[at] {
                due[at] = now + *interval;
                levels.push(u8::try_from(at + 1).unwrap_or(u8::MAX));
            }
        }
        let look_above = new_merges >= CROWD || left == Some(true);
        let most = if settled { Crowd::Dear } else { Crowd::Cheap };
        let due_now =
            Due { levels: &levels, early: levels.is_empty().then_some(most), above: look_above, ..Due::default() };
        writer.set_brisk(levels.is_empty() && waits == Crowd::Cheap);
        let mut progress = Progress::default();
        let only_merges = levels.is_empty() && left.is_none();
        let ended = match &newest_merge {
            Some(newest) if only_merges && !look_above => {
                brief_round(&shared, &writer, newest, most, &mut progress).await
            }
            // Writers that do not live to see the time of a level collect in their first round.
            newest => {
                let brief = newest.is_some() && only_merges;
                round(&shared, &writer, Due { brief, ..due_now }, &mut progress).await
            }
        };
        writer.set_brisk(false);
        // What was merged is, whatever became of the rest.
        let Progress { done, merged, whole, put_off } = progress;
        let of_syncs = || done.merged.iter().filter(|id| id.level == 1);
        new_merges = if merged && look_above { 0 } else { new_merges } + of_syncs().count();
        newest_merge = of_syncs().next_back().copied().or(newest_merge);
        if merged {
            merged_at = head;
            writer.waiting().forget(head);
            writer.setbacks().forget(now);
        } else if let Some(newest) = of_syncs().next_back() {
            writer.waiting().forget(newest.max);
        }
        if let Some(error) = put_off {
            tracing::warn!(%error, "a merge is tried again later");
        }
        match ended {
            Ok(()) => {
                tracing::debug!(?done, "compacted");
                if let Some(all) = whole {
                    writer.setbacks().note_rest(all, None, clock.now());
                }
            }
            Err(_) if writer.stopped() => {}
            Err(error) => {
                tracing::warn!(%error, ?done, "what is left of merging and collecting is tried again later");
                writer.setbacks().note_rest(whole == Some(true), Some(&error), clock.now());
                if merged {
                    continue;
                }
                for (at, level) in due.iter_mut().zip(1..) {
                    if levels.contains(&level) {
                        *at = clock.now() + RETRY;
                    }
                }
                let until = clock.now() + RETRY;
                while !writer.stopped() && clock.now() < until {
                    writer.compactor.sleep(&**clock, Some(until)).await;
                }
            }
        }
    }
}

/// While it is there, the volume is not let go for idleness.
struct Merging<'a>(&'a Writer);

impl Merging<'_> {
    fn on(writer: &Writer) -> Merging<'_> {
        writer.merging.fetch_add(1, Ordering::AcqRel);
        Merging(writer)
    }
}

impl Drop for Merging<'_> {
    fn drop(&mut self) {
        self.0.merging.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Merges every level because somebody asked for it.
pub(crate) async fn everything(shared: &Arc<Shared>, writer: &Arc<Writer>) -> Result<Compacted> {
    let _merging = Merging::on(writer);
    let levels = shared.settings().compaction_levels.len();
    let levels: Vec<u8> = (1..=levels).filter_map(|level| u8::try_from(level).ok()).collect();
    whole_round(shared, writer, Due { levels: &levels, wanted: Some(&|_| {}), ..Due::default() }).await
}

/// Makes a snapshot of the newest state, unless there is one.
pub(crate) async fn snapshot(shared: &Arc<Shared>, writer: &Arc<Writer>, watcher: &Watcher<'_>) -> Result<Compacted> {
    let _merging = Merging::on(writer);
    whole_round(shared, writer, Due { wanted: Some(watcher), ..Due::default() }).await
}

/// For whoever asked for all of it.
async fn whole_round(shared: &Arc<Shared>, writer: &Arc<Writer>, due: Due<'_>) -> Result<Compacted> {
    let mut progress = Progress::default();
    round(shared, writer, due, &mut progress).await?;
    progress.put_off.map_or(Ok(progress.done), Err)
}

/// How far a round has come, also if it fails.
#[derive(Default)]
struct Progress {
    done: Compacted,
    /// Every merge that was due is made, or put off.
    merged: bool,
    /// If it is to do more than merge: whether it goes through all of the volume.
    whole: Option<bool>,
    /// Why it could not make the first merge of those that [`Setbacks`] remember.
    put_off: Option<Error>,
}

/// What a round is to do.
#[derive(Default)]
struct Due<'a> {
    /// Levels whose time has come.
    levels: &'a [u8],
    /// Syncs are merged before their time, and that may cost so much.
    early: Option<Crowd>,
    /// Whether levels for which many merges wait are merged too.
    above: bool,
    /// Merges only: what is merged already need not be listed whole. It is collected when the time of a level has come.
    brief: bool,
    /// Somebody wants a snapshot, and watches.
    wanted: Option<&'a Watcher<'a>>,
}

/// Merges what is due, takes a snapshot if it is time or wanted, and collects.
///
/// What needs all of the volume is done whenever all of it is listed, also in the first round of each writer: those that
/// let go again after a minute never see the time of a higher level.
async fn round(shared: &Arc<Shared>, writer: &Arc<Writer>, due: Due<'_>, progress: &mut Progress) -> Result<()> {
    let Due { levels, early, above, brief, wanted } = due;
    let Progress { done, merged, whole, put_off: failed } = progress;
    let _compacting = writer.compacting.lock().await;
    let (store, layout) = (&shared.config.store, shared.config.layout());
    let settings = &shared.settings();
    // As long as these are listed, whatever becomes of them meanwhile.
    let inherited = shared.origins.inherited();
    // The levels above the second are read only when they may change: most rounds list two.
    let all = wanted.is_some() || levels.iter().any(|level| *level > 1) || above;
    let deep = all && !brief;
    *whole = (!brief).then_some(all);
    let most = early.unwrap_or(Crowd::Dear);
    let mut listing = if brief {
        list_newest(store, layout).await?.0
    } else if all {
        list(store, layout).await?
    } else {
        let mut files = list_level(store, layout, 0).await?;
        files.extend(list_level(store, layout, 1).await?);
        Listing { files }
    };
    if !all && !brief && listing.level(1).next().is_none() {
        // Where level 1 begins depends on what is above it.
        listing = list(store, layout).await?;
    }
    let head = only_ours(shared, writer, &mut listing)?;
    if (levels.contains(&1) || early == Some(Crowd::Dear))
        && !brief
        && let Some((id, inputs)) = first_snapshot(&listing)
    {
        writer.set_brisk(false);
        let made = merge(shared, writer, (id, &inputs), &mut listing, done, wanted.unwrap_or(&|_| {})).await;
        put_off(made, failed)?;
    }
    for level in 1..SNAPSHOT_LEVEL {
        let timely = levels.contains(&level);
        if timely || early.is_some() && level == 1 || above && is_crowded(&listing, level) {
            let most = if timely { Crowd::Dear } else { most };
            put_off(merge_level(shared, writer, (level, most), &mut listing, done).await, failed)?;
        }
    }
    if done.merged.is_empty() {
        // A command that merges for others also tidies up for them. Any other does not wait for that.
        writer.set_brisk(false);
    }
    let newest = FileId { level: SNAPSHOT_LEVEL, min: Txid(1), max: head };
    let snapshot_is_due =
        || writer.setbacks().allow(&newest, shared.now()) && snapshot_is_due(&listing, settings.snapshot_interval);
    if deep && (wanted.is_some() || snapshot_is_due()) {
        let made = match snapshot_inputs(&listing) {
            // Whoever is there for a moment only leaves that to others.
            Ok(Some((_, inputs)))
                if most == Crowd::Cheap && price(inputs.iter().map(|file| file.size)) == Crowd::Dear =>
            {
                Ok(())
            }
            Ok(Some((id, inputs))) => {
                merge(shared, writer, (id, &inputs), &mut listing, done, wanted.unwrap_or(&|_| {})).await
            }
            Ok(None) => Ok(()),
            Err(error) => {
                writer.setbacks().note(&newest, Some(&error), shared.now());
                Err(error)
            }
        };
        put_off(made, failed)?;
    }
    *merged = true;
    if !brief {
        collect(shared, writer, (&listing, inherited), all, done).await?;
    }
    if deep {
        stand_alone(shared, writer, &listing).await;
        shared.forget_stranded(writer).await?;
        done.removed += forget_bygone(&shared.context(), writer.epoch).await?;
    }
    Ok(())
}

/// Merges the newest syncs and does nothing else. Where syncs are many, those that are merged already are thousands, so
/// only what comes after `newest` is listed, the newest merge of syncs that this process knows: two small requests. What
/// else there is to do is done when the time of a level has come.
async fn brief_round(
    shared: &Arc<Shared>,
    writer: &Arc<Writer>,
    newest: &FileId,
    most: Crowd,
    progress: &mut Progress,
) -> Result<()> {
    let _compacting = writer.compacting.lock().await;
    let (store, layout) = (&shared.config.store, shared.config.layout());
    let (syncs, before) = (FileId::sync(newest.max), FileId { min: newest.min.prev(), ..*newest });
    let (mut files, merges) =
        try_join(list_level_after(store, layout, &syncs), list_level_after(store, layout, &before)).await?;
    files.extend(merges);
    let mut listing = Listing { files };
    only_ours(shared, writer, &mut listing)?;
    put_off(merge_level(shared, writer, (1, most), &mut listing, &mut progress.done).await, &mut progress.put_off)?;
    progress.merged = true;
    Ok(())
}

/// What somebody else has put on our newest sync is not in our view, and must not get there by a merge. So nothing is
/// merged beside a stranger's sync. Our own may be listed before its answer is here: it is left for the next round.
/// The newest sync that may be merged.
fn only_ours(shared: &Shared, writer: &Writer, listing: &mut Listing) -> Result<Txid> {
    let on_its_way = writer.attempt.lock().expect("BUG: a panic beside a sync").is_some();
    let head = writer.lease.head().map_or(Txid::ZERO, |head| head.txid);
    if listing.head() > if on_its_way { head.next() } else { head } {
        // Whether we are fenced is for the next sync or sign of life to find out.
        return Err(Error::new(ErrorKind::Held, "merging")
            .object(shared.url().to_owned())
            .why(format!("sync {} is not of this writer", listing.head())));
    }
    listing.files.retain(|file| file.id.max <= head);
    Ok(head)
}

/// That one level cannot be merged keeps nobody from merging the others, from a snapshot which stands for all of them,
/// and from collecting. Without the volume, or the store, none of that goes.
fn put_off(merged: Result<()>, failed: &mut Option<Error>) -> Result<()> {
    match merged {
        Err(error) if Setbacks::is_one(&error) => {
            failed.get_or_insert(error);
            Ok(())
        }
        other => other,
    }
}

/// Merges what a level does not have yet, into more than one object if one cannot be that large. `most`: unless that
/// costs more.
async fn merge_level(
    shared: &Arc<Shared>,
    writer: &Arc<Writer>,
    (level, most): (u8, Crowd),
    listing: &mut Listing,
    done: &mut Compacted,
) -> Result<()> {
    loop {
        let Some(due) = merge_inputs(listing, level) else { return Ok(()) };
        if price(due.1.iter().map(|file| file.size)) == Crowd::Dear {
            if most == Crowd::Cheap {
                return Ok(());
            }
            writer.set_brisk(false);
        }
        let (id, inputs) = fitting(due, shared.config.store.object_bytes_max());
        let before = done.merged.len();
        merge(shared, writer, (id, &inputs), listing, done, &|_| {}).await?;
        if done.merged.len() == before {
            return Ok(());
        }
    }
}

/// Makes one object, unless that has failed and its time has not come again. Whoever asks for it need not wait for that.
async fn merge(
    shared: &Arc<Shared>,
    writer: &Arc<Writer>,
    (id, inputs): (FileId, &[Listed]),
    listing: &mut Listing,
    done: &mut Compacted,
    watcher: &Watcher<'_>,
) -> Result<()> {
    if writer.stopped() {
        return Err(Error::new(ErrorKind::Held, "merging")
            .object(shared.url().to_owned())
            .why("the volume was let go meanwhile")
            .hint("what was merged until then is kept; start again"));
    }
    let asked = writer.merging.load(Ordering::Acquire) > 0;
    if !asked && !writer.setbacks().allow(&id, shared.now()) {
        return Ok(());
    }
    // What was just synced is read from the cache, not from the store.
    let synced = shared.state().view.lsn;
    writer.hold.settle_to(synced).await;
    let merged = writer.merger.merge(id, inputs, watcher, writer.lease.still_mine("merging")).await;
    writer.setbacks().note(&id, merged.as_ref().err(), shared.now());
    let merged = merged?;
    crash::here(Point::Merged);
    {
        let mut state = shared.state();
        let view = Arc::new(state.view.relocated(&merged.object, &merged.pages));
        shared.set_view(&mut state, view);
    }
    // By the store's clock, it is as new as anything.
    listing.files.push(Listed { id, size: merged.object.size, modified: listing.now() });
    listing.files.sort_unstable_by_key(|file| (file.id.level, file.id.min, file.id.max));
    done.bytes += merged.bytes;
    done.merged.push(id);
    Ok(())
}

fn snapshot_is_due(listing: &Listing, interval: Duration) -> bool {
    let newest = listing.snapshots().map(|file| file.modified).max();
    let oldest = listing.files.iter().map(|file| file.modified).min();
    newest.or(oldest).is_some_and(|since| u128::from(listing.now().0 - since.0) >= interval.as_millis())
}

async fn collect(
    shared: &Arc<Shared>,
    writer: &Arc<Writer>,
    (listing, inherited): (&Listing, HashSet<FileId>),
    all: bool,
    done: &mut Compacted,
) -> Result<()> {
    // Readers of this process may be pinned to an older state.
    let mut needed = shared.in_use();
    // What is in other volumes is theirs.
    needed.extend(inherited);
    let now = if taken(Step::OneClock) { listing.now() } else { shared.config.host.clock.wall() };
    let mut gone = garbage(listing, now, shared.retention(), |id| needed.contains(id) && taken(Step::KeepInUse));
    if !all {
        // Of the other levels only a part was listed. What the volume began with is at level 0 and in a snapshot only.
        let is_merged = |id: &FileId| listing.level(1).any(|merge| merge.id.min <= id.min && id.max <= merge.id.max);
        gone.retain(|id| id.level == 0 && is_merged(id));
    }
    if gone.is_empty() {
        return Ok(());
    }
    let gone: HashSet<FileId> = gone.into_iter().collect();
    let gone = listing.files.iter().filter(|file| gone.contains(&file.id));
    let gone = gone.map(|file| PinnedObject { id: file.id, bytes: file.size }).collect();
    // What an overtaken collector has decided would be carried out by whoever comes after it.
    writer.lease.still_mine("collecting").await?;
    let gone = sweep(&shared.context(), writer.epoch, &writer.pins, gone).await?;
    writer.merger.forget(&gone);
    done.removed += gone.len() as u64;
    Ok(())
}

/// A fork that has replaced everything it started with, for longer than any state is kept, needs the other volumes no
/// more. If that cannot be said to them now, there is a next round.
async fn stand_alone(shared: &Arc<Shared>, writer: &Arc<Writer>, listing: &Listing) {
    let inherited = shared.origins.inherited();
    if !shared.origins.is_fork() || !superseded(listing, shared.retention(), &inherited) {
        return;
    }
    if let Err(error) = stand_alone_if_unread(shared, writer, &inherited).await {
        tracing::warn!(%error, "other volumes still keep what this fork does not read any more");
    }
}
