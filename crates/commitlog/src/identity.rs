//! What a volume is, for those who only read it.

use futures::FutureExt as _;
use plimsoll_model::{Epoch, Result};

use crate::{
    Context, VolumeRecord,
    create::{create_record, insist},
    key::{detached_key, detaching_key, volume_key},
    record,
};

/// The volume's identity; `None` if nobody has made it, or only Litestream has. One request.
///
/// # Errors
/// Those of the store; `Corrupt` for a damaged record; `Unsupported` for one of a newer format; `NotFound` for one
/// that says that the volume is being removed.
pub async fn identity(context: &Context) -> Result<Option<VolumeRecord>> {
    record::read_volume(context).await
}

/// Makes a volume, unless there is one; whether it is there and this one. One request.
///
/// # Errors
/// Those of the store: the outcome is unknown.
pub async fn create_volume(context: &Context, volume: &VolumeRecord) -> Result<bool> {
    let bytes = record::encode(volume);
    insist(context, || create_record(context, volume_key(), &bytes).boxed()).await
}

/// Says that a fork is about to give up what it reads from other volumes: whoever names a state that is made of that
/// looks for this afterwards. One request.
///
/// # Errors
/// Those of the store.
pub async fn mark_detaching(context: &Context, by: Epoch) -> Result<()> {
    context.store.put(detaching_key(), record::encode(&Detached { epoch: by.0 }).into()).await
}

/// What both marks say.
#[derive(serde::Serialize)]
struct Detached {
    epoch: u32,
}

/// Says that a fork has everything itself from now on. One request.
///
/// # Errors
/// Those of the store.
pub async fn mark_detached(context: &Context, by: Epoch) -> Result<()> {
    context.store.put(detached_key(), record::encode(&Detached { epoch: by.0 }).into()).await
}
