//! The object-store seam: a narrow trait, what implements it, and what wraps it.
//!
//! ```
//! # fn main() -> plimsoll_model::Result<()> {
//! use plimsoll_store::{Body, Created, StoreOptions, VolumeUrl, open};
//!
//! let host = plimsoll_host::os::host().expect("a machine that can start threads");
//! let url = VolumeUrl::parse("memory:///example")?;
//! let store = open(&url, &StoreOptions::default(), &host)?;
//! host.tasks.wait(async {
//!     assert_eq!(store.create("a", Body::from(b"one".to_vec())).await?, Created::New);
//!     assert_eq!(store.create("a", Body::from(b"two".to_vec())).await?, Created::Exists);
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # What is here
//!
//! * [`VolumeUrl`]: a volume's identity, without credentials.
//! * [`Store`]: eight operations on the objects below that URL. Every implementation gives strongly
//!   consistent reads and lists, creates an object at most once (unless the probe says otherwise),
//!   and has made a write durable when it answers.
//! * Backends: S3, Google Cloud Storage and Azure through the `object_store` crate, with the clouds'
//!   own sources of credentials and the profile files of Amazon's tools; [`FileStore`], which syncs
//!   files and folders; [`MemoryStore`], for tests, as durable as the process.
//! * Wrappers, in the order in which [`open`] puts them around a backend: [`RetryStore`],
//!   [`BreakerStore`], [`ObservedStore`]; and, with the feature `fault`, `fault::FaultyStore`.
//! * [`ensure_fencing`]: does a store honour create-if-absent at all?
//!
//! # What is not here
//!
//! Nothing knows what an object holds. So nobody here can tell whether an object that
//! [exists](Created::Exists) is ours, from a request whose answer was lost: the commit log compares
//! stamps. There is no cache, no read-ahead, no lock and no compare-and-swap.
//!
//! Wrappers take time and chance from the [`Host`](plimsoll_host::Host). Only backends at the rim
//! open sockets, files or environment variables by themselves.

mod api;
mod body;
mod breaker;
mod cloud;
mod environment;
#[cfg(any(test, feature = "fault"))]
pub mod fault;
mod file;
mod key;
mod memory;
mod observe;
mod open;
mod options;
mod probe;
mod retry;
mod shared;
mod url;

pub use self::{
    api::{Created, Entry, Folder, Object, Page, Store, Tail},
    body::{Blocks, Body, Piece},
    breaker::{Breaker, BreakerPolicy, BreakerState, BreakerStore},
    cloud::Connections,
    environment::Environment,
    file::FileStore,
    memory::MemoryStore,
    observe::{ObservedStore, Observer, Unobserved},
    open::{Opened, open, open_observed},
    options::StoreOptions,
    probe::{ProbeMemory, ensure_fencing},
    retry::{RetryPolicy, RetryStore},
    url::{Scheme, VolumeUrl},
};
