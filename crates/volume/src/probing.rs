//! Asking a store whether it has one winner for each name.

use std::sync::Arc;

use futures::future::BoxFuture;
use plimsoll_host::Host;
use plimsoll_model::{
    Result,
    step::{Step, taken},
};
use plimsoll_store::{ProbeMemory, Store, VolumeUrl, ensure_fencing};

use crate::Fencing;

/// Asks a volume's store before the first write, unless it is remembered or the user has said that there will be one writer.
pub struct Probing {
    /// Where the volume is.
    pub url: VolumeUrl,
    /// The volume's prefix.
    pub store: Arc<dyn Store>,
    /// Which stores have passed.
    pub memory: ProbeMemory,
    /// Clock, chance, files, tasks.
    pub host: Host,
    /// `unsafe_no_fencing`: the store is not asked.
    pub trusted: bool,
}

impl Fencing for Probing {
    fn ensure(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            if self.trusted || !taken(Step::Probe) {
                return Ok(());
            }
            ensure_fencing(&self.url, &*self.store, &self.memory, &self.host).await
        })
    }
}
