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

use plimsoll_host::WallMs;
use plimsoll_model::{Epoch, Error, ErrorKind, Lsn, PageCount, PageNo, PageSize, Result, Stamp, Txid, WriterId};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Finished, HEADER_BYTES, Header, IndexEntry,
    checksum::FLAG,
    frame,
    index::{self, END_OF_PAGES, TAIL_BYTES},
    varint,
};

const MAGIC: [u8; 4] = *b"PLIX";
const VERSION: u32 = 2;
const HEAD_BYTES: usize = 88;
const HASH_BYTES: usize = 8;
/// Two varints of one byte and a hash.
const ENTRY_BYTES_MIN: usize = 2 + HASH_BYTES;

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
    pub entries: Vec<IndexEntry>,
}

impl Sidecar {
    /// The sidecar of a file that was just written under `header`.
    #[must_use]
    pub fn of(header: &Header, file: Finished) -> Self {
        Sidecar { header: *header, file_bytes: file.size, file_checksum: file.checksum, entries: file.index }
    }

    /// The bytes: some 11 per page.
    ///
    /// # Panics
    /// If the entries are not those of a file: neither ascending nor without gaps. What
    /// [`Finished`] and [`Decoded`](crate::decode::Decoded) hold always is.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.entries.len() * (ENTRY_BYTES_MIN + 2) + HASH_BYTES);
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
        let (mut before, mut offset) = (0, HEADER_BYTES as u64);
        for entry in &self.entries {
            assert!(entry.page.get() > before && entry.offset == offset, "BUG: the entries are not those of a file");
            varint::put(&mut out, u64::from(entry.page.get() - before));
            varint::put(&mut out, u64::from(entry.len));
            out.extend_from_slice(&entry.hash.to_be_bytes());
            before = entry.page.get();
            offset += u64::from(entry.len);
        }
        out.extend_from_slice(&xxh3_64(&out).to_be_bytes());
        out
    }

    /// Reads one, checking its hash, its structure, and that its entries fill the file it names.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if anything is wrong;
    /// [`Unsupported`](ErrorKind::Unsupported) for a version that this build does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
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
        let entries = decode_entries(&body[HEAD_BYTES..], u32_at(84), commit, page_size, file_bytes)?;
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

fn decode_entries(
    mut rest: &[u8],
    count: u32,
    commit: PageCount,
    page_size: PageSize,
    file_bytes: u64,
) -> Result<Vec<IndexEntry>> {
    if count as usize > rest.len() / ENTRY_BYTES_MIN {
        return Err(damaged("it is too short for its number of pages"));
    }
    let len_range = frame::FRAME_BYTES_MIN..=frame::frame_bytes_max(page_size.bytes());
    let mut entries = Vec::with_capacity(count as usize);
    let (mut page, mut offset, mut index_bytes) = (0u32, HEADER_BYTES as u64, 1);
    for _ in 0..count {
        let entry = take_entry(&mut rest, page, offset)
            .filter(|entry| commit.contains(entry.page) && len_range.contains(&(entry.len as usize)))
            .ok_or_else(|| damaged(format!("the entry after page {page} is none")))?;
        page = entry.page.get();
        offset += u64::from(entry.len);
        index_bytes += index::entry_len(&entry.location());
        entries.push(entry);
    }
    if !rest.is_empty() || offset + END_OF_PAGES.len() as u64 + index_bytes + TAIL_BYTES != file_bytes {
        return Err(damaged("its pages do not fill its file"));
    }
    Ok(entries)
}

fn take_entry(rest: &mut &[u8], before: u32, offset: u64) -> Option<IndexEntry> {
    let distance = u32::try_from(varint::take(rest)?).ok().filter(|distance| *distance > 0)?;
    let page = PageNo::new(before.checked_add(distance)?)?;
    let len = u32::try_from(varint::take(rest)?).ok()?;
    let (hash, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(IndexEntry { page, offset, len, hash: u64::from_be_bytes(*hash) })
}

const READING: &str = "reading page-index sidecar";

fn damaged(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Corrupt, READING).why(why).hint("delete it; it can be made again from its LTX object")
}
