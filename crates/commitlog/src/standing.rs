//! Who holds the volume.

use futures::future::try_join;
use plimsoll_host::{Mono, WallMs};
use plimsoll_model::{Epoch, Result};

use crate::{
    Context, EpochRecord, StatusRecord, VolumeRecord,
    key::{EPOCHS, epoch_key, parse_epoch_key, status_key},
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
    let sent = context.now();
    let volume = record::read_volume(context);
    let (volume, (epoch, epoch_made)) = try_join(volume, newest_epoch(context, None)).await?;
    with_records(context, Standing { volume, epoch, epoch_made, holder: None, status: None, sent }).await
}

/// As [`look`], but for the identity, which is `None`: also of a volume that is being removed.
///
/// # Errors
/// As [`look`].
pub async fn look_past_mark(context: &Context) -> Result<Standing> {
    let sent = context.now();
    let (epoch, epoch_made) = newest_epoch(context, None).await?;
    with_records(context, Standing { volume: None, epoch, epoch_made, holder: None, status: None, sent }).await
}

async fn with_records(context: &Context, standing: Standing) -> Result<Standing> {
    let epoch = standing.epoch;
    if epoch.is_zero() {
        return Ok(standing);
    }
    let (holder, status) =
        try_join(async { lenient(record::read::<EpochRecord>(context, &epoch_key(epoch)).await) }, async {
            lenient(read_status(context, epoch).await)
        })
        .await?;
    Ok(Standing { holder, status, ..standing })
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

/// The status of an epoch's holder; `None` if it never wrote one.
pub(crate) async fn read_status(context: &Context, epoch: Epoch) -> Result<Option<Seen>> {
    let key = status_key(epoch);
    let Some(object) = context.store.get(&key).await? else { return Ok(None) };
    let record = record::decode(&object.bytes).map_err(|error| error.object(context.object(&key)))?;
    Ok(Some(Seen { record, modified: object.modified }))
}
