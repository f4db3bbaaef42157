//! Every broken byte is reported, and nothing panics.

use crc_fast::{CrcAlgorithm, checksum};
use plimsoll_ltx::{
    Frames, Header, Layout,
    decode::{self, Decoded, TailRead},
    sidecar::Sidecar,
};
use plimsoll_model::{Error, ErrorKind, PageNo, Result};
use proptest::prelude::*;

use crate::sample::{BY_LITESTREAM, TWO_PAGES, header, page_no, size, text_page, three_page_file};

fn files() -> Vec<Vec<u8>> {
    let (block, _) = three_page_file(Frames::Block);
    let (frame, _) = three_page_file(Frames::Frame);
    vec![block, frame, TWO_PAGES.to_vec(), BY_LITESTREAM.to_vec()]
}

fn read(bytes: &[u8]) -> Result<(Decoded, Vec<Vec<u8>>)> {
    let mut pages = Vec::new();
    decode::stream(bytes, |page| {
        pages.push(page.data.to_vec());
        Ok(())
    })?;
    Ok((decode::verify_whole(bytes)?, pages))
}

/// The checksum covers pages as they come out. In a run of zeros a block may point two bytes back
/// as well as one, so a flip in there can leave the page as it was; nothing else may pass.
#[test]
fn a_flipped_bit_is_reported_unless_every_page_comes_out_the_same() {
    for file in files() {
        let sound = read(&file).unwrap();
        let in_a_block =
            |offset: u64| sound.0.index.iter().any(|at| (at.offset + 10..at.location().end()).contains(&offset));
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                match read(&damaged) {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at} bit {bit}: {error}"),
                    Ok(result) => {
                        assert!(in_a_block(at as u64), "byte {at} bit {bit} is not in a block, and was not reported");
                        assert_eq!(result, sound, "byte {at} bit {bit}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_or_with_a_byte_too_many_is_reported() {
    for mut file in files() {
        for len in 0..file.len() {
            let error = decode::verify_whole(&file[..len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{len} bytes: {error}");
        }
        file.push(0);
        assert_eq!(decode::verify_whole(&file).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_frame_cut_anywhere_or_with_a_byte_too_many_is_reported() {
    for frames in [Frames::Block, Frames::Frame] {
        let (bytes, finished) = three_page_file(frames);
        let mut out = [0; 512];
        for entry in finished.index {
            let mut frame = bytes[entry.offset as usize..entry.location().end() as usize].to_vec();
            for len in 0..frame.len() {
                let error = decode::decode_frame(&frame[..len], entry.page, size(512), &mut out).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{len} bytes: {error}");
            }
            frame.push(0);
            let error = decode::decode_frame(&frame, entry.page, size(512), &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }
}

#[test]
fn a_damaged_tail_never_points_outside_the_pages() {
    for file in files() {
        let size = file.len() as u64;
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut tail = file.clone();
                tail[at] ^= 1 << bit;
                if let Ok(TailRead::Index { entries, .. }) = decode::read_tail(&tail, size) {
                    let mut end = 100;
                    for entry in entries {
                        assert_eq!(entry.offset, end);
                        end = entry.end();
                    }
                    assert!(end < size - 24);
                }
            }
        }
        assert_eq!(decode::read_tail(&file, size - 1).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(decode::read_tail(&file, size + 1).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(decode::read_tail(&[], 0).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(decode::read_tail(&[], 130).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// What the end of a file can give away by itself: 0x13a six zeros, 0x140 the index, 0x149 its length.
#[test]
fn an_index_that_does_not_describe_its_file_is_reported_from_the_tail_alone() {
    let size = TWO_PAGES.len() as u64;
    let cases: [(&str, usize, &[u8]); 8] = [
        ("no mark after the pages", 0x13f, &[1]),
        ("an offset into the header", 0x141, &[0x63]),
        ("a gap between two pages", 0x146, &[0x03]),
        ("a page that is longer than up to the next", 0x142, &[0x9e]),
        ("a last page that ends too early", 0x147, &[0x38]),
        ("pages that descend", 0x144, &[1]),
        ("an end before the end", 0x144, &[0]),
        ("no file checksum", 0x159, &[0x53]),
    ];
    for (what, at, bytes) in cases {
        let mut tail = TWO_PAGES.to_vec();
        tail[at..at + bytes.len()].copy_from_slice(bytes);
        match decode::read_tail(&tail, size) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}"),
            Ok(read) => panic!("{what} was accepted: {read:?}"),
        }
    }
    // The frames fill the file, but a byte follows the end of the index.
    let mut tail = TWO_PAGES.to_vec();
    tail.insert(0x149, 0);
    tail[0x151] = 10;
    says(&decode::read_tail(&tail, size + 1).unwrap_err(), "page index is damaged");
}

/// A file that nobody should write, with a checksum that is right.
struct Forged {
    header: Header,
    frames: Vec<(u32, u16, Vec<u8>)>,
    data: Vec<Vec<u8>>,
    index: Option<Vec<u8>>,
    index_bytes: Option<u64>,
}

fn forged(header: Header, pages: &[u32]) -> Forged {
    let data: Vec<Vec<u8>> = pages.iter().map(|page| text_page(*page, header.page_size.bytes())).collect();
    let frames = pages.iter().zip(&data).map(|(page, data)| (*page, 1, block(data))).collect();
    Forged { header, frames, data, index: None, index_bytes: None }
}

fn block(data: &[u8]) -> Vec<u8> {
    let compressed = lz4_flex::block::compress(data);
    let mut out = (compressed.len() as u32).to_be_bytes().to_vec();
    out.extend(compressed);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Forged {
    fn bytes(&self) -> Vec<u8> {
        let mut file = self.header.encode().unwrap().to_vec();
        let mut covered = file.clone();
        let mut index = Vec::new();
        for ((page, flags, body), data) in self.frames.iter().zip(&self.data) {
            varint(&mut index, u64::from(*page));
            varint(&mut index, file.len() as u64);
            varint(&mut index, body.len() as u64 + 6);
            let head = [&page.to_be_bytes()[..], &flags.to_be_bytes(), &body[..4]].concat();
            covered.extend_from_slice(&head);
            covered.extend_from_slice(data);
            file.extend_from_slice(&head);
            file.extend_from_slice(&body[4..]);
        }
        index.push(0);
        let index = self.index.clone().unwrap_or(index);
        let index_bytes = self.index_bytes.unwrap_or(index.len() as u64);
        let end = [&[0; 6][..], &index, &index_bytes.to_be_bytes(), &[0; 8]].concat();
        covered.extend_from_slice(&end);
        file.extend_from_slice(&end);
        let crc = checksum(CrcAlgorithm::Crc64GoIso, &covered) | 1 << 63;
        file.extend_from_slice(&crc.to_be_bytes());
        file
    }

    fn error(&self) -> Error {
        decode::verify_whole(&self.bytes()).unwrap_err()
    }
}

fn says(error: &Error, words: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(words), "'{error}' does not say '{words}'");
}

#[test]
fn a_forged_file_without_a_fault_is_accepted() {
    let sound = forged(header(size(512), 9, 2, 2), &[2, 5, 9]);
    decode::verify_whole(&sound.bytes()).unwrap();
}

#[test]
fn pages_in_the_wrong_place_are_reported_though_the_checksum_is_right() {
    let later = header(size(512), 9, 2, 2);
    says(&forged(later, &[5, 2]).error(), "comes after");
    says(&forged(later, &[5, 5]).error(), "comes after");
    says(&forged(later, &[10]).error(), "beyond");
    says(&forged(header(size(65536), 20_000, 2, 2), &[16_385]).error(), "lock page");
    says(&forged(header(size(512), 3, 1, 1), &[1, 3]).error(), "must hold all 3 pages");
}

#[test]
fn an_index_that_disagrees_with_the_pages_is_reported_though_the_checksum_is_right() {
    let mut file = forged(header(size(512), 9, 2, 2), &[2, 5]);
    let mut index = Vec::new();
    let decoded = decode::verify_whole(&file.bytes()).unwrap();
    for entry in &decoded.index {
        for value in [u64::from(entry.page.get()), entry.offset, u64::from(entry.len)] {
            varint(&mut index, value);
        }
    }
    index.push(0);
    file.index = Some(index.clone());
    decode::verify_whole(&file.bytes()).unwrap();
    for at in 0..index.len() {
        let mut other = index.clone();
        other[at] ^= 1;
        file.index = Some(other);
        says(&file.error(), "index disagrees");
    }
    for other in [&index[..index.len() - 1], &[&[1, 100, 20], &index[..]].concat(), &[0]] {
        file.index = Some(other.to_vec());
        assert_eq!(file.error().kind(), ErrorKind::Corrupt);
    }
    file.index = Some(index.clone());
    file.index_bytes = Some(index.len() as u64 + 1);
    says(&file.error(), "index disagrees");
}

#[test]
fn a_page_of_the_wrong_length_is_reported_though_the_checksum_is_right() {
    for bytes in [0, 1, 511, 513, 1024] {
        let mut file = forged(header(size(512), 9, 2, 2), &[2]);
        file.data[0] = text_page(2, bytes);
        file.frames[0].2 = block(&file.data[0]);
        says(&file.error(), "page 2");
    }
}

#[test]
fn unknown_page_flags_are_reported() {
    for flags in [2, 3, 0x8001] {
        let mut file = forged(header(size(512), 9, 2, 2), &[2]);
        file.frames[0].1 = flags;
        says(&file.error(), "unknown flags");
    }
}

fn try_everything(bytes: &[u8]) {
    let _ = decode::verify_whole(bytes);
    let _ = Header::decode(bytes);
    let _ = decode::read_tail(bytes, bytes.len() as u64);
    let _ = decode::read_tail(bytes, u64::MAX);
    let _ = Sidecar::decode(bytes.to_vec());
    let expect = bytes.first_chunk().and_then(|page| PageNo::new(u32::from_be_bytes(*page)));
    let _ = decode::decode_frame(bytes, expect.unwrap_or(page_no(1)), size(512), &mut [0; 512]);
    let _ = Layout::S3.parse(&String::from_utf8_lossy(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        try_everything(&bytes);
    }

    #[test]
    fn noise_after_the_head_of_a_frame_never_panics(
        framed: bool,
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let head: &[u8] = if framed {
            &[0, 0, 0, 1, 0, 0, 0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7]
        } else {
            &[0, 0, 0, 1, 0, 1]
        };
        let mut frame = head.to_vec();
        if framed {
            frame.extend_from_slice(&(noise.len() as u32).to_le_bytes());
        } else {
            frame.extend_from_slice(&(noise.len() as u32).to_be_bytes());
        }
        frame.extend_from_slice(&noise);
        try_everything(&frame);
    }

    #[test]
    fn a_file_with_strange_bytes_in_it_never_panics(
        which in 0usize..4,
        at in 0usize..600,
        noise in proptest::collection::vec(any::<u8>(), 1..9),
    ) {
        let mut file = files().swap_remove(which);
        let at = at % file.len();
        for (byte, noise) in file[at..].iter_mut().zip(noise) {
            *byte = noise;
        }
        try_everything(&file);
        try_everything(&file[at..]);
    }
}
