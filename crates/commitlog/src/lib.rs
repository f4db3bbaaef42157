//! The object-store side of a volume: who may write, what is the newest sync, and what became of it.
//!
//! One primitive carries it: creating an object unless its name is taken. A writer creates the next
//! [`Epoch`](plimsoll_model::Epoch), publishes a fence on top of the newest sync, and from then on
//! creates one object per sync. Whoever finds a name taken by somebody else is fenced.
//!
//! Decisions are pure functions of what was read; the rest asks the store and acts. Bodies are
//! made by the caller: this crate uses of a sync no more than its header and its checksum.

mod acquire; // becoming the writer
mod aftermath; // what the history holds of a fenced writer
mod bygone; // records that nobody asks about any more
mod claim; // pure: may this open take the volume, and what next
mod context;
mod create; // a create whose answer may have been lost
mod identity; // what a volume is
mod key;
mod lease; // being the writer
pub mod lineage; // pure: which level-0 objects are history, which are strays
mod loss; // what dead writers took with them
mod pin; // states that stay restorable
mod record; // the JSON objects
mod removal; // removing a volume beside those who open or fork it
pub mod rules; // pure: what the protocol decides, for models of it
mod standing; // who holds the volume
mod succession; // whether anybody else had it since
mod sweep; // removing garbage beside those who pin
mod tail; // the newest sync
mod verdict; // pure: what an answer means

pub use acquire::{Acquire, Fenced, acquire, overtaken_since};
pub use aftermath::{FenceInfo, Sequel, aftermath, sequel};
pub use bygone::{forget_bygone, is_bygone};
pub use claim::held_for;
pub use context::Context;
pub use identity::{create_volume, identity, mark_detached, mark_detaching};
pub use key::{
    detached_key, detaching_key, epoch_key, fork_pin_name, is_like_a_time, parse_epoch_key, parse_pin_key,
    parse_status_key, pin_key, record_folders, status_key, volume_key,
};
pub use lease::{Beat, Lease, Outcome, StatusReport, Sync, TROUBLE_BYTES_MAX};
pub use loss::{Loss, Toll, losses, toll};
pub use pin::{Pin, Pinned, Pins, is_pinned, pin, pins, read_pin, unpin};
pub use record::{
    EpochRecord, ForkName, Inherited, Kind, L0_RETENTION_UNRECORDED, LineRecord, LoadRecord, Mark, Origin, PinRecord,
    PinnedObject, StatusRecord, VolumeRecord, Watermarks, check_record, decode_epoch, decode_status, decode_volume,
};
pub use removal::{
    announce_removal, call_off_removal, decide_removal, decided_removal, delete_volume, end_removal, refuse_half,
    settle, stays_until_last, take_up_removal,
};
pub use standing::{Seen, Standing, lives, look, look_anyway, opened_since};
pub use succession::{alone_since, unwritten_since};
pub use sweep::sweep;
pub use tail::{Head, Levels, LtxObject, Tail, head_of, tail};
