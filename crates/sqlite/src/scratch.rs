//! Private files: rollback journals and super-journals. They live in memory, large ones in a temporary file.
//!
//! Nobody needs them after a crash, since an uncommitted transaction is nowhere else either.

use std::{fs, io, os::unix::fs::FileExt, sync::Mutex};

use crate::registry::lock;

/// Bytes that stay in memory; beyond, everything moves to a temporary file.
const MEMORY_BYTES_MAX: usize = 4 << 20;
/// Buffers kept for the next transaction, and how large each may be.
const POOLED_MAX: usize = 16;
const POOLED_BYTES_MAX: usize = 1 << 20;

/// Buffers of closed journals, so that a small transaction allocates nothing.
#[derive(Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer, perhaps with capacity.
    pub(crate) fn take(&self) -> Vec<u8> {
        lock(&self.0).pop().unwrap_or_default()
    }

    /// Keeps a buffer for the next journal, unless there are enough.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > POOLED_BYTES_MAX {
            return;
        }
        buffer.clear();
        let mut pool = lock(&self.0);
        if pool.len() < POOLED_MAX {
            pool.push(buffer);
        }
    }
}

/// The content of one private file.
pub(crate) enum Scratch {
    Memory(Vec<u8>),
    Spilled { file: fs::File, bytes: u64 },
}

impl Scratch {
    /// An empty file in a buffer from the pool.
    pub(crate) fn new(buffer: Vec<u8>) -> Self {
        Scratch::Memory(buffer)
    }

    /// Bytes in the file.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Scratch::Memory(content) => content.len() as u64,
            Scratch::Spilled { bytes, .. } => *bytes,
        }
    }

    /// Reads what there is at `offset`, and returns how many bytes that was.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(self.bytes().saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buf.len().min(rest);
        let buf = &mut buf[..wanted];
        match self {
            Scratch::Memory(content) => {
                // `wanted` is zero when the offset lies behind the end.
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                buf.copy_from_slice(&content[start..start + wanted]);
            }
            Scratch::Spilled { file, .. } => file.read_exact_at(buf, offset)?,
        }
        Ok(wanted)
    }

    /// Writes at `offset`; a gap before it reads as zeros.
    pub(crate) fn write(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        let end = offset
            .checked_add(data.len() as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "offset beyond the largest file"))?;
        if end > MEMORY_BYTES_MAX as u64 {
            self.spill()?;
        }
        match self {
            Scratch::Memory(content) => {
                let (start, end) = (offset as usize, end as usize);
                if start == content.len() {
                    content.extend_from_slice(data);
                } else {
                    if content.len() < end {
                        content.resize(end, 0);
                    }
                    content[start..end].copy_from_slice(data);
                }
            }
            Scratch::Spilled { file, bytes } => {
                file.write_all_at(data, offset)?;
                *bytes = (*bytes).max(end);
            }
        }
        Ok(())
    }

    /// Cuts the file, or extends it with zeros.
    pub(crate) fn truncate(&mut self, size: u64) -> io::Result<()> {
        if size > MEMORY_BYTES_MAX as u64 {
            self.spill()?;
        }
        match self {
            Scratch::Memory(content) => content.resize(size as usize, 0),
            Scratch::Spilled { file, bytes } => {
                file.set_len(size)?;
                *bytes = size;
            }
        }
        Ok(())
    }

    /// The buffer, for the pool, if it still is one.
    pub(crate) fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Scratch::Memory(content) => Some(content),
            Scratch::Spilled { .. } => None,
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        if let Scratch::Memory(content) = self {
            let file = tempfile::tempfile()?;
            file.write_all_at(content, 0)?;
            *self = Scratch::Spilled { bytes: content.len() as u64, file };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(file: &Scratch) -> Vec<u8> {
        let mut bytes = vec![0; file.bytes() as usize];
        assert_eq!(file.read(&mut bytes, 0).unwrap(), bytes.len());
        bytes
    }

    #[test]
    fn a_file_that_moves_to_disk_keeps_its_content() {
        let mut file = Scratch::new(Vec::new());
        let mut expected = vec![0; MEMORY_BYTES_MAX + 10];
        for (offset, byte) in [(0, 1), (100, 2), (MEMORY_BYTES_MAX as u64, 3), (50, 4)] {
            file.write(&[byte; 10], offset).unwrap();
            expected[offset as usize..offset as usize + 10].fill(byte);
        }
        assert!(matches!(file, Scratch::Spilled { .. }));
        assert_eq!(content(&file), expected);
    }

    #[test]
    fn reading_behind_the_end_gives_nothing() {
        let mut file = Scratch::new(Vec::new());
        file.write(b"abc", 0).unwrap();
        assert_eq!(file.read(&mut [0; 4], 3).unwrap(), 0);
        assert_eq!(file.read(&mut [0; 4], u64::MAX).unwrap(), 0);
        assert_eq!(file.read(&mut [0; 4], 1).unwrap(), 2);
        assert!(file.write(b"abc", u64::MAX - 1).is_err());
    }

    #[test]
    fn buffers_come_back_empty() {
        let buffers = Buffers::default();
        buffers.give(vec![7; 100]);
        let buffer = buffers.take();
        assert!(buffer.is_empty() && buffer.capacity() >= 100);
        assert_eq!(buffers.take().capacity(), 0);
    }
}
