//! Room on the disk for frames that will come.

use std::io;

use plimsoll_host::File;

/// Zeros that are written before they are synced. What others sync meanwhile waits for so much at most.
const STEP_BYTES: usize = 1 << 20;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Reserves space up to `capacity`, so that a full disk shows now.
///
/// `fill`: also writes zeros to where the file does not reach, and syncs them. A write to a block that was written before is on
/// the disk once its bytes are. One that makes the file longer, or is the first one to its block, needs
/// a transaction of the file system besides, which takes as long again and waits for those of everybody else.
pub(crate) fn make_room(file: &dyn File, capacity: u64, fill: bool) -> io::Result<()> {
    file.reserve(0, capacity)?;
    if !fill {
        return Ok(());
    }
    let mut at = file.len()?;
    while at < capacity {
        let step = capacity.min(at + STEP_BYTES as u64);
        while at < step {
            let len = ZEROS.len().min(usize::try_from(step - at).unwrap_or(usize::MAX));
            file.write_all_at(&ZEROS[..len], at)?;
            at += len as u64;
        }
        file.sync()?;
    }
    Ok(())
}
