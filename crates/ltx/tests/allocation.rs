//! Neither a lying length nor a sidecar of many pages makes a reader allocate much.
//!
//! One test only: the counter is for the whole process.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use plimsoll_host::WallMs;
use plimsoll_ltx::{Encoder, Frames, Header, decode, sidecar::Sidecar};
use plimsoll_model::{PageCount, PageNo, PageSize, Txid};
use xxhash_rust::xxh3::xxh3_64;

struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

/// Largest single allocation that `read` makes, which must fail.
fn largest<T>(read: impl FnOnce() -> plimsoll_model::Result<T>) -> usize {
    LARGEST.store(0, Ordering::Relaxed);
    assert!(read().is_err(), "a lie was believed");
    LARGEST.load(Ordering::Relaxed)
}

/// A file of 64 KiB pages and the widest claims: the worst that a header can ask for.
fn hostile_header() -> Vec<u8> {
    let mut file = b"LTX1\0\0\0\x02\0\x01\0\0\xff\xff\xff\xff".to_vec();
    file.extend_from_slice(&2u64.to_be_bytes());
    file.extend_from_slice(&u64::MAX.to_be_bytes());
    file.resize(100, 0);
    file
}

fn sidecar_of(pages: u32) -> Vec<u8> {
    let page_size = PageSize::new(512).expect("a page size");
    let (commit, timestamp) = (PageCount(pages), WallMs(1));
    let header = Header { page_size, commit, min: Txid(1), max: Txid(1), timestamp, stamp: None, link: 0 };
    let mut encoder = Encoder::new(Vec::new(), header, Frames::Block).expect("a sound header");
    for page in (1..=pages).filter_map(PageNo::new) {
        encoder.page(page, &[7; 512]).expect("memory takes it");
    }
    Sidecar::of(&header, encoder.finish().expect("memory takes it")).encode()
}

#[test]
fn neither_a_lying_length_nor_a_sidecar_of_many_pages_makes_a_reader_allocate_much() {
    const MUCH: usize = 256 << 10;

    let block_of_4_gib = [&hostile_header()[..], &[0, 0, 0, 1, 0, 1, 0xff, 0xff, 0xff, 0xff], &[0; 64]].concat();
    assert!(largest(|| decode::verify_whole(&block_of_4_gib)) < MUCH);
    assert!(largest(|| decode::stream(&block_of_4_gib[..], |_| Ok(()))) < MUCH);

    // An LZ4 frame that asks for buffers of 4 MiB, with a block of 2 GiB.
    let frame = [0, 0, 0, 1, 0, 0, 4, 0x22, 0x4d, 0x18, 0x64, 0x70, 0xb9, 0xff, 0xff, 0xff, 0x7f, 0, 0];
    let mut page = vec![0; 65536];
    let page_size = PageSize::new(65536).expect("a page size");
    assert!(largest(|| decode::decode_frame(&frame, PageNo::FIRST, page_size, &mut page)) < MUCH);
    assert!(largest(|| decode::verify_whole(&[&hostile_header()[..], &frame].concat())) < MUCH);

    for index_bytes in [1, 1 << 40, u64::MAX / 2, u64::MAX] {
        let tail = [&[0xff; 100][..], &u64::to_be_bytes(index_bytes), &[0; 8], &[0xff; 8]].concat();
        for object_size in [tail.len() as u64, 131, 1 << 20, u64::MAX] {
            if object_size < tail.len() as u64 {
                continue;
            }
            LARGEST.store(0, Ordering::Relaxed);
            let _ = decode::read_tail(&tail, object_size);
            assert!(LARGEST.load(Ordering::Relaxed) < 4096, "{index_bytes} of {object_size}");
        }
    }

    let mut sidecar = b"PLIX\0\0\0\x02\0\x01\0\0\xff\xff\xff\xff".to_vec();
    sidecar.resize(84, 1);
    sidecar.extend_from_slice(&u32::MAX.to_be_bytes());
    sidecar.extend_from_slice(&[1; 100]);
    sidecar.extend_from_slice(&xxh3_64(&sidecar).to_be_bytes());
    assert!(largest(|| Sidecar::decode(sidecar)) < 4096);

    let sidecar = sidecar_of(100_000);
    LARGEST.store(0, Ordering::Relaxed);
    assert_eq!(Sidecar::decode(sidecar).expect("a sound sidecar").entries.len(), 100_000);
    assert!(LARGEST.load(Ordering::Relaxed) < 10_000, "its entries were laid out");

    // The counter does count.
    LARGEST.store(0, Ordering::Relaxed);
    drop(vec![1u8; MUCH]);
    assert!(LARGEST.load(Ordering::Relaxed) >= MUCH);
}
