//! What is synced before what, recorded call by call.

mod common;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use common::{Seeded, config, dir, host_with};
use plimsoll_host::{File, Files, Lock, OpenMode, sim_disk::SimDisk};
use plimsoll_journal::Journal;

/// A disk that remembers which directories were synced.
#[derive(Clone, Default)]
struct Recorded {
    disk: SimDisk,
    synced: Arc<Mutex<Vec<String>>>,
}

impl Files for Recorded {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.disk.open(path, mode)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.synced.lock().unwrap().push(path.display().to_string());
        if path == Path::new("/") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.disk.sync_dir(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.try_lock(path)
    }
}

#[test]
fn every_directory_above_a_new_journal_is_synced_when_it_is_created() {
    let files = Recorded::default();
    let host = host_with(&plimsoll_host::os::host().unwrap(), Arc::new(files.clone()), Seeded::new(1));
    Journal::open(&host, dir(), config()).unwrap();
    let synced = files.synced.lock().unwrap().clone();
    assert_eq!(synced[..3], ["/state/volume", "/state", "/"]);
    assert!(synced[3..].iter().all(|dir| dir == "/state/volume/journal"), "{synced:?}");
}
