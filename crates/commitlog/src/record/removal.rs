//! `epoch/<e>.go`: whether the removal that took epoch `e` is carried out.

use plimsoll_model::Epoch;
use serde::{Deserialize, Serialize};

use super::{VolumeRecord, wire};

/// Created if absent, by who removes the volume or by who would rather go on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemovalRecord {
    /// The removal's epoch.
    #[serde(with = "wire::epoch")]
    pub(crate) epoch: Epoch,
    /// Whether the volume goes.
    pub(crate) go: bool,
    /// What goes, so that it can be removed by somebody else when its own record is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) volume: Option<VolumeRecord>,
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn bytes_at_rest_do_not_change() {
        let volume = VolumeRecord {
            kind: Kind::Sqlite,
            page_size: Some(4096),
            uuid: *b"0123456789abcdef",
            created_ms: 5,
            parent: None,
            origins: Vec::new(),
            removed: false,
            l0_retention_ms: None,
        };
        let record = RemovalRecord { epoch: Epoch(4), go: true, volume: Some(volume) };
        let text = concat!(
            r#"{"format":1,"epoch":4,"go":true,"volume":{"kind":"sqlite","page_size":4096,"#,
            r#""uuid":"30313233343536373839616263646566","created_ms":5,"parent":null},"check":"3ac9af21d34c5e5e"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(encode(&record)).unwrap(), text);
        assert_eq!(decode::<RemovalRecord>(text.as_bytes()).unwrap(), record);
        let record = RemovalRecord { epoch: Epoch(4), go: false, volume: None };
        let text = concat!(r#"{"format":1,"epoch":4,"go":false,"check":"5f75cee2bb8d4469"}"#, "\n");
        assert_eq!(String::from_utf8(encode(&record)).unwrap(), text);
        assert_eq!(decode::<RemovalRecord>(text.as_bytes()).unwrap(), record);
    }
}
