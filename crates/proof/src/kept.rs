//! Descriptions of objects, made or found by this host. Losing them costs asking for them, or reading the objects, again.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use plimsoll_host::{Files, OpenMode};
use plimsoll_ltx::{FileId, sidecar::Sidecar};

/// A folder of sidecars.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) dir: PathBuf,
}

impl Kept {
    /// What was kept of an object of this name, if it is undamaged.
    pub(crate) fn get(&self, id: &FileId) -> Option<Sidecar> {
        Sidecar::decode(self.files.read(&self.dir.join(name(id))).ok()?).ok()
    }

    /// Whether something was kept of it.
    pub(crate) fn has(&self, id: &FileId) -> bool {
        self.files.list(&self.dir).is_ok_and(|names| names.contains(&name(id)))
    }

    /// Not synced: what a power cut leaves of it has a hash that is wrong, and whoever waits for it waits for nothing else.
    pub(crate) fn put(&self, id: &FileId, sidecar: &[u8]) {
        let path = self.dir.join(name(id));
        if let Err(error) = self.write(&path, sidecar) {
            tracing::warn!(%error, path = %path.display(), "an object was proved and will have to be read again");
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.files.create_dir_all(&self.dir)?;
        let fresh = path.with_extension("new");
        let file = self.files.open(&fresh, OpenMode::Create)?;
        file.set_len(0)?;
        file.write_all_at(bytes, 0)?;
        self.files.rename(&fresh, path)
    }

    /// Forgets objects that are not among `ids`.
    pub(crate) fn retain(&self, ids: &HashSet<FileId>) {
        let Ok(names) = self.files.list(&self.dir) else { return };
        let wanted: HashSet<String> = ids.iter().map(name).collect();
        for stale in names.iter().filter(|name| !wanted.contains(*name)) {
            if let Err(error) = self.files.remove(&self.dir.join(stale)) {
                tracing::debug!(%error, stale, "the description of an object that is gone stays");
            }
        }
    }
}

fn name(id: &FileId) -> String {
    id.sidecar_key().replace('/', "-")
}
