//! `gc/<epoch>-<nonce>.json`: the objects that a collector is about to remove; `gc/<epoch>-<nonce>.go`: whether it does.

use plimsoll_model::Epoch;
use serde::{Deserialize, Serialize};

use super::{PinnedObject, wire};

/// What a collector is about to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SweepRecord {
    /// The collector.
    #[serde(with = "wire::epoch")]
    pub(crate) epoch: Epoch,
    /// What goes: all of these, or none.
    pub(crate) objects: Vec<PinnedObject>,
}

/// Whether what was announced goes. Created if absent, by the collector or by the one that comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DecisionRecord {
    /// Whose decision it is.
    #[serde(with = "wire::epoch")]
    pub(crate) epoch: Epoch,
    /// Whether everything that was announced goes; otherwise nothing does.
    pub(crate) go: bool,
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn bytes_at_rest_do_not_change() {
        let object = PinnedObject::try_from((0, 3, 3, 77)).unwrap();
        let record = SweepRecord { epoch: Epoch(4), objects: vec![object] };
        let text = concat!(r#"{"format":1,"epoch":4,"objects":[[0,3,3,77]],"check":"821b95ef7f1d4c34"}"#, "\n");
        assert_eq!(String::from_utf8(encode(&record)).unwrap(), text);
        assert_eq!(decode::<SweepRecord>(text.as_bytes()).unwrap(), record);
        let decision = DecisionRecord { epoch: Epoch(4), go: true };
        let text = concat!(r#"{"format":1,"epoch":4,"go":true,"check":"5f8f071885c19447"}"#, "\n");
        assert_eq!(String::from_utf8(encode(&decision)).unwrap(), text);
        assert_eq!(decode::<DecisionRecord>(text.as_bytes()).unwrap(), decision);
    }
}
