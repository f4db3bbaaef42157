//! Checkpoints, as SQL functions.

use plimsoll_model::Result;
use serde_json::json;

use crate::{api::Answer, registry::Shared};

/// Names the newest state. Its TXID.
///
/// # Errors
/// As [`plimsoll_volume::Volume::checkpoint`].
pub(crate) fn create(shared: &Shared, name: &str, note: Option<&str>) -> Result<Answer> {
    let record = shared.volume.checkpoint(name, note)?;
    Ok(i64::try_from(record.txid.0).map_or_else(|_| Answer::Text(record.txid.to_string()), Answer::Integer))
}

/// Every checkpoint, as a JSON array. Pins of forks are not among them.
///
/// # Errors
/// As the store says; the first that cannot be read.
pub(crate) fn all(shared: &Shared) -> Result<Answer> {
    let mut all = Vec::new();
    for (name, record) in shared.volume.pins()? {
        let record = record?;
        if record.fork.is_none() {
            all.push(json!({
                "name": name, "txid": record.txid.0, "created_ms": record.created_ms, "bytes": record.bytes,
                "note": record.note,
            }));
        }
    }
    Ok(Answer::Text(serde_json::Value::Array(all).to_string()))
}

/// Removes a checkpoint. Its name.
///
/// # Errors
/// As [`plimsoll_volume::Volume::remove_checkpoint`].
pub(crate) fn remove(shared: &Shared, name: &str) -> Result<Answer> {
    shared.volume.remove_checkpoint(name)?;
    Ok(Answer::Text(name.to_owned()))
}
