//! A disk in memory that loses power, fills up, fails and rots, as told.
//!
//! [`SimDisk`] is a [`Files`]. Whatever was not synced may be lost when the power goes, in any
//! combination: of a file's unsynced writes any subset of their sectors stays, of a directory's
//! unsynced creations, renames and removals any subset that is possible. Directories themselves never get lost;
//! one that is removed may come back with some of its files, until the directory above it is synced.
//!
//! As with a real one, what waits for a sync for long gets to the platter by itself: the oldest changes of a file beyond
//! the last megabyte, and of names beyond the last hundred. Content that no name can lead to any more is forgotten.

mod inode;
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use inode::Inode;
use names::Names;

use crate::{Chance, File, Files, Lock, OpenMode};

/// Bytes that are written as a whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

/// How often something was done since the disk was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// File writes.
    pub writes: u64,
    /// File syncs.
    pub syncs: u64,
    /// Directory syncs.
    pub dir_syncs: u64,
    /// What found the disk full.
    pub full: u64,
    /// File syncs that failed as they were told to.
    pub failed_syncs: u64,
    /// The same of writes.
    pub failed_writes: u64,
    /// The same of reads.
    pub failed_reads: u64,
}

/// A simulated disk. A clone is another handle to the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    inodes: BTreeMap<usize, Inode>,
    inodes_made: usize,
    names: Names,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    /// Counts the power losses: files that were open then are gone.
    life: u64,
    counts: Counts,
    capacity: Option<u64>,
    /// Changes that the process still gets to make, if it is to die by itself.
    to_live: Option<u64>,
    failing_syncs: u64,
    failing_dir_syncs: u64,
    failing_writes: u64,
    failing_reads: u64,
    /// Listings that still succeed before one fails.
    listings_left: Option<u64>,
    /// What stays of the writes whose sync failed.
    fates: u64,
}

impl SimDisk {
    /// An empty disk without end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the power away: loses of what is not synced what `chance` chooses. Files that are open
    /// answer with errors from then on; locks are free.
    pub fn power_loss(&self, chance: &dyn Chance) {
        let mut state = self.state();
        for inode in state.inodes.values_mut() {
            inode.power_loss(chance);
        }
        state.names.power_loss(chance);
        let back: Vec<PathBuf> = state.names.all().filter_map(|(path, _)| Some(path.parent()?.to_owned())).collect();
        state.dirs.extend(back.iter().flat_map(|dir| dir.ancestors().map(Path::to_owned)));
        state.restart();
    }

    /// Ends the process: nothing is lost, files that are open answer with errors, locks are free.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// Lets the process make `changes` more changes (writes, syncs, creations, renames and so on). From then on
    /// everything fails without effect, until [`SimDisk::kill`] or [`SimDisk::power_loss`].
    pub fn die_after(&self, changes: u64) {
        self.state().to_live = Some(changes);
    }

    /// Whether the process has died by [`SimDisk::die_after`].
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().to_live == Some(0)
    }

    /// Lets files hold at most `bytes` in total; `None` for no limit. Writes beyond write what fits and then
    /// fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes that the files take up.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Makes the next `count` file syncs fail. Of the writes that they should have made good a part,
    /// chosen by `fates`, will never reach the disk, though reads show them until the power goes.
    pub fn fail_syncs(&self, count: u64, fates: u64) {
        let mut state = self.state();
        (state.failing_syncs, state.fates) = (count, fates);
    }

    /// Makes the next `count` syncs of directories fail, with no effect.
    pub fn fail_dir_syncs(&self, count: u64) {
        self.state().failing_dir_syncs = count;
    }

    /// Makes the next `count` writes fail with an I/O error and no effect.
    pub fn fail_writes(&self, count: u64) {
        self.state().failing_writes = count;
    }

    /// Makes the next `count` reads of files fail with an I/O error.
    pub fn fail_reads(&self, count: u64) {
        self.state().failing_reads = count;
    }

    /// Makes one listing of a directory fail with an I/O error, after so many that succeed.
    pub fn fail_listing_after(&self, listings: u64) {
        self.state().listings_left = Some(listings);
    }

    /// Damages one byte. Returns whether there is such a byte.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> bool {
        let mut state = self.state();
        let Some(inode) = state.names.get(path) else { return false };
        state.inode(inode).flip(offset, mask)
    }

    /// Whether two disks show the same files with the same content to a reader.
    #[must_use]
    pub fn same_content(&self, other: &SimDisk) -> bool {
        self.snapshot() == other.snapshot()
    }

    /// A copy of its own of this disk as a reader sees it, everything synced.
    #[must_use]
    pub fn copy(&self) -> SimDisk {
        let disk = SimDisk::new();
        {
            let mut copy = disk.state();
            copy.dirs = self.state().dirs.clone();
            for (path, bytes) in self.snapshot() {
                let inode = copy.add(Inode::synced(bytes));
                copy.names.link_synced(path, inode);
            }
        }
        disk
    }

    /// How often something was done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        state.names.all().map(|(path, inode)| (path.clone(), state.inodes[&inode].bytes().to_vec())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn restart(&mut self) {
        self.locks.clear();
        self.to_live = None;
        self.life += 1;
        for inode in self.inodes.values_mut() {
            inode.handles = 0;
        }
        self.sweep();
    }

    fn add(&mut self, inode: Inode) -> usize {
        self.inodes_made += 1;
        self.inodes.insert(self.inodes_made, inode);
        self.inodes_made
    }

    fn inode(&mut self, inode: usize) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("BUG: content was forgotten while it was in use")
    }

    /// Forgets content that neither a name leads to, whatever the power takes, nor an open file.
    fn sweep(&mut self) {
        let named = self.names.inodes();
        self.inodes.retain(|number, inode| inode.handles > 0 || named.contains(number));
    }

    fn alive(&self) -> io::Result<()> {
        if self.to_live == Some(0) { Err(gone()) } else { Ok(()) }
    }

    /// Accounts for a change about to be made.
    fn change(&mut self) -> io::Result<()> {
        self.alive()?;
        if let Some(left) = &mut self.to_live {
            *left -= 1;
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        self.names.all().map(|(_, inode)| self.inodes[&inode].allocated()).sum()
    }

    /// How far a file that wants to reach `end` may grow.
    fn grow(&mut self, inode: usize, end: u64) -> u64 {
        let Some(capacity) = self.capacity else { return end };
        let allocated = self.inodes[&inode].allocated();
        let room = end.min(allocated + capacity.saturating_sub(self.used()));
        self.counts.full += u64::from(room < end);
        room
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    writable: bool,
    life: u64,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.alive()?;
        if state.life == self.life { Ok(state) } else { Err(gone()) }
    }

    fn writable(&self) -> io::Result<MutexGuard<'_, State>> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut state = self.state()?;
        state.change()?;
        Ok(state)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.inode(self.inode).handles -= 1;
            state.sweep();
        }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        if state.failing_reads > 0 {
            state.failing_reads -= 1;
            state.counts.failed_reads += 1;
            return Err(io::Error::other("simulated read failure"));
        }
        let bytes = state.inodes[&self.inode].bytes();
        let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let len = buf.len().min(bytes.len() - start);
        buf[..len].copy_from_slice(&bytes[start..start + len]);
        Ok(len)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.writable()?;
        state.counts.writes += 1;
        if state.failing_writes > 0 {
            state.failing_writes -= 1;
            state.counts.failed_writes += 1;
            return Err(io::Error::other("simulated write failure"));
        }
        let end = offset + buf.len() as u64;
        let room = state.grow(self.inode, end);
        let fits = usize::try_from(room.saturating_sub(offset)).map_or(buf.len(), |fits| fits.min(buf.len()));
        state.inode(self.inode).write(offset, &buf[..fits]);
        if fits < buf.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        state.change()?;
        state.counts.syncs += 1;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            state.counts.failed_syncs += 1;
            let fates = state.fates;
            state.inode(self.inode).fail_sync(fates);
            return Err(io::Error::other("simulated sync failure"));
        }
        state.inode(self.inode).sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.inodes[&self.inode].bytes().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.writable()?;
        if state.grow(self.inode, len) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inode(self.inode).set_len(len);
        Ok(())
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.writable()?;
        let end = offset + len;
        if state.grow(self.inode, end) < end {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inode(self.inode).reserve(end);
        Ok(())
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.writable()?;
        let end = (offset + len).min(state.inode(self.inode).bytes().len() as u64);
        let len = usize::try_from(end.saturating_sub(offset)).map_err(io::Error::other)?;
        state.inode(self.inode).write(offset, &vec![0; len]);
        Ok(())
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

impl Files for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.alive()?;
        let inode = match (state.names.get(path), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => inode,
            (None, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.change()?;
                let inode = state.add(Inode::default());
                state.names.link(path.to_owned(), inode);
                inode
            }
        };
        let life = state.life;
        state.inode(inode).handles += 1;
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), inode, writable: mode != OpenMode::Read, life }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.alive()?;
        match &mut state.listings_left {
            Some(0) => {
                state.listings_left = None;
                return Err(io::Error::other("simulated listing failure"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        if !state.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let dirs = state.dirs.iter().filter(|dir| dir.parent() == Some(path));
        let files = state.names.all().map(|(file, _)| file).filter(|file| file.parent() == Some(path));
        let mut names: Vec<String> =
            dirs.chain(files).filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if state.dirs.contains(from) {
            // Directories are not lost, so neither are their names.
            let moved = |path: &Path| path.strip_prefix(from).map_or(path.to_owned(), |rest| to.join(rest));
            state.dirs = state.dirs.iter().map(|dir| moved(dir)).collect();
            state.names.map_paths(moved);
            return Ok(());
        }
        let existed = state.names.rename(from, to);
        state.sweep();
        if existed { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let existed = state.names.unlink(path);
        state.sweep();
        if existed { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.dirs.retain(|dir| !dir.starts_with(path));
        state.names.unlink_below(path);
        state.sweep();
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if let Some(left) = state.failing_dir_syncs.checked_sub(1) {
            state.failing_dir_syncs = left;
            return Err(io::Error::other("simulated failure of a directory's sync"));
        }
        state.counts.dir_syncs += 1;
        let State { names, dirs, .. } = &mut *state;
        names.sync(path, |dir| dirs.contains(dir));
        state.sweep();
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut state = self.state();
        state.alive()?;
        let life = state.life;
        Ok(state
            .locks
            .insert(path.to_owned())
            .then(|| Box::new(SimLock { disk: self.clone(), path: path.to_owned(), life }) as Box<dyn Lock>))
    }
}

fn gone() -> io::Error {
    io::Error::other("the process is gone")
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let files = state.names.all().map(|(path, inode)| (path, state.inodes[&inode].bytes().len()));
        f.debug_map().entries(files).finish()
    }
}

#[cfg(test)]
mod tests;
