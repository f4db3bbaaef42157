//! Settings that the workers of one volume run with.

use crate::random::Random;

/// Everything happens often: syncs, merges, collections, signs of life.
const HASTE: [(&str, &str); 10] = [
    ("SYNC_INTERVAL_MS", "50"),
    ("COMPACTION_LEVELS_MS", "200,1000,5000"),
    ("SNAPSHOT_INTERVAL_MS", "1500"),
    ("L0_RETENTION_MS", "3000"),
    // Shorter than a new volume may otherwise be made with.
    ("TEST_ANY_RETENTION", "1"),
    ("RETENTION_MS", "6000"),
    ("HEARTBEAT_MS", "100"),
    ("FOLLOW_INTERVAL_MS", "100"),
    ("CLOSE_TIMEOUT_MS", "20000"),
    // Read by nobody: settings come from here alone.
    ("CONFIG", ""),
];

/// Settings as environment variables, and what follows from them.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Settings and their values.
    pub settings: Vec<(String, String)>,
    /// The load line in bytes, where it is a low one.
    pub max_dirty_bytes: Option<u64>,
}

impl Profile {
    /// The common settings, with these in addition or instead.
    #[must_use]
    pub fn with(changes: &[(&str, &str)]) -> Profile {
        let kept = HASTE.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let settings = kept
            .chain(changes)
            .map(|(name, value)| (format!("PLIMSOLL_{name}"), (*value).to_owned()))
            .collect::<Vec<_>>();
        let line = changes.iter().find(|(name, _)| *name == "MAX_DIRTY_BYTES");
        Profile { settings, max_dirty_bytes: line.and_then(|(_, bytes)| bytes.parse().ok()) }
    }

    /// One of the settings that matter to what a crash leaves behind.
    #[must_use]
    pub fn any(random: &mut Random) -> Profile {
        Profile::with(match random.below(10) {
            0 | 1 => &[("SYNC_INTERVAL_MS", "1500")],
            2 => &[("MAX_DIRTY_BYTES", "300000")],
            3 => &[("MAX_DIRTY_BYTES", "300000"), ("ON_LOAD_LINE", "write_through"), ("SYNC_INTERVAL_MS", "400")],
            4 => &[("JOURNAL_SYNC_POLICY", "immediate")],
            5 => &[("JOURNAL_SYNC_POLICY", "manual"), ("HYDRATE", "false")],
            6 => &[("IDLE_RELEASE_MS", "150"), ("L0_RETENTION_MS", "1000")],
            7 => &[("LTX_FRAMES", "true"), ("CACHE_BYTES_MAX", "200000")],
            _ => &[],
        })
    }
}
