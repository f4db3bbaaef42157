//! What the encoder will not write.

use std::io;

use plimsoll_ltx::{
    Encoder, Frames,
    decode::{self, TailRead},
};
use plimsoll_model::{ErrorKind, Txid};

use crate::sample::{encode, header, page_no, size, text_page};

fn refuses(commit: u32, pages: &[u32], next: u32) -> ErrorKind {
    let mut encoder = Encoder::new(io::sink(), header(size(65536), commit, 2, 2), Frames::Block).unwrap();
    let data = vec![7; 65536];
    for page in pages {
        encoder.page(page_no(*page), &data).unwrap();
    }
    let refused = encoder.page(page_no(next), &data).unwrap_err();
    let also = encoder.page_precompressed(page_no(next), &[0], &data).unwrap_err();
    assert_eq!(refused.kind(), also.kind());
    refused.kind()
}

#[test]
fn pages_must_ascend() {
    assert_eq!(refuses(9, &[2, 4], 3), ErrorKind::Invalid);
    assert_eq!(refuses(9, &[2, 4], 4), ErrorKind::Invalid);
}

#[test]
fn pages_must_be_within_the_database() {
    assert_eq!(refuses(9, &[2], 10), ErrorKind::Invalid);
}

#[test]
fn the_lock_page_is_never_written() {
    assert_eq!(size(65536).lock_page().get(), 16_385);
    assert_eq!(refuses(20_000, &[16_384], 16_385), ErrorKind::Invalid);
}

#[test]
fn a_page_must_be_as_long_as_the_page_size_says() {
    let mut encoder = Encoder::new(io::sink(), header(size(512), 3, 2, 2), Frames::Block).unwrap();
    for bytes in [0, 511, 513, 4096] {
        assert_eq!(encoder.page(page_no(1), &vec![0; bytes]).unwrap_err().kind(), ErrorKind::Invalid);
    }
    for payload in [0, 4096] {
        let refused = encoder.page_precompressed(page_no(1), &vec![0; payload], &[0; 512]);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid, "a payload of {payload} bytes");
    }
    encoder.page(page_no(1), &[0; 512]).unwrap();
}

#[test]
fn a_file_from_the_first_transaction_on_must_hold_every_page() {
    for pages in [&[1, 2][..], &[2, 3], &[1, 3], &[]] {
        let mut encoder = Encoder::new(io::sink(), header(size(512), 3, 1, 1), Frames::Block).unwrap();
        for page in pages {
            encoder.page(page_no(*page), &text_page(*page, 512)).unwrap();
        }
        assert_eq!(encoder.finish().unwrap_err().kind(), ErrorKind::Invalid, "{pages:?}");
    }
}

#[test]
fn a_whole_database_skips_the_lock_page_and_nothing_else() {
    let page = vec![0; 65536];
    let payload = lz4_flex::block::compress(&page);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header(size(65536), 16_386, 1, 1), Frames::Block).unwrap();
    for number in (1..=16_386).filter(|number| *number != 16_385) {
        encoder.page_precompressed(page_no(number), &payload, &page).unwrap();
    }
    let finished = encoder.finish().unwrap();
    let locations: Vec<_> = finished.index.iter().map(|entry| entry.location()).collect();
    assert_eq!((locations.len(), locations[16_384].page), (16_385, page_no(16_386)));
    let read = decode::read_tail(&bytes, finished.size).unwrap();
    assert_eq!(read, TailRead::Index { entries: locations, checksum: finished.checksum });
}

#[test]
fn a_later_file_may_hold_no_page_at_all() {
    let (bytes, finished) = encode(header(size(512), 3, 2, 2), Frames::Block, &[]);
    assert_eq!((bytes.len(), finished.size), (131, 131));
    let decoded = decode::verify_whole(&bytes).unwrap();
    assert_eq!((decoded.header.max, decoded.checksum), (Txid(2), finished.checksum));
    assert!(decoded.index.is_empty());
}

struct FullDisk(usize);

impl io::Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_at_any_byte_is_reported() {
    let (whole, _) = encode(header(size(512), 1, 1, 1), Frames::Block, &[(page_no(1), text_page(1, 512))]);
    for room in 0..=whole.len() {
        let written = (|| {
            let mut encoder = Encoder::new(FullDisk(room), header(size(512), 1, 1, 1), Frames::Block)?;
            encoder.page(page_no(1), &text_page(1, 512))?;
            encoder.finish()
        })();
        match written {
            Ok(finished) => assert_eq!((room, finished.size), (whole.len(), whole.len() as u64)),
            Err(error) => assert!(error.kind() == ErrorKind::Full && room < whole.len(), "{room}: {error}"),
        }
    }
}
