//! Becoming the writer: the next epoch, and a fence that shuts out every earlier one.

use std::time::Duration;

use futures::{FutureExt as _, future::try_join};
use plimsoll_host::{
    Host, Mono, WallMs,
    crash::{self, Point},
};
use plimsoll_ltx::FileId;
use plimsoll_model::{
    Epoch, Error, ErrorKind, PageSize, Result, ResultExt, Stamp, Txid, WriterId,
    step::{self, taken},
    way::{Way, went},
};
use plimsoll_store::Body;

use crate::{
    Context, EpochRecord, Head, Inherited, Kind, Lease, Standing, StatusRecord, StatusReport, VolumeRecord,
    claim::{Asker, Placed, Step, Take, may_take, next_step},
    create::{create_ltx, create_record, insist},
    key::{epoch_key, status_key, volume_key},
    lease::{Begun, Holder, status_record},
    record::{self, lenient},
    removal::settle,
    standing::{is_greeting, last_word, look, newest_epoch, read_status},
    tail::{Levels, tail_expecting},
    verdict::{Whose, is_late},
};

/// Opens that may win the same epoch before this one gives up.
const RACES_MAX: usize = 16;
/// How long a look may stand in for one of ours. What it is made beside may take minutes.
const FRESH: Duration = Duration::from_secs(3);
/// Fences whose name was taken that are followed by the next one at once; then there are pauses.
const FENCES_AT_ONCE: u32 = 4;
/// First pause between fences; doubles up to the maximum.
const FENCE_PAUSE: Duration = Duration::from_millis(50);
const FENCE_PAUSE_MAX: Duration = Duration::from_secs(1);
/// A writer that syncs all the time has the next name nearly always first, until it looks who holds the volume. It
/// does so well within the time for which it is respected; this is how much longer it is waited for, at least.
const FENCE_MARGIN: Duration = Duration::from_secs(30);
/// Set in every file checksum.
const CHECKSUM_FLAG: u64 = 1 << 63;

/// A writable open.
#[derive(Clone, Debug)]
pub struct Acquire {
    /// The journal that the commits will come from.
    pub writer: WriterId,
    /// For messages: this host.
    pub host_name: String,
    /// For messages: this process.
    pub pid: u32,
    /// Whether to take the volume from a holder that looks alive.
    pub takeover: bool,
    /// A local lock proves that no other process of this writer is alive, so that its epoch may be followed at once.
    pub same_host: bool,
    /// How long a holder is respected after its last sign of life.
    pub holder_ttl: Duration,
    /// Recorded in a volume that does not exist yet.
    pub page_size: Option<PageSize>,
    /// The identity of the volume that is meant, once it is known: another one, or none, is refused before anything
    /// is written.
    pub volume: Option<[u8; 16]>,
    /// The newest sync that is known: as long as it is, that saves a round trip.
    pub newest: Option<Txid>,
    /// Who holds the volume, if it was looked already: that saves two. What has changed since then is noticed.
    pub standing: Option<Standing>,
}

/// Takes the next epoch and shuts out every earlier writer. Makes the volume if there is none.
///
/// `fence_body` encodes an object for TXID `head.txid + 1` with the given stamp, linked to `head`, that changes
/// nothing. It may be asked more than once. A volume without any sync is not fenced: its first sync will be the
/// fence, and until then an earlier writer may win.
///
/// Seven round trips when all is well, and fewer if [`Acquire::newest`] and [`Acquire::standing`] are right. Dropping the
/// future leaves at most an unused epoch and a fence.
///
/// # Errors
/// `Held`: the holder looks alive, or a newer writer came by; names it. `NotFound`: it is not the volume that is meant. `Unavailable`: the store did not answer;
/// open again. Others from the store and from `fence_body`.
pub async fn acquire(
    context: &Context,
    ask: &Acquire,
    fence_body: impl Fn(&Head, Epoch, Stamp) -> Result<Body>,
) -> Result<Lease> {
    let Taken { epoch, record, taken_from, unjudged, looked, retention } = take_epoch(context, ask).await?;
    let context = &context.clone().keeping(retention);
    let holder = Holder {
        writer: ask.writer,
        host_name: ask.host_name.clone(),
        epoch,
        record,
        holder_ttl: ask.holder_ttl,
        taken_from,
    };
    let fencing = fence(context, ask, (epoch, looked), fence_body);
    let (fenced, volume) = try_join(fencing, settle_in(context, &holder)).await?;
    let looked = if taken(step::Step::LateFence) { looked } else { context.now() };
    let lease = Lease::new(context.clone(), holder, volume, Begun { fenced, unjudged, looked });
    lease.introduce().await?;
    crash::here(Point::Introduced);
    Ok(lease)
}

/// Gives a sign of life, and then makes sure that nobody has taken the volume since, or removes it: he looks for signs
/// of life once he has an epoch. What the volume is. Two round trips.
///
/// What this writer found is not known yet, so this sign is one of somebody who has acknowledged nothing. It is created
/// if absent: one that comes late does not take the place of a later one, which says more.
async fn settle_in(context: &Context, holder: &Holder) -> Result<VolumeRecord> {
    let (key, status) = (status_key(holder.epoch), status_record(context, holder, &StatusReport::default()));
    let bytes = record::encode(&status);
    crash::here(Point::Greet);
    insist(context, || create_record(context, &key, &bytes).boxed()).await?;
    crash::here(Point::Greeted);
    let (newer, volume) = try_join(overtaken_since(context, holder.epoch), record::read_volume(context)).await?;
    if let Some(newer) = newer {
        return Err(newer);
    }
    volume.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "opening for writing")
            .object(context.object(volume_key()))
            .why("it was there a moment ago and is gone: somebody removes the volume")
    })
}

struct Taken {
    epoch: Epoch,
    /// The bytes of its record.
    record: Vec<u8>,
    /// Another writer that had not let go.
    taken_from: Option<Epoch>,
    /// What an earlier process of the same writer had said last, if it had not let go.
    unjudged: Option<StatusRecord>,
    /// When the look that found it the newest was sent.
    looked: Mono,
    /// How long this volume keeps level 0.
    retention: Duration,
}

/// Step 1: a new epoch, once the holder of the newest allows it.
async fn take_epoch(context: &Context, ask: &Acquire) -> Result<Taken> {
    let asker = Asker { writer: ask.writer, takeover: ask.takeover, alone: ask.same_host, holder_ttl: ask.holder_ttl };
    // An older look says nothing any more of who is alive.
    let is_fresh = |standing: &Standing| context.now().since(standing.sent) < FRESH;
    let mut known = ask.standing.clone().filter(is_fresh);
    for _ in 0..RACES_MAX {
        let known_before = known.is_some();
        let standing = match known.take() {
            Some(standing) => standing,
            None => look(context).await?,
        };
        let there = standing.volume.as_ref().map(|volume| volume.uuid);
        if ask.volume.is_some_and(|meant| there != Some(meant)) {
            return Err(Error::new(ErrorKind::NotFound, "opening for writing")
                .object(context.store.url())
                .why("the volume that was opened here was removed, and there is another one or none now")
                .hint("close it, and open the URL again"));
        }
        // How long a holder was silent when it was looked: what he has said since is not known.
        let age = context.now().since(standing.sent);
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let looked = WallMs(context.host.clock.wall().0.saturating_sub(age_ms));
        if let Take::Held(age) = may_take(&standing, &asker, looked) {
            went(Way::Respected);
            return Err(held(context, &standing, age));
        }
        if may_take(&standing, &Asker { takeover: false, ..asker }, looked) != Take::Free {
            went(Way::Forced);
        }
        settle(context, &standing).await?;
        let retention = match &standing.volume {
            Some(volume) => volume.l0_retention(),
            None => make_volume(context, ask).await?,
        };
        let epoch = standing.epoch.0.checked_add(1).map(Epoch).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "taking the next epoch after")
                .object(context.object(&epoch_key(standing.epoch)))
                .why("it is the highest number possible")
                .hint("nothing of ours writes that; remove the object if no writer is running")
        })?;
        let record = EpochRecord {
            epoch,
            writer: ask.writer,
            host: ask.host_name.clone(),
            pid: ask.pid,
            since_ms: context.host.clock.wall().0,
            nonce: context.host.chance.bits(),
            removal: false,
            carries_out: None,
        };
        let (key, bytes) = (epoch_key(epoch), record::encode(&record));
        crash::here(Point::EpochTake);
        let created = if taken(step::Step::CreateEpoch) {
            insist(context, || create_record(context, &key, &bytes).boxed()).await?
        } else {
            context.store.put(&key, bytes.clone().into()).await.map(|()| true)?
        };
        if created {
            crash::here(Point::EpochTaken);
            let ours = standing.holder.as_ref().is_some_and(|holder| holder.writer == ask.writer);
            let standing = if known_before && ours { reread(context, standing).await? } else { standing };
            let (unjudged, taken_from) = last_of(context, &standing, ask.writer).await?;
            return Ok(Taken { epoch, record: bytes, taken_from, unjudged, looked: standing.sent, retention });
        }
        went(Way::EpochTheirs);
    }
    Err(busy(context, format!("{RACES_MAX} other writers opened it first, one after the other")))
}

/// What was found by a look before the local lock was there: a process of this host may have said more since, and died.
/// One request.
async fn reread(context: &Context, standing: Standing) -> Result<Standing> {
    let status = lenient(read_status(context, standing.epoch).await)?;
    Ok(Standing { status, ..standing })
}

/// What an earlier process of this writer had said last, unless it had let go; and the epoch of another writer that had not,
/// and that is to be accounted for. No request, unless whoever was here last had died before he said anything, or was about to
/// remove the volume.
async fn last_of(
    context: &Context,
    standing: &Standing,
    writer: WriterId,
) -> Result<(Option<StatusRecord>, Option<Epoch>)> {
    let status = standing.status.as_ref().map(|seen| &seen.record);
    let last = match status {
        Some(status) if !is_greeting(status) => Some(status.clone()),
        // A removal that was called off says nothing either: what was said before it still stands.
        _ if standing.holder.is_some() => lenient(last_word(context, standing.epoch).await)?,
        _ => None,
    };
    let taken_from = unaccounted(standing, last.as_ref(), writer);
    let own = |last: &StatusRecord| last.writer == writer && !last.closed;
    // Before the first sync of a volume also who had written to it may have said no more than that.
    Ok((last.filter(own).or_else(|| status.cloned().filter(own)), taken_from))
}

/// Pure: the newest writer that nobody has accounted for. Whoever was here last, this writer too, may have failed before he had
/// done so for the one before: his status says whom he leaves to others. `last`: what was said last.
fn unaccounted(standing: &Standing, last: Option<&StatusRecord>, writer: WriterId) -> Option<Epoch> {
    let status = standing.status.as_ref().map(|seen| &seen.record);
    let other = standing.holder.as_ref().is_none_or(|holder| holder.writer != writer && !holder.removal);
    let open = !standing.epoch.is_zero() && status.is_none_or(|status| !status.closed);
    if other && open {
        return Some(standing.epoch);
    }
    if let Some(status) = status {
        return status.took_from;
    }
    // It was this writer itself, and died before it said anything, or somebody who was about to remove the volume.
    let last = last.filter(|last| last.epoch != standing.epoch)?;
    if last.writer != writer && !last.closed { Some(last.epoch) } else { last.took_from }
}

/// Makes the volume, unless somebody was faster; how long it keeps level 0.
async fn make_volume(context: &Context, ask: &Acquire) -> Result<Duration> {
    let Host { clock, chance, .. } = &context.host;
    let record = VolumeRecord::new(Kind::Sqlite, ask.page_size, context.retention(), clock.wall(), &**chance);
    let bytes = record::encode(&record);
    let ours = insist(context, || create_record(context, volume_key(), &bytes).boxed()).await?;
    crash::here(Point::VolumeMade);
    if ours {
        return Ok(record.l0_retention());
    }
    went(Way::VolumeTheirs);
    // Losing this race is fine: then the volume exists, and it is the winner's word that holds.
    let winner = record::read_volume(context).await?;
    winner.map(|winner| winner.l0_retention()).ok_or_else(|| busy(context, "it was removed meanwhile".to_owned()))
}

/// A fence that is the newest sync.
#[derive(Clone, Copy, Debug)]
pub struct Fenced {
    /// What it was put on.
    pub inherited: Inherited,
    /// The file checksum of that.
    pub link: u64,
    /// The fence.
    pub head: Head,
    /// Its size.
    pub bytes: u64,
}

/// Steps 2 and 3: a fence that is the newest sync. `None` for a volume without syncs.
async fn fence(
    context: &Context,
    ask: &Acquire,
    (epoch, mut looked): (Epoch, Mono),
    fence_body: impl Fn(&Head, Epoch, Stamp) -> Result<Body>,
) -> Result<Option<Fenced>> {
    let mut placed: Option<(Placed, Fenced)> = None;
    let mut expected = ask.newest;
    let patience = ask.holder_ttl + ask.holder_ttl.max(FENCE_MARGIN);
    let (began, mut beaten) = (context.now(), 0_u32);
    while beaten < FENCES_AT_ONCE || context.now().since(began) < patience {
        let tail = tail_expecting(context, Levels::Newest, expected.take()).await?;
        let step = match next_step(tail.head.as_ref(), ask.writer, epoch, placed.map(|(placed, _)| placed)) {
            Step::GiveUp(_) if !taken(step::Step::GiveUp) => {
                next_step(tail.head.as_ref(), ask.writer, Epoch(u32::MAX), None)
            }
            step => step,
        };
        let (head, txid, stamp) = match (tail.head, step) {
            (None, _) | (_, Step::Begin) => return Ok(None),
            (Some(_), Step::GiveUp(newer)) => {
                went(if placed.is_some() { Way::LateFenceStray } else { Way::GivenUp });
                return Err(overtaken(context, epoch, newer).await);
            }
            (Some(head), Step::Hold) => {
                went(Way::LateFenceHolds);
                return Ok(placed.map(|(_, fenced)| Fenced { head, ..fenced }));
            }
            (Some(head), Step::Fence(txid, stamp)) => (head, txid, Stamp { epoch, ..stamp }),
        };
        if placed.is_some() {
            went(Way::LateFenceStray);
        }
        let inherited = Inherited { txid: head.txid, stamp: head.stamp };
        if !taken(step::Step::Fence) {
            return Ok(Some(Fenced { inherited, link: head.checksum, head, bytes: 0 }));
        }
        let body = fence_body(&head, epoch, stamp)?;
        let checksum = checksum_of(&body)?;
        let fenced = Fenced {
            inherited,
            link: head.checksum,
            head: Head { txid, stamp: Some(stamp), checksum, ..head },
            bytes: body.len(),
        };
        let id = FileId::sync(txid);
        // After a pause the volume may have been removed and made again: then that name is of another history.
        if is_late(looked, context.now(), context.fresh_for().min(ask.holder_ttl)) {
            let sent = context.now();
            if let Some(error) = overtaken_since(context, epoch).await? {
                return Err(error);
            }
            looked = sent;
        }
        crash::here(Point::FencePublish);
        let whose = insist(context, || create_ltx(context, &id, body.clone(), stamp, checksum).boxed()).await?;
        crash::here(Point::FencePublished);
        beaten = beaten.saturating_add(1);
        if whose != Whose::Ours {
            went(Way::FenceTheirs);
            pause_after(context, beaten).await;
            continue;
        }
        // It counts if whoever had this name cannot have been merged and deleted since the listing was sent;
        // otherwise the next listing tells.
        let late = is_late(tail.sent, context.now(), context.fresh_for());
        if late && taken(step::Step::ReadTail) && taken(step::Step::LateFence) {
            placed = Some((Placed { txid, stamp }, fenced));
            continue;
        }
        return Ok(Some(fenced));
    }
    Err(busy(context, format!("its writer was faster {beaten} times in {}", words(patience))))
}

/// Between two fences of which somebody else had the name first: the other one must not be kept busy for nothing.
async fn pause_after(context: &Context, beaten: u32) {
    let Some(paused) = beaten.checked_sub(FENCES_AT_ONCE) else { return };
    let pause = (FENCE_PAUSE * 2u32.saturating_pow(paused.min(16))).min(FENCE_PAUSE_MAX);
    let jitter = context.host.chance.below(pause.as_millis() as u64);
    context.host.clock.sleep(pause / 2 + Duration::from_millis(jitter) / 2).await;
}

fn checksum_of(body: &Body) -> Result<u64> {
    let bytes = body.to_bytes().doing("publishing", "a fence")?;
    let end = &bytes[bytes.len().saturating_sub(8)..];
    let checksum = end.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    checksum.filter(|checksum| checksum & CHECKSUM_FLAG != 0).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, "publishing a fence").why("its body does not end with a file checksum")
    })
}

fn held(context: &Context, standing: &Standing, age: Duration) -> Error {
    let who = standing.holder.as_ref().map_or_else(
        || format!("epoch {} (its record is damaged)", standing.epoch),
        |holder| {
            let since = Duration::from_millis(context.host.clock.wall().0.saturating_sub(holder.since_ms));
            format!(
                "process {} on host {} (writer {}, epoch {}) for {}",
                holder.pid,
                holder.host,
                holder.writer,
                standing.epoch,
                words(since)
            )
        },
    );
    Error::new(ErrorKind::Held, "opening for writing")
        .object(context.store.url())
        .why(format!("held by {who}; last sign of life {} ago", words(age)))
        .hint(
            "close it there, wait until it has been silent for holder_ttl_ms, or take the volume from it: \
             plimsoll takeover <url>, or the setting takeover",
        )
}

/// Who has taken the volume from a writer of `epoch` that was just opening it: the error to give. `None`: nobody has.
///
/// # Errors
/// Those of the store.
pub async fn overtaken_since(context: &Context, epoch: Epoch) -> Result<Option<Error>> {
    let newest = newest_epoch(context, Some(epoch)).await?.0;
    Ok(if newest > epoch { Some(overtaken(context, epoch, newest).await) } else { None })
}

async fn overtaken(context: &Context, epoch: Epoch, newer: Epoch) -> Error {
    // Its record is for the message only.
    let by = match record::read::<EpochRecord>(context, &epoch_key(newer)).await {
        Ok(Some(holder)) if holder.removal => "somebody who removes it".to_owned(),
        Ok(Some(holder)) => format!("process {} on host {} (epoch {newer})", holder.pid, holder.host),
        Ok(None) | Err(_) => format!("epoch {newer}"),
    };
    Error::new(ErrorKind::Held, "opening for writing")
        .object(context.store.url())
        .why(format!("while epoch {epoch} was being opened, {by} took the volume"))
        .hint("another host opened the volume at the same time; open again to find out whether it still holds it")
}

fn busy(context: &Context, why: String) -> Error {
    Error::new(ErrorKind::Held, "opening for writing").object(context.store.url()).why(why).hint("open again")
}

/// Whole seconds, or tenths below ten of them.
fn words(span: Duration) -> String {
    if span.as_secs() < 10 { format!("{:.1} s", span.as_secs_f64()) } else { format!("{} s", span.as_secs()) }
}
