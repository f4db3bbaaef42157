//! The first bytes of the map file: whose pages these are.

use xxhash_rust::xxh3::xxh3_64;

use crate::{cache::CacheId, entry::Seal};

/// Room before the first entry: as much as a chunk, so that chunks are aligned.
pub(crate) const HEADER_BYTES: u64 = 8192;

/// Bytes that mean something.
pub(crate) const USED_BYTES: usize = 40;

const MAGIC: [u8; 8] = *b"PLIMMAP1";

// Header, 40 bytes: 0 magic with version | 8 volume [16] | 24 page size u32 LE | 28 zero u32 | 32 xxh3 of the 32 before, LE.
pub(crate) fn encode(id: &CacheId) -> [u8; USED_BYTES] {
    let mut bytes = [0; USED_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..24].copy_from_slice(&id.volume);
    bytes[24..28].copy_from_slice(&id.page_size.get().to_le_bytes());
    let check = xxh3_64(&bytes[..32]);
    bytes[32..].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// What entries below this header are sealed with.
pub(crate) fn seal(id: &CacheId) -> Seal {
    Seal(xxh3_64(&encode(id)))
}

#[cfg(test)]
mod tests {
    use plimsoll_model::PageSize;

    use super::*;

    #[test]
    fn bytes_at_rest_do_not_change() {
        let id = CacheId { volume: *b"0123456789abcdef", page_size: PageSize::DEFAULT };
        let bytes = encode(&id);
        assert_eq!(&bytes[..32], b"PLIMMAP10123456789abcdef\x00\x10\0\0\0\0\0\0");
        assert_eq!(bytes[32..], [52, 176, 33, 95, 162, 225, 95, 11]);
    }
}
