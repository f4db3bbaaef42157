//! A disk on which something happens while a file is synced, and that knows who held the volume when its journal went.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use plimsoll_host::{File, Files, Lock, OpenMode, sim_disk::SimDisk};

/// What happens at the end of the next sync of a file, too late to be part of it.
pub(crate) type Act = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Whether the volume's folder was locked, each time that a journal lost its name.
pub(crate) type Locked = Arc<Mutex<Vec<bool>>>;

/// See the [module](self).
pub(crate) struct Meanwhile {
    pub(crate) disk: SimDisk,
    pub(crate) act: Act,
    pub(crate) locked: Locked,
}

struct Watched {
    file: Arc<dyn File>,
    act: Act,
}

impl Files for Meanwhile {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Watched { file: self.disk.open(path, mode)?, act: Arc::clone(&self.act) }))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if from.ends_with("journal") {
            let free = self.disk.try_lock(&from.with_file_name("lock"))?.is_some();
            self.locked.lock().unwrap().push(!free);
        }
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.try_lock(path)
    }
}

impl File for Watched {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        let act = self.act.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.reserve(offset, len)
    }
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.punch_hole(offset, len)
    }
}
