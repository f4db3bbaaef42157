//! A disk that loses power for real: a file system of ours, mounted, on which what was not synced is not there
//! afterwards, whatever process wrote it.
//!
//! Of a file's unsynced bytes any subset of sectors may stay, or none, or all. Names that were created, moved or
//! removed since their folder was synced may be the old ones or the new ones, and what is below a folder whose own name is lost
//! is lost with it. A sync of a file says nothing of its name. A sync can be made to fail: then a part of what it was for never
//! reaches the disk, though it can be read until the power goes, and the next sync succeeds without it.
//!
//! Not here: anything that knows what is written, and space that runs out.

mod content; // the bytes of one file, on the disk and above it
mod disk; // files and folders, and what becomes of them
mod mount; // the same as the kernel sees it

pub use disk::Disk;
pub use mount::{Mounted, fuse};
