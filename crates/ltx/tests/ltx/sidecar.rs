//! Page indexes with hashes.

use plimsoll_ltx::{Frames, GROUP_PAGES, Header, decode, sidecar::Sidecar};
use plimsoll_model::{Epoch, ErrorKind, Lsn, Stamp, WriterId};
use xxhash_rust::xxh3::xxh3_64;

use crate::sample::{TWO_PAGES, encode, header, page_no, size, text_page, three_page_file};

fn sidecar() -> Sidecar {
    let (_, finished) = three_page_file(Frames::Block);
    Sidecar::of(&header(size(512), 5, 2, 2), finished)
}

/// Puts the right hash behind bytes that are wrong.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    [bytes, &xxh3_64(bytes).to_be_bytes()].concat()
}

#[test]
fn sidecars_come_back() {
    let sidecar = sidecar();
    assert_eq!(Sidecar::decode(sidecar.encode()).unwrap(), sidecar);

    let wide = header(size(65536), 9, 3, 7);
    let (_, finished) = encode(wide, Frames::Block, &[]);
    let empty = Sidecar::of(&wide, finished);
    assert_eq!(Sidecar::decode(empty.encode()).unwrap(), empty);
}

#[test]
fn a_sidecar_takes_eleven_or_twelve_bytes_per_page() {
    let pages: Vec<_> = (1..=1000).map(|page| (page_no(page), text_page(page, 4096))).collect();
    let header = header(size(4096), 1000, 1, 1);
    let (_, finished) = encode(header, Frames::Block, &pages);
    let sidecar = Sidecar::of(&header, finished);
    let bytes = sidecar.encode();
    assert!(bytes.len() <= 96 + 12 * 1000, "{}", bytes.len());
    assert_eq!(Sidecar::decode(bytes).unwrap(), sidecar);
}

#[test]
fn the_pages_of_a_group_are_found_as_they_were_written() {
    let numbers = [2, 511, 512, 513, 514, 1024, 2049, 5000, 5001];
    let pages: Vec<_> = numbers.into_iter().map(|page| (page_no(page), text_page(page, 512))).collect();
    let header = header(size(512), 6000, 2, 2);
    let (_, finished) = encode(header, Frames::Block, &pages);
    let written = finished.index.clone();
    let listed = Sidecar::of(&header, finished);
    let read = Sidecar::decode(listed.encode()).unwrap();
    for table in [&listed.entries, &read.entries] {
        assert_eq!(table.groups().collect::<Vec<_>>(), [0, 1, 4, 9]);
        for group in 0..12 {
            let wanted = written.iter().filter(|entry| (entry.page.get() - 1) / GROUP_PAGES == group).copied();
            assert_eq!(table.group(group).collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "group {group}");
        }
        assert_eq!((table.len(), table.is_empty()), (numbers.len(), false));
        assert!(table.iter().eq(written.iter().copied()));
    }
}

#[test]
fn bytes_at_rest_do_not_change() {
    let decoded = decode::verify_whole(TWO_PAGES).unwrap();
    let expected = [
        &b"PLIX\0\0\0\x02\0\0\x10\0\0\0\0\x02"[..],
        &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
        &decoded.header.timestamp.0.to_be_bytes(),
        &[0; 28],
        &353u64.to_be_bytes(),
        &0xd314_f294_27cb_700b_u64.to_be_bytes(),
        &[0, 0, 0, 2],
        &[1, 0x9d, 0x01, 0x6c, 0x7f, 0xb7, 0xc6, 0x15, 0x16, 0xff, 0x52],
        &[1, 0x39, 0xb0, 0x89, 0x79, 0x8b, 0x68, 0x30, 0xcf, 0x4e],
        &0x0443_3e58_3c18_cafd_u64.to_be_bytes(),
    ]
    .concat();
    assert_eq!(decoded.clone().sidecar().encode(), expected);
    assert_eq!(Sidecar::decode(expected).unwrap(), decoded.sidecar());
}

#[test]
fn a_sidecar_is_the_same_from_writing_a_file_and_from_reading_it() {
    let (bytes, _) = three_page_file(Frames::Block);
    assert_eq!(decode::verify_whole(&bytes).unwrap().sidecar(), sidecar());
}

#[test]
fn every_flipped_bit_is_reported() {
    let sound = sidecar().encode();
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(Sidecar::decode(damaged).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_sidecar_cut_anywhere_or_with_a_byte_too_many_is_reported() {
    let mut sound = sidecar().encode();
    for len in 0..sound.len() {
        assert_eq!(Sidecar::decode(sound[..len].to_vec()).unwrap_err().kind(), ErrorKind::Corrupt, "{len} bytes");
    }
    sound.push(0);
    assert_eq!(Sidecar::decode(sound).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_version_that_is_not_known_is_not_guessed_at() {
    for version in [1, 3] {
        let mut bytes = sidecar().encode();
        bytes.truncate(bytes.len() - 8);
        bytes[7] = version;
        let error = Sidecar::decode(sealed(&bytes)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(&format!("version {version}")), "{error}");
    }
}

#[test]
fn a_sidecar_of_the_first_version_is_told_from_a_damaged_one() {
    let first = [
        &b"PLIX\0\0\0\x01\0\0\x10\0\0\0\0\x02"[..],
        &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
        &353u64.to_be_bytes(),
        &0xd314_f294_27cb_700b_u64.to_be_bytes(),
        &[0, 0, 0, 2],
        &[1, 0x9d, 0x01, 0x6c, 0x7f, 0xb7, 0xc6, 0x15, 0x16, 0xff, 0x52],
        &[1, 0x39, 0xb0, 0x89, 0x79, 0x8b, 0x68, 0x30, 0xcf, 0x4e],
        &0xc227_2e6d_fb76_57aa_u64.to_be_bytes(),
    ]
    .concat();
    // Shorter than the head of the second one, or not: it is a version that is passed over.
    assert_eq!(Sidecar::decode(first).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn the_stamp_and_the_link_of_a_file_come_back() {
    let stamp = Stamp { writer: WriterId(7), epoch: Epoch(3), lsn: Lsn::CEILING };
    let header = Header { stamp: Some(stamp), link: 1 << 63 | 5, ..header(size(512), 5, 2, 2) };
    let (bytes, finished) = encode(header, Frames::Block, &[(page_no(3), text_page(3, 512))]);
    let sidecar = Sidecar::of(&header, finished);
    let read = Sidecar::decode(sidecar.encode()).unwrap();
    assert_eq!(read, sidecar);
    assert_eq!(read.header, decode::verify_whole(&bytes).unwrap().header);
}

#[test]
fn what_does_not_fit_together_is_reported_though_the_hash_is_right() {
    let sound = sidecar().encode();
    let body = &sound[..sound.len() - 8];
    assert_eq!(sealed(body), sound);
    let cases: [(&str, usize, u8); 10] = [
        ("page size", 11, 1),
        ("a page beyond the database", 15, 3),
        ("first transaction 0", 23, 0),
        ("an inverted range", 23, 3),
        ("a stamp without epoch", 51, 0),
        ("another file size", 75, body[75] ^ 1),
        ("a checksum that is none", 76, 0),
        ("fewer pages", 87, 2),
        ("more pages", 87, 4),
        ("a page number twice", 88 + 11, 0),
    ];
    for (what, at, value) in cases {
        let mut bytes = body.to_vec();
        bytes[at] = value;
        match Sidecar::decode(sealed(&bytes)) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}"),
            Ok(decoded) => panic!("{what} was accepted: {decoded:?}"),
        }
    }
    for count in [u32::MAX, 1 << 24] {
        let mut bytes = body.to_vec();
        bytes[84..88].copy_from_slice(&count.to_be_bytes());
        assert_eq!(Sidecar::decode(sealed(&bytes)).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
#[should_panic(expected = "BUG: the entries are not those of a file")]
fn entries_of_no_file_are_our_own_mistake() {
    let mut sidecar = sidecar();
    let mut entries: Vec<_> = sidecar.entries.iter().collect();
    entries.swap(0, 1);
    sidecar.entries = entries.into();
    let _ = sidecar.encode();
}
