//! What the engine asks of the machine it runs on: clock, chance, files and tasks.
//!
//! The engine never reads the wall clock, draws randomness, opens a file or starts a thread by
//! itself; it is handed a [`Host`]. [`os::host`] is the real one. A simulation hands in its own.

mod chance;
mod clock;
pub mod crash;
mod files;
pub mod os;
#[cfg(feature = "sim")]
pub mod sim_disk;
mod tasks;

use std::{fmt, sync::Arc};

pub use chance::Chance;
pub use clock::{Clock, Mono, WallMs};
pub use files::{Dir, File, Files, Lock, OpenMode};
pub use tasks::{Tasks, run_blocking};

/// The four seams, cheap to clone.
#[derive(Clone)]
pub struct Host {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub chance: Arc<dyn Chance>,
    /// The local file system.
    pub files: Arc<dyn Files>,
    /// Background work.
    pub tasks: Arc<dyn Tasks>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}
