//! Files as memory that does not stay resident.
//!
//! A large object is handed to an HTTP client as mapped pieces, all of which it keeps until the
//! answer has come. What it has sent would count as this process's memory until then, so whatever
//! was touched is given back every few milliseconds: the page cache still has it.

use std::{
    fs, io,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    thread,
    time::Duration,
};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions, UncheckedAdvice};

/// Bytes that are mapped in one piece. A multiple of every page size.
const PIECE_BYTES: u64 = 8 << 20;
/// Files up to this size may stay resident.
const RESIDENT_BYTES_MAX: u64 = 64 << 20;
/// Time between two rounds of giving back.
const ROUND: Duration = Duration::from_millis(10);

/// A piece, shared with the thread that gives its memory back.
struct Piece(Arc<Mmap>);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The whole file in pieces. It must not change as long as one of them is in use.
pub(super) fn map(file: &fs::File) -> io::Result<Vec<Bytes>> {
    let len = file.metadata()?.len();
    let mut pieces = Vec::new();
    let mut watched = Vec::new();
    let mut offset = 0;
    while offset < len {
        let size = (len - offset).min(PIECE_BYTES);
        let size_bytes = usize::try_from(size).map_err(io::Error::other)?;
        // SAFETY: the caller promises that the file does not change while a piece is in use.
        let map = Arc::new(unsafe { MmapOptions::new().offset(offset).len(size_bytes).map(file)? });
        watched.push(Arc::downgrade(&map));
        pieces.push(Bytes::from_owner(Piece(map)));
        offset += size;
    }
    if len > RESIDENT_BYTES_MAX {
        give_back(watched);
    }
    Ok(pieces)
}

/// Starts a thread unless there is one; it ends with the last piece.
fn give_back(pieces: Vec<Weak<Mmap>>) {
    static WATCHED: OnceLock<Mutex<Vec<Weak<Mmap>>>> = OnceLock::new();
    let watched = WATCHED.get_or_init(Mutex::default);
    let mut list = watched.lock().unwrap_or_else(PoisonError::into_inner);
    let running = !list.is_empty();
    list.extend(pieces);
    drop(list);
    if running {
        return;
    }
    let round = move || {
        loop {
            thread::sleep(ROUND);
            let mut list = watched.lock().unwrap_or_else(PoisonError::into_inner);
            list.retain(|piece| {
                let Some(piece) = piece.upgrade() else { return false };
                // SAFETY: the mapping is shared and backed by the file, so what is dropped here is read again from there.
                // Failure leaves it resident, which is only less tidy.
                let _ = unsafe { piece.unchecked_advise(UncheckedAdvice::DontNeed) };
                true
            });
            if list.is_empty() {
                return;
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("plimsoll-unmap".to_owned()).spawn(round) {
        // Without it the upload takes more memory than it should, and is right all the same.
        drop(error);
        watched.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
