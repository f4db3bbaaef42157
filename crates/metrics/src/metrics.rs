//! What a process counts.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, histogram::Histogram},
    registry::Registry,
};

use crate::{
    families::{Families, Labels},
    label::{RequestOutcome, StoreOp},
    volume::{Inner, VolumeMetrics},
};

/// Volumes that have series of their own. A process that opens more counts the rest together.
pub const VOLUMES_MAX: usize = 64;

/// The label `volume` of the rest.
pub const OTHER: &str = "other";

/// Everything that a process counts. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    registry: Registry,
    pub(crate) families: Families,
    requests: [[Counter; 6]; 5],
    request_seconds: [Histogram; 5],
    /// By name; a volume that was closed keeps its place, and its counters, until another needs it.
    volumes: Mutex<BTreeMap<String, Weak<Inner>>>,
    /// Those without series of their own.
    rest: Mutex<Vec<Weak<Inner>>>,
}

impl Shared {
    pub(crate) fn volumes(&self) -> MutexGuard<'_, BTreeMap<String, Weak<Inner>>> {
        // Nothing here is left half-done by a panic, and counting must not spread one.
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) -> MutexGuard<'_, Vec<Weak<Inner>>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Self {
        let (families, registry) = Families::register();
        let requests = StoreOp::ALL.map(|op| {
            RequestOutcome::ALL.map(|outcome| {
                let labels: Labels = vec![("op", op.name().to_owned()), ("outcome", outcome.name().to_owned())];
                families.store_requests.get_or_create_owned(&labels)
            })
        });
        let request_seconds = StoreOp::ALL.map(|op| {
            let labels: Labels = vec![("op", op.name().to_owned())];
            families.store_request_seconds.get_or_create_owned(&labels)
        });
        Metrics(Arc::new(Shared {
            registry,
            families,
            requests,
            request_seconds,
            volumes: Mutex::default(),
            rest: Mutex::default(),
        }))
    }

    /// What the volume of this name counts. `name` is a URL without credentials.
    ///
    /// Takes a lock: look it up once, when opening. Handles of one name count together. With
    /// [`VOLUMES_MAX`] volumes open, further ones count as [`OTHER`] and show no gauges.
    #[must_use]
    pub fn volume(&self, name: &str) -> VolumeMetrics {
        let mut volumes = self.0.volumes();
        if let Some(open) = volumes.get(name).and_then(Weak::upgrade) {
            return VolumeMetrics(open);
        }
        if !volumes.contains_key(name) && volumes.len() >= VOLUMES_MAX {
            let closed = volumes.iter().find(|(_, volume)| volume.strong_count() == 0).map(|(name, _)| name.clone());
            let Some(closed) = closed else {
                drop(volumes);
                let inner = Arc::new(Inner::unlisted(&self.0, OTHER));
                let mut rest = self.0.rest();
                rest.retain(|volume| volume.strong_count() > 0);
                rest.push(Arc::downgrade(&inner));
                return VolumeMetrics(inner);
            };
            volumes.remove(&closed);
            self.0.families.remove_gauges(&closed);
            self.0.families.remove_counters(&closed);
        }
        let inner = Arc::new(Inner::listed(&self.0, name));
        volumes.insert(name.to_owned(), Arc::downgrade(&inner));
        VolumeMetrics(inner)
    }

    /// Counts a request to an object store.
    pub fn store_request(&self, op: StoreOp, outcome: RequestOutcome, took: Duration) {
        self.0.requests[op as usize][outcome as usize].inc();
        self.0.request_seconds[op as usize].observe(took.as_secs_f64());
    }

    /// Everything, in the text format of OpenMetrics. Reads load and watermarks of every open
    /// volume: do not call it under a lock that their readers take.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut open: Vec<Arc<Inner>> = self.0.volumes().values().filter_map(Weak::upgrade).collect();
        open.extend(self.0.rest().iter().filter_map(Weak::upgrade));
        for volume in &open {
            volume.read();
        }
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry).expect("BUG: writing to a string failed");
        text
    }
}
