//! LTX files, byte-compatible with Litestream 0.5.
//!
//! ```text
//! header 100 | page frame … | 6 zero bytes | page index | its length u64 | 0 u64 | checksum u64
//! ```
//!
//! Integers are big-endian. The checksum covers the *uncompressed* pages and everything around
//! them, so it is known only after reading the whole file, and a ranged read of one page verifies
//! nothing: that is what the page hashes of a [`sidecar`] are for.
//!
//! Everything here is a pure function of bytes. What is read comes from a store that others write
//! to, so no input panics, and no length is believed before it is compared with what is there.

mod checksum;
pub mod decode; // files -> pages: whole, streamed, by range
mod encode; // pages -> file
mod fault; // the errors of this crate
mod frame; // one page, compressed
mod header; // the first 100 bytes
mod index; // where each page is
pub mod key; // names of objects
pub mod plan; // which files make up a state
pub mod sidecar; // page indexes with hashes, our own format
mod table; // which pages a file has, and where
mod varint;

pub use encode::{Encoder, Finished, Frames};
pub use header::{HEADER_BYTES, Header};
pub use index::{IndexEntry, Location};
pub use key::{FileId, Layout, SIDECAR_FOLDER, SNAPSHOT_LEVEL};
pub use table::{Entries, GROUP_PAGES, PageTable};

/// The hash of a page's content that [`IndexEntry`] and [`sidecar`] carry: XXH3, 64 bits, seed 0.
#[must_use]
pub fn page_hash(data: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(data)
}
