//! Rounds of killing and looking, on one volume after the other.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::voyage::Voyage;

/// What happens to the host in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// The process is killed, its host stays.
    Same,
    /// The host is lost each time.
    Other,
    /// One or the other, and lost hosts come back.
    Mixed,
}

/// What is counted.
#[derive(Default)]
pub struct Tally {
    /// Rounds that ended, each with a process that was killed or closed.
    pub rounds: AtomicU64,
    /// Of these, processes that were killed before they had opened the volume.
    pub in_opening: AtomicU64,
    /// Of these, processes that were killed while closing.
    pub in_closing: AtomicU64,
    /// Of these, processes that killed themselves at a named point.
    pub at_points: AtomicU64,
    /// Of these, processes that ended because a sync failed.
    pub by_failed_syncs: AtomicU64,
    /// Rounds after which the power went.
    pub power_losses: AtomicU64,
    /// Of these, processes that closed.
    pub closed: AtomicU64,
    /// Databases that were checked row by row.
    pub checks: AtomicU64,
    /// Transactions that were acknowledged.
    pub acked: AtomicU64,
    /// Acknowledged transactions that a lost host, or lost power, took with it.
    pub lost: AtomicU64,
    /// Hosts that came back and had to keep their journal aside.
    pub stranded: AtomicU64,
    /// Somebody found something wrong.
    pub failed: AtomicBool,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// This crate's program.
    pub program: PathBuf,
    /// Where hosts and stores have their folders.
    pub dir: PathBuf,
    /// Decides everything but time.
    pub seed: u64,
    /// What happens to hosts.
    pub mode: Mode,
    /// Whether disks lose power. Then hosts stay, whatever the mode.
    pub power: bool,
    /// The S3 server; without one, volumes are directories.
    pub server: Option<SocketAddr>,
}

impl Campaign {
    /// Runs rounds until `go_on` says no. Folders of volumes without trouble are removed.
    ///
    /// # Errors
    /// What was found, with the folder to look into.
    pub fn run(&self, tally: &Tally, go_on: impl Fn() -> bool) -> Result<(), String> {
        for number in 0.. {
            if !go_on() {
                break;
            }
            let dir = self.dir.join(format!("voyage-{number}"));
            let mut voyage = Voyage::new(self, tally, &dir, number).map_err(|error| error.to_string())?;
            voyage.sail(&go_on).map_err(|error| {
                tally.failed.store(true, Ordering::Relaxed);
                voyage.keep_disk();
                format!("seed {}, volume {number}, {}: {error}\nkept: {}", self.seed, voyage.place(), dir.display())
            })?;
            drop(voyage);
            fs::remove_dir_all(&dir).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
