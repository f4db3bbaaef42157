//! A file's header and page index with a hash per page, so that what is read of it by range can be verified.
//!
//! ```text
//!  0 "PLIX" | 4 version u32 = 2 | 8 page size u32 | 12 commit u32 | 16 min u64 | 24 max u64
//! 32 timestamp u64 | 40 writer u64 | 48 epoch u32 | 52 lsn u64 | 60 link u64
//! 68 file bytes u64 | 76 file checksum u64 | 84 pages u32
//! 88 per page: distance from the page before, varint | bytes of its frame, varint | hash u64
//!    xxh3 of everything before u64
//! ```
//!
//! Version 1 had no timestamp, stamp and link; such sidecars are passed over. Integers are big-endian. Offsets follow
//! from the lengths, since frames fill a file without gaps.
//! A sidecar is a speed-up and a check, never the truth: one that is missing or damaged is made again
//! from its file, and one whose file checksum is not that of the file is for another file. It is only ever made of
//! a file of which everything was checked, or that was just written.

use bytes::Bytes;
use plimsoll_host::WallMs;
use plimsoll_model::{Epoch, Error, ErrorKind, Lsn, PageCount, PageSize, Result, Stamp, Txid, WriterId};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Finished, Header, PageTable,
    checksum::FLAG,
    index::{END_OF_PAGES, TAIL_BYTES},
};

const MAGIC: [u8; 4] = *b"PLIX";
const VERSION: u32 = 2;
const HEAD_BYTES: usize = 88;
const HASH_BYTES: usize = 8;
/// The zero behind the entries of a file's own index.
const INDEX_END_BYTES: u64 = 1;

/// What is known about a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Its header.
    pub header: Header,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Its file checksum.
    pub file_checksum: u64,
    /// Where each page is, with its hash, in page order.
    pub entries: PageTable,
}

impl Sidecar {
    /// The sidecar of a file that was just written under `header`.
    #[must_use]
    pub fn of(header: &Header, file: Finished) -> Self {
        Sidecar { header: *header, file_bytes: file.size, file_checksum: file.checksum, entries: file.index.into() }
    }

    /// The bytes: some 11 per page.
    ///
    /// # Panics
    /// If the entries are not those of a file: neither ascending nor without gaps. What
    /// [`Finished`] and [`Decoded`](crate::decode::Decoded) hold always is.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        let Header { page_size, commit, min, max, timestamp, stamp, link } = self.header;
        let stamp = stamp.unwrap_or(Stamp { writer: WriterId(0), epoch: Epoch::ZERO, lsn: Lsn::ZERO });
        out.extend_from_slice(&page_size.get().to_be_bytes());
        out.extend_from_slice(&commit.0.to_be_bytes());
        out.extend_from_slice(&min.0.to_be_bytes());
        out.extend_from_slice(&max.0.to_be_bytes());
        out.extend_from_slice(&timestamp.0.to_be_bytes());
        out.extend_from_slice(&stamp.writer.0.to_be_bytes());
        out.extend_from_slice(&stamp.epoch.0.to_be_bytes());
        out.extend_from_slice(&stamp.lsn.0.to_be_bytes());
        out.extend_from_slice(&link.to_be_bytes());
        out.extend_from_slice(&self.file_bytes.to_be_bytes());
        out.extend_from_slice(&self.file_checksum.to_be_bytes());
        let count = u32::try_from(self.entries.len()).expect("BUG: page numbers are distinct and 32 bits long");
        out.extend_from_slice(&count.to_be_bytes());
        self.entries.pack(&mut out);
        out.extend_from_slice(&xxh3_64(&out).to_be_bytes());
        out
    }

    /// Reads one, checking its hash, its structure, and that its entries fill the file it names. Keeps the bytes: its
    /// entries are not laid out.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if anything is wrong;
    /// [`Unsupported`](ErrorKind::Unsupported) for a version that this build does not know.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self> {
        let bytes: Bytes = bytes.into();
        // Enough for magic and version; the rest of the head is asked for once the version is known.
        let Some((body, hash)) = bytes.split_last_chunk::<HASH_BYTES>().filter(|(body, _)| body.len() >= 8) else {
            return Err(damaged("it ends too early"));
        };
        if body[..4] != MAGIC {
            return Err(damaged("it does not begin with PLIX"));
        }
        if xxh3_64(body) != u64::from_be_bytes(*hash) {
            return Err(damaged("its hash is wrong"));
        }
        let u32_at = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
        if u32_at(4) != VERSION {
            return Err(Error::new(ErrorKind::Unsupported, READING)
                .why(format!("version {} is not the one that this build knows, {VERSION}", u32_at(4)))
                .hint("the LTX object itself can still be read"));
        }
        if body.len() < HEAD_BYTES {
            return Err(damaged("it ends too early"));
        }
        let page_size = PageSize::new(u32_at(8)).ok_or_else(|| damaged("its page size is none"))?;
        let (commit, file_bytes) = (PageCount(u32_at(12)), u64_at(68));
        let packed = bytes.slice(HEAD_BYTES..body.len());
        let (entries, ends) = PageTable::unpack(packed, u32_at(84), commit, page_size.bytes()).map_err(damaged)?;
        if ends + END_OF_PAGES.len() as u64 + INDEX_END_BYTES + TAIL_BYTES != file_bytes {
            return Err(damaged("its pages do not fill its file"));
        }
        let (min, max, file_checksum) = (Txid(u64_at(16)), Txid(u64_at(24)), u64_at(76));
        if min.is_zero() || min > max || !max.is_sound() || file_checksum & FLAG == 0 {
            return Err(damaged("it names no LTX file"));
        }
        let epoch = Epoch(u32_at(48));
        let stamp = (!epoch.is_zero()).then(|| Stamp { writer: WriterId(u64_at(40)), epoch, lsn: Lsn(u64_at(52)) });
        let link = u64_at(60);
        if stamp.is_some_and(|stamp| !stamp.epoch.is_sound() || !stamp.lsn.is_sound()) {
            return Err(damaged("its stamp is beyond what any volume reaches"));
        }
        if stamp.is_none() && (u64_at(40), u64_at(52), link) != (0, 0, 0) {
            return Err(damaged("it has a stamp without epoch"));
        }
        let header = Header { page_size, commit, min, max, timestamp: WallMs(u64_at(32)), stamp, link };
        Ok(Sidecar { header, file_bytes, file_checksum, entries })
    }
}

const READING: &str = "reading page-index sidecar";

fn damaged(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Corrupt, READING).why(why).hint("delete it; it can be made again from its LTX object")
}
