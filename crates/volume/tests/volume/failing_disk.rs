//! A disk that does not give back what it took, while a sync that is too large for memory is sent from it.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use plimsoll_host::{File, Files, Host, Lock, OpenMode, sim_disk::SimDisk};
use plimsoll_model::{Level, PageCount};
use plimsoll_volume::{Config, Receipt, Volume};

use crate::world::{Machine, World, page};

/// Bytes per page here: so few pages are too large for memory.
const LARGE: usize = 1 << 16;
const PAGES: u32 = 520;

/// Which files cannot be read, by a part of their path.
const SCRATCH: &str = "scratch";
const JOURNAL: &str = "/journal/";

/// See the [module](self).
struct Failing {
    disk: SimDisk,
    part: &'static str,
    fails: Arc<AtomicBool>,
}

struct Unreadable {
    file: Arc<dyn File>,
    fails: Arc<AtomicBool>,
}

impl File for Unreadable {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        // Not its beginning: a part of it is sent before.
        if self.fails.load(Ordering::Relaxed) && offset >= 1 << 20 {
            return Err(io::Error::other("the disk is broken"));
        }
        self.file.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
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

impl Files for Failing {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        let named = path.to_string_lossy().contains(self.part);
        Ok(if named { Arc::new(Unreadable { file, fails: Arc::clone(&self.fails) }) } else { file })
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
        self.disk.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.try_lock(path)
    }
}

fn open(machine: &Machine, part: &'static str, fails: &Arc<AtomicBool>) -> Volume {
    let files = Failing { disk: machine.disk.clone(), part, fails: Arc::clone(fails) };
    let config = machine.config(&[("sync_interval_ms", "1000"), ("max_loss_window_ms", "36000000")]);
    Volume::open(Config { host: Host { files: Arc::new(files), ..machine.host() }, ..config }).unwrap()
}

/// A page of which a part cannot be compressed, so that there is more than a block of them all.
fn large(number: u32) -> Vec<u8> {
    let word = |at: u64| (at + 1 + (u64::from(number) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes: Vec<u8> = (0..1024).flat_map(|at| word(word(at) >> 7).to_le_bytes()).collect();
    bytes.resize(LARGE, 0);
    bytes
}

fn commit(volume: &Volume) -> Receipt {
    let mut txn = volume.begin_write(&volume.snapshot().unwrap()).unwrap();
    for number in 1..=PAGES {
        txn.write(page(number), &large(number)).unwrap();
    }
    txn.commit(PageCount(PAGES), Level::Journaled).unwrap()
}

fn holds_all(volume: &Volume) -> bool {
    let snapshot = volume.snapshot().unwrap();
    let mut bytes = vec![0; LARGE];
    snapshot.page_count().0 == PAGES
        && (1..=PAGES).all(|number| snapshot.read(page(number), &mut bytes).is_ok() && bytes == large(number))
}

/// Nothing of it is durable, all of it is at risk, and whoever looks is told why.
fn is_pending_and_says_so(world: &World, volume: &Volume) {
    world.run_for(120_000);
    let status = volume.status();
    assert_eq!((status.durable.lsn, status.load.commits), (0, 1));
    let trouble = status.trouble.expect("people are told");
    assert!(trouble.contains("the disk is broken"), "{trouble}");
    assert_eq!(world.keys("ltx/0/"), Vec::<String>::new());
}

#[test]
fn a_sync_whose_journal_or_scratch_file_cannot_be_read_for_a_while_is_pending_until_it_can() {
    for part in [SCRATCH, JOURNAL] {
        let world = World::new(1);
        let machine = world.machine("a");
        let fails = Arc::new(AtomicBool::new(true));
        let volume = open(&machine, part, &fails);
        let receipt = commit(&volume);
        is_pending_and_says_so(&world, &volume);
        fails.store(false, Ordering::Relaxed);
        receipt.wait(Level::Durable).unwrap();
        let status = volume.status();
        assert_eq!((status.durable.lsn, status.load.commits, status.trouble), (1, 0, None), "{part}");
        assert!(holds_all(&world.machine("b").open_read_only(&[])), "{part}");
    }
}

#[test]
fn a_sync_whose_scratch_file_can_never_be_read_is_made_anew_from_the_journal_by_the_next_process() {
    let world = World::new(2);
    let mut machine = world.machine("a");
    let broken = Arc::new(AtomicBool::new(true));
    let volume = open(&machine, SCRATCH, &broken);
    drop(commit(&volume));
    is_pending_and_says_so(&world, &volume);
    machine.kill();
    let volume = machine.open(&[]);
    volume.sync().unwrap();
    assert_eq!(volume.status().durable.lsn, 1);
    assert!(holds_all(&world.machine("b").open_read_only(&[])));
}
