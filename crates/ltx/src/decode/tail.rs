//! The page index, from the last bytes of a file.

use plimsoll_model::Result;

use crate::{
    HEADER_BYTES, Location,
    checksum::FLAG,
    fault::{corrupt, misuse},
    index::{self, END_OF_PAGES, FILE_BYTES_MIN, TAIL_BYTES},
};

/// What the end of a file told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailRead {
    /// The whole page index was there.
    Index {
        /// Where each page is, in page order.
        entries: Vec<Location>,
        /// The file checksum as the file states it.
        checksum: u64,
    },
    /// Ask again with this many bytes from the end; never more than the object has.
    NeedMore(u64),
}

/// Reads the page index from `tail`, the last bytes of an object of `object_size` bytes.
///
/// Some 8 bytes per page are needed: 32 KiB often do, 256 KiB save a round trip on larger files.
/// The entries fill the object exactly, but neither they nor the checksum are verified against the
/// pages. Allocates in proportion to `tail`, whatever the bytes claim.
///
/// # Errors
/// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt) if this cannot be the end of an LTX file of that
/// size; [`Invalid`](plimsoll_model::ErrorKind::Invalid) if `tail` is longer than the object.
pub fn read_tail(tail: &[u8], object_size: u64) -> Result<TailRead> {
    if tail.len() as u64 > object_size {
        return Err(misuse(format!("{} bytes are not the end of an object of {object_size}", tail.len())));
    }
    if object_size < FILE_BYTES_MIN {
        return Err(corrupt(format!("{object_size} bytes are too few for an LTX file")));
    }
    let Some((body, last)) = tail.split_last_chunk::<{ TAIL_BYTES as usize }>() else {
        return Ok(TailRead::NeedMore(FILE_BYTES_MIN));
    };
    let word = |at: usize| u64::from_be_bytes(last[at..at + 8].try_into().expect("BUG: eight bytes are eight bytes"));
    let (varints, checksum) = (word(0), word(16));
    if varints == 0 || varints > object_size - FILE_BYTES_MIN + 1 {
        return Err(corrupt(format!("a page index of {varints} bytes cannot be in an object of {object_size}")));
    }
    if checksum & FLAG == 0 {
        return Err(corrupt(format!("{checksum:016x} is not a file checksum")));
    }
    let end_mark = END_OF_PAGES.len() as u64;
    if (body.len() as u64) < varints + end_mark {
        return Ok(TailRead::NeedMore(end_mark + varints + TAIL_BYTES));
    }
    // The comparison above bounds it by the length of a slice.
    let (pages, varints) = body.split_at(body.len() - varints as usize);
    if !pages.ends_with(&END_OF_PAGES) {
        return Err(corrupt("the page index does not begin where the pages end"));
    }
    let frames_end = object_size - TAIL_BYTES - varints.len() as u64 - end_mark;
    debug_assert!(frames_end >= HEADER_BYTES as u64);
    Ok(TailRead::Index { entries: index::decode(varints, frames_end)?, checksum })
}
