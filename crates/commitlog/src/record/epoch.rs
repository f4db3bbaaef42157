//! `epoch/<e>.json`: one writable open. Created if absent, never changed; the highest names the writer.

use plimsoll_model::{Epoch, WriterId};
use serde::{Deserialize, Serialize};

use super::wire;

/// Who opened the volume for writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The same number as in the key.
    #[serde(with = "wire::epoch")]
    pub epoch: Epoch,
    /// The journal that its commits come from.
    #[serde(with = "wire::writer")]
    pub writer: WriterId,
    /// The name of its host.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// When it was opened, by its host's clock, in milliseconds since 1970.
    pub since_ms: u64,
    /// Drawn for this open, so that it knows its own record from that of an earlier process of the same writer.
    #[serde(with = "wire::bits")]
    pub nonce: u64,
    /// It was taken in order to remove the volume, not to write to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removal: bool,
    /// The removal that was decided before and that this one carries out to its end.
    #[serde(default, with = "wire::maybe_epoch", skip_serializing_if = "Option::is_none")]
    pub carries_out: Option<Epoch>,
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn bytes_at_rest_do_not_change() {
        let record = EpochRecord {
            epoch: Epoch(7),
            writer: WriterId(0xab),
            host: "h1".into(),
            pid: 42,
            since_ms: 5,
            nonce: 255,
            removal: false,
            carries_out: None,
        };
        let text = concat!(
            r#"{"format":1,"epoch":7,"writer":"00000000000000ab","host":"h1","pid":42,"since_ms":5,"#,
            r#""nonce":"00000000000000ff","check":"5fe4abcfab6cc967"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(encode(&record)).unwrap(), text);
        assert_eq!(decode::<EpochRecord>(text.as_bytes()).unwrap(), record);
        let removal = EpochRecord { removal: true, ..record };
        let bytes = encode(&removal);
        let text = concat!(
            r#"{"format":1,"epoch":7,"writer":"00000000000000ab","host":"h1","pid":42,"since_ms":5,"#,
            r#""nonce":"00000000000000ff","removal":true,"check":"#,
        );
        assert!(String::from_utf8(bytes.clone()).unwrap().starts_with(text));
        assert_eq!(decode::<EpochRecord>(&bytes).unwrap(), removal);
    }
}
