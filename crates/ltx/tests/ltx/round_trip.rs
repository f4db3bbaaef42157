//! What goes in comes out, by every way of reading.

use plimsoll_ltx::{
    Encoder, Frames, Location,
    decode::{self, TailRead},
    page_hash,
};
use plimsoll_model::{Error, ErrorKind, PageNo, PageSize};
use proptest::prelude::*;

use crate::sample::{encode, header, page_no, size, text_page, three_page_file, three_pages};

fn any_page(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0; bytes]),
        Just(vec![0xff; bytes]),
        any::<u32>().prop_map(move |seed| text_page(seed, bytes)),
        // What does not compress at all.
        any::<u64>().prop_map(move |seed| noise(seed, bytes)),
        // What does in part: text at the front, noise behind it.
        (any::<u64>(), 0..bytes).prop_map(move |(seed, at)| {
            let mut page = text_page(1, bytes);
            page[at..].copy_from_slice(&noise(seed, bytes - at));
            page
        }),
    ]
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(8) as u64)
        .flat_map(|n| page_hash(&(seed ^ n.rotate_left(32)).to_le_bytes()).to_le_bytes())
        .take(bytes)
        .collect()
}

type Pages = Vec<(PageNo, Vec<u8>)>;

fn any_pages() -> impl Strategy<Value = (PageSize, Pages)> {
    (9u32..=16).prop_flat_map(|log| {
        let size = size(1 << log);
        let pages = proptest::collection::btree_map(1u32..300_000, any_page(size.bytes()), 0..8);
        (Just(size), pages).prop_map(|(size, pages)| {
            let lock = size.lock_page();
            (size, pages.into_iter().map(|(n, data)| (page_no(n), data)).filter(|(n, _)| *n != lock).collect())
        })
    })
}

/// Reads pages as a client of the object store does: the tail, again if it was too short, then
/// each frame by its range.
fn read_by_range(bytes: &[u8], page_size: PageSize, mut tail: u64) -> Result<Pages, Error> {
    let size = bytes.len() as u64;
    let entries = loop {
        match decode::read_tail(&bytes[bytes.len() - tail.min(size) as usize..], size)? {
            TailRead::Index { entries, .. } => break entries,
            TailRead::NeedMore(more) => {
                assert!(more > tail && more <= size, "no progress: {tail} -> {more} of {size}");
                tail = more;
            }
        }
    };
    let mut pages = Vec::new();
    for Location { page, offset, len } in entries {
        let mut data = vec![0xee; page_size.bytes()];
        decode::decode_frame(&bytes[offset as usize..][..len as usize], page, page_size, &mut data)?;
        pages.push((page, data));
    }
    Ok(pages)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_page_comes_back_whatever_its_size_and_content(
        (page_size, pages) in any_pages(),
        framed: bool,
        tail in 0u64..400,
    ) {
        let frames = if framed { Frames::Frame } else { Frames::Block };
        let header = header(page_size, 300_000, 2, 5);
        let (bytes, finished) = encode(header, frames, &pages);
        prop_assert_eq!(finished.size, bytes.len() as u64);

        let decoded = decode::verify_whole(&bytes).unwrap();
        prop_assert_eq!(decoded.header, header);
        prop_assert_eq!(decoded.checksum, finished.checksum);
        prop_assert_eq!(&decoded.index, &finished.index);
        for (entry, (page, data)) in finished.index.iter().zip(&pages) {
            prop_assert_eq!((entry.page, entry.hash), (*page, page_hash(data)));
        }

        let mut streamed = Pages::new();
        decode::stream(&bytes[..], |page| {
            streamed.push((page.number(), page.data.to_vec()));
            Ok(())
        }).unwrap();
        prop_assert_eq!(&streamed, &pages);
        prop_assert_eq!(&read_by_range(&bytes, page_size, tail).unwrap(), &pages);
    }

    #[test]
    fn blocks_are_carried_over_without_being_compressed_again((page_size, pages) in any_pages()) {
        let header = header(page_size, 300_000, 2, 5);
        let (bytes, finished) = encode(header, Frames::Block, &pages);
        for frames in [Frames::Block, Frames::Frame] {
            let mut copy = Vec::new();
            let mut encoder = Encoder::new(&mut copy, header, frames).unwrap();
            decode::stream(&bytes[..], |page| {
                encoder.page_precompressed(page.number(), page.payload.expect("a block"), page.data)
            }).unwrap();
            let again = encoder.finish().unwrap();
            let (expected, _) = encode(header, frames, &pages);
            prop_assert_eq!(&copy, &expected);
            prop_assert_eq!(again.checksum == finished.checksum, frames == Frames::Block || pages.is_empty());
        }
    }
}

/// Reads one byte at a time, so that nothing rests on how a source cuts its answers.
struct Dribble<'a>(&'a [u8]);

impl std::io::Read for Dribble<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let bytes = out.len().min(1);
        std::io::Read::read(&mut self.0, &mut out[..bytes])
    }
}

#[test]
fn a_source_may_answer_in_pieces() {
    for frames in [Frames::Block, Frames::Frame] {
        let (bytes, finished) = three_page_file(frames);
        let summary = decode::stream(Dribble(&bytes), |_| Ok(())).unwrap();
        assert_eq!((summary.checksum, summary.size, summary.pages), (finished.checksum, bytes.len() as u64, 3));
    }
}

#[test]
fn a_caller_can_stop_a_stream_and_gets_its_own_error() {
    let (bytes, _) = three_page_file(Frames::Block);
    let mut seen = 0;
    let stopped = decode::stream(&bytes[..], |_| {
        seen += 1;
        Err(Error::new(ErrorKind::Closed, "restoring"))
    });
    assert_eq!((stopped.unwrap_err().kind(), seen), (ErrorKind::Closed, 1));
}

#[test]
fn a_failing_source_is_not_called_corrupt() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::TimedOut.into())
        }
    }
    assert_eq!(decode::stream(Broken, |_| Ok(())).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn every_length_of_tail_either_suffices_or_says_what_would() {
    let (bytes, finished) = three_page_file(Frames::Block);
    let locations: Vec<_> = finished.index.iter().map(|entry| entry.location()).collect();
    let needed = (bytes.len() as u64) - locations[2].end();
    for tail in 0..=bytes.len() as u64 {
        let read = decode::read_tail(&bytes[bytes.len() - tail as usize..], bytes.len() as u64).unwrap();
        if tail < 24 {
            assert_eq!(read, TailRead::NeedMore(131));
        } else if tail < needed {
            assert_eq!(read, TailRead::NeedMore(needed));
        } else {
            assert_eq!(read, TailRead::Index { entries: locations.clone(), checksum: finished.checksum });
        }
    }
}

#[test]
fn a_frame_of_another_page_is_not_taken_for_the_one_asked_for() {
    let (bytes, finished) = three_page_file(Frames::Block);
    let pages = three_pages();
    let mut out = vec![0; 512];
    for (entry, (page, data)) in finished.index.iter().zip(&pages) {
        let frame = &bytes[entry.offset as usize..][..entry.len as usize];
        decode::decode_frame(frame, *page, size(512), &mut out).unwrap();
        assert_eq!(&out, data);
        let other = decode::decode_frame(frame, page_no(3), size(512), &mut out);
        assert_eq!(other.unwrap_err().kind(), ErrorKind::Corrupt);
        let misfit = decode::decode_frame(frame, *page, size(512), &mut [0; 1024]);
        assert_eq!(misfit.unwrap_err().kind(), ErrorKind::Invalid);
        let wrong_size = decode::decode_frame(frame, *page, size(1024), &mut [0; 1024]);
        assert_eq!(wrong_size.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
