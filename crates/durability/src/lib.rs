//! What is durable, what is not yet, how much of that is allowed, and when to do something about it.
//!
//! Decisions only: no I/O, no threads, no clock. Time and outcomes come in as arguments, so the
//! same code runs under the real machine and under a simulation. Whoever owns a volume keeps one
//! of each of these under its lock, tells them what happened and does what they say outside it.

mod journal; // when to sync the journal to the local disk
mod ledger; // commits that are not durable yet, and the load they are
mod line; // how much load is allowed, and what happens at the limit
mod progress; // which waits can be answered
mod sync; // when to sync to the object store
mod watermark; // how far each level has come

pub use journal::{FlushReason, JournalCadence, JournalPolicy, Outcome};
pub use ledger::{Ledger, Load, Pending, Promise};
pub use line::{Admission, Limit, LoadLine, OnLoadLine, Refusal};
pub use progress::{Progress, Terminal};
pub use sync::{Next, SyncCadence, SyncPolicy, SyncReason};
pub use watermark::{Mark, Watermarks};

#[cfg(test)]
mod tests;
