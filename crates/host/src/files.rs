//! The local file system, as far as journal and cache need it.

use std::{io, path::Path, sync::Arc};

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing, for reading only.
    Read,
    /// Existing, for reading and writing.
    Write,
    /// Created if missing, for reading and writing; content kept.
    Create,
    /// Must not exist; for reading and writing.
    CreateNew,
}

/// An open file, used at explicit offsets by any number of threads.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `buf`. Survives the process; survives power loss only after [`File::sync`].
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes every write before this call survive power loss (`fdatasync`).
    ///
    /// After an error nothing may be assumed about earlier unsynced writes, and a later success
    /// does not make them good.
    fn sync(&self) -> io::Result<()>;

    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves disk space, so that writes there do not find a full disk. May do nothing.
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Gives disk space back; the range reads as zeros or as before.
    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()>;
}

/// An open directory.
pub trait Dir: Send + Sync {
    /// As [`Files::sync_dir`].
    fn sync(&self) -> io::Result<()>;
}

/// An exclusive lock, held until dropped or until the process dies.
pub trait Lock: Send + Sync {}

/// A file system. Directories are created private to the user (mode 0700), files too (0600).
pub trait Files: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Creates a directory and its parents; existing ones are fine.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Names in a directory, sorted. `NotFound` if there is no such directory.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Renames a file or directory within a file system, replacing a file at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and what is in it; a missing one is fine.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in a directory survive power loss.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Opens a directory that will be synced often, where [`Files::sync_dir`] would open it each time and can fail for
    /// want of a descriptor. `None`: it does not.
    fn open_dir(&self, _path: &Path) -> io::Result<Option<Arc<dyn Dir>>> {
        Ok(None)
    }

    /// Takes the exclusive lock on a lock file, created if missing; `None` if somebody holds it.
    ///
    /// The lock conflicts between processes, and between two calls in one process.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;

    /// Reads a small file whole.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Replaces a small file whole, so that after a crash either the old or the new one is there.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let fresh = path.with_extension("new");
        match self.remove(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.open(&fresh, OpenMode::CreateNew)?;
        file.write_all_at(bytes, 0)?;
        file.sync()?;
        self.rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |dir| self.sync_dir(dir))
    }
}
