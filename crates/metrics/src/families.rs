//! Every metric: name, help, labels.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

/// One series' labels. Two series of a metric have the same names in the same order.
pub(crate) type Labels = Vec<(&'static str, String)>;

pub(crate) type Counters = Family<Labels, Counter>;
pub(crate) type Whole = Gauge<u64, AtomicU64>;
pub(crate) type Real = Gauge<f64, AtomicU64>;
pub(crate) type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// From one millisecond, a local store, to half a minute, a store in trouble.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

/// Cheap to clone; clones share their series.
#[derive(Clone)]
pub(crate) struct Families {
    pub(crate) journal_wal_flush: Counters,
    pub(crate) journal_sync_count: Counters,
    pub(crate) watermark_lsn: Family<Labels, Whole>,
    pub(crate) watermark_seconds: Family<Labels, Real>,
    pub(crate) load_commits: Family<Labels, Whole>,
    pub(crate) load_bytes: Family<Labels, Whole>,
    pub(crate) load_pages: Family<Labels, Whole>,
    pub(crate) load_age: Family<Labels, Real>,
    pub(crate) read_txid: Family<Labels, Whole>,
    pub(crate) read_age: Family<Labels, Real>,
    pub(crate) sync: Counters,
    pub(crate) sync_seconds: Histograms,
    pub(crate) store_requests: Counters,
    pub(crate) store_request_seconds: Histograms,
    pub(crate) cache_hits: Counters,
    pub(crate) cache_misses: Counters,
    pub(crate) hydration: Family<Labels, Real>,
    pub(crate) setbacks: Family<Labels, Whole>,
    pub(crate) fences: Counters,
    pub(crate) strandings: Counters,
    pub(crate) stranded_commits: Counters,
    pub(crate) breaker: Family<Labels, Whole>,
}

impl Families {
    /// Counters get their `_total` when they are shown.
    pub(crate) fn register() -> (Families, Registry) {
        let mut registry = Registry::with_prefix("plimsoll");
        let r = &mut registry;
        let families = Families {
            journal_wal_flush: add(r, "journal_wal_flush", "Flushes of the journal that something triggered"),
            journal_sync_count: add(r, "journal_sync_count", "Successful syncs of the journal, by policy"),
            watermark_lsn: add(r, "watermark_lsn", "Last commit that has reached a level"),
            watermark_seconds: add(r, "watermark_timestamp_seconds", "When a watermark last moved, since 1970"),
            load_commits: add(r, "load_commits", "Commits acknowledged and not yet durable"),
            load_bytes: add(r, "load_bytes", "Their bytes in the journal"),
            load_pages: add(r, "load_pages", "Distinct pages that the next sync carries"),
            load_age: add(r, "load_age_seconds", "Age of the oldest commit acknowledged and not yet durable"),
            read_txid: add(r, "read_txid", "Newest sync in the state that is read"),
            read_age: add(r, "read_age_seconds", "Time since that state was known to be the newest; 0 for the writer"),
            sync: add(r, "sync", "Syncs to the object store"),
            sync_seconds: histogram(r, "sync_seconds", "Duration of syncs to the object store"),
            store_requests: add(r, "store_requests", "Requests to object stores"),
            store_request_seconds: histogram(r, "store_request_seconds", "Duration of requests to object stores"),
            cache_hits: add(r, "cache_hits", "Pages read from the local cache"),
            cache_misses: add(r, "cache_misses", "Pages that had to be fetched"),
            hydration: add(r, "hydration_ratio", "Share of the volume that is in the local cache"),
            setbacks: add(r, "setbacks", "Merges, snapshots and collecting that did not succeed last"),
            fences: add(r, "fences", "Times that another writer took the volume from this process"),
            strandings: add(r, "strandings", "Journals that could no longer be appended to the history"),
            stranded_commits: add(r, "stranded_commits", "Acknowledged commits in stranded journals"),
            breaker: add(r, "breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open"),
        };
        (families, registry)
    }

    /// Forgets what a volume shows only while it is open.
    pub(crate) fn remove_gauges(&self, volume: &str) {
        let labels = vec![("volume", volume.to_owned())];
        let whole =
            [&self.load_commits, &self.load_bytes, &self.load_pages, &self.read_txid, &self.breaker, &self.setbacks];
        for family in whole {
            family.remove(&labels);
        }
        for family in [&self.load_age, &self.read_age, &self.hydration] {
            family.remove(&labels);
        }
        for level in crate::volume::LEVELS {
            let labels = vec![("volume", volume.to_owned()), ("level", level.name().to_owned())];
            self.watermark_lsn.remove(&labels);
            self.watermark_seconds.remove(&labels);
        }
    }

    /// Forgets what a closed volume has counted.
    pub(crate) fn remove_counters(&self, volume: &str) {
        let labels = vec![("volume", volume.to_owned())];
        let counters = [&self.cache_hits, &self.cache_misses, &self.fences, &self.strandings, &self.stranded_commits];
        for family in counters {
            family.remove(&labels);
        }
        self.sync_seconds.remove(&labels);
        for labels in crate::volume::flush_labels(volume).into_iter().flatten() {
            self.journal_wal_flush.remove(&labels);
        }
        for labels in crate::volume::policy_labels(volume) {
            self.journal_sync_count.remove(&labels);
        }
        for labels in crate::volume::sync_labels(volume).into_iter().flatten() {
            self.sync.remove(&labels);
        }
    }
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn histogram(registry: &mut Registry, name: &str, help: &str) -> Histograms {
    let family = Histograms::new_with_constructor(seconds);
    registry.register(name, help, family.clone());
    family
}
