//! Local copies of pages: two sparse files, checked at every read, bounded in bytes, never authoritative.
//!
//! `pages` holds each page at its natural offset; `map` says for each page which content is there and
//! which state of the volume it belongs to. Neither is ever synced: whatever a crash leaves behind,
//! a page is handed out only if its content has the hash that its map entry names. Deleting the
//! files, at any time, costs latency and nothing else.
//!
//! Nothing here knows the object store or decides what is worth keeping; the caller puts what it
//! read or what has become durable, and says with each read which content would do.

mod cache;
mod census; // how much is where, and which group goes next
mod entry; // one page in the map, and its 16 bytes at rest
mod geometry; // page -> chunk, group, block
mod header; // the first bytes of the map
mod run; // pages that follow each other
mod stats;
mod table; // the map in memory, loaded as it is touched

pub use cache::{Cache, CacheId};
pub use entry::Want;
pub use stats::Stats;
