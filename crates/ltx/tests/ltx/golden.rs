//! Bytes at rest do not change.

use plimsoll_host::WallMs;
use plimsoll_ltx::{Encoder, Frames, Header, decode};
use plimsoll_model::{PageCount, PageNo, PageSize, Txid};

use crate::sample::{TWO_PAGES, three_page_file};

type StoredPage = (PageNo, Vec<u8>, Vec<u8>);

fn stored_pages() -> (Header, Vec<StoredPage>) {
    let mut pages = Vec::new();
    let summary = decode::stream(TWO_PAGES, |page| {
        pages.push((page.number(), page.payload.unwrap().to_vec(), page.data.to_vec()));
        Ok(())
    });
    (summary.unwrap().header, pages)
}

#[test]
fn a_new_database_of_two_pages_reads_as_what_it_is() {
    let (header, pages) = stored_pages();
    let expected = Header {
        page_size: PageSize::DEFAULT,
        commit: PageCount(2),
        min: Txid(1),
        max: Txid(1),
        timestamp: WallMs(1_700_000_000_000),
        stamp: None,
        link: 0,
    };
    assert_eq!(header, expected);
    assert!(pages[0].2.starts_with(b"SQLite format 3\0"));
    assert!(pages[1].2.ends_with(b"hello world"));
}

#[test]
fn its_parts_are_where_the_format_says() {
    let be = |at: usize, len: usize| TWO_PAGES[at..at + len].iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    assert_eq!(TWO_PAGES.len(), 353);
    assert_eq!(&TWO_PAGES[..4], b"LTX1");
    assert_eq!((be(0x04, 4), be(0x08, 4), be(0x0c, 4), be(0x10, 8), be(0x18, 8)), (2, 4096, 2, 1, 1));
    assert!(TWO_PAGES[0x28..0x64].iter().all(|byte| *byte == 0));
    assert_eq!((be(0x64, 4), be(0x68, 2), be(0x6a, 4)), (1, 1, 0x93));
    assert_eq!((be(0x101, 4), be(0x105, 2), be(0x107, 4)), (2, 1, 0x2f));
    assert_eq!(be(0x13a, 6), 0);
    assert_eq!(TWO_PAGES[0x140..0x149], [0x01, 0x64, 0x9d, 0x01, 0x02, 0x81, 0x02, 0x39, 0x00]);
    assert_eq!((be(0x149, 8), be(0x151, 8)), (9, 0));
    assert_eq!(be(0x159, 8), 0xd314_f294_27cb_700b);
}

#[test]
fn writing_its_blocks_again_gives_the_same_bytes() {
    let (header, pages) = stored_pages();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
    for (page, payload, data) in &pages {
        encoder.page_precompressed(*page, payload, data).unwrap();
    }
    let finished = encoder.finish().unwrap();
    assert_eq!(bytes, TWO_PAGES);
    assert_eq!((finished.size, finished.checksum), (353, 0xd314_f294_27cb_700b));
}

/// A new version of the compressor may find shorter blocks and is then welcome to change this test,
/// but not the one above.
#[test]
fn compressing_its_pages_again_gives_the_same_bytes() {
    let (header, pages) = stored_pages();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
    for (page, _, data) in &pages {
        encoder.page(*page, data).unwrap();
    }
    let finished = encoder.finish().unwrap();
    assert_eq!(bytes, TWO_PAGES);
    let places: Vec<_> = finished.index.iter().map(|entry| (entry.page.get(), entry.offset, entry.len)).collect();
    assert_eq!(places, [(1, 0x64, 0x9d), (2, 0x101, 0x39)]);
}

#[test]
fn our_stamp_is_in_the_node_id_and_the_reserved_bytes() {
    let (bytes, _) = three_page_file(Frames::Block);
    assert_eq!(bytes[72..80], 0x0123_4567_89ab_cdef_u64.to_be_bytes());
    assert_eq!(bytes[80..84], 3u32.to_be_bytes());
    assert_eq!(bytes[84..92], 77u64.to_be_bytes());
    assert_eq!(bytes[92..100], 0x8000_1111_2222_3333_u64.to_be_bytes());
}

/// Old readers look for the next page right after an end mark and a content checksum.
#[test]
fn an_lz4_frame_has_the_descriptor_and_the_footer_that_old_readers_expect() {
    let (bytes, finished) = three_page_file(Frames::Frame);
    for entry in &finished.index {
        let frame = &bytes[entry.offset as usize..][..entry.len as usize];
        assert_eq!(frame[4..6], [0, 0]);
        assert_eq!(frame[6..13], [0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7]);
        let block = u32::from_le_bytes(frame[13..17].try_into().unwrap()) & !(1 << 31);
        assert!(block <= 512, "what does not shrink is stored as it is");
        assert_eq!(frame.len(), 17 + block as usize + 8);
        assert_eq!(frame[frame.len() - 8..][..4], [0; 4]);
    }
}
