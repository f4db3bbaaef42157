//! Files that are checked part by part.

use plimsoll_ltx::{
    Frames, HEADER_BYTES,
    decode::{Decoded, Parts, TailRead, read_tail, verify_whole},
};
use plimsoll_model::Result;

use crate::sample::{BY_LITESTREAM, TWO_PAGES, three_page_file};

/// Hands a file over with so many frames at a time.
fn check(bytes: &[u8], at_once: usize) -> Result<Decoded> {
    let TailRead::Index { entries, .. } = read_tail(bytes, bytes.len() as u64)? else { panic!("all of it is there") };
    let mut parts = Parts::begin(&bytes[..HEADER_BYTES])?;
    for frames in entries.chunks(at_once) {
        let start = parts.offset() as usize;
        parts.frames(&bytes[start..frames.last().unwrap().end() as usize])?;
    }
    let end = parts.offset() as usize;
    parts.finish(&bytes[end..])
}

#[test]
fn a_file_is_the_same_in_parts_and_whole() {
    let (blocks, _) = three_page_file(Frames::Block);
    let (frames, _) = three_page_file(Frames::Frame);
    for file in [TWO_PAGES, BY_LITESTREAM, &blocks, &frames] {
        let whole = verify_whole(file).unwrap();
        for at_once in 1..=3 {
            assert_eq!(check(file, at_once).unwrap(), whole);
        }
    }
}

#[test]
fn every_flipped_bit_is_reported_in_parts_too() {
    for form in [Frames::Block, Frames::Frame] {
        let (sound, _) = three_page_file(form);
        for at in 0..sound.len() {
            for bit in [0, 3, 7] {
                let mut damaged = sound.clone();
                damaged[at] ^= 1 << bit;
                let unchanged = verify_whole(&damaged).is_ok();
                assert_eq!(check(&damaged, 2).is_ok(), unchanged, "byte {at} bit {bit}");
            }
        }
    }
}
