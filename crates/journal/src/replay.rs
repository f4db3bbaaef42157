//! What a journal holds: the pure part of reading it back.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use plimsoll_host::WallMs;
use plimsoll_model::{Lsn, PageCount, PageNo, PageSize, Result, WriterId};

use crate::{
    Place, Position,
    commit::TxnNo,
    frame::{Content, Decoded, Frame, decode},
    header::{HEADER_BYTES, Header},
    scan,
    segment::corrupt,
};

/// What a journal held when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The volume that it belongs to.
    pub volume: [u8; 16],
    /// Its own identity.
    pub writer: WriterId,
    /// The last commit ever appended, also when it has been released. Zero if there was none.
    pub last: Lsn,
    /// What has not been released, with dense numbers up to `last`. Whether they go on from what is durable
    /// is for the caller to check: that a released segment is gone, and not lost, cannot be told from here.
    pub commits: Vec<ReplayedCommit>,
    /// Marks in segments that have not been released.
    pub marks: Vec<Mark>,
    /// What was dropped from the end, if anything.
    pub cut: Option<Cut>,
}

/// A commit read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedCommit {
    /// Its number.
    pub lsn: Lsn,
    /// Pages in the volume after it.
    pub page_count: PageCount,
    /// Bytes per page.
    pub page_size: PageSize,
    /// When it was made.
    pub wall: WallMs,
    /// Each page that it changed, once, in ascending order.
    pub pages: Vec<(PageNo, Place)>,
    /// Bytes that its frames take up.
    pub bytes: u64,
}

/// A mark read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The last commit before it.
    pub after: Lsn,
    /// The caller's kind.
    pub kind: u8,
    /// The caller's bytes.
    pub payload: Vec<u8>,
}

/// An end that was dropped: the trace of a crash in the middle of a write that was never synced, or damage
/// to the last sync before a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: PathBuf,
    /// Offset of the first dropped byte.
    pub offset: u64,
    /// Bytes dropped there and in later segments, as far as leftovers can be told from older data.
    pub bytes: u64,
}

/// Follows the frames over the segments, in ascending order.
#[derive(Default)]
pub(crate) struct Chain {
    pub(crate) commits: Vec<ReplayedCommit>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) last: Lsn,
    /// For each segment up to the end, the last commit that needs it.
    pub(crate) needed_by: Vec<Lsn>,
    /// The highest position that is known to have been synced.
    pub(crate) synced: Position,
    pub(crate) end: Option<End>,
    pub(crate) txn_max: u64,
    /// Whether the chain goes on no further: what comes is only looked at for witnesses.
    ended: bool,
    open: HashMap<TxnNo, OpenTxn>,
    dropped: u64,
}

/// Behind the last valid frame.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) position: Position,
    /// What lies behind it in the same segment.
    beyond: u64,
}

#[derive(Default)]
struct OpenTxn {
    first: usize,
    frames: u64,
    bytes: u64,
    pages: BTreeMap<PageNo, (Place, usize)>,
}

impl Chain {
    /// Takes in the next segment: its header, and the whole file including the header.
    pub(crate) fn take(&mut self, path: &Path, header: &Header, bytes: &[u8]) -> Result<()> {
        let within = usize::try_from(header.capacity).map_or(bytes.len(), |capacity| bytes.len().min(capacity));
        let bytes = &bytes[..within];
        if !self.ended && !self.starts_here(path, header, bytes)? {
            self.ended = true;
        }
        let offset = if self.ended { HEADER_BYTES } else { self.follow(path, header, bytes)? };
        let beyond = scan::beyond(header, bytes, offset, self.last);
        self.synced = self.synced.max(beyond.synced);
        if self.ended {
            self.dropped += beyond.bytes as u64;
        } else {
            let position = Position(header.base.0 + offset as u64);
            self.end =
                Some(End { file: path.to_owned(), offset: offset as u64, position, beyond: beyond.bytes as u64 });
        }
        Ok(())
    }

    /// Says what was dropped, once the last segment is taken in.
    pub(crate) fn finish(&mut self) -> Result<Option<Cut>> {
        let Some(end) = &self.end else { return Ok(None) };
        if self.synced > end.position {
            return Err(corrupt(
                &end.file,
                end.offset,
                format_args!(
                    "a frame is missing or fails its checksum, and a later one says that it was synced \
                     (position {}, synced to {})",
                    end.position, self.synced
                ),
            ));
        }
        let bytes = end.beyond + self.dropped;
        Ok((bytes > 0).then(|| Cut { file: end.file.clone(), offset: end.offset, bytes }))
    }

    /// Whether the chain goes on in this segment.
    fn starts_here(&mut self, path: &Path, header: &Header, bytes: &[u8]) -> Result<bool> {
        let at = HEADER_BYTES as u64;
        let begin = match decode(bytes.get(HEADER_BYTES..).unwrap_or(&[]), header.salt, at) {
            Decoded::Nothing => None,
            Decoded::Senseless(why) => return Err(corrupt(path, at, why)),
            Decoded::Frame(frame) => Some(frame),
        };
        let Some(begin) = begin else {
            // The oldest segment is where the chain ends, if it cannot even start.
            return Ok(self.end.is_none());
        };
        let Content::Begin { previous_end } = begin.content else {
            return Err(corrupt(path, at, "the segment does not start with a begin frame"));
        };
        if !begin.lsn.is_sound() {
            return Err(corrupt(path, at, beyond_reach(begin.lsn)));
        }
        let Some(end) = &self.end else {
            self.last = begin.lsn;
            return Ok(true);
        };
        if previous_end > end.position {
            return Ok(false);
        }
        if previous_end < end.position || begin.lsn != self.last {
            return Err(corrupt(
                path,
                at,
                format_args!(
                    "begins after position {previous_end} and commit {}, but the segment before ends at {} with commit {}",
                    begin.lsn, end.position, self.last
                ),
            ));
        }
        Ok(true)
    }

    /// Takes in the valid frames of a segment and returns where they end.
    fn follow(&mut self, path: &Path, header: &Header, bytes: &[u8]) -> Result<usize> {
        self.needed_by.push(self.last);
        let mut at = HEADER_BYTES;
        loop {
            match decode(bytes.get(at..).unwrap_or(&[]), header.salt, at as u64) {
                Decoded::Nothing => return Ok(at),
                Decoded::Senseless(why) => return Err(corrupt(path, at as u64, why)),
                Decoded::Frame(frame) => {
                    let place = Place::new(header.seq, at as u64);
                    self.frame(place, &frame, at == HEADER_BYTES).map_err(|why| corrupt(path, at as u64, why))?;
                    at += frame.len();
                }
            }
        }
    }

    fn frame(&mut self, place: Place, frame: &Frame<'_>, first: bool) -> Result<(), String> {
        if frame.txn > TxnNo::CEILING {
            return Err(format!("transaction {} is beyond what any journal reaches", frame.txn.0));
        }
        self.synced = self.synced.max(frame.synced);
        self.txn_max = self.txn_max.max(frame.txn.0);
        match frame.content {
            Content::Begin { .. } if first => Ok(()),
            Content::Begin { .. } => Err("a begin frame in the middle of a segment".into()),
            Content::Close => Ok(()),
            Content::Mark { kind, bytes } => {
                self.marks.push(Mark { after: self.last, kind, payload: bytes.to_vec() });
                Ok(())
            }
            Content::Page { page, bytes } => {
                let segment = self.needed_by.len() - 1;
                let txn =
                    self.open.entry(frame.txn).or_insert_with(|| OpenTxn { first: segment, ..OpenTxn::default() });
                txn.frames += 1;
                txn.bytes += frame.len() as u64;
                txn.pages.insert(page, (place, bytes.len()));
                Ok(())
            }
            Content::Commit { frames, page_count, page_size, wall } => {
                if !self.last.is_zero() && frame.lsn.0.checked_sub(1) != Some(self.last.0) || frame.lsn.is_zero() {
                    return Err(format!("commit {} follows commit {}", frame.lsn, self.last));
                }
                if !frame.lsn.is_sound() {
                    return Err(beyond_reach(frame.lsn));
                }
                let segment = self.needed_by.len() - 1;
                let txn = self.open.remove(&frame.txn).unwrap_or(OpenTxn { first: segment, ..OpenTxn::default() });
                if txn.frames > frames {
                    return Err(format!("commit {} has {frames} page frames, found {}", frame.lsn, txn.frames));
                }
                if let Some((page, (_, len))) = txn.pages.iter().find(|(_, (_, len))| *len != page_size.bytes()) {
                    return Err(format!("commit {}: page {page} has {len} bytes, not {page_size}", frame.lsn));
                }
                self.last = frame.lsn;
                self.needed_by[txn.first..].fill(frame.lsn);
                if txn.frames < frames {
                    // Within the chain no frame can be missing, so these were in segments before the
                    // oldest. They were released, which says that this commit and those before it may be forgotten.
                    self.commits.clear();
                    return Ok(());
                }
                self.commits.push(ReplayedCommit {
                    lsn: frame.lsn,
                    page_count,
                    page_size,
                    wall,
                    pages: txn.pages.into_iter().map(|(page, (place, _))| (page, place)).collect(),
                    bytes: txn.bytes + frame.len() as u64,
                });
                Ok(())
            }
        }
    }
}

fn beyond_reach(lsn: Lsn) -> String {
    format!("commit {lsn} is beyond what any volume reaches")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of sound frames with these numbers.
    fn take(begin: Lsn, txn: TxnNo) -> Result<Lsn> {
        let header = Header {
            recycled: false,
            seq: 1,
            salt: 5,
            base: Position(0),
            capacity: 4 << 10,
            volume: [7; 16],
            writer: WriterId(42),
        };
        let mut bytes = header.encode().to_vec();
        let contents = [Content::Begin { previous_end: Position(0) }, Content::Mark { kind: 1, bytes: b"note" }];
        for (content, txn) in contents.into_iter().zip([TxnNo::NONE, txn]) {
            let frame = Frame { lsn: begin, synced: Position(0), txn, content };
            frame.encode(header.salt, bytes.len() as u64, &mut bytes);
        }
        let mut chain = Chain::default();
        chain.take(Path::new("1.wal"), &header, &bytes).map(|()| chain.last)
    }

    /// Such a journal once opened, took a commit, and was refused from then on.
    #[test]
    fn a_segment_that_goes_on_from_a_commit_beyond_any_volume_is_refused() {
        assert_eq!(take(Lsn::CEILING, TxnNo(1)).unwrap(), Lsn::CEILING);
        let error = take(Lsn(Lsn::CEILING.0 + 1), TxnNo(1)).unwrap_err();
        assert!(error.to_string().contains("beyond what any volume reaches"), "{error}");
    }

    /// The next transaction of such a journal once ended the process.
    #[test]
    fn a_transaction_number_that_cannot_be_counted_on_is_refused() {
        take(Lsn(1), TxnNo::CEILING).unwrap();
        let error = take(Lsn(1), TxnNo(u64::MAX)).unwrap_err();
        assert!(error.to_string().contains("beyond what any journal reaches"), "{error}");
    }
}
