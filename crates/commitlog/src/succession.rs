//! Who has had a volume since a certain epoch.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use plimsoll_model::{Epoch, Error, Result, WriterId};

use crate::{
    Context, EpochRecord,
    key::epoch_key,
    record::{self, lenient},
};

/// Records that are read at once.
const READS_MAX: usize = 16;
/// Epochs that are looked through. A process that dies in the middle of opening leaves one behind.
const EPOCHS_MAX: u32 = 128;

/// Whether every epoch after `after`, up to and with `last`, was taken by `writer`, or for a removal that was called off: whoever
/// is about to remove a volume writes nothing to it. A record that is missing or damaged may have been anybody's.
///
/// # Errors
/// Those of the store.
pub async fn alone_since(context: &Context, writer: WriterId, after: Epoch, last: Epoch) -> Result<bool> {
    all_since(context, after, last, |record| record.removal || record.writer == writer).await
}

/// Whether nobody has written since `after`: every epoch after it, up to and with `last`, was taken for a removal. A record
/// that is missing or damaged may have been anybody's.
///
/// # Errors
/// Those of the store.
pub async fn unwritten_since(context: &Context, after: Epoch, last: Epoch) -> Result<bool> {
    all_since(context, after, last, |record| record.removal).await
}

async fn all_since(
    context: &Context,
    after: Epoch,
    last: Epoch,
    is_one: impl Fn(&EpochRecord) -> bool + Copy,
) -> Result<bool> {
    if last.0.saturating_sub(after.0) > EPOCHS_MAX {
        return Ok(false);
    }
    let reads = (after.0.saturating_add(1)..=last.0).map(|epoch| async move {
        let record = lenient(record::read::<EpochRecord>(context, &epoch_key(Epoch(epoch))).await)?;
        Ok::<_, Error>(record.as_ref().is_some_and(is_one))
    });
    stream::iter(reads).buffered(READS_MAX).try_fold(true, |all, one| async move { Ok(all && one) }).await
}
