//! The file checksum: CRC-64/GO-ISO with the top bit set, so that it is never zero.

use crc_fast::{CrcAlgorithm, Digest};

/// Set in every checksum.
pub(crate) const FLAG: u64 = 1 << 63;

pub(crate) struct FileChecksum(Digest);

impl FileChecksum {
    pub(crate) fn new() -> Self {
        FileChecksum(Digest::new(CrcAlgorithm::Crc64GoIso))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finalize() | FLAG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomial_is_the_one_that_go_calls_iso() {
        assert_eq!(crc_fast::checksum(CrcAlgorithm::Crc64GoIso, b"123456789"), 0xb909_56c7_75a4_1001);
    }

    #[test]
    fn pieces_add_up_and_the_top_bit_is_always_set() {
        let mut pieces = FileChecksum::new();
        pieces.update(b"1234");
        pieces.update(b"");
        pieces.update(b"56789");
        assert_eq!(pieces.finish(), 0xb909_56c7_75a4_1001);
        assert_eq!(FileChecksum::new().finish() & FLAG, FLAG);
    }
}
