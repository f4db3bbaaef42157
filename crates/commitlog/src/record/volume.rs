//! `volume.json`: the identity of a volume. Created once, never changed.

use std::time::Duration;

use plimsoll_host::{Chance, WallMs};
use plimsoll_model::{PageSize, Txid};
use serde::{Deserialize, Serialize};

use super::{PinnedObject, wire};

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// What its objects are.
    pub kind: Kind,
    /// Bytes per page, if that was known when the volume was made. The first sync says it in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// Drawn when the volume was made; caches and journals remember it.
    #[serde(with = "wire::uuid")]
    pub uuid: [u8; 16],
    /// When it was made, by its maker's clock, in milliseconds since 1970.
    pub created_ms: u64,
    /// How long a level-0 object stays at least. All hosts keep to it, whatever each of them is set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l0_retention_ms: Option<u64>,
    /// The volume and state that this one started as.
    pub parent: Option<String>,
    /// Where the objects are that it started with, oldest first. They are read from there until they are replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
    /// It stands for no volume: it keeps the place of a fork that was never finished while what that left is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// What a fork has of another volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The other volume, with server and region, and without secrets.
    pub url: String,
    /// Its identity.
    #[serde(with = "wire::uuid")]
    pub uuid: [u8; 16],
    /// The last sync that is its own. The one after it is the fork's, and has no pages.
    #[serde(with = "wire::txid")]
    pub txid: Txid,
    /// Pages after it.
    pub page_count: u32,
    /// Bytes per page.
    pub page_size: u32,
    /// When it was forked, by the forker's clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its objects that are read.
    pub objects: Vec<PinnedObject>,
}

/// What a volume's objects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// LTX files of one SQLite database.
    Sqlite,
}

/// What holds for a volume whose record does not say how long level 0 is kept.
pub const L0_RETENTION_UNRECORDED: Duration = Duration::from_mins(5);

impl VolumeRecord {
    /// A new volume. `l0_retention` holds for it from now on.
    #[must_use]
    pub fn new(
        kind: Kind,
        page_size: Option<PageSize>,
        l0_retention: Duration,
        now: WallMs,
        chance: &dyn Chance,
    ) -> Self {
        let uuid = u128::from(chance.bits()) << 64 | u128::from(chance.bits());
        VolumeRecord {
            kind,
            page_size: page_size.map(PageSize::get),
            uuid: uuid.to_be_bytes(),
            created_ms: now.0,
            l0_retention_ms: Some(u64::try_from(l0_retention.as_millis()).unwrap_or(u64::MAX)),
            parent: None,
            origins: Vec::new(),
            removed: false,
        }
    }

    /// How long a level-0 object stays at least, from its creation. The commit protocol rests on it.
    #[must_use]
    pub fn l0_retention(&self) -> Duration {
        self.l0_retention_ms.map_or(L0_RETENTION_UNRECORDED, Duration::from_millis)
    }

    /// Whether it can be read again, also as part of the decision to remove it.
    #[must_use]
    pub fn fits(&self) -> bool {
        const DECISION_BYTES: usize = 128;
        super::encode(self).len() + DECISION_BYTES <= plimsoll_model::limits::RECORD_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::ErrorKind;

    use super::{super::*, *};

    fn record() -> VolumeRecord {
        VolumeRecord {
            kind: Kind::Sqlite,
            page_size: Some(4096),
            uuid: *b"0123456789abcdef",
            created_ms: 1_700_000_000_000,
            l0_retention_ms: None,
            parent: None,
            origins: Vec::new(),
            removed: false,
        }
    }

    const TEXT: &str = concat!(
        r#"{"format":1,"kind":"sqlite","page_size":4096,"uuid":"30313233343536373839616263646566","#,
        r#""created_ms":1700000000000,"parent":null,"check":"317df50a4d3deb2d"}"#,
        "\n"
    );

    #[test]
    fn bytes_at_rest_do_not_change() {
        assert_eq!(String::from_utf8(encode(&record())).unwrap(), TEXT);
        assert_eq!(decode::<VolumeRecord>(TEXT.as_bytes()).unwrap(), record());
    }

    #[test]
    fn bytes_at_rest_with_a_retention_do_not_change_and_one_without_keeps_level_0_for_five_minutes() {
        let record = VolumeRecord { l0_retention_ms: Some(60_000), ..record() };
        let text = concat!(
            r#"{"format":1,"kind":"sqlite","page_size":4096,"uuid":"30313233343536373839616263646566","#,
            r#""created_ms":1700000000000,"l0_retention_ms":60000,"parent":null,"check":"642c2480c8dccd91"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(encode(&record)).unwrap(), text);
        assert_eq!(decode::<VolumeRecord>(text.as_bytes()).unwrap(), record);
        assert_eq!(record.l0_retention(), Duration::from_secs(60));
        assert_eq!(decode::<VolumeRecord>(TEXT.as_bytes()).unwrap().l0_retention(), Duration::from_secs(300));
    }

    #[test]
    fn bytes_at_rest_of_a_fork_do_not_change() {
        let fork = VolumeRecord {
            parent: Some("s3://b/p@9".into()),
            origins: vec![Origin {
                url: "s3://b/p".into(),
                uuid: *b"fedcba9876543210",
                txid: Txid(9),
                page_count: 2,
                page_size: 4096,
                at_ms: 5,
                objects: vec![PinnedObject::try_from((9, 1, 9, 500)).unwrap()],
            }],
            ..record()
        };
        let text = concat!(
            r#"{"format":1,"kind":"sqlite","page_size":4096,"uuid":"30313233343536373839616263646566","#,
            r#""created_ms":1700000000000,"parent":"s3://b/p@9","origins":[{"url":"s3://b/p","#,
            r#""uuid":"66656463626139383736353433323130","txid":9,"page_count":2,"page_size":4096,"at_ms":5,"#,
            r#""objects":[[9,1,9,500]]}],"check":"a17b714fc53f6849"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(encode(&fork)).unwrap(), text);
        assert_eq!(decode::<VolumeRecord>(text.as_bytes()).unwrap(), fork);
    }

    /// With a checksum that holds again.
    fn sealed(text: &str) -> Vec<u8> {
        let (fields, _) = text.split_once(",\"check\"").unwrap();
        seal::seal(format!("{fields}}}").into_bytes())
    }

    #[test]
    fn fields_that_are_not_known_are_ignored() {
        let text = sealed(&TEXT.replace("\"kind\"", "\"colour\":{\"r\":1},\"kind\""));
        assert_eq!(decode::<VolumeRecord>(&text).unwrap(), record());
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let huge = format!("{TEXT}{}", " ".repeat(RECORD_BYTES_MAX)).into_bytes();
        let unsealed = [b"".as_slice(), b"{}", b"null", &TEXT.as_bytes()[..40]].map(<[u8]>::to_vec);
        let resealed = ["30zz", "+031"].map(|digits| sealed(&TEXT.replace("3031", digits)));
        let changed = TEXT.replace("3031", "3030").into_bytes();
        for bytes in unsealed.into_iter().chain(resealed).chain([huge, changed]) {
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(decode::<VolumeRecord>(&bytes).unwrap_err().kind(), ErrorKind::Corrupt, "{text:.80}");
        }
        let newer = TEXT.replace("\"format\":1", "\"format\":2");
        assert_eq!(decode::<VolumeRecord>(&sealed(&newer)).unwrap_err().kind(), ErrorKind::Unsupported);
        let turned_over = decode::<VolumeRecord>(newer.as_bytes()).unwrap_err();
        assert_eq!(turned_over.kind(), ErrorKind::Corrupt, "its checksum tells that it is no newer version");
    }
}
