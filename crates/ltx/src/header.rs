//! The first 100 bytes of a file.
//!
//! ```text
//!  0 "LTX1" | 4 flags u32 | 8 page size u32 | 12 commit u32 | 16 min u64 | 24 max u64 | 32 timestamp u64
//! 40 pre-apply checksum u64 | 48 WAL offset i64 | 56 WAL size i64 | 64, 68 WAL salts u32
//! 72 node id u64 = writer | 80 epoch u32 | 84 lsn u64 | 92 link u64
//! ```
//!
//! The last 20 bytes are reserved in Litestream's view: ignored, but covered by the checksum. Its own
//! files have zeros there, so an epoch of zero means that somebody else wrote the file.

use plimsoll_host::WallMs;
use plimsoll_model::{Epoch, Lsn, PageCount, PageNo, PageSize, Result, Stamp, Txid, WriterId};

use crate::fault::{corrupt, cut_short, invalid};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 100;

const MAGIC: [u8; 4] = *b"LTX1";

/// The file carries no rolling checksum of the database. Always set by Litestream and by us; files
/// without it come from other users of LTX and can be read, not written.
const NO_CHECKSUM: u32 = 1 << 1;

/// What a file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes per page, the same for every file of a volume.
    pub page_size: PageSize,
    /// Pages of the database after this file is applied.
    pub commit: PageCount,
    /// First transaction. Never zero. A file that starts at 1 holds every page.
    pub min: Txid,
    /// Last transaction, not before the first.
    pub max: Txid,
    /// When the file was made, by its writer's clock.
    pub timestamp: WallMs,
    /// Who wrote it and up to which commit it goes. `None` for somebody else's file.
    pub stamp: Option<Stamp>,
    /// File checksum of the level-0 object before this one; 0 if there is none, or without a stamp.
    pub link: u64,
}

impl Header {
    /// The bytes.
    ///
    /// # Errors
    /// [`Invalid`](plimsoll_model::ErrorKind::Invalid) for a header that no reader would accept: no
    /// pages, no transaction, an inverted range, a stamp without epoch, a link without stamp.
    pub fn encode(&self) -> Result<[u8; HEADER_BYTES]> {
        if self.commit.0 == 0 {
            return Err(invalid("a database of no pages cannot be written"));
        }
        if self.min.is_zero() || self.min > self.max {
            return Err(invalid(format!("transactions {} to {} are not a range from 1 on", self.min, self.max)));
        }
        let stamp = match self.stamp {
            Some(stamp) if stamp.epoch.is_zero() => return Err(invalid("a stamp needs an epoch")),
            None if self.link != 0 => return Err(invalid("a link needs a stamp")),
            Some(stamp) => stamp,
            None => Stamp { writer: WriterId(0), epoch: Epoch::ZERO, lsn: Lsn::ZERO },
        };

        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&NO_CHECKSUM.to_be_bytes());
        out[8..12].copy_from_slice(&self.page_size.get().to_be_bytes());
        out[12..16].copy_from_slice(&self.commit.0.to_be_bytes());
        out[16..24].copy_from_slice(&self.min.0.to_be_bytes());
        out[24..32].copy_from_slice(&self.max.0.to_be_bytes());
        // Readers take the timestamp for signed.
        out[32..40].copy_from_slice(&self.timestamp.0.min(i64::MAX as u64).to_be_bytes());
        out[72..80].copy_from_slice(&stamp.writer.0.to_be_bytes());
        out[80..84].copy_from_slice(&stamp.epoch.0.to_be_bytes());
        out[84..92].copy_from_slice(&stamp.lsn.0.to_be_bytes());
        out[92..100].copy_from_slice(&self.link.to_be_bytes());
        Ok(out)
    }

    /// Reads the header at the front of `bytes`, accepting what Litestream's decoder accepts.
    ///
    /// # Errors
    /// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt) for anything else. A header that decodes is
    /// plausible, not verified: only the checksum at the file's end covers it.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or_else(cut_short)?;
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));

        if bytes[0..4] != MAGIC {
            return Err(corrupt("it does not begin with LTX1"));
        }
        let flags = u32_at(4);
        if flags & !NO_CHECKSUM != 0 {
            return Err(corrupt(format!("unknown flags {flags:#x}")));
        }
        let page_size = PageSize::new(u32_at(8)).ok_or_else(|| corrupt(format!("{} is not a page size", u32_at(8))))?;
        let (commit, min, max) = (PageCount(u32_at(12)), Txid(u64_at(16)), Txid(u64_at(24)));
        if min.is_zero() || min > max {
            return Err(corrupt(format!("transactions {min} to {max} are not a range from 1 on")));
        }
        if !max.is_sound() {
            return Err(corrupt(format!("transaction {max} is beyond what any volume reaches")));
        }
        if commit.0 == 0 && flags & NO_CHECKSUM != 0 {
            return Err(corrupt("it leaves a database of no pages"));
        }
        let pre_apply = u64_at(40);
        let rolling = flags & NO_CHECKSUM == 0 && min != Txid(1);
        if rolling != (pre_apply & crate::checksum::FLAG != 0) || (!rolling && pre_apply != 0) {
            return Err(corrupt(format!("pre-apply checksum {pre_apply:x} does not fit flags {flags:#x}")));
        }
        let (wal_offset, wal_size) = (u64_at(48) as i64, u64_at(56) as i64);
        let wal_named = wal_size != 0 || u64_at(64) != 0;
        if wal_offset < 0 || wal_size < 0 || (wal_offset == 0 && wal_named) {
            return Err(corrupt(format!("impossible WAL position {wal_offset}, size {wal_size}")));
        }

        let epoch = Epoch(u32_at(80));
        let stamp = (!epoch.is_zero()).then(|| Stamp { writer: WriterId(u64_at(72)), epoch, lsn: Lsn(u64_at(84)) });
        if let Some(stamp) = stamp.filter(|stamp| !stamp.epoch.is_sound() || !stamp.lsn.is_sound()) {
            return Err(corrupt(format!("its stamp ({stamp}) is beyond what any volume reaches")));
        }
        Ok(Header {
            page_size,
            commit,
            min,
            max,
            timestamp: WallMs(u64::try_from(u64_at(32) as i64).unwrap_or(0)),
            stamp,
            link: if stamp.is_some() { u64_at(92) } else { 0 },
        })
    }

    /// Whether it holds a whole database: every page from 1 to `commit`, except the lock page.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.min == Txid(1)
    }

    /// Number of pages that a whole database of this size has in files: all but the lock page.
    #[must_use]
    pub fn pages_in_snapshot(&self) -> u32 {
        self.commit.0 - u32::from(self.commit.contains(self.page_size.lock_page()))
    }

    /// Whether a page may be in this file after the page `before`; says why not.
    pub(crate) fn check_page(&self, before: Option<PageNo>, page: PageNo) -> Result<(), String> {
        match before {
            Some(before) if before >= page => Err(format!("page {page} comes after page {before}")),
            _ if !self.commit.contains(page) => {
                Err(format!("page {page} is beyond the {} of the database", self.commit))
            }
            _ if page == self.page_size.lock_page() => {
                Err(format!("page {page} is the lock page, which holds no data"))
            }
            _ => Ok(()),
        }
    }

    /// Whether this many pages are enough; says why not.
    pub(crate) fn check_count(&self, pages: u32) -> Result<(), String> {
        if self.is_snapshot() && pages != self.pages_in_snapshot() {
            let all = self.pages_in_snapshot();
            return Err(format!("it starts at transaction 1 and so must hold all {all} pages, but has {pages}"));
        }
        Ok(())
    }
}
