//! One open volume: journal, levels, commit log, pages and cache tied together.
//!
//! A [`Volume`] is opened on a URL. Any number of [`Snapshot`]s read states that existed; one
//! [`WriteTxn`] at a time makes the next one; its [`Receipt`] is waited on for a level. Behind it,
//! while the volume is held for writing, tasks flush the journal, sync to the store, refresh the
//! status, merge and collect.
//!
//! Not here: what the pages mean, how an application speaks, where settings come from.

mod accounts; // levels, load and cadences under one lock
mod ancestry; // which syncs the newest one links back to
mod caches; // which folder is this process's cache
mod checkpoint; // states that stay restorable
mod compactor; // merging and collecting while the volume is held
mod config; // what a volume is opened with
mod courtesy; // readers and a commit that waits for a core
mod detach; // a fork that has everything itself
mod event; // waking whoever waits
mod flusher; // syncing the journal to the local disk
mod follow; // keeping up with the writer
mod fork; // volumes that start as another one's state
mod gauges; // what metrics show
mod judgement; // what becomes of a journal that was left behind, by what the store says
mod keeper; // signs of life, letting go
mod leftover; // the journal of a process that is gone
mod local; // the volume's folder on this host
mod losses; // what those took with them who were pushed aside
mod note; // the small files of this host
mod open; // from a URL to a volume
mod origins; // what a fork started with, as part of its store
mod past; // earlier states
mod probing; // asking a store whether it has one winner for each name
mod receipt;
mod reference; // pure: which state is meant
mod release; // for another host, and from one
mod reliance; // what a commit leaves to the next sync
mod remove; // removing a volume
mod replay; // pure: what becomes of a journal's tail
mod restore; // back to an earlier state, as a new commit
pub mod rules; // pure: what is decided about a journal, for models of it
mod session; // tokens waited for, and lag
mod setbacks; // pure: merges that failed, and when each is tried again
mod shared; // the state behind every handle
mod snapshot;
mod status;
mod stow; // what was synced goes into the cache
mod stranded; // journals kept aside
mod syncer; // syncing to the object store
mod token;
mod transaction;
mod usage; // what is kept, and for whom
mod volume;
mod waiting;
mod when; // pure: moments as people write them
mod writer; // taking the volume, and letting it go

pub use checkpoint::{checkpoint, checkpoint_name, remove_checkpoint};
pub use compactor::Compacted;
pub use config::{Config, Elsewhere, Fencing, Nowhere};
pub use detach::{DetachState, Detached, Detaching};
pub use fork::{Forked, Place, fork, fork_if};
pub use judgement::{Outlook, Prospect, outlook};
pub use local::{Home, VolumeDir, homes};
pub use losses::{LossReport, Losses};
pub use note::read_note;
pub use open::{Located, Neighbours, Opening, Process, local_dir};
pub use origins::OriginStore;
pub use past::objects;
pub use plimsoll_store::Connections;
pub use probing::Probing;
pub use receipt::Receipt;
pub use reference::{Reference, split_reference};
pub use release::Released;
pub use remove::remove;
pub use restore::{Restored, Restoring};
pub use session::Lag;
pub use snapshot::Snapshot;
pub use status::{LevelStatus, LoadStatus, Role, Status};
pub use stranded::{Base, Stranded, StrandedCommit, StrandedJournal, stranded_checkpoint};
pub use token::Token;
pub use transaction::WriteTxn;
pub use usage::{Borrowed, Holding, Usage, borrowed, usage};
pub use volume::Volume;
pub use writer::LETS_GO;
