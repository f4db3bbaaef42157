//! Who holds the volume.

use futures::future::try_join;
use plimsoll_host::{Mono, WallMs};
use plimsoll_model::{Epoch, Lsn, Result};

use crate::{
    Context, EpochRecord, StatusRecord, VolumeRecord,
    key::{EPOCHS, STATUSES, epoch_key, parse_epoch_key, parse_status_key, status_key, volume_key},
    record::{self, lenient},
};

/// What the records say.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The volume's identity; `None` if nobody has made it (or only Litestream has).
    pub volume: Option<VolumeRecord>,
    /// The newest epoch; zero if there never was a writer.
    pub epoch: Epoch,
    /// When its record was made, by the store's clock.
    pub epoch_made: WallMs,
    /// Whose it is. `None` without an epoch, or if the record is damaged.
    pub holder: Option<EpochRecord>,
    /// Its holder's last sign of life. `None` if there is none yet, or if the record is damaged.
    pub status: Option<Seen>,
    /// When this was asked for.
    pub sent: Mono,
}

/// A status, and when it was written.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it says.
    pub record: StatusRecord,
    /// When it was written, by the store's clock.
    pub modified: WallMs,
}

/// Reads who holds the volume. Two round trips, one if there never was a writer.
///
/// # Errors
/// Those of the store; `Corrupt` for a damaged `volume.json`; `Unsupported` for records of a newer format.
pub async fn look(context: &Context) -> Result<Standing> {
    look_beside(context, record::read_volume(context)).await
}

/// As [`look`], also where `volume.json` only keeps a place: for who removes it.
///
/// # Errors
/// As [`look`].
pub async fn look_anyway(context: &Context) -> Result<Standing> {
    look_beside(context, record::read(context, volume_key())).await
}

async fn look_beside(
    context: &Context,
    volume: impl Future<Output = Result<Option<VolumeRecord>>>,
) -> Result<Standing> {
    let sent = context.now();
    let (volume, (epoch, epoch_made)) = try_join(volume, newest_epoch(context, None)).await?;
    if epoch.is_zero() {
        return Ok(Standing { volume, epoch, epoch_made, holder: None, status: None, sent });
    }
    let (holder, status) =
        try_join(async { lenient(record::read::<EpochRecord>(context, &epoch_key(epoch)).await) }, async {
            lenient(read_status(context, epoch).await)
        })
        .await?;
    Ok(Standing { volume, epoch, epoch_made, holder, status, sent })
}

/// Whether the holder that was seen has given a sign of life since then. One request.
///
/// # Errors
/// Those of the store.
pub async fn lives(context: &Context, before: &Standing) -> Result<bool> {
    let removal = before.holder.as_ref().is_some_and(|holder| holder.removal);
    if before.epoch.is_zero() || removal {
        return Ok(false);
    }
    let now = lenient(read_status(context, before.epoch).await)?;
    let was = before.status.as_ref().map(|seen| &seen.record);
    Ok(now.is_some_and(|now| !now.record.closed && was != Some(&now.record)))
}

/// Whether somebody has taken an epoch after this one. One request.
///
/// # Errors
/// Those of the store.
pub async fn opened_since(context: &Context, epoch: Epoch) -> Result<bool> {
    Ok(newest_epoch(context, Some(epoch)).await?.0 > epoch)
}

/// The highest epoch above `after` and when it was made; zero if there is none.
pub(crate) async fn newest_epoch(context: &Context, after: Option<Epoch>) -> Result<(Epoch, WallMs)> {
    let after = after.map(epoch_key);
    let entries = context.store.list(EPOCHS, after.as_deref()).await?;
    let epochs = entries.iter().filter_map(|entry| Some((parse_epoch_key(&entry.key)?, entry.modified)));
    Ok(epochs.max_by_key(|(epoch, _)| *epoch).unwrap_or_default())
}

/// What the records of epochs say about a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    /// Its epoch is the newest. Its record was written then.
    None(WallMs),
    /// There is a newer epoch.
    Newer,
    /// Its own record is gone, or another writer's of the same number is there: the volume was removed.
    Gone,
}

/// Whether a writer's epoch, whose record has these bytes, is the newest. `seen`: when its record was written, by the
/// store, when this was last asked. One list; a request if the record was touched since.
pub(crate) async fn rival(context: &Context, epoch: Epoch, record: &[u8], seen: Option<WallMs>) -> Result<Rival> {
    let before = Some(Epoch(epoch.0 - 1)).filter(|epoch| !epoch.is_zero()).map(epoch_key);
    let entries = context.store.list(EPOCHS, before.as_deref()).await?;
    let epochs = || entries.iter().filter_map(|entry| Some((parse_epoch_key(&entry.key)?, entry.modified)));
    if epochs().any(|(other, _)| other > epoch) {
        return Ok(Rival::Newer);
    }
    match epochs().find(|(own, _)| *own == epoch) {
        None => Ok(Rival::Gone),
        Some((_, modified)) if seen.is_none_or(|seen| seen == modified) => Ok(Rival::None(modified)),
        Some((_, modified)) => {
            let found = context.store.get(&epoch_key(epoch)).await?;
            let own = found.is_some_and(|found| found.bytes == record);
            Ok(if own { Rival::None(modified) } else { Rival::Gone })
        }
    }
}

/// Whether a status is that of somebody who is just opening the volume, or has died at it, and says no more than that.
pub(crate) fn is_greeting(record: &StatusRecord) -> bool {
    let nothing = record.inherited.is_none() && record.replayed.is_none();
    nothing && record.watermarks.appended.lsn == Lsn::ZERO && !record.closed
}

/// The last that was said by the holder of an epoch, or by whoever held one before and had not let go, if this one never
/// came to say more than that it is there: what the other one had said still stands then. One request, or four, and two
/// more for each who died at the same point before.
///
/// # Errors
/// `Corrupt`: whoever it was had said something, which is damaged. Those of the store.
pub(crate) async fn last_word(context: &Context, epoch: Epoch) -> Result<Option<StatusRecord>> {
    let own = read_status(context, epoch).await?.map(|seen| seen.record);
    if own.as_ref().is_some_and(|own| !is_greeting(own)) {
        return Ok(own);
    }
    let entries = context.store.list(STATUSES, None).await?;
    let earlier = entries.iter().rev().filter_map(|entry| parse_status_key(&entry.key));
    for earlier in earlier.filter(|earlier| *earlier < epoch) {
        let key = epoch_key(earlier);
        let (seen, taken) = try_join(read_status(context, earlier), context.store.get(&key)).await?;
        // A removal takes the records of the epochs before it with it. A status without one came late, and is of the volume
        // that was here before.
        let Some(seen) = seen.filter(|_| taken.is_some()) else { break };
        if !is_greeting(&seen.record) {
            // Whoever let go left nothing of his own to answer for, but perhaps somebody before him.
            let answers = !seen.record.closed || seen.record.took_from.is_some();
            return Ok(if answers { Some(seen.record) } else { own });
        }
    }
    Ok(own)
}

/// The status of an epoch's holder; `None` if it never wrote one.
pub(crate) async fn read_status(context: &Context, epoch: Epoch) -> Result<Option<Seen>> {
    let key = status_key(epoch);
    let Some(object) = context.store.get(&key).await? else { return Ok(None) };
    let record = record::decode(&object.bytes).map_err(|error| error.object(context.object(&key)))?;
    Ok(Some(Seen { record, modified: object.modified }))
}
