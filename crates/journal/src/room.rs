//! Room on the disk for frames that will come.
//!
//! A write to a block that was written before is on the disk once its bytes are. One that makes the file longer, or is
//! the first one to its block, needs a transaction of the file system besides, which takes as long again and waits for those of
//! everybody else. So where commits wait for syncs, zeros are written ahead of them.

use std::{io, ops::Range};

use plimsoll_host::File;

/// Zeros that are written at a time. What others sync meanwhile waits for so much at most.
pub(crate) const STEP_BYTES: u64 = 256 << 10;
/// Zeros that are there when a journal is opened.
pub(crate) const FIRST_BYTES: u64 = 1 << 20;
/// They are written once there are fewer than so many left.
pub(crate) const AHEAD_BYTES: u64 = 512 << 10;
/// Where none are left, room for what is appended while the next ones are written, lest it waits for them.
pub(crate) const GAP_BYTES: u64 = 64 << 10;
/// Zeros of one write.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Reserves space up to `capacity`, so that a full disk shows now, and writes zeros from where the file ends up to `fill`. They
/// are synced. Returns up to where there are bytes.
pub(crate) fn make_room(file: &dyn File, capacity: u64, fill: u64) -> io::Result<u64> {
    file.reserve(0, capacity)?;
    let mut at = file.len()?;
    while at < fill {
        let step = fill.min(at + STEP_BYTES);
        write_zeros(file, at..step)?;
        file.sync()?;
        at = step;
    }
    Ok(at)
}

/// Writes zeros, without a sync.
pub(crate) fn write_zeros(file: &dyn File, bytes: Range<u64>) -> io::Result<()> {
    let mut at = bytes.start;
    while at < bytes.end {
        let len = ZEROS.len().min(usize::try_from(bytes.end - at).unwrap_or(usize::MAX));
        file.write_all_at(&ZEROS[..len], at)?;
        at += len as u64;
    }
    Ok(())
}
