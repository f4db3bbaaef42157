//! What a volume is, for those who only read it.

use plimsoll_model::Result;

use crate::{Context, VolumeRecord, key::volume_key, record};

/// The volume's identity; `None` if nobody has made it, or only Litestream has. One request.
///
/// # Errors
/// Those of the store; `Corrupt` for a damaged record; `Unsupported` for one of a newer format.
pub async fn identity(context: &Context) -> Result<Option<VolumeRecord>> {
    record::read(context, volume_key()).await
}
