//! `pins/<name>.json`: a TXID that stays restorable. Created if absent, never changed.

use plimsoll_ltx::{FileId, SNAPSHOT_LEVEL};
use plimsoll_model::{Error, ErrorKind, Result, Txid};
use serde::{Deserialize, Serialize};

use super::wire;

/// What a pin holds, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRecord {
    /// The state that can be had again.
    #[serde(with = "wire::txid")]
    pub txid: Txid,
    /// When it was made, by its maker's clock, in milliseconds since 1970.
    pub created_ms: u64,
    /// What its maker had to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Size of the database in that state, in bytes.
    pub bytes: u64,
    /// The fork that reads from here; `None` for a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<ForkName>,
    /// The objects that make up the state, oldest first. They are kept as long as the pin is.
    pub objects: Vec<PinnedObject>,
    /// Drawn for this pin, so that its maker knows it from another one of the same name.
    #[serde(with = "wire::bits")]
    pub nonce: u64,
}

/// The volume that a fork's pin is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkName {
    /// Where it is, without secrets.
    pub url: String,
    /// Its identity.
    #[serde(with = "wire::uuid")]
    pub uuid: [u8; 16],
}

/// An object, and its size. At rest an array of level, first TXID, last TXID, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u8, u64, u64, u64)", into = "(u8, u64, u64, u64)")]
pub struct PinnedObject {
    /// Its name.
    pub id: FileId,
    /// Its size.
    pub bytes: u64,
}

impl From<PinnedObject> for (u8, u64, u64, u64) {
    fn from(object: PinnedObject) -> Self {
        (object.id.level, object.id.min.0, object.id.max.0, object.bytes)
    }
}

impl TryFrom<(u8, u64, u64, u64)> for PinnedObject {
    type Error = String;

    fn try_from((level, min, max, bytes): (u8, u64, u64, u64)) -> std::result::Result<Self, String> {
        if level > SNAPSHOT_LEVEL || min == 0 || min > max {
            return Err(format!("level {level} TXIDs {min} to {max} name no object"));
        }
        Ok(PinnedObject { id: FileId { level, min: Txid(min), max: Txid(max) }, bytes })
    }
}

/// Longest note of a checkpoint.
pub(crate) const NOTE_BYTES_MAX: usize = 1024;

/// # Errors
/// `Invalid`: the note is too long.
pub(crate) fn check_note(note: Option<&str>) -> Result<()> {
    match note {
        Some(note) if note.len() > NOTE_BYTES_MAX => Err(Error::new(ErrorKind::Invalid, "making a checkpoint")
            .why(format!("its note has {} bytes, at most {NOTE_BYTES_MAX} fit", note.len()))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::ErrorKind;

    use super::{super::*, *};

    const CHECKPOINT: &str = concat!(
        r#"{"format":1,"txid":9,"created_ms":1700000000000,"note":"before","bytes":8192,"#,
        r#""objects":[[9,1,7,500],[0,8,8,300],[0,9,9,200]],"nonce":"00000000000000ff","check":"#,
    );

    fn checkpoint() -> PinRecord {
        let object = |level, min, max, bytes| PinnedObject::try_from((level, min, max, bytes)).unwrap();
        PinRecord {
            txid: Txid(9),
            created_ms: 1_700_000_000_000,
            note: Some("before".into()),
            bytes: 8192,
            fork: None,
            objects: vec![object(9, 1, 7, 500), object(0, 8, 8, 300), object(0, 9, 9, 200)],
            nonce: 255,
        }
    }

    #[test]
    fn bytes_at_rest_do_not_change() {
        let bytes = String::from_utf8(encode(&checkpoint())).unwrap();
        assert_eq!(bytes, format!("{CHECKPOINT}\"d57f7c9236f786d1\"}}\n"));
        assert_eq!(decode::<PinRecord>(bytes.as_bytes()).unwrap(), checkpoint());
        let fork = PinRecord {
            note: None,
            fork: Some(ForkName { url: "s3://b/p".into(), uuid: *b"0123456789abcdef" }),
            objects: Vec::new(),
            ..checkpoint()
        };
        let text = concat!(
            r#"{"format":1,"txid":9,"created_ms":1700000000000,"bytes":8192,"#,
            r#""fork":{"url":"s3://b/p","uuid":"30313233343536373839616263646566"},"#,
            r#""objects":[],"nonce":"00000000000000ff","check":"46f9ec535b8de9a8"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(encode(&fork)).unwrap(), text);
        assert_eq!(decode::<PinRecord>(text.as_bytes()).unwrap(), fork);
    }

    #[test]
    fn objects_that_cannot_be_are_refused() {
        let bytes = String::from_utf8(encode(&checkpoint())).unwrap();
        for wrong in ["[10,1,7,500]", "[9,0,7,500]", "[9,8,7,500]", "[9,1,7]"] {
            let text = bytes.replace("[9,1,7,500]", wrong);
            let (fields, _) = text.split_once(",\"check\"").unwrap();
            let sealed = seal::seal(format!("{fields}}}").into_bytes());
            assert_eq!(decode::<PinRecord>(&sealed).unwrap_err().kind(), ErrorKind::Corrupt, "{wrong}");
        }
    }

    #[test]
    fn a_note_is_bounded() {
        assert!(check_note(Some(&"x".repeat(NOTE_BYTES_MAX))).is_ok());
        assert_eq!(check_note(Some(&"x".repeat(NOTE_BYTES_MAX + 1))).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
