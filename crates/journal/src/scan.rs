//! What lies behind the end of the valid frames of a segment: nothing, leftovers, or witnesses.

use plimsoll_model::Lsn;

use crate::{
    Position,
    frame::{self, Decoded},
    header::Header,
};

/// What was found behind the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// The highest position that a valid frame there says was synced.
    pub(crate) synced: Position,
    /// Bytes from the end to the last one that must have been written by this use of the file, as far as
    /// that can be told.
    pub(crate) bytes: usize,
}

/// Looks for frames at every offset of `bytes` from `end` on; `last` is the last commit before.
pub(crate) fn beyond(header: &Header, bytes: &[u8], end: usize, last: Lsn) -> Beyond {
    let mut found = Beyond::default();
    let mut last_used = end;
    // No frame starts behind this.
    let mut stop = bytes.len();
    let rest = bytes.get(end..).unwrap_or(&[]);
    if !header.recycled {
        // Nothing but this use of the file can have left a byte here, other than zeros.
        last_used = end + rest.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        stop = last_used;
    } else if frame::looks_begun(rest, header.salt, last) {
        let len = frame::claimed_len(rest, header.salt).unwrap_or(frame::FRAME_HEADER_BYTES);
        last_used = end + len.min(rest.len());
    }
    let mut at = end;
    while at < stop {
        match frame::decode(&bytes[at..], header.salt, at as u64) {
            Decoded::Frame(frame) => {
                found.synced = found.synced.max(frame.synced);
                at += frame.len();
                last_used = last_used.max(at);
            }
            Decoded::Nothing | Decoded::Senseless(_) => at += 1,
        }
    }
    found.bytes = last_used - end;
    found
}
