//! Where an object is built before it is uploaded: in memory if small, in a scratch file if large.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use plimsoll_host::{File, Host, OpenMode};
use plimsoll_ltx::page_hash;
use plimsoll_model::{Error, ErrorKind, Result, ResultExt};

/// Objects that may become larger than this are built in a file.
const MEMORY_BYTES_MAX: u64 = 32 << 20;
/// Bytes that are gathered for one write to the file.
const BUFFER_BYTES: usize = 1 << 20;
/// What a failure was about: the file has no name.
const SCRATCH: &str = "the scratch file of an object";

/// A writer that can be read back. Clones write to the same object.
#[derive(Clone)]
pub struct Sink(Arc<Mutex<Target>>);

enum Target {
    Memory(Vec<u8>),
    File {
        file: Arc<dyn File>,
        written: u64,
        buffer: Vec<u8>,
        /// Length and hash of each write so far, in order.
        writes: Vec<(usize, u64)>,
    },
}

impl Sink {
    /// For an object of about `expected` bytes. A scratch file has no name any more once this
    /// returns, so that nothing is left behind by a crash.
    ///
    /// # Errors
    /// `Full` or `Io` from creating the file in `scratch`.
    pub fn new(host: &Host, expected: u64, scratch: &Path, name: &str) -> Result<Sink> {
        let target = if expected > MEMORY_BYTES_MAX {
            // Two that are built at the same time must not take each other's name.
            let path = scratch.join(format!("{name}-{:016x}", host.chance.bits()));
            let failed =
                |error: io::Error| Error::io("creating the scratch file", error).object(path.display().to_string());
            host.files.create_dir_all(scratch).map_err(failed)?;
            let file = host.files.open(&path, OpenMode::Create).map_err(failed)?;
            file.set_len(0).map_err(failed)?;
            host.files.remove(&path).map_err(failed)?;
            Target::File { file, written: 0, buffer: Vec::with_capacity(BUFFER_BYTES), writes: Vec::new() }
        } else {
            Target::Memory(Vec::new())
        };
        Ok(Sink(Arc::new(Mutex::new(target))))
    }

    /// For an object that is bounded by something else than the memory that it takes.
    #[must_use]
    pub fn in_memory() -> Sink {
        Sink(Arc::new(Mutex::new(Target::Memory(Vec::new()))))
    }

    /// Everything written, in order. What is in a file is synced and read once more: of bytes that could not be written the
    /// system would not say a word otherwise, and what it reads in their place would become an object.
    ///
    /// # Errors
    /// `Full` or `Io` from the scratch file, also if it holds something else than what was written.
    pub fn into_pieces(mut self) -> Result<Vec<Bytes>> {
        io::Write::flush(&mut self).doing("writing", SCRATCH)?;
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *target {
            Target::Memory(bytes) => Ok(vec![std::mem::take(bytes).into()]),
            Target::File { file, writes, .. } => {
                file.sync().doing("syncing", SCRATCH)?;
                compare(&**file, writes)?;
                file.map().doing("reading", SCRATCH)
            }
        }
    }
}

/// Whether a file holds what was written to it.
fn compare(file: &dyn File, writes: &[(usize, u64)]) -> Result<()> {
    const DOING: &str = "reading back";
    let mut offset = 0;
    let mut bytes = vec![0; writes.iter().map(|(len, _)| *len).max().unwrap_or(0)];
    for (len, hash) in writes {
        let bytes = &mut bytes[..*len];
        let read = file.read_at(bytes, offset).doing(DOING, SCRATCH)?;
        if page_hash(&bytes[..read]) != *hash {
            return Err(Error::new(ErrorKind::Io, DOING)
                .object(SCRATCH)
                .why(format!("{len} bytes at {offset} are not those that were written"))
                .hint("the disk below state_dir loses data; nothing was uploaded"));
        }
        offset += *len as u64;
    }
    Ok(())
}

impl Target {
    fn flush(&mut self) -> io::Result<()> {
        if let Target::File { file, written, buffer, writes } = self
            && !buffer.is_empty()
        {
            file.write_all_at(buffer, *written)?;
            writes.push((buffer.len(), page_hash(buffer)));
            *written += buffer.len() as u64;
            buffer.clear();
        }
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *target {
            Target::Memory(memory) => memory.extend_from_slice(bytes),
            Target::File { buffer, .. } => {
                buffer.extend_from_slice(bytes);
                if buffer.len() >= BUFFER_BYTES {
                    target.flush()?;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use plimsoll_host::{Files, Lock, os, sim_disk::SimDisk};

    use super::*;

    /// What happens to bytes on their way to the disk and back.
    #[derive(Clone, Copy, PartialEq)]
    enum Fate {
        Kept,
        /// The system says so to who syncs.
        Lost,
        /// Nobody says so.
        Changed,
    }

    /// With the names of the files that were opened.
    struct Disk(SimDisk, Fate, Mutex<Vec<PathBuf>>);

    struct Scratch(Arc<dyn File>, Fate);

    impl File for Scratch {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            let read = self.0.read_at(buf, offset)?;
            if self.1 == Fate::Changed && offset > 0 {
                buf[0] ^= 1;
            }
            Ok(read)
        }
        fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
            self.0.write_all_at(buf, offset)
        }
        fn sync(&self) -> io::Result<()> {
            if self.1 == Fate::Lost { Err(io::Error::other("lost")) } else { self.0.sync() }
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

    impl Files for Disk {
        fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
            self.2.lock().unwrap().push(path.to_owned());
            Ok(Arc::new(Scratch(self.0.open(path, mode)?, self.1)))
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

    fn pieces(fate: Fate) -> Result<Vec<u8>> {
        let disk = Disk(SimDisk::new(), fate, Mutex::default());
        let host = Host { files: Arc::new(disk), ..os::host().unwrap() };
        let mut sink = Sink::new(&host, MEMORY_BYTES_MAX + 1, Path::new("/scratch"), "object")?;
        for part in 0..40_u8 {
            io::Write::write_all(&mut sink, &vec![part; 100_000]).unwrap();
        }
        Ok(sink.into_pieces()?.concat())
    }

    #[test]
    fn a_large_object_is_what_was_written() {
        let bytes = pieces(Fate::Kept).unwrap();
        assert_eq!(bytes.len(), 4_000_000);
        assert!(bytes.chunks(100_000).zip(0..).all(|(chunk, part): (_, u8)| chunk.iter().all(|byte| *byte == part)));
    }

    /// A process that has to let a volume go may still merge what the next one of its host merges, too.
    #[test]
    fn two_objects_of_one_name_that_are_built_at_the_same_time_have_a_scratch_file_each() {
        let disk = Arc::new(Disk(SimDisk::new(), Fate::Kept, Mutex::default()));
        let host = Host { files: disk.clone(), ..os::host().unwrap() };
        let begin = || Sink::new(&host, MEMORY_BYTES_MAX + 1, Path::new("/scratch"), "object").unwrap();
        let _both = (begin(), begin());
        let opened = disk.2.lock().unwrap();
        assert!(opened.len() == 2 && opened[0] != opened[1], "{opened:?}");
    }

    /// It once became one, and what it was made of was collected.
    #[test]
    fn bytes_that_the_disk_has_lost_become_no_object() {
        for (fate, word) in [(Fate::Lost, "syncing"), (Fate::Changed, "reading back")] {
            let error = pieces(fate).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.to_string().starts_with(word), "{error}");
        }
    }
}
