//! Which stores have passed the probe.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use plimsoll_host::{Host, WallMs};
use plimsoll_model::limits::RECORD_BYTES_MAX;
use serde::{Deserialize, Serialize};

const FILE_NAME: &str = "store-probes.json";

/// Remembers, in this process and in a small file, which buckets have passed.
///
/// Only successes are kept: a store that was mended passes at the next open. The file is a cache:
/// if it is lost, damaged or overwritten by another process, the store is probed again.
pub struct ProbeMemory {
    path: PathBuf,
    passed: Mutex<Option<Passed>>,
}

/// The file. Unknown fields are ignored, so that an older version can read a newer file.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Passed {
    /// Bucket and endpoint, and when they passed (milliseconds since 1970, for people).
    passed: BTreeMap<String, u64>,
}

impl ProbeMemory {
    /// Keeps the file in `dir`, which is created when there is something to remember.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        ProbeMemory { path: dir.join(FILE_NAME), passed: Mutex::new(None) }
    }

    pub(super) fn knows(&self, bucket: &str, host: &Host) -> bool {
        self.lock().get_or_insert_with(|| self.read(host)).passed.contains_key(bucket)
    }

    pub(super) fn remember(&self, bucket: &str, host: &Host) {
        let WallMs(now) = host.clock.wall();
        let mut known = self.lock();
        // What another process learned meanwhile is kept.
        let mut fresh = self.read(host);
        if let Some(known) = known.take() {
            fresh.passed.extend(known.passed);
        }
        fresh.passed.insert(bucket.to_owned(), now);
        let outcome = self.write(&fresh, host);
        *known = Some(fresh);
        drop(known);
        if let Err(error) = outcome {
            tracing::debug!(path = %self.path.display(), %error, "the probe will be repeated by the next process");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Passed>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, host: &Host) -> Passed {
        let bytes = host.files.read(&self.path).ok().filter(|bytes| bytes.len() <= RECORD_BYTES_MAX);
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn write(&self, passed: &Passed, host: &Host) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            host.files.create_dir_all(dir)?;
        }
        let bytes = serde_json::to_vec_pretty(passed).map_err(io::Error::other)?;
        host.files.replace(&self.path, &bytes)
    }
}
