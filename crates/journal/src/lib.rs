//! The local write-ahead log of a volume.
//!
//! A [`Journal`] is a directory of segment files to which commits are appended, one write per
//! commit. What was appended survives the process; what was synced survives the host's power.
//! [`Journal::open`] replays it, [`Journal::inspect`] does so without changing a byte.
//!
//! # Format, version 1
//!
//! All numbers are little-endian. Segment files are named `<sequence number, 16 hex digits>.wal`,
//! without gaps. A segment is a header and then frames, back to back, without padding.
//!
//! ```text
//! segment header, 80 bytes                  frame header, 48 bytes, then the payload
//!  0 magic "PLIMSWAL"                        0 checksum u64
//!  8 version u32 = 1                         8 payload length u32
//! 12 flags u32: 1 = file held frames before 12 low 16 bits of the salt
//! 16 sequence number u64                    14 kind u8
//! 24 salt u64                               15 the caller's kind of a mark, else 0
//! 32 base: position of byte 0, u64          16 lsn u64
//! 40 capacity u64                           24 synced: position u64
//! 48 volume, 16 bytes                       32 transaction u64, 0 if none
//! 64 writer u64                             40 argument u64
//! 72 checksum u64
//! ```
//!
//! | kind | lsn | argument | payload |
//! |---|---|---|---|
//! | 1 begin: first in each segment | last commit before it | position where the segment before ended | none |
//! | 2 page | last commit before it | page number | the whole page |
//! | 3 commit: ends a transaction | its own | number of the transaction's page frames | page count u32, page size u32, wall clock ms u64 |
//! | 4 mark | last commit before it | 0 | the caller's |
//! | 5 close: after a clean shutdown | last commit before it | 0 | none |
//!
//! **Checksums** are XXH3-64: a header's over its first 72 bytes; a frame's over all its bytes after
//! the checksum, with the segment's salt plus the frame's offset as seed. The salt is drawn anew each
//! time a file becomes a segment, so a frame which an earlier use of the file left behind never
//! validates, nor does a copy of a frame inside some page.
//!
//! **Positions** count bytes over all segments. A segment takes up `capacity` positions even when
//! it ends early, so the base of the next is known before the end of this one, and the next segment can
//! be made ready outside the path of an append. What follows the last frame in a file is zeros, or older
//! frames if the file was a segment before: bytes are cheaper to sync where some were written before.
//!
//! **A segment is synced under its name before the first frame goes in.** A header that does not
//! check is therefore damage, never the trace of a crash, and so is a missing number in the middle.
//!
//! # What a crash may tear, and how it is told from damage
//!
//! Without power loss nothing is torn but the last write. Power loss may drop any part of what was not
//! synced, also an earlier part while keeping a later one. So the journal ends at the first frame that is
//! missing, does not check, or (by the begin frame of the next segment) must have been there. What
//! follows is dropped, unless one of the frames that follow says by its `synced` that the bad
//! place had been synced: then it is damage, reported, and nothing is changed. Opening syncs what it
//! found and starts a new segment (unless the newest one is still empty), and a clean close adds a frame: both
//! are witnesses for everything before them.
//! Damage to the very last sync before a crash has no witness; it is reported as a [`Cut`].
//!
//! A transaction that has no commit frame is skipped. Its number is not given out again as long as its
//! frames exist.
//!
//! # What is assumed of the disk
//!
//! A write to one range leaves every other alone; after a successful `fdatasync` every earlier write to the file
//! is there; after a directory is synced so are the names in it; a rename is all or nothing.

mod append;
mod commit;
mod config;
mod frame;
mod group;
mod header;
mod journal;
mod mend;
mod open;
mod place;
mod poison;
mod reader;
mod replay;
mod room;
mod scan;
mod segment;
mod spares;
mod tail;
mod walk;

pub use commit::{Appended, Commit, TxnNo};
pub use config::Config;
pub use group::Synced;
pub use journal::Journal;
pub use place::{Place, Position};
pub use reader::Reader;
pub use replay::{Cut, Mark, Replay, ReplayedCommit};
