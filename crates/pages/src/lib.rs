//! The page engine: which bytes are page N at this moment, and where they are.
//!
//! A reader pins a commit. Its pages are, in this order: in the [`Overlay`] (committed here, not yet
//! in the store), in the cache, or in the object that the pinned [`View`] names, from where
//! [`Fetcher`] brings them with their neighbours. Merging and retention are in [`compact`].
//!
//! Not here: who may write, when anything is synced, what was acknowledged.

mod base;
mod bulk;
pub mod compact;
mod fetch;
mod listing;
mod load;
mod marks;
mod overlay;
mod parcel;
mod part;
mod readahead;
mod sink;
mod underway;
mod view;

pub use base::Bases;
pub use bulk::Pages;
pub use fetch::{Fetcher, FetcherConfig};
pub use listing::{Listed, Listing, list, list_level, list_level_after, list_newest};
pub use load::{Index, Keep, Reading, after, continues, index, load, next};
pub use overlay::{Found, Overlay};
pub use sink::Sink;
pub use view::{Object, Placed, Slot, View};
