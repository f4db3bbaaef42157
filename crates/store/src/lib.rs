//! The object-store seam: a narrow trait, what implements it, and what wraps it.
//!
//! Keys are relative to a volume's prefix. Every implementation gives strongly consistent reads and
//! lists, and (unless the probe says otherwise) creates an object at most once.

mod api;

pub use api::{Body, Created, Entry, Object, Store, Tail};
