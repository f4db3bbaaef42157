//! What an object is made of.

use std::{fmt, io, ops::Range, sync::Arc};

use bytes::Bytes;
use plimsoll_host::WallMs;

/// Content that is too large for memory, in blocks. It is read when it is sent, each time that it is sent: mapped
/// into memory instead, a disk that fails would end the process.
pub trait Blocks: Send + Sync {
    /// Reads a block. May wait for a disk.
    ///
    /// # Errors
    /// Also if it is not what was written.
    fn read(&self, block: usize) -> io::Result<Bytes>;
}

/// A part of a body.
#[derive(Clone)]
pub enum Piece {
    /// In memory.
    Memory(Bytes),
    /// A part of a block elsewhere.
    Stored {
        /// Where.
        blocks: Arc<dyn Blocks>,
        /// Which block.
        block: usize,
        /// Which bytes of it.
        range: Range<usize>,
    },
}

impl Piece {
    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Piece::Memory(bytes) => bytes.len(),
            Piece::Stored { range, .. } => range.len(),
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes. Costs nothing if they are in memory; otherwise reads a block, and may wait for a disk.
    ///
    /// # Errors
    /// Those of [`Blocks::read`].
    pub fn read(&self) -> io::Result<Bytes> {
        match self {
            Piece::Memory(bytes) => Ok(bytes.clone()),
            Piece::Stored { blocks, block, range } => {
                let bytes = blocks.read(*block)?;
                if range.end > bytes.len() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(bytes.slice(range.clone()))
            }
        }
    }

    /// Cuts off the first `bytes`, and returns them. Reads nothing.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub(crate) fn split_to(&mut self, bytes: usize) -> Piece {
        match self {
            Piece::Memory(rest) => Piece::Memory(rest.split_to(bytes)),
            Piece::Stored { blocks, block, range } => {
                assert!(bytes <= range.len(), "BUG: {bytes} bytes of {range:?}");
                let first = range.start..range.start + bytes;
                range.start = first.end;
                Piece::Stored { blocks: Arc::clone(blocks), block: *block, range: first }
            }
        }
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Piece::Memory(bytes)
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if matches!(self, Piece::Memory(_)) { "in memory" } else { "stored" };
        write!(f, "Piece({} bytes {place})", self.len())
    }
}

/// What an object is made of, in order. Cheap to clone; retries send it again.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The bytes.
    pub pieces: Vec<Piece>,
    /// Recorded as user metadata `litestream-timestamp`, or as the modification time of a file.
    pub timestamp: Option<WallMs>,
}

impl Body {
    /// Total number of bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no byte of it has to be read first.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Memory(_)))
    }

    /// All pieces in one buffer of its own. Copies.
    ///
    /// # Errors
    /// Those of [`Piece::read`].
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        let pieces = self.pieces.iter().map(Piece::read).collect::<io::Result<Vec<_>>>()?;
        Ok(pieces.concat().into())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body { pieces: vec![bytes.into()], timestamp: None }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}
