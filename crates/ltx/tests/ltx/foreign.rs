//! Files and LZ4 frames that others wrote.

use std::io::{Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use plimsoll_ltx::{Frames, decode};
use plimsoll_model::{ErrorKind, PageCount, Txid};

use crate::sample::{BY_LITESTREAM, page_no, size, text_page, three_page_file, three_pages};

#[test]
fn a_file_by_litestream_is_read() {
    let decoded = decode::verify_whole(BY_LITESTREAM).unwrap();
    assert_eq!((decoded.header.min, decoded.header.commit, decoded.header.stamp), (Txid(2), PageCount(2), None));
    let mut pages = Vec::new();
    decode::stream(BY_LITESTREAM, |page| {
        assert!(page.payload.is_some());
        pages.push(page.data.to_vec());
        Ok(())
    })
    .unwrap();
    assert!(pages[0].starts_with(b"SQLite format 3\0"));
    assert!(pages[1].windows(7).any(|bytes| bytes == b"goodbye"));
}

/// Every shape of LZ4 frame that holds one page, the 4 MiB blocks of Litestream 0.5.15 among them.
fn infos() -> Vec<FrameInfo> {
    let mut infos = Vec::new();
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for (blocks, content) in [(false, true), (true, true), (true, false), (false, false)] {
                let info = FrameInfo::new().block_size(size).block_mode(mode);
                infos.push(info.block_checksums(blocks).content_checksum(content));
            }
        }
    }
    infos
}

/// `flushes` splits the page into that many more blocks.
fn frame(info: FrameInfo, page: u32, data: &[u8], flushes: usize) -> Vec<u8> {
    let mut bytes = page.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0, 0]);
    let mut encoder = FrameEncoder::with_frame_info(info, bytes);
    for part in data.chunks(data.len().div_ceil(flushes + 1).max(1)) {
        encoder.write_all(part).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn lz4_frames_of_every_shape_are_read() {
    for bytes in [512, 4096, 65536] {
        for info in infos() {
            for flushes in [0, 3] {
                let data = text_page(7, bytes);
                let sized = info.clone().content_size((flushes == 0).then_some(bytes as u64));
                let frame = frame(sized, 7, &data, flushes);
                let mut out = vec![0; bytes];
                decode::decode_frame(&frame, page_no(7), size(bytes as u32), &mut out)
                    .unwrap_or_else(|error| panic!("{info:?}, {flushes} flushes: {error}"));
                assert!(out == data);
            }
        }
    }
}

#[test]
fn lz4_frames_of_more_or_less_than_a_page_are_refused() {
    for bytes in [0, 511, 513, 2048] {
        for info in infos() {
            let frame = frame(info, 7, &text_page(7, bytes), 0);
            let refused = decode::decode_frame(&frame, page_no(7), size(512), &mut [0; 512]);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt, "{bytes}");
        }
    }
}

#[test]
fn our_lz4_frames_are_read_by_others() {
    let (bytes, finished) = three_page_file(Frames::Frame);
    for (entry, (_, expected)) in finished.index.iter().zip(three_pages()) {
        let frame = &bytes[entry.offset as usize + 6..entry.location().end() as usize];
        let mut data = Vec::new();
        FrameDecoder::new(frame).read_to_end(&mut data).unwrap();
        assert_eq!(data, expected);
    }
}

#[test]
fn blocks_and_frames_may_be_mixed_in_one_file() {
    let (mut block, finished) = three_page_file(Frames::Block);
    let (frame, framed) = three_page_file(Frames::Frame);
    let (first, other) = (&finished.index[0], &framed.index[0]);
    let end = first.location().end() as usize;
    block.splice(100..end, frame[100..other.location().end() as usize].iter().copied());
    // The index and the checksum are now wrong, but every page is read before that is noticed.
    let mut pages = Vec::new();
    let error = decode::stream(&block[..], |page| {
        pages.push((page.number(), page.data.to_vec()));
        Ok(())
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(pages, three_pages());
}

/// A ranged read has nothing but these checksums to go by.
#[test]
fn a_flipped_bit_in_an_lz4_frame_is_reported_by_the_checksums_in_it() {
    let data = text_page(7, 512);
    for (blocks, content) in [(true, false), (false, true)] {
        let sound = frame(FrameInfo::new().block_checksums(blocks).content_checksum(content), 7, &data, 1);
        for at in 0..sound.len() {
            for bit in 0..8 {
                let mut damaged = sound.clone();
                damaged[at] ^= 1 << bit;
                let mut out = [0; 512];
                match decode::decode_frame(&damaged, page_no(7), size(512), &mut out) {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at} bit {bit}"),
                    Ok(()) => assert!(content && out[..] == data, "byte {at} bit {bit}"),
                }
            }
        }
    }
}

/// Such a frame once had no end: each of its blocks is sound and adds nothing.
#[test]
fn a_frame_of_empty_blocks_is_refused() {
    let data = text_page(7, 512);
    let sound = frame(FrameInfo::new(), 7, &data, 0);
    // Head of the page, magic, descriptor of three bytes.
    let blocks = 6 + 4 + 3;
    for empty in [&[0, 0, 0, 0x80][..], &[1, 0, 0, 0, 0]] {
        let mut frame = sound[..blocks].to_vec();
        frame.extend_from_slice(empty);
        frame.extend_from_slice(&sound[blocks..]);
        let error = decode::decode_frame(&frame, page_no(7), size(512), &mut [0; 512]).unwrap_err();
        assert_eq!(error.kind(), plimsoll_model::ErrorKind::Corrupt, "{error}");
    }
}
