//! How a journal is laid out on disk.

use plimsoll_model::{Error, ErrorKind, Result, WriterId};

/// Smallest segment: enough for a begin frame and a few small pages.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Largest segment: one is read into memory at replay, and a frame's offset must fit into 32 bits.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// How much larger a segment is than the one before it, as long as they grow.
const GROWTH: u64 = 4;

/// How a journal is laid out on disk.
#[derive(Clone, Debug)]
pub struct Config {
    /// The volume's uuid. Opening another volume's journal fails.
    pub volume: [u8; 16],
    /// The identity of a new journal. One that exists keeps its own, see
    /// [`Replay::writer`](crate::Replay::writer).
    pub writer: WriterId,
    /// Bytes of the largest segments, from 4 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// Bytes of the first segment that an opening makes; from there each one is four times as large as the one
    /// before it. So a volume with few commits takes little room, and waits for little of it to be made. No more than
    /// `segment_bytes` counts.
    pub first_segment_bytes: u64,
    /// How many released segments are kept for reuse. A reused file is cheaper to sync, as its blocks
    /// are allocated and written already.
    pub spare_segments: usize,
}

impl Config {
    /// Segments from 1 MiB to 16 MiB, two spares.
    #[must_use]
    pub fn new(volume: [u8; 16], writer: WriterId) -> Self {
        Config { volume, writer, segment_bytes: 16 << 20, first_segment_bytes: 1 << 20, spare_segments: 2 }
    }

    /// Bytes of the segment after one of `before` bytes.
    pub(crate) fn next_bytes(&self, before: u64) -> u64 {
        before.saturating_mul(GROWTH).clamp(self.first_bytes(), self.segment_bytes)
    }

    /// Bytes of the segment that an opening makes.
    pub(crate) fn first_bytes(&self) -> u64 {
        self.first_segment_bytes.min(self.segment_bytes)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let sound = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
            && self.first_segment_bytes >= SEGMENT_BYTES_MIN;
        if sound {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, "opening the journal")
            .why(format!("segments of {} to {} bytes", self.first_segment_bytes, self.segment_bytes))
            .hint(format!("use sizes from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX} bytes")))
    }
}
