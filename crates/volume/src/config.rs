//! What a volume is opened with.

use std::{fmt, path::PathBuf, sync::Arc};

use futures::future::BoxFuture;
use plimsoll_host::Host;
use plimsoll_ltx::{Frames, Layout};
use plimsoll_metrics::VolumeMetrics;
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_settings::Settings;
use plimsoll_store::Store;

/// Components and settings of one volume.
#[derive(Clone)]
pub struct Config {
    /// The volume's prefix.
    pub store: Arc<dyn Store>,
    /// Clock, chance, files, tasks.
    pub host: Host,
    /// The volume's folder on this host, below `state_dir`.
    pub dir: PathBuf,
    /// Name of this host, for other hosts to read.
    pub host_name: String,
    /// This process, for other processes to read.
    pub pid: u32,
    /// Never write, not even a lock.
    pub read_only: bool,
    /// All settings, as they are at the start.
    pub settings: Arc<Settings>,
    /// What is counted.
    pub metrics: VolumeMetrics,
    /// How it is made sure that the store has one winner per name, before the first write.
    pub fencing: Arc<dyn Fencing>,
    /// Where other volumes are.
    pub elsewhere: Arc<dyn Elsewhere>,
}

/// Makes sure that the store keeps its side of the commit protocol.
pub trait Fencing: Send + Sync {
    /// Asks the store, unless that was done before.
    ///
    /// # Errors
    /// `Unsupported`: it lets two writers create the same object.
    fn ensure(&self) -> BoxFuture<'_, Result<()>>;
}

/// Finds the stores of other volumes: those that a fork reads from, and forks of this one.
pub trait Elsewhere: Send + Sync {
    /// The store at a URL. Sends no request.
    ///
    /// # Errors
    /// When the URL, the settings or the credentials there are for it cannot work.
    fn store(&self, url: &str) -> Result<Arc<dyn Store>>;
}

/// There is nothing but the volume itself: a fork cannot be read.
pub struct Nowhere;

impl Elsewhere for Nowhere {
    fn store(&self, url: &str) -> Result<Arc<dyn Store>> {
        Err(Error::new(ErrorKind::Unsupported, "finding").object(url).why("no other volume can be reached from here"))
    }
}

impl Config {
    pub(crate) fn layout(&self) -> Layout {
        if self.store.s3_layout() { Layout::S3 } else { Layout::Other }
    }

    pub(crate) fn frames(&self) -> Frames {
        if self.settings.ltx_frames { Frames::Frame } else { Frames::Block }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({})", self.store.url())
    }
}
