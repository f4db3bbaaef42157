//! Merging syncs into larger objects, and removing what nothing needs any more.
//!
//! Everything here can be interrupted at any point: an object is complete or absent, and nothing
//! is removed before what replaces it exists.

mod choice;
mod crowd;
mod known;
mod merge;

pub use choice::{
    CROWD, Retention, first_snapshot, fitting, garbage, is_crowded, merge_inputs, snapshot_inputs, superseded,
};
pub use crowd::{Crowd, crowd, price};
pub use known::Known;
pub use merge::{Merged, Merger, Progress, Watcher};
