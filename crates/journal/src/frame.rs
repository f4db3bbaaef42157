//! One frame: layout, encoder and decoder. The layout is drawn in the crate's documentation.

use plimsoll_host::WallMs;
use plimsoll_model::{
    Lsn, PageCount, PageNo, PageSize, limits,
    step::{Step, taken},
};
use twox_hash::XxHash3_64;

use crate::{Position, commit::TxnNo};

/// Bytes before the payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 48;
/// Bytes of a commit frame.
pub(crate) const COMMIT_BYTES: usize = FRAME_HEADER_BYTES + COMMIT_PAYLOAD_BYTES;
/// Longest payload of a mark: it is a note, not data.
pub(crate) const MARK_BYTES_MAX: usize = 4 << 10;

const COMMIT_PAYLOAD_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;

// Kinds are never reused.
const BEGIN: u8 = 1;
const PAGE: u8 = 2;
const COMMIT: u8 = 3;
const MARK: u8 = 4;
const CLOSE: u8 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// For a commit its own number, else that of the last commit before it.
    pub(crate) lsn: Lsn,
    /// Everything before this position was known to be synced when the frame was written.
    pub(crate) synced: Position,
    pub(crate) txn: TxnNo,
    pub(crate) content: Content<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Begin { previous_end: Position },
    Page { page: PageNo, bytes: &'a [u8] },
    Commit { frames: u64, page_count: PageCount, page_size: PageSize, wall: WallMs },
    Mark { kind: u8, bytes: &'a [u8] },
    Close,
}

/// What is found at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    Frame(Frame<'a>),
    /// No frame, or not a whole one, or a damaged one.
    Nothing,
    /// The checksum is right and the content makes no sense.
    Senseless(&'static str),
}

impl Frame<'_> {
    pub(crate) fn len(&self) -> usize {
        FRAME_HEADER_BYTES
            + match self.content {
                Content::Page { bytes, .. } | Content::Mark { bytes, .. } => bytes.len(),
                Content::Commit { .. } => COMMIT_PAYLOAD_BYTES,
                Content::Begin { .. } | Content::Close => 0,
            }
    }

    /// Appends the frame to `out`; `offset` is where in the segment it will be.
    pub(crate) fn encode(&self, salt: u64, offset: u64, out: &mut Vec<u8>) {
        let (kind, mark, argument) = match self.content {
            Content::Begin { previous_end } => (BEGIN, 0, previous_end.0),
            Content::Page { page, .. } => (PAGE, 0, u64::from(page.get())),
            Content::Commit { frames, .. } => (COMMIT, 0, frames),
            Content::Mark { kind, .. } => (MARK, kind, 0),
            Content::Close => (CLOSE, 0, 0),
        };
        let payload = u32::try_from(self.len() - FRAME_HEADER_BYTES).expect("BUG: oversized frame");
        let start = out.len();
        out.extend_from_slice(&[0; CHECKSUM_BYTES]);
        out.extend_from_slice(&payload.to_le_bytes());
        out.extend_from_slice(&salt_tag(salt));
        out.extend_from_slice(&[kind, mark]);
        out.extend_from_slice(&self.lsn.0.to_le_bytes());
        out.extend_from_slice(&self.synced.0.to_le_bytes());
        out.extend_from_slice(&self.txn.0.to_le_bytes());
        out.extend_from_slice(&argument.to_le_bytes());
        match self.content {
            Content::Page { bytes, .. } | Content::Mark { bytes, .. } => out.extend_from_slice(bytes),
            Content::Commit { page_count, page_size, wall, .. } => {
                out.extend_from_slice(&page_count.0.to_le_bytes());
                out.extend_from_slice(&page_size.get().to_le_bytes());
                out.extend_from_slice(&wall.0.to_le_bytes());
            }
            Content::Begin { .. } | Content::Close => {}
        }
        let checksum = checksum(&out[start..], salt, offset);
        out[start..start + CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Decodes the frame that `bytes` starts with, found at `offset` of its segment.
pub(crate) fn decode(bytes: &[u8], salt: u64, offset: u64) -> Decoded<'_> {
    let Some(len) = claimed_len(bytes, salt) else { return Decoded::Nothing };
    let Some(bytes) = bytes.get(..len) else { return Decoded::Nothing };
    if u64_at(bytes, 0) != checksum(bytes, salt, offset) && taken(Step::FrameChecksum) {
        return Decoded::Nothing;
    }
    match content(bytes) {
        Ok(content) => Decoded::Frame(Frame {
            lsn: Lsn(u64_at(bytes, 16)),
            synced: Position(u64_at(bytes, 24)),
            txn: TxnNo(u64_at(bytes, 32)),
            content,
        }),
        Err(why) => Decoded::Senseless(why),
    }
}

/// The length of the frame that `bytes` seems to start with. Cheap: nothing is hashed.
pub(crate) fn claimed_len(bytes: &[u8], salt: u64) -> Option<usize> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let payload = u32_at(header, 8);
    let ours = header[12..14] == salt_tag(salt) && (BEGIN..=CLOSE).contains(&header[14]);
    (ours && payload <= limits::PAGE_BYTES_MAX).then(|| FRAME_HEADER_BYTES + payload as usize)
}

/// Whether `bytes`, which are no valid frame, look like what is left of one: they have the salt's
/// mark, or the number of the commit expected here or of the one before it. No single damaged byte
/// hides both.
pub(crate) fn looks_begun(bytes: &[u8], salt: u64, last: Lsn) -> bool {
    let Some(header) = bytes.get(..FRAME_HEADER_BYTES) else { return false };
    let lsn = u64_at(header, 16);
    header[12..14] == salt_tag(salt) || lsn != 0 && (lsn == last.0 || lsn.checked_sub(1) == Some(last.0))
}

fn content(bytes: &[u8]) -> Result<Content<'_>, &'static str> {
    let (kind, mark, argument, payload) = (bytes[14], bytes[15], u64_at(bytes, 40), &bytes[FRAME_HEADER_BYTES..]);
    match kind {
        BEGIN if payload.is_empty() => Ok(Content::Begin { previous_end: Position(argument) }),
        PAGE => {
            let page = u32::try_from(argument).ok().and_then(PageNo::new).ok_or("a page number out of range")?;
            Ok(Content::Page { page, bytes: payload })
        }
        COMMIT if payload.len() == COMMIT_PAYLOAD_BYTES => Ok(Content::Commit {
            frames: argument,
            page_count: PageCount(u32_at(payload, 0)),
            page_size: PageSize::new(u32_at(payload, 4)).ok_or("an impossible page size")?,
            wall: WallMs(u64_at(payload, 8)),
        }),
        MARK => Ok(Content::Mark { kind: mark, bytes: payload }),
        CLOSE if payload.is_empty() => Ok(Content::Close),
        _ => Err("a frame of unknown shape"),
    }
}

fn checksum(frame: &[u8], salt: u64, offset: u64) -> u64 {
    // The offset makes a frame valid in its place only.
    XxHash3_64::oneshot_with_seed(salt.wrapping_add(offset), &frame[CHECKSUM_BYTES..])
}

fn salt_tag(salt: u64) -> [u8; 2] {
    let [a, b, ..] = salt.to_le_bytes();
    [a, b]
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("BUG: four bytes are four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("BUG: eight bytes are eight bytes"))
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
