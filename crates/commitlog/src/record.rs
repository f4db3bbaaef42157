//! The JSON objects of a volume. Each ends with a checksum. Fields that are not known are ignored; a
//! higher format is refused.

mod epoch;
mod pin;
mod removal;
mod seal; // the checksum at the end
mod status;
mod sweep;
mod volume;
mod wire; // how numbers are spelled

use plimsoll_model::{Epoch, Error, ErrorKind, Result, limits::RECORD_BYTES_MAX};
use plimsoll_store::Object;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    epoch::EpochRecord,
    pin::{ForkName, PinRecord, PinnedObject},
    status::{Inherited, LineRecord, LoadRecord, Mark, StatusRecord, Watermarks},
    volume::{Kind, L0_RETENTION_UNRECORDED, Origin, VolumeRecord},
};
pub(crate) use self::{
    pin::check_note,
    removal::RemovalRecord,
    sweep::{DecisionRecord, SweepRecord},
};
use crate::{
    Context,
    key::{EPOCHS, SWEEPS, detached_key, detaching_key, parse_epoch_key, parse_pin_key, parse_status_key, volume_key},
    removal::being_removed,
};

/// What this version writes and the highest that it reads.
const FORMAT: u32 = 1;

/// What every record starts with.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// A record with its format in front.
#[derive(Serialize)]
struct Framed<'a, T> {
    format: u32,
    #[serde(flatten)]
    record: &'a T,
}

/// The bytes of a record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    seal::seal(serde_json::to_vec(&Framed { format: FORMAT, record }).expect("BUG: a record is not JSON"))
}

/// Reads the bytes of a record.
///
/// # Errors
/// `Corrupt` for what is no such record, `Unsupported` for a newer format. Without the object's name.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let corrupt = |why: String| {
        Error::new(ErrorKind::Corrupt, "reading record")
            .why(why)
            .hint("keep the object; something else wrote or damaged it")
    };
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(corrupt(format!("{} bytes are more than the {RECORD_BYTES_MAX} of any record", bytes.len())));
    }
    let Versioned { format } = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    if format > FORMAT {
        // A digit that turned over on its way makes no newer version. What that ends with, who knows.
        seal::compare(bytes).unwrap_or(Ok(())).map_err(corrupt)?;
        return Err(Error::new(ErrorKind::Unsupported, "reading record")
            .why(format!("its format is {format}, this version knows up to {FORMAT}"))
            .hint("a newer version wrote it: upgrade this host"));
    }
    seal::check(bytes).map_err(corrupt)?;
    serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))
}

/// Checks the bytes of a record by the name that it has; `None` if that is no record's name.
///
/// # Errors
/// As for reading it; also `Corrupt` for a record that says it is of another epoch than its name.
#[must_use]
pub fn check_record(key: &str, bytes: &[u8]) -> Option<Result<()>> {
    let same = |named: Epoch, says: Epoch| {
        if named == says {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "reading record").why(format!("it says that it is of epoch {says}")))
    };
    if key == volume_key() {
        Some(decode::<VolumeRecord>(bytes).map(drop))
    } else if key == detached_key() || key == detaching_key() {
        Some(decode::<serde::de::IgnoredAny>(bytes).map(drop))
    } else if key.starts_with(SWEEPS) {
        let decided = key.ends_with(".go");
        Some(if decided { decode::<DecisionRecord>(bytes).map(drop) } else { decode::<SweepRecord>(bytes).map(drop) })
    } else if key.starts_with(EPOCHS) && key.ends_with(".go") {
        Some(decode::<RemovalRecord>(bytes).map(drop))
    } else if let Some(epoch) = parse_epoch_key(key) {
        Some(decode::<EpochRecord>(bytes).and_then(|record| same(epoch, record.epoch)))
    } else if let Some(epoch) = parse_status_key(key) {
        Some(decode::<StatusRecord>(bytes).and_then(|record| same(epoch, record.epoch)))
    } else {
        parse_pin_key(key).map(|_| decode::<PinRecord>(bytes).map(drop))
    }
}

/// Reads the bytes of `volume.json`.
///
/// # Errors
/// `Corrupt` for what is no such record, `Unsupported` for a newer format. Without the object's name.
pub fn decode_volume(bytes: &[u8]) -> Result<VolumeRecord> {
    decode(bytes)
}

/// Reads the bytes of a status.
///
/// # Errors
/// As [`decode_volume`].
pub fn decode_status(bytes: &[u8]) -> Result<StatusRecord> {
    decode(bytes)
}

/// Reads the bytes of the record of an epoch.
///
/// # Errors
/// As [`decode_volume`].
pub fn decode_epoch(bytes: &[u8]) -> Result<EpochRecord> {
    decode(bytes)
}

/// Reads the volume's identity; `None` if there is none.
pub(crate) async fn read_volume(context: &Context) -> Result<Option<VolumeRecord>> {
    match read::<VolumeRecord>(context, volume_key()).await? {
        Some(volume) if volume.removed => Err(being_removed(context)),
        other => Ok(other),
    }
}

/// Reads and checks a record; `None` if there is none.
pub(crate) async fn read<T: DeserializeOwned>(context: &Context, key: &str) -> Result<Option<T>> {
    match context.store.get(key).await? {
        Some(Object { bytes, .. }) => decode(&bytes).map(Some).map_err(|error| error.object(context.object(key))),
        None => Ok(None),
    }
}

/// What is left of a record that only informs: nothing if it is damaged, since a broken note about a
/// dead writer must not lock everybody out. A newer format still is an error.
pub(crate) fn lenient<T>(read: Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%error, "a damaged record is ignored");
            Ok(None)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::WriterId;

    use super::*;
    use crate::epoch_key;

    #[test]
    fn a_record_is_checked_by_its_name() {
        let record = EpochRecord {
            epoch: Epoch(7),
            writer: WriterId(1),
            host: "h".into(),
            pid: 1,
            since_ms: 5,
            nonce: 255,
            removal: false,
            carries_out: None,
        };
        let check =
            |key: &str| check_record(key, &encode(&record)).map(|outcome| outcome.map_err(|error| error.kind()));
        assert_eq!(check(&epoch_key(Epoch(7))), Some(Ok(())));
        assert_eq!(check(&epoch_key(Epoch(8))), Some(Err(ErrorKind::Corrupt)));
        assert_eq!(check(volume_key()), Some(Err(ErrorKind::Corrupt)));
        assert_eq!(check("pins/nightly.json"), Some(Err(ErrorKind::Corrupt)));
        assert_eq!(check("gc/00000007-0000000000000001.json"), Some(Err(ErrorKind::Corrupt)));
        assert_eq!(check("gc/00000007-0000000000000001.go"), Some(Err(ErrorKind::Corrupt)));
        assert_eq!(check("epoch/00000007.go"), Some(Err(ErrorKind::Corrupt)));
        assert_eq!(check("index/0.pix"), None);
    }
}
