//! The one table: key, type, default, meaning, and whether it may change while running.
//! Parsing, comparing and the documentation all derive from it.

use std::{fmt::Write, net::SocketAddr, path::PathBuf, time::Duration};

use plimsoll_durability::{JournalCadence, LoadLine, OnLoadLine, SyncCadence};
use plimsoll_model::Level;

use crate::value::{JournalSyncPolicy, Raw, Value};

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// As written in `plimsoll.toml`; in the environment as `PLIMSOLL_` and this in upper case.
    pub name: &'static str,
    /// What a value looks like.
    pub form: &'static str,
    /// What holds if nobody sets it.
    pub default: &'static str,
    /// Whether a running volume takes up a change. Otherwise the next open does.
    pub live: bool,
    /// What it does.
    pub meaning: &'static str,
}

macro_rules! table {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $name:literal, $default:literal, live: $live:literal;)+) => {
        /// Every setting, with a value.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        /// Every key, in the order of the documentation.
        pub static KEYS: &[Key] = &[$(Key {
            name: $name,
            form: <$type as Value>::FORM,
            default: $default,
            live: $live,
            meaning: concat!($($doc),+).trim_ascii(),
        }),+];

        impl Settings {
            /// The defaults that do not depend on the environment, and this `state_dir`.
            pub(crate) fn defaults(state_dir: PathBuf) -> Settings {
                // `state_dir` has a default in words; its field is replaced below.
                let mut settings = Settings { $($field: default($name, $default),)+ };
                settings.state_dir = state_dir;
                settings
            }

            /// Sets one value; `false` if it has not the form of the key.
            pub(crate) fn set(&mut self, key: &Key, raw: Raw<'_>) -> bool {
                match key.name {
                    $($name => <$type as Value>::parse(raw).map(|value| self.$field = value).is_some(),)+
                    _ => false,
                }
            }

            /// The value of a key, as a text that parses back to it. Unset is empty.
            #[must_use]
            pub fn show(&self, key: &Key) -> String {
                match key.name {
                    $($name => self.$field.show().into_owned(),)+
                    _ => String::new(),
                }
            }

            fn differing(&self, other: &Settings) -> Vec<&'static Key> {
                let same = [$(self.$field == other.$field),+];
                KEYS.iter().zip(same).filter(|(_, same)| !same).map(|(key, _)| key).collect()
            }

            fn take(&mut self, key: &Key, other: &Settings) {
                match key.name {
                    $($name => self.$field.clone_from(&other.$field),)+
                    _ => {}
                }
            }
        }
    };
}

fn default<T: Value>(name: &str, text: &str) -> T {
    let text = if name == "state_dir" { "/" } else { text };
    T::parse(Raw::Text(text)).unwrap_or_else(|| panic!("BUG: the default of {name} has not its form"))
}

table! {
    /// When the journal is synced to the local disk: `interval` (by timer and backlog), `immediate` (each commit
    /// waits for its own or a group's sync), `manual` (only on request).
    journal_sync_policy: JournalSyncPolicy = "journal_sync_policy", "interval", live: true;

    /// Timer of the `interval` policy: the longest that a commit stays unsynced on the local disk.
    journal_sync_interval: Duration = "journal_sync_interval_ms", "5", live: true;

    /// In `interval`, an append that brings the unsynced bytes to this or more syncs at once. 0 turns this off, the
    /// timer stays. Ignored in `manual`, not tracked in `immediate`.
    journal_sync_backlog_bytes: u64 = "journal_sync_backlog_bytes", "2097152", live: true;

    /// Time from the first dirty commit to its sync to the object store: the loss window in normal operation.
    sync_interval: Duration = "sync_interval_ms", "1000", live: true;

    /// Dirty bytes that bring a sync forward. 0 turns this off.
    sync_backlog_bytes: u64 = "sync_backlog_bytes", "16777216", live: true;

    /// Longest that a commit waits for the object store, for the level `durable` or for room under the load line,
    /// before it fails with an error. What was appended stays pending. 0 waits forever.
    sync_timeout: Duration = "sync_timeout_ms", "30000", live: true;

    /// The load line in bytes: most that may be acknowledged and not yet durable.
    max_dirty_bytes: u64 = "max_dirty_bytes", "268435456", live: true;

    /// The load line in time: nothing is acknowledged while an older commit is not yet durable.
    max_loss_window: Duration = "max_loss_window_ms", "30000", live: true;

    /// What happens to a commit at the load line: `block` (wait for the sync), `fail` (an error), `write_through`
    /// (acknowledged once durable).
    on_load_line: OnLoadLine = "on_load_line", "block", live: true;

    /// Level at which commits are acknowledged where the application says nothing (SQLite: neither
    /// `PRAGMA synchronous` nor `PRAGMA plimsoll_durability`). Unset is SQLite's default, `FULL`: `journaled`.
    durability: Option<Level> = "durability", "", live: true;

    /// Where journals and caches live, one folder per volume. Deleting it is losing the host.
    state_dir: PathBuf = "state_dir", "$XDG_STATE_HOME/plimsoll or ~/.local/state/plimsoll", live: false;

    /// How often a writer says that it is alive. Less than `holder_ttl_ms`.
    heartbeat: Duration = "heartbeat_ms", "10000", live: true;

    /// Silence after which a writer counts as gone and another host takes over by itself.
    holder_ttl: Duration = "holder_ttl_ms", "30000", live: true;

    /// Time without a write after which a writer with nothing dirty lets its epoch go. 0 keeps it.
    idle_release: Duration = "idle_release_ms", "60000", live: true;

    /// Opens for writing even if another host looks alive; that host is fenced.
    takeover: bool = "takeover", "false", live: false;

    /// Longest that closing waits for the object store. What is not durable then stays in the journal.
    close_timeout: Duration = "close_timeout_ms", "10000", live: true;

    /// How often a follower looks for new syncs.
    follow_interval: Duration = "follow_interval_ms", "1000", live: true;

    /// Bound on the local cache, per volume.
    cache_bytes_max: u64 = "cache_bytes_max", "10737418240", live: false;

    /// Downloads the whole volume in the background after opening.
    hydrate: bool = "hydrate", "true", live: false;

    /// Most that is fetched ahead of sequential reads. 0 turns this off.
    read_ahead_bytes: u64 = "read_ahead_bytes", "1048576", live: true;

    /// How long an object of level 0 is kept after it was made and merged. A volume records what it is made with,
    /// 60000 or more, and every host keeps to that, or collects later if it is set to more.
    l0_retention: Duration = "l0_retention_ms", "300000", live: false;

    /// Intervals at which level 0 is merged into level 1, level 1 into level 2, and so on, ascending, 8 at most.
    /// Syncs in quick succession are merged sooner, 32 of them or 8 merges at a time, also into further levels. Empty
    /// turns merging off.
    compaction_levels: Vec<Duration> = "compaction_levels_ms", "30000,300000,3600000", live: true;

    /// How often a snapshot of the whole volume is written.
    snapshot_interval: Duration = "snapshot_interval_ms", "86400000", live: true;

    /// How far back the volume can be restored to any time.
    retention: Duration = "retention_ms", "86400000", live: true;

    /// How long a checkpoint is kept that was made for commits which a host took with it. If that host comes back later,
    /// its commits are still on its disk, but no database can be made of them any more.
    stranded_retention: Duration = "stranded_retention_ms", "604800000", live: true;

    /// Writes each page as a compressed frame of its own, as Litestream does by default.
    ltx_frames: bool = "ltx_frames", "false", live: false;

    /// Address of an S3-compatible store, such as `https://minio.example:9000`. Unset uses the cloud's own.
    endpoint: Option<String> = "endpoint", "", live: false;

    /// Region of the bucket. Unset follows the cloud's own environment and defaults.
    region: Option<String> = "region", "", live: false;

    /// Allows an `endpoint` without TLS.
    allow_http: bool = "allow_http", "false", live: false;

    /// Writes to a store that does not honour create-if-absent. Safe only if exactly one writer ever runs.
    unsafe_no_fencing: bool = "unsafe_no_fencing", "false", live: false;

    /// Reads pages of large objects that nobody has described, such as Litestream's, without first reading and
    /// checking all of the object, once per host. Damage to them may then go unnoticed. What is merged is checked anyway.
    unsafe_unproved_pages: bool = "unsafe_unproved_pages", "false", live: false;

    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter such as
    /// `warn,plimsoll_volume=debug`.
    log: String = "log", "error", live: false;

    /// Serves metrics for Prometheus under `/metrics` at this address. Unset serves none.
    metrics_listen: Option<SocketAddr> = "metrics_listen", "", live: false;
}

impl Key {
    /// The environment variable of this key.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("PLIMSOLL_{}", self.name.to_ascii_uppercase())
    }
}

/// The key of this name.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The table of all keys, as the documentation shows it.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| key | default | changes while running | meaning |\n|---|---|---|---|\n");
    for Key { name, default, live, meaning, .. } in KEYS {
        let default = if default.is_empty() { "unset".to_owned() } else { format!("`{default}`") };
        let live = if *live { "yes" } else { "no" };
        writeln!(text, "| `{name}` | {default} | {live} | {meaning} |").expect("BUG: writing to a string failed");
    }
    text
}

/// What became of a change of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Keys whose new values hold from now on.
    pub taken: Vec<&'static str>,
    /// Keys whose new values hold from the next open on.
    pub kept: Vec<&'static str>,
}

impl Settings {
    /// Takes over what may change while running, and says what did and what did not.
    pub fn adopt(&mut self, new: &Settings) -> Adopted {
        let (live, fixed): (Vec<&Key>, Vec<&Key>) = self.differing(new).into_iter().partition(|key| key.live);
        for key in &live {
            self.take(key, new);
        }
        let names = |keys: Vec<&'static Key>| keys.into_iter().map(|key| key.name).collect();
        Adopted { taken: names(live), kept: names(fixed) }
    }

    /// The settings of the load line.
    #[must_use]
    pub fn load_line(&self) -> LoadLine {
        LoadLine {
            max_dirty_bytes: self.max_dirty_bytes,
            max_loss_window: self.max_loss_window,
            policy: self.on_load_line,
        }
    }

    /// When the journal is synced.
    #[must_use]
    pub fn journal_cadence(&self) -> JournalCadence {
        match self.journal_sync_policy {
            JournalSyncPolicy::Interval => JournalCadence::Interval {
                interval: self.journal_sync_interval,
                backlog_bytes: self.journal_sync_backlog_bytes,
            },
            JournalSyncPolicy::Immediate => JournalCadence::Immediate,
            JournalSyncPolicy::Manual => JournalCadence::Manual,
        }
    }

    /// When the volume is synced to the object store.
    #[must_use]
    pub fn sync_cadence(&self) -> SyncCadence {
        SyncCadence {
            interval: self.sync_interval,
            backlog_bytes: self.sync_backlog_bytes,
            max_loss_window: self.max_loss_window,
        }
    }
}
