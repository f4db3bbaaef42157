//! Files to test with.

use plimsoll_host::WallMs;
use plimsoll_ltx::{Encoder, Finished, Frames, Header};
use plimsoll_model::{Epoch, Lsn, PageCount, PageNo, PageSize, Stamp, Txid, WriterId};

/// Two pages of a new database, read and restored by Litestream's VFS 0.5.17 as they are here.
pub(crate) const TWO_PAGES: &[u8] = include_bytes!("../fixtures/two-pages.ltx");

/// The transaction after it, written by Litestream's VFS 0.5.17.
pub(crate) const BY_LITESTREAM: &[u8] = include_bytes!("../fixtures/litestream-vfs-0.5.17.ltx");

pub(crate) fn page_no(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

pub(crate) fn size(bytes: u32) -> PageSize {
    PageSize::new(bytes).unwrap()
}

pub(crate) fn header(page_size: PageSize, commit: u32, min: u64, max: u64) -> Header {
    Header {
        page_size,
        commit: PageCount(commit),
        min: Txid(min),
        max: Txid(max),
        timestamp: WallMs(1_700_000_000_000),
        stamp: Some(Stamp { writer: WriterId(0x0123_4567_89ab_cdef), epoch: Epoch(3), lsn: Lsn(77) }),
        link: 0x8000_1111_2222_3333,
    }
}

pub(crate) fn encode(header: Header, frames: Frames, pages: &[(PageNo, Vec<u8>)]) -> (Vec<u8>, Finished) {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, frames).unwrap();
    for (page, data) in pages {
        encoder.page(*page, data).unwrap();
    }
    let finished = encoder.finish().unwrap();
    (bytes, finished)
}

/// A page that neither is empty nor compresses to nothing.
pub(crate) fn text_page(page: u32, bytes: usize) -> Vec<u8> {
    format!("page {page} of the ledger; ").bytes().cycle().take(bytes).collect()
}

/// Three pages of 512 bytes: text, zeros, noise.
pub(crate) fn three_pages() -> Vec<(PageNo, Vec<u8>)> {
    let mut state = 1u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    vec![(page_no(1), text_page(1, 512)), (page_no(2), vec![0; 512]), (page_no(4), noise.take(512).collect())]
}

pub(crate) fn three_page_file(frames: Frames) -> (Vec<u8>, Finished) {
    encode(header(size(512), 5, 2, 2), frames, &three_pages())
}
