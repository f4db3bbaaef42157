//! The object-store seam: a narrow trait, what implements it, and what wraps it.
//!
//! Keys are relative to a volume's prefix. Every implementation gives strongly consistent reads and
//! lists, and (unless the probe says otherwise) creates an object at most once.

mod api;
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
    api::{Body, Created, Entry, Object, Store, Tail},
    breaker::{Breaker, BreakerPolicy, BreakerState, BreakerStore},
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
