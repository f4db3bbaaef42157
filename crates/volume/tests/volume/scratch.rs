//! Large syncs on a disk that loses what was written to it.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use plimsoll_host::{File, Files, Host, Lock, OpenMode, sim_disk::SimDisk};
use plimsoll_model::{Level, PageCount};
use plimsoll_volume::{Config, Volume};

use crate::world::{World, page};

/// The first scratch file for a sync gives back other bytes than were written.
struct Rotten(SimDisk, Arc<AtomicU64>);

struct RottenFile(Arc<dyn File>);

impl File for RottenFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buf, offset)?;
        buf[0] ^= 1;
        Ok(read)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.reserve(offset, len)
    }
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.punch_hole(offset, len)
    }
}

impl Files for Rotten {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.0.open(path, mode)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("sync-") && self.1.fetch_add(1, Ordering::Relaxed) == 0 {
            return Ok(Arc::new(RottenFile(file)));
        }
        Ok(file)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.0.try_lock(path)
    }
}

/// It was tried again with the same file until the volume was opened anew.
#[test]
fn a_sync_that_cannot_be_read_from_where_it_was_built_is_built_again_from_the_journal() {
    let world = World::new(1);
    let machine = world.machine("a");
    let built = Arc::new(AtomicU64::new(0));
    let files = Arc::new(Rotten(machine.disk.clone(), Arc::clone(&built)));
    let config = machine.config(&[("sync_timeout_ms", "600000")]);
    let volume = Volume::open(Config { host: Host { files, ..machine.host() }, ..config }).unwrap();
    let base = volume.snapshot().unwrap();
    let mut txn = volume.begin_write(&base).unwrap();
    for number in 1..=600 {
        txn.write(page(number), &[number as u8; 65_536]).unwrap();
    }
    txn.commit(PageCount(600), Level::Journaled).unwrap().wait(Level::Durable).unwrap();
    assert_eq!((built.load(Ordering::Relaxed), volume.status().trouble), (2, None));
    let (elsewhere, mut data) = (world.machine("b").open_read_only(&[]).snapshot().unwrap(), vec![0; 65_536]);
    for number in 1..=600 {
        elsewhere.read(page(number), &mut data).unwrap();
        assert!(data.iter().all(|byte| *byte == number as u8), "page {number}");
    }
}
