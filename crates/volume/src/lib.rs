//! One open volume: journal, levels, commit log, pages and cache tied together.
//!
//! A [`Volume`] is opened on a URL. Any number of [`Snapshot`]s read states that existed; one
//! [`WriteTxn`] at a time makes the next one; its [`Receipt`] is waited on for a level. Behind it,
//! while the volume is held for writing, tasks flush the journal, sync to the store, refresh the
//! status, merge and collect.
//!
//! Not here: what the pages mean, how an application speaks, where settings come from.

mod accounts; // levels, load and cadences under one lock
mod compactor; // merging and collecting while the volume is held
mod config; // what a volume is opened with
mod event; // waking whoever waits
mod flusher; // syncing the journal to the local disk
mod follow; // keeping up with the writer
mod keeper; // signs of life, letting go
mod local; // the volume's folder on this host
mod open; // from a URL to a volume
mod receipt;
mod replay; // pure: what becomes of a journal's tail
mod shared; // the state behind every handle
mod snapshot;
mod status;
mod syncer; // syncing to the object store
mod transaction;
mod volume;
mod writer; // taking the volume, and letting it go

pub use compactor::Compacted;
pub use config::{Config, Fencing};
pub use local::{Stranded, VolumeDir};
pub use open::{Located, Opening, Process, local_dir};
pub use receipt::Receipt;
pub use snapshot::Snapshot;
pub use status::{LevelStatus, LoadStatus, Role, Status};
pub use transaction::WriteTxn;
pub use volume::Volume;
