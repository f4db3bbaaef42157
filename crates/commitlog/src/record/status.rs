//! `status/<e>.json`: what the holder of an epoch says about itself. Overwritten by the holder only.

use plimsoll_model::{Epoch, Lsn, Stamp, Txid, WriterId};
use serde::{Deserialize, Serialize};

use super::wire;

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRecord {
    /// When it was written, by its writer's clock, in milliseconds since 1970.
    pub alive_ms: u64,
    /// The same number as in the key.
    #[serde(with = "wire::epoch")]
    pub epoch: Epoch,
    /// The journal that its commits come from.
    #[serde(with = "wire::writer")]
    pub writer: WriterId,
    /// The name of its host.
    pub host: String,
    /// How far its commits had got.
    pub watermarks: Watermarks,
    /// What was acknowledged and not yet durable.
    #[serde(default)]
    pub load: LoadRecord,
    /// How much of it there may be. `None` if its writer does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineRecord>,
    /// What the history held before this writer's first sync. `None` while that is not settled: a
    /// volume without any sync cannot be fenced.
    #[serde(default)]
    pub inherited: Option<Inherited>,
    /// The last commit that this writer went on from: of what an earlier process left in the same journal, it
    /// replayed everything up to here. `None` while that is not known.
    #[serde(default, with = "wire::maybe_lsn", skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Lsn>,
    /// Whom this writer took the volume from, if that one had not let go and nobody has accounted for it yet: whoever
    /// comes after a writer that failed before it could do so does it. Its own record may name another one.
    #[serde(default, with = "wire::maybe_epoch", skip_serializing_if = "Option::is_none")]
    pub took_from: Option<Epoch>,
    /// What does not succeed for it, and why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether the writer has let go, with everything durable.
    #[serde(default)]
    pub closed: bool,
}

/// How far commits have got, by level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    /// Acknowledged at any level.
    pub appended: Mark,
    /// Synced to the local journal.
    pub journaled: Mark,
    /// In the object store.
    pub durable: Mark,
}

/// A commit and its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The commit.
    #[serde(with = "wire::lsn")]
    pub lsn: Lsn,
    /// When it was made, by its writer's clock, in milliseconds since 1970.
    pub ms: u64,
}

/// What was acknowledged and not yet durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRecord {
    /// Commits.
    pub commits: u64,
    /// Bytes of changed pages.
    pub bytes: u64,
    /// Age of the oldest commit, in milliseconds.
    pub age_ms: u64,
}

/// The load line: past it commits wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRecord {
    /// Bytes of changed pages.
    pub bytes: u64,
    /// Age of the oldest commit, in milliseconds.
    pub age_ms: u64,
}

/// The newest sync that a writer found when it took the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Flat", into = "Flat")]
pub struct Inherited {
    /// Zero: there was none.
    pub txid: Txid,
    /// `None` if something else wrote it.
    pub stamp: Option<Stamp>,
}

/// The same at rest.
#[derive(Serialize, Deserialize)]
struct Flat {
    #[serde(with = "wire::txid")]
    txid: Txid,
    stamp: Option<FlatStamp>,
}

#[derive(Serialize, Deserialize)]
struct FlatStamp {
    #[serde(with = "wire::writer")]
    writer: WriterId,
    #[serde(with = "wire::epoch")]
    epoch: Epoch,
    #[serde(with = "wire::lsn")]
    lsn: Lsn,
}

impl From<Inherited> for Flat {
    fn from(Inherited { txid, stamp }: Inherited) -> Self {
        let stamp = stamp.map(|Stamp { writer, epoch, lsn }| FlatStamp { writer, epoch, lsn });
        Flat { txid, stamp }
    }
}

impl From<Flat> for Inherited {
    fn from(Flat { txid, stamp }: Flat) -> Self {
        let stamp = stamp.map(|FlatStamp { writer, epoch, lsn }| Stamp { writer, epoch, lsn });
        Inherited { txid, stamp }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn bytes_at_rest_do_not_change() {
        let mark = |lsn, ms| Mark { lsn: Lsn(lsn), ms };
        let record = StatusRecord {
            alive_ms: 9,
            epoch: Epoch(7),
            writer: WriterId(0xab),
            host: "h1".into(),
            watermarks: Watermarks { appended: mark(3, 8), journaled: mark(2, 7), durable: mark(1, 6) },
            load: LoadRecord { commits: 2, bytes: 8192, age_ms: 40 },
            line: None,
            inherited: Some(Inherited {
                txid: Txid(5),
                stamp: Some(Stamp { writer: WriterId(1), epoch: Epoch(6), lsn: Lsn(1) }),
            }),
            replayed: None,
            took_from: None,
            trouble: None,
            closed: false,
        };
        let text = concat!(
            r#"{"format":1,"alive_ms":9,"epoch":7,"writer":"00000000000000ab","host":"h1","#,
            r#""watermarks":{"appended":{"lsn":3,"ms":8},"journaled":{"lsn":2,"ms":7},"durable":{"lsn":1,"ms":6}},"#,
            r#""load":{"commits":2,"bytes":8192,"age_ms":40},"#,
            r#""inherited":{"txid":5,"stamp":{"writer":"0000000000000001","epoch":6,"lsn":1}},"closed":false,"#,
            r#""check":"cd1d507a796cb93a"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(encode(&record)).unwrap(), text);
        assert_eq!(decode::<StatusRecord>(text.as_bytes()).unwrap(), record);
        let line = Some(LineRecord { bytes: 65536, age_ms: 500 });
        let trouble = Some("merging: no".to_owned());
        let record = StatusRecord { replayed: Some(Lsn(3)), line, trouble, ..record };
        let text = String::from_utf8(encode(&record)).unwrap();
        assert!(text.contains(r#"},"replayed":3,"trouble":"merging: no","closed":false,"#), "{text}");
        assert!(text.contains(r#""age_ms":40},"line":{"bytes":65536,"age_ms":500},"inherited""#), "{text}");
        assert_eq!(decode::<StatusRecord>(text.as_bytes()).unwrap(), record);
    }
}
