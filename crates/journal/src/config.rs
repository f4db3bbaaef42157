//! How a journal is laid out on disk.

use plimsoll_model::{Error, ErrorKind, Result, WriterId};

/// Smallest segment: enough for a begin frame and a few small pages.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Largest segment: one is read into memory at replay, and a frame's offset must fit into 32 bits.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// How a journal is laid out on disk.
#[derive(Clone, Debug)]
pub struct Config {
    /// The volume's uuid. Opening another volume's journal fails.
    pub volume: [u8; 16],
    /// The identity of a new journal. One that exists keeps its own, see
    /// [`Replay::writer`](crate::Replay::writer).
    pub writer: WriterId,
    /// Bytes per segment, from 4 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// How many released segments are kept for reuse. A reused file is cheaper to sync, as its blocks
    /// are allocated and written already.
    pub spare_segments: usize,
}

impl Config {
    /// Segments of 16 MiB, two spares.
    #[must_use]
    pub fn new(volume: [u8; 16], writer: WriterId) -> Self {
        Config { volume, writer, segment_bytes: 16 << 20, spare_segments: 2 }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, "opening the journal")
            .why(format!("a segment size of {} bytes", self.segment_bytes))
            .hint(format!("use a size from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX} bytes")))
    }
}
