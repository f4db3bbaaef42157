//! The task that syncs to the object store.

use std::{sync::Arc, time::Duration};

use plimsoll_commitlog::{FenceInfo, Outcome, Sync};
use plimsoll_durability::{
    Next,
    Outcome::{Error as Failure, Success},
    SyncReason, Terminal,
};
use plimsoll_host::{
    Mono, WallMs,
    crash::{self, Point},
    run_blocking,
};
use plimsoll_journal::Place;
use plimsoll_ltx::{Encoder, FileId, Finished, Header, IndexEntry, sidecar::Sidecar};
use plimsoll_model::{
    Error, ErrorKind, Level, Lsn, PageCount, PageNo, PageSize, Result, Stamp, Txid,
    step::{Step, taken},
};
use plimsoll_pages::{Index, Object, Placed, Sink};
use plimsoll_store::{Body, Piece};

use crate::{
    shared::{Shared, Tip, Writer},
    stow::{Stowage, stow},
    stranded::{Circumstances, Stranded, base_at, base_of},
};

/// First pause after a sync without outcome; doubles up to the maximum.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Between a commit's place in the accounts and in the state that readers see lie a few instructions.
const VISIBLE_SOON: Duration = Duration::from_millis(1);
/// A sync of this size gets a sidecar, so that readers can check single pages of it.
const SIDECAR_BYTES_MIN: u64 = 512 << 10;

/// Up to so many pages are encoded where the syncer runs: that takes less than handing them to another thread and back.
const AT_ONCE_PAGES_MAX: usize = 8;
/// The same for looking through what was written since the last sync.
const AT_ONCE_LOOKS_MAX: u64 = 4096;

/// Indexes of larger syncs are not kept in memory for merging, but read again.
const LEARNED_PAGES_MAX: usize = 16 << 10;

/// A sync that was encoded. It is asked for again, unchanged, until its outcome is known.
pub(crate) struct Attempt {
    sync: Sync,
    header: Header,
    /// When it was encoded: there was no newer sync then.
    made: Mono,
    index: Vec<IndexEntry>,
    size: u64,
    cut: Cut,
}

/// What a sync carries.
#[derive(Clone)]
struct Cut {
    lsn: Lsn,
    /// Everything that was acknowledged by then is in it.
    timestamp: WallMs,
    txid: Txid,
    link: u64,
    count: PageCount,
    page_size: PageSize,
    places: Vec<(PageNo, Place)>,
    /// Pages that are in the volume and were never written since it had grown over them.
    zeros: Vec<PageNo>,
}

/// Syncs whenever the policy says so, until the writer stops or is fenced.
pub(crate) async fn run(shared: Arc<Shared>, writer: Arc<Writer>) {
    let host = &shared.config.host;
    while !writer.stopped() {
        let next = writer.accounts().next_sync(host.clock.now());
        match next {
            Next::SyncNow(reason) => sync_once(&shared, &writer, reason).await,
            Next::WaitUntil(at) => writer.syncer.sleep(&*host.clock, Some(at)).await,
            Next::Idle => writer.syncer.sleep(&*host.clock, None).await,
        }
    }
}

async fn sync_once(shared: &Arc<Shared>, writer: &Arc<Writer>, reason: SyncReason) {
    let clock = &shared.config.host.clock;
    let began = clock.now();
    let outcome = attempt(shared, writer).await;
    let took = clock.now().since(began);
    let result = if matches!(outcome, Ok(None | Some(Outcome::Durable))) { Success } else { Failure };
    shared.config.metrics.sync(reason, result, took);
    match outcome {
        Ok(Some(Outcome::Durable)) => shared.all_is_well(),
        Ok(None) => {
            // The commit that is pending is visible in a moment.
            clock.sleep(VISIBLE_SOON).await;
        }
        Ok(Some(Outcome::Fenced(info))) => fence(shared, writer, &info).await,
        Err(error) if error.kind() == ErrorKind::Fenced => match writer.lease.aftermath().await {
            Ok(info) => fence(shared, writer, &info).await,
            Err(error) => {
                tracing::warn!(%error, "what became of the last commits is not known yet");
                if taken(Step::EndFenced) {
                    end_as_fenced(writer, writer.lease.durable(), clock.wall());
                }
                writer.accounts().sync.on_sync_failed(clock.now(), PAUSE);
            }
        },
        Err(error) => {
            tracing::warn!(%error, "a sync did not succeed and will be tried again");
            shared.note_trouble(&error);
            let mut accounts = writer.accounts();
            let pause = (PAUSE * 2u32.saturating_pow(accounts.failures.min(16))).min(PAUSE_MAX);
            accounts.failures += 1;
            accounts.sync.on_sync_failed(clock.now(), pause);
        }
    }
    writer.progress.fire();
}

/// One sync, or the next try of the one whose outcome is unknown. `None`: there is nothing to sync.
async fn attempt(shared: &Arc<Shared>, writer: &Arc<Writer>) -> Result<Option<Outcome>> {
    let pending = writer.attempt.lock().expect("BUG: a panic beside a sync").clone().filter(|_| taken(Step::SameBytes));
    let attempt = match pending {
        Some(attempt) => attempt,
        None => {
            let Some(attempt) = begin(shared, writer).await? else { return Ok(None) };
            let attempt = Arc::new(attempt);
            *writer.attempt.lock().expect("BUG: a panic beside a sync") = Some(Arc::clone(&attempt));
            attempt
        }
    };
    writer.accounts().sync.on_sync_started(attempt.sync.stamp.lsn);
    if !taken(Step::DurableAfterSync) {
        writer.accounts().durable(attempt.sync.stamp.lsn, shared.config.host.clock.wall());
    }
    let outcome = match writer.lease.create_next(attempt.sync.clone()).await {
        Err(error) if error.kind() == ErrorKind::Io && !attempt.sync.body.is_in_memory() => {
            make_anew(shared, writer, attempt).await;
            return Err(error);
        }
        outcome => outcome?,
    };
    if outcome == Outcome::Durable {
        *writer.attempt.lock().expect("BUG: a panic beside a sync") = None;
        done(shared, writer, &attempt).await;
    }
    Ok(Some(outcome))
}

/// If what a sync was built in cannot be read any more, builds the same again from the journal, for the next try: of an earlier
/// one it may not be known what became of it.
async fn make_anew(shared: &Arc<Shared>, writer: &Arc<Writer>, attempt: Arc<Attempt>) {
    let (of, by) = (Arc::clone(shared), Arc::clone(writer));
    let made = run_blocking(&shared.config.host.tasks, move || {
        let unread = attempt.sync.body.pieces.iter().find_map(|piece| piece.read().err())?;
        tracing::warn!(error = %unread, "a sync is built anew, since what was built cannot be read");
        Some(encode(&of, &by, attempt.cut.clone()).and_then(|anew| {
            if (anew.sync.checksum, anew.size) == (attempt.sync.checksum, attempt.size) {
                return Ok(Attempt { made: attempt.made, ..anew });
            }
            Err(Error::new(ErrorKind::Corrupt, "building a sync anew")
                .why("the journal does not hold the same any more"))
        }))
    });
    match made.await {
        None => {}
        Some(Ok(anew)) => *writer.attempt.lock().expect("BUG: a panic beside a sync") = Some(Arc::new(anew)),
        Some(Err(error)) => tracing::warn!(%error, "a sync could not be built anew"),
    }
}

/// Encodes what was committed until now, where that takes least: little at once, much on a thread of its own.
async fn begin(shared: &Arc<Shared>, writer: &Arc<Writer>) -> Result<Option<Attempt>> {
    let (of, by) = (Arc::clone(shared), Arc::clone(writer));
    let tasks = &shared.config.host.tasks;
    let known = shared.state().view.lsn;
    let looked_through = writer.overlay.read().expect("BUG: a panic while the overlay was locked").looks(known);
    if looked_through > AT_ONCE_LOOKS_MAX {
        let begun = move || cut(&of, &by).map(|cut| encode(&of, &by, cut)).transpose();
        return run_blocking(tasks, begun).await;
    }
    match cut(shared, writer) {
        None => Ok(None),
        Some(cut) if cut.places.len() + cut.zeros.len() <= AT_ONCE_PAGES_MAX => encode(shared, writer, cut).map(Some),
        Some(cut) => run_blocking(tasks, move || encode(&of, &by, cut)).await.map(Some),
    }
}

/// Everything that was committed until now. `None` also if that will be another moment from now.
fn cut(shared: &Shared, writer: &Writer) -> Option<Cut> {
    // Before the newest commit is looked for: what was acknowledged by then is in the sync, as loss reports say.
    let timestamp = shared.config.host.clock.wall();
    let (tip, view) = writer.syncs.cut(|| {
        let state = shared.state();
        (state.tip.lsn, (state.tip, Arc::clone(&state.view)))
    })?;
    let page_size = tip.page_size?;
    if tip.lsn <= view.lsn {
        return None;
    }
    let (places, lowest) = {
        let overlay = writer.overlay.read().expect("BUG: a panic while the overlay was locked");
        (overlay.changed(view.lsn, tip.lsn, tip.count), overlay.lowest(view.lsn, tip.lsn))
    };
    // Everything above what the store has, or had left after the volume was cut, must be carried.
    let known = lowest.map_or(view.count, |lowest| view.count.min(lowest));
    let lock_page = page_size.lock_page();
    let carried = |page: &PageNo| places.binary_search_by_key(page, |(page, _)| *page).is_ok();
    let zeros = (known.0..tip.count.0)
        .filter_map(|page| PageNo::new(page + 1))
        .filter(|page| *page != lock_page && !carried(page))
        .collect();
    let head = writer.lease.head();
    Some(Cut {
        lsn: tip.lsn,
        timestamp,
        txid: head.map_or(Txid(1), |head| head.txid.next()),
        link: head.map_or(0, |head| head.checksum),
        count: tip.count,
        page_size,
        places,
        zeros,
    })
}

fn encode(shared: &Shared, writer: &Writer, cut: Cut) -> Result<Attempt> {
    let host = &shared.config.host;
    let lsn = if taken(Step::CutAtOneCommit) { cut.lsn } else { shared.state().tip.lsn };
    let stamp = Stamp { writer: writer.id, epoch: writer.epoch, lsn };
    let timestamp = cut.timestamp;
    let header = Header {
        page_size: cut.page_size,
        commit: cut.count,
        min: cut.txid,
        max: cut.txid,
        timestamp,
        stamp: Some(stamp),
        link: cut.link,
    };
    let expected = cut.places.len() as u64 * u64::from(cut.page_size.get());
    let built = Sink::new(host, expected, &shared.dir.scratch(), "sync")
        .and_then(|sink| build(shared, writer, &cut, header, sink));
    let (finished, pieces) = match built {
        // What fills the disk may be the very commits that are to be synced. The load line bounds them.
        Err(error) if error.kind() == ErrorKind::Full => {
            tracing::warn!(%error, "a sync is built in memory");
            build(shared, writer, &cut, header, Sink::in_memory())?
        }
        other => other?,
    };
    let sync = Sync {
        txid: cut.txid,
        stamp,
        checksum: finished.checksum,
        page_count: cut.count,
        page_size: cut.page_size,
        body: Body { pieces, timestamp: Some(timestamp) },
    };
    let made = host.clock.now();
    Ok(Attempt { sync, header, made, index: finished.index, size: finished.size, cut })
}

/// The object of a sync, in pieces.
fn build(shared: &Shared, writer: &Writer, cut: &Cut, header: Header, sink: Sink) -> Result<(Finished, Vec<Piece>)> {
    let mut encoder = Encoder::new(sink.clone(), header, shared.config.frames())?;
    let mut data = vec![0; cut.page_size.bytes()];
    let zero = vec![0; cut.page_size.bytes()];
    let mut zeros = cut.zeros.iter().peekable();
    for (page, place) in &cut.places {
        while let Some(hole) = zeros.next_if(|hole| *hole < page) {
            encoder.page(*hole, &zero)?;
        }
        writer.journal.read(*place, *page, &mut data)?;
        encoder.page(*page, &data)?;
    }
    for hole in zeros {
        encoder.page(*hole, &zero)?;
    }
    let finished = encoder.finish()?;
    Ok((finished, sink.into_pieces()?))
}

/// The sync is in the history: the view first, since the volume may be let go as soon as nothing is pending, then
/// the watermarks; the cache, and what can be given up, a little later.
async fn done(shared: &Arc<Shared>, writer: &Arc<Writer>, attempt: &Arc<Attempt>) {
    let host = &shared.config.host;
    let Sync { txid, stamp, page_count, page_size, checksum, .. } = attempt.sync;
    let coming = writer.hold.expect();
    let object = Arc::new(Object { id: FileId::sync(txid), size: attempt.size });
    let placed: Vec<Placed> = attempt
        .index
        .iter()
        .map(|entry| Placed { page: entry.page, offset: entry.offset, len: u64::from(entry.len), hash: entry.hash })
        .collect();
    let after: Option<Option<[u8; 16]>> = {
        let mut state = shared.state();
        let ours = state.writer.as_ref().is_some_and(|current| Arc::ptr_eq(current, writer));
        // Without the writer, what is read is what the store is found to hold.
        ours.then(|| {
            let mut view = state.view.after(&object, stamp.lsn, page_count, page_size, &placed);
            view.checksum = checksum;
            shared.set_view(&mut state, Arc::new(view));
            // Not now: whoever took the volume while this host slept may have merged and collected what follows.
            state.looked = state.looked.max(Some(attempt.made));
            state.listed = state.listed.max(Some(attempt.made));
            state.synced = Some(host.clock.now());
            state.uuid
        })
    };
    crash::here(Point::SyncDone);
    writer.accounts().durable(stamp.lsn, host.clock.wall());
    writer.progress.fire();
    crash::here(Point::WatermarkMoved);
    let Some(uuid) = after else { return };
    shared.open_cache(page_size, uuid);
    if let Some(cache) = shared.cache() {
        // The first sync of a volume is what its cache begins with.
        writer.merger.cache.get_or_init(|| Arc::clone(cache));
    }
    let hash = |page| {
        let at = attempt.index.binary_search_by_key(page, |entry: &IndexEntry| entry.page).ok()?;
        Some(attempt.index[at].hash)
    };
    let pages = attempt.cut.places.iter().filter_map(|(page, place)| Some((*page, *place, hash(page)?)));
    // Beside the next sync, since somebody may be waiting for that.
    stow(shared, writer, Stowage { lsn: stamp.lsn, txid, page_size, pages: pages.collect() });
    drop(coming);
    let merges = !shared.settings().compaction_levels.is_empty();
    if merges {
        writer.waiting().add(txid, attempt.size);
    }
    if merges && placed.len() <= LEARNED_PAGES_MAX {
        let (lsn, timestamp, link) = (Some(stamp.lsn), attempt.header.timestamp, Some(attempt.header.link));
        let entries = Arc::new(attempt.index.clone().into());
        let index = Index { object, count: page_count, page_size, lsn, checksum, link, timestamp, entries };
        writer.merger.learn(Arc::new(index));
    }
    writer.compactor.ring();
    writer.hold.room().await;
    if attempt.size >= SIDECAR_BYTES_MIN {
        let (size, index) = (attempt.size, attempt.index.clone());
        let sidecar = Sidecar::of(&attempt.header, Finished { checksum, size, index });
        let key = FileId::sync(txid).sidecar_key();
        crash::here(Point::SidecarPut);
        if let Err(error) = shared.config.store.put(&key, sidecar.encode().into()).await {
            // Only a speed-up: each reader's host reads the object whole once instead.
            tracing::debug!(%error, "a sidecar could not be written");
        }
    }
}

/// Another writer has the volume: nothing more is acknowledged, at once. What the history holds of ours is durable.
fn end_as_fenced(writer: &Writer, held: Lsn, wall: WallMs) {
    writer.seal();
    {
        let mut accounts = writer.accounts();
        let held = held.min(accounts.progress.marks().mark(Level::Buffered).lsn);
        accounts.ledger.settle(held);
        accounts.progress.advance(Level::Durable, held, wall);
        accounts.progress.end(Terminal::Fenced);
    }
    writer.progress.fire();
}

/// Another writer has the volume. Ends what is waited for, then gives everything back.
pub(crate) async fn fence(shared: &Arc<Shared>, writer: &Arc<Writer>, info: &FenceInfo) {
    *writer.fence.lock().expect("BUG: a panic beside a fence") = Some(info.clone());
    end_as_fenced(writer, info.held, shared.config.host.clock.wall());
    // Whoever is closing the volume holds this, and sees by the above that there is nothing to wait for.
    let _turning = shared.turning.lock().await;
    if shared.is_writer(writer)
        && let Err(error) = dispossess(shared, writer, info.clone()).await
    {
        tracing::error!(%error, "fenced");
    }
}

/// Gives everything back after a fence; what the history lacks is kept aside, or left in the journal if nobody has written
/// since. The caller holds `turning`.
///
/// # Errors
/// Says what is not in the history, and where it is.
pub(crate) async fn dispossess(shared: &Arc<Shared>, writer: &Arc<Writer>, info: FenceInfo) -> Result<()> {
    // The thread that drives all volumes waits for no disk: a journal is closed, and moved or removed.
    let (of, by) = (Arc::clone(shared), Arc::clone(writer));
    run_blocking(&shared.config.host.tasks, move || give_back(&of, &by, &info)).await
}

/// Where the commits of a fenced writer are that the history may not hold.
enum Kept {
    Nowhere,
    /// In the journal: whoever opens the volume on this host next judges it.
    Left,
    Aside(Stranded),
}

/// Pure: whether all that is known to have come after a fenced writer is somebody who was about to remove the volume. If that
/// is called off, the journal continues the history.
fn leaves_the_journal(info: &FenceInfo) -> bool {
    !info.gone && !info.settled && info.holder.as_ref().is_some_and(|holder| holder.removal)
}

fn give_back(shared: &Arc<Shared>, writer: &Arc<Writer>, info: &FenceInfo) -> Result<()> {
    let appended = writer.accounts().progress.marks().mark(Level::Buffered).lsn.max(writer.journal.last());
    writer.stop();
    let lost = appended.0.saturating_sub(info.held.0);
    if let Err(error) = writer.close_journal() {
        tracing::warn!(%error, "the journal that is kept aside could not be closed");
    }
    let complete = lost == 0 && info.settled;
    let (txid, lsn) = {
        let view = &shared.state().view;
        (view.txid, view.lsn)
    };
    let found = base_of(info.settled, info.inherited.as_ref(), writer.epoch);
    let base = found.or_else(|| base_at(txid, lsn, info.held).filter(|_| info.settled));
    let kept = if complete || !taken(Step::Strand) {
        shared.dir.drop_journal().map(|()| Kept::Nowhere)
    } else if leaves_the_journal(info) {
        Ok(Kept::Left)
    } else {
        let in_history = Some(writer.lease.head().is_some());
        let circumstances = Circumstances { epoch: Some(writer.epoch.0), base, in_history };
        shared.dir.strand(&shared.config.host, circumstances).map(Kept::Aside)
    };
    if let (Ok(Kept::Aside(_)), Some(base)) = (&kept, base) {
        let (of, id, epoch) = (Arc::clone(shared), writer.id, writer.epoch);
        // Nobody has to wait for that: what was acknowledged is safe where it is.
        shared.config.host.tasks.spawn(Box::pin(async move { of.keep_base(id, epoch, Txid(base.txid)).await }));
    }
    let error = Error::new(ErrorKind::Fenced, "syncing").object(shared.url().to_owned());
    let error = match &kept {
        Ok(Kept::Nowhere) => error.why("another writer has taken the volume; nothing of ours is missing in its history"),
        Ok(Kept::Left) if lost == 0 => error.why("somebody removes the volume, or was about to; everything is synced"),
        Ok(Kept::Left) => error
            .why(format!(
                "somebody removes the volume, or was about to; commits {} to {appended} may not be in the store, they are in \
                 the journal of this host",
                info.held.next()
            ))
            .hint("close it, and open the URL again: if the volume is still there, they are synced then"),
        Ok(Kept::Aside(stranded)) if lost == 0 => error.why(format!(
            "another writer has taken the volume; it has not said yet what it found of ours, a copy is kept in {}",
            stranded.path.display()
        )),
        Ok(Kept::Aside(stranded)) if !info.settled => error.why(format!(
            "another writer has taken the volume; it has not said yet which of the commits {} to {appended} it found, they \
             are kept in {}",
            info.held.next(),
            stranded.path.display()
        )),
        Ok(Kept::Aside(stranded)) => error.why(format!(
            "another writer has taken the volume; commits {} to {appended} are not in its history and are kept in {}",
            info.held.next(),
            stranded.path.display()
        )),
        Err(kept) => {
            error.why(format!("another writer has taken the volume; keeping the journal aside failed: {kept}"))
        }
    };
    shared.config.metrics.fenced();
    if lost > 0 && !matches!(kept, Ok(Kept::Left)) {
        shared.config.metrics.stranded(lost);
    }
    {
        let mut state = shared.state();
        state.trouble = Some(error.duplicate());
        state.lost = (!complete).then(|| error.duplicate());
        state.fenced = true;
        state.writer = None;
        // What is read from here on is the winner's history.
        let Tip { version, .. } = state.tip;
        let view = Arc::clone(&state.view);
        state.tip = Tip { lsn: view.lsn, count: view.count, page_size: view.page_size, version: version + 1 };
        (state.looked, state.listed) = (None, None);
    }
    writer.unlock();
    if complete { Ok(()) } else { Err(error) }
}
