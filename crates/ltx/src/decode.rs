//! Reading files: whole, as a stream, or by range.
//!
//! * [`verify_whole`], [`stream`] and [`Parts`] check everything that can be checked.
//! * [`read_tail`] finds the page index from the end of a file, for reading single pages by range
//!   with [`decode_frame`]. Both check what they see; only a hash from elsewhere can vouch for a page
//!   that was read that way.

mod parts;
mod stream;
mod tail;

use plimsoll_model::Result;

pub use parts::Parts;
pub use stream::{Page, Summary, stream};
pub use tail::{TailRead, read_tail};

pub use crate::frame::decode_frame;
use crate::{Finished, Header, IndexEntry, page_hash, sidecar::Sidecar};

/// A file that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The header.
    pub header: Header,
    /// The file checksum.
    pub checksum: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Where each page is, with its hash, in page order.
    pub index: Vec<IndexEntry>,
}

impl Decoded {
    /// The sidecar of this file.
    #[must_use]
    pub fn sidecar(self) -> Sidecar {
        Sidecar::of(&self.header, Finished { checksum: self.checksum, size: self.size, index: self.index })
    }
}

/// Checks a file in memory: structure, order, every page, the index against the pages, the file
/// checksum, and that nothing follows.
///
/// # Errors
/// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt) if anything is wrong.
pub fn verify_whole(bytes: &[u8]) -> Result<Decoded> {
    let mut index = Vec::new();
    let summary = stream(bytes, |page| {
        let at = page.location;
        index.push(IndexEntry { page: at.page, offset: at.offset, len: at.len, hash: page_hash(page.data) });
        Ok(())
    })?;
    Ok(Decoded { header: summary.header, checksum: summary.checksum, size: summary.size, index })
}
