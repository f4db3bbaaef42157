//! Whether anybody else has had a volume since a journal was last written.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use plimsoll_model::{Epoch, ErrorKind, Result, WriterId};

use crate::{Context, EpochRecord, key::epoch_key, record};

/// Records that are read at once.
const READS_MAX: usize = 16;
/// Epochs that are looked through. A process that dies in the middle of opening leaves one behind.
const EPOCHS_MAX: u32 = 128;

/// Whether every epoch after `after`, up to and with `last`, was taken by `writer`. A record that is
/// missing or damaged may have been anybody's.
///
/// # Errors
/// Those of the store.
pub async fn alone_since(context: &Context, writer: WriterId, after: Epoch, last: Epoch) -> Result<bool> {
    if last.0.saturating_sub(after.0) > EPOCHS_MAX {
        return Ok(false);
    }
    let reads = (after.0.saturating_add(1)..=last.0).map(|epoch| taken_by(context, writer, Epoch(epoch)));
    stream::iter(reads).buffered(READS_MAX).try_fold(true, |all, own| async move { Ok(all && own) }).await
}

async fn taken_by(context: &Context, writer: WriterId, epoch: Epoch) -> Result<bool> {
    match record::read::<EpochRecord>(context, &epoch_key(epoch)).await {
        Ok(record) => Ok(record.is_some_and(|record| record.writer == writer)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
        Err(error) => Err(error),
    }
}
