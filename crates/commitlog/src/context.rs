//! What every operation here needs.

use std::{fmt, sync::Arc, time::Duration};

use plimsoll_host::{Host, Mono};
use plimsoll_ltx::Layout;
use plimsoll_proof::Prover;
use plimsoll_store::Store;

use crate::LineRecord;

/// A volume's prefix and the machine that works on it. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub(crate) host: Host,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) prover: Prover,
    retention: Duration,
    /// The store may answer that it created what it has overwritten.
    unfenced: bool,
    line: Option<LineRecord>,
}

impl Context {
    /// `retention` is how long a level-0 object stays at least, from its creation. A volume that is made from here
    /// records it. One that is there already has a record of its own, to which whoever takes it for writing keeps:
    /// the commit protocol rests on all writers and collectors having the same.
    #[must_use]
    pub fn new(host: Host, store: Arc<dyn Store>, retention: Duration) -> Self {
        Context {
            prover: Prover::new(Arc::clone(&store), host.clone(), None),
            host,
            store,
            retention,
            unfenced: false,
            line: None,
        }
    }

    /// The same, with what is known already of the volume's objects.
    #[must_use]
    pub fn with_prover(mut self, prover: Prover) -> Self {
        self.prover = prover;
        self
    }

    /// The same, for a volume whose record says how long level 0 is kept.
    #[must_use]
    pub fn keeping(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How long a level-0 object stays at least, as far as is known here.
    #[must_use]
    pub fn retention(&self) -> Duration {
        self.retention
    }

    /// The same, where creates may not be exclusive: then records are looked for before they are created, so that at
    /// least what is there already is not replaced.
    #[must_use]
    pub fn unfenced(self, unfenced: bool) -> Self {
        Context { unfenced, ..self }
    }

    /// The same, whose signs of life say how much may be acknowledged and not durable.
    #[must_use]
    pub fn loaded_to(self, line: LineRecord) -> Self {
        Context { line: Some(line), ..self }
    }

    pub(crate) fn line(&self) -> Option<LineRecord> {
        self.line
    }

    pub(crate) fn is_unfenced(&self) -> bool {
        self.unfenced
    }

    /// The same machine at another volume.
    #[must_use]
    pub fn elsewhere(&self, store: Arc<dyn Store>) -> Context {
        let prover = Prover::new(Arc::clone(&store), self.host.clone(), None);
        Context { store, prover, ..self.clone() }
    }

    /// The volume's prefix.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The machine.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How the store names LTX objects.
    #[must_use]
    pub fn layout(&self) -> Layout {
        if self.store.s3_layout() { Layout::S3 } else { Layout::Other }
    }

    /// How long an answer may take after what it rests on was asked for. Half the retention leaves
    /// the other half for a request that is still on its way when its sender has stopped waiting.
    pub(crate) fn fresh_for(&self) -> Duration {
        self.retention / 2
    }

    pub(crate) fn now(&self) -> Mono {
        self.host.clock.now()
    }

    /// The full URL of an object, for messages. The store's own may carry an endpoint behind a question mark.
    pub(crate) fn object(&self, key: &str) -> String {
        match self.store.url().split_once('?') {
            Some((path, query)) => format!("{path}/{key}?{query}"),
            None => format!("{}/{key}", self.store.url()),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("url", &self.store.url()).field("retention", &self.retention).finish()
    }
}
