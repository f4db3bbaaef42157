//! Where an object is built before it is uploaded: in memory if small, in a scratch file if large.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use plimsoll_host::{File, Host, OpenMode};
use plimsoll_model::{Error, Result, ResultExt};

/// Objects that may become larger than this are built in a file.
const MEMORY_BYTES_MAX: u64 = 32 << 20;
/// Bytes that are gathered for one write to the file.
const BUFFER_BYTES: usize = 1 << 20;

/// A writer that can be read back. Clones write to the same object.
#[derive(Clone)]
pub struct Sink(Arc<Mutex<Target>>);

enum Target {
    Memory(Vec<u8>),
    File { file: Arc<dyn File>, written: u64, buffer: Vec<u8> },
}

impl Sink {
    /// For an object of about `expected` bytes. A scratch file has no name any more once this
    /// returns, so that nothing is left behind by a crash.
    ///
    /// # Errors
    /// `Full` or `Io` from creating the file in `scratch`.
    pub fn new(host: &Host, expected: u64, scratch: &Path, name: &str) -> Result<Sink> {
        let target = if expected > MEMORY_BYTES_MAX {
            let path = scratch.join(name);
            let failed =
                |error: io::Error| Error::io("creating the scratch file", error).object(path.display().to_string());
            host.files.create_dir_all(scratch).map_err(failed)?;
            let file = host.files.open(&path, OpenMode::Create).map_err(failed)?;
            file.set_len(0).map_err(failed)?;
            host.files.remove(&path).map_err(failed)?;
            Target::File { file, written: 0, buffer: Vec::with_capacity(BUFFER_BYTES) }
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

    /// Everything written, in order.
    ///
    /// # Errors
    /// `Full` or `Io` from the scratch file.
    pub fn into_pieces(mut self) -> Result<Vec<Bytes>> {
        io::Write::flush(&mut self).doing("writing", "the scratch file of an object")?;
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *target {
            Target::Memory(bytes) => Ok(vec![std::mem::take(bytes).into()]),
            Target::File { file, .. } => file.map().doing("reading", "the scratch file of an object"),
        }
    }
}

impl Target {
    fn flush(&mut self) -> io::Result<()> {
        if let Target::File { file, written, buffer } = self {
            file.write_all_at(buffer, *written)?;
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
