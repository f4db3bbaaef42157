//! Where an object is built before it is uploaded: in memory if small, in a scratch file if large, from which it is read
//! again whenever it is sent.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use plimsoll_host::{File, Host, OpenMode};
use plimsoll_ltx::page_hash;
use plimsoll_model::{Error, Result, ResultExt};
use plimsoll_store::{Blocks, Piece};

/// Objects that may become larger than this are built in a file.
const MEMORY_BYTES_MAX: u64 = 32 << 20;
/// Bytes of each write to the file but the last, and of what is read of it at a time.
const BLOCK_BYTES: usize = 1 << 20;
/// What a failure was about: the file has no name.
const SCRATCH: &str = "the scratch file of an object";

/// A writer that can be read back. Clones write to the same object.
#[derive(Clone)]
pub struct Sink(Arc<Mutex<Target>>);

enum Target {
    Memory(Vec<u8>),
    File {
        file: Arc<dyn File>,
        buffer: Vec<u8>,
        /// Length and hash of each block so far, in order.
        blocks: Vec<(usize, u64)>,
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
            Target::File { file, buffer: Vec::with_capacity(BLOCK_BYTES), blocks: Vec::new() }
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

    /// Everything written, in order. What is in a file is synced: of bytes that could not be written the system would not
    /// say a word otherwise. And whenever it is read it is compared, since what the system reads in the place of such bytes
    /// would become an object.
    ///
    /// # Errors
    /// `Full` or `Io` from the scratch file.
    pub fn into_pieces(self) -> Result<Vec<Piece>> {
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        target.flush().doing("writing", SCRATCH)?;
        match &mut *target {
            Target::Memory(bytes) => Ok(vec![Bytes::from(std::mem::take(bytes)).into()]),
            Target::File { file, blocks, .. } => {
                file.sync().doing("syncing", SCRATCH)?;
                let blocks = Arc::new(Scratch { file: Arc::clone(file), blocks: std::mem::take(blocks) });
                let piece = |(block, (len, _)): (usize, &(usize, u64))| Piece::Stored {
                    blocks: Arc::clone(&blocks) as Arc<dyn Blocks>,
                    block,
                    range: 0..*len,
                };
                Ok(blocks.blocks.iter().enumerate().map(piece).collect())
            }
        }
    }
}

/// A scratch file that is complete.
struct Scratch {
    file: Arc<dyn File>,
    /// Length and hash of each block, in order.
    blocks: Vec<(usize, u64)>,
}

impl Blocks for Scratch {
    fn read(&self, block: usize) -> io::Result<Bytes> {
        let (len, hash) = self.blocks[block];
        let offset = block as u64 * BLOCK_BYTES as u64;
        let mut bytes = vec![0; len];
        let read = self.file.read_at(&mut bytes, offset)?;
        if page_hash(&bytes[..read]) != hash {
            let why = format!(
                "{len} bytes at {offset} of {SCRATCH} are not those that were written: the disk below state_dir loses data"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(bytes.into())
    }
}

impl Target {
    /// Writes what is gathered of a block.
    fn flush(&mut self) -> io::Result<()> {
        if let Target::File { file, buffer, blocks } = self
            && !buffer.is_empty()
        {
            file.write_all_at(buffer, blocks.len() as u64 * BLOCK_BYTES as u64)?;
            blocks.push((buffer.len(), page_hash(buffer)));
            buffer.clear();
        }
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *target {
            Target::Memory(memory) => {
                memory.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Target::File { buffer, .. } => {
                let taken = bytes.len().min(BLOCK_BYTES - buffer.len());
                buffer.extend_from_slice(&bytes[..taken]);
                if buffer.len() == BLOCK_BYTES {
                    target.flush()?;
                }
                Ok(taken)
            }
        }
    }

    /// Nothing yet: only the last block is not full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use plimsoll_host::{Files, Lock, os, sim_disk::SimDisk};
    use plimsoll_model::ErrorKind;

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
        let pieces = sink.into_pieces()?;
        let read = |piece: &Piece| piece.read().doing("reading", SCRATCH);
        Ok(pieces.iter().map(read).collect::<Result<Vec<_>>>()?.concat())
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
        for (fate, word) in [(Fate::Lost, "syncing"), (Fate::Changed, "reading")] {
            let error = pieces(fate).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.to_string().starts_with(word), "{error}");
        }
    }
}
