//! The header of a segment file: layout, encoder and decoder. The layout is drawn in the crate's documentation.

use plimsoll_model::WriterId;
use xxhash_rust::xxh3::xxh3_64;

use crate::Position;

/// Where the first frame is.
pub(crate) const HEADER_BYTES: usize = 80;

const MAGIC: [u8; 8] = *b"PLIMSWAL";
const VERSION: u32 = 1;
const RECYCLED: u32 = 1;
const CHECKSUM_AT: usize = HEADER_BYTES - 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Whether the file was a segment before, so that old frames follow the last valid one.
    pub(crate) recycled: bool,
    pub(crate) seq: u32,
    pub(crate) salt: u64,
    /// Position of the file's first byte.
    pub(crate) base: Position,
    /// Positions that the segment takes up. No frame lies beyond.
    pub(crate) capacity: u64,
    pub(crate) volume: [u8; 16],
    pub(crate) writer: WriterId,
}

/// Why a header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Damaged(&'static str),
    /// Written by a newer build.
    Version(u32),
}

impl Header {
    /// Position of the first byte after the segment.
    pub(crate) fn end(&self) -> Position {
        Position(self.base.0.saturating_add(self.capacity))
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&if self.recycled { RECYCLED } else { 0 }.to_le_bytes());
        out[16..24].copy_from_slice(&u64::from(self.seq).to_le_bytes());
        out[24..32].copy_from_slice(&self.salt.to_le_bytes());
        out[32..40].copy_from_slice(&self.base.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.capacity.to_le_bytes());
        out[48..64].copy_from_slice(&self.volume);
        out[64..72].copy_from_slice(&self.writer.0.to_le_bytes());
        let checksum = xxh3_64(&out[..CHECKSUM_AT]);
        out[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        let bytes: &[u8; HEADER_BYTES] =
            bytes.first_chunk().ok_or(BadHeader::Damaged("the segment header is cut short"))?;
        let u64_at =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("BUG: eight bytes are eight bytes"));
        if bytes[..8] != MAGIC || u64_at(CHECKSUM_AT) != xxh3_64(&bytes[..CHECKSUM_AT]) {
            return Err(BadHeader::Damaged("the segment header fails its checksum"));
        }
        let versions = u64_at(8);
        let (version, flags) = (versions as u32, (versions >> 32) as u32);
        if version != VERSION {
            return Err(BadHeader::Version(version));
        }
        Ok(Header {
            recycled: flags & RECYCLED != 0,
            seq: u32::try_from(u64_at(16)).map_err(|_| BadHeader::Damaged("an impossible segment number"))?,
            salt: u64_at(24),
            base: Position(u64_at(32)),
            capacity: u64_at(40),
            volume: bytes[48..64].try_into().expect("BUG: sixteen bytes are sixteen bytes"),
            writer: WriterId(u64_at(64)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        recycled: true,
        seq: 2,
        salt: 0x0807_0605_0403_0201,
        base: Position(0x1000),
        capacity: 0x2000,
        volume: *b"0123456789abcdef",
        writer: WriterId(9),
    };

    #[test]
    fn bytes_at_rest_do_not_change() {
        let mut golden = Vec::new();
        golden.extend_from_slice(b"PLIMSWAL\x01\0\0\0\x01\0\0\0");
        golden.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        golden.extend_from_slice(&[0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(b"0123456789abcdef\x09\0\0\0\0\0\0\0");
        golden.extend_from_slice(&[0x0b, 0x0a, 0x99, 0x98, 0xaa, 0x12, 0x8b, 0x77]);
        assert_eq!(HEADER.encode().as_slice(), golden);
        assert_eq!(Header::decode(&golden), Ok(HEADER));
    }

    #[test]
    fn each_flipped_byte_is_noticed() {
        for at in 0..HEADER_BYTES {
            let mut bytes = HEADER.encode();
            bytes[at] ^= 0x10;
            assert!(matches!(Header::decode(&bytes), Err(BadHeader::Damaged(_))), "byte {at}");
        }
    }

    #[test]
    fn a_newer_version_is_not_called_damage() {
        let mut bytes = HEADER.encode();
        bytes[8] = 2;
        let checksum = xxh3_64(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(BadHeader::Version(2)));
    }
}
