//! What a worker says, one line of JSON each, written at once: a killed worker has said what it did.

use serde::{Deserialize, Serialize};

use crate::model::Seen;

/// How a commit is acknowledged: a value of `PRAGMA synchronous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "SQLite's own words")]
pub enum Synchronous {
    Off,
    Normal,
    Full,
    Extra,
}

impl Synchronous {
    /// As SQLite spells it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Synchronous::Off => "OFF",
            Synchronous::Normal => "NORMAL",
            Synchronous::Full => "FULL",
            Synchronous::Extra => "EXTRA",
        }
    }
}

/// The database as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The last transaction in it; 0 if there is not even a table.
    pub n: u64,
    /// The generation that made it.
    pub generation: u64,
    /// Every row.
    pub rows: Vec<Seen>,
    /// What `PRAGMA integrity_check` answers.
    pub check: String,
    /// Journals that were kept aside.
    pub stranded: Vec<String>,
}

/// What is at risk, as the volume states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertised {
    /// The last transaction that was acknowledged by then.
    pub n: u64,
    /// LSN of the last commit.
    pub appended: u64,
    /// LSN of the last commit that is synced locally.
    pub journaled: u64,
    /// LSN of the last durable commit.
    pub durable: u64,
    /// Commits that are not durable.
    pub commits: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Age of the oldest, milliseconds.
    pub age_ms: u64,
    /// What the volume is to this process.
    pub role: String,
    /// Journals that were kept aside.
    pub stranded: Vec<String>,
    /// The last thing that went wrong.
    pub trouble: Option<String>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Said {
    /// Opened and read it.
    Found(Found),
    /// Is about to start this transaction.
    Begin(u64),
    /// COMMIT of this transaction returned.
    Committed(u64, Synchronous),
    /// Made a checkpoint of this name after this transaction.
    Kept(String, u64),
    /// Asked the volume.
    Status(Advertised),
    /// A statement failed, while doing this transaction. The engine's words follow SQLite's.
    Failed(u64, String),
    /// Closed; what went wrong, if anything did.
    Closed(Option<String>),
}
