//! What one volume counts.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use plimsoll_durability::{FlushReason, JournalCadence, Load, Outcome, SyncReason, Watermarks};
use plimsoll_model::Level;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};

use crate::{
    families::{Labels, Real, Whole},
    label::Breaker,
    metrics::Shared,
};

/// Levels whose watermarks are shown: those that a volume can reach.
pub(crate) const LEVELS: [Level; 3] = [Level::Buffered, Level::Journaled, Level::Durable];

const POLICIES: [&str; 3] = ["interval", "immediate", "manual"];

/// What a volume shows whenever somebody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// What is acknowledged and not yet durable.
    pub load: Load,
    /// How far each level has come. A time of zero is not known, and what was shown stays.
    pub marks: Watermarks,
    /// Pages found in the cache since the volume was opened.
    pub cache_hits: u64,
    /// Pages not found there.
    pub cache_misses: u64,
    /// How much of the volume is in the cache, from 0 to 1.
    pub hydration: f64,
    /// Merges, snapshots and collecting that did not succeed last and are tried again.
    pub setbacks: u64,
}

/// Which state is read, whether or not the volume is held for writing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    /// The newest sync in it. The difference to that of the writer is the lag in syncs.
    pub txid: u64,
    /// Since it was last known to be the newest: the lag in time, at most. Zero for the writer.
    pub age: Duration,
}

type Positioner = Arc<dyn Fn() -> Option<Position> + Send + Sync>;
type Reader = Arc<dyn Fn() -> Option<Reading> + Send + Sync>;
type Watcher = Arc<dyn Fn() -> Breaker + Send + Sync>;

/// The one who knows load and watermarks, and what was counted of it already: cache hits and misses.
#[derive(Default)]
struct Source {
    reader: Option<Reader>,
    counted: [u64; 2],
}

/// What one volume counts. Cheap to clone; its gauges vanish with the last clone, its counters stay.
#[derive(Clone)]
pub struct VolumeMetrics(pub(crate) Arc<Inner>);

impl fmt::Debug for VolumeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VolumeMetrics").field(&self.0.name).finish()
    }
}

impl VolumeMetrics {
    /// Names the one who knows load, watermarks and cache; asked at each look, on the looker's thread.
    /// `None` leaves what was shown before: the volume is gone. It must not keep the volume open by itself.
    pub fn read_with(&self, reader: impl Fn() -> Option<Reading> + Send + Sync + 'static) {
        *self.0.source() = Source { reader: Some(Arc::new(reader)), counted: [0; 2] };
    }

    /// Names the one who knows which state is read; as [`VolumeMetrics::read_with`].
    pub fn follow_with(&self, reader: impl Fn() -> Option<Position> + Send + Sync + 'static) {
        *self.0.positioner.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(reader));
    }

    /// Names the one who knows the circuit breaker; as [`VolumeMetrics::read_with`].
    pub fn watch_with(&self, watcher: impl Fn() -> Breaker + Send + Sync + 'static) {
        *self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(watcher));
    }

    /// Counts what the reader knows, as a look does: once the volume is gone there is nobody to ask.
    pub fn look(&self) {
        self.0.read();
    }

    /// A flush of the journal has ended.
    pub fn journal_flush(&self, reason: FlushReason, outcome: Outcome) {
        self.0.flushes[reason as usize][outcome as usize].inc();
    }

    /// The journal was synced while this policy was in force, whoever triggered it.
    pub fn journal_synced(&self, cadence: JournalCadence) {
        let policy = match cadence {
            JournalCadence::Interval { .. } => 0,
            JournalCadence::Immediate => 1,
            JournalCadence::Manual => 2,
        };
        self.0.journal_syncs[policy].inc();
    }

    /// A sync to the object store has ended.
    pub fn sync(&self, reason: SyncReason, outcome: Outcome, took: Duration) {
        self.0.syncs[reason as usize][outcome as usize].inc();
        self.0.sync_seconds.observe(took.as_secs_f64());
    }

    /// Another writer took the volume.
    pub fn fenced(&self) {
        self.0.fences.inc();
    }

    /// A journal with so many commits could no longer be appended to the history.
    pub fn stranded(&self, commits: u64) {
        self.0.strandings.inc();
        self.0.stranded_commits.inc_by(commits);
    }
}

pub(crate) struct Inner {
    shared: Arc<Shared>,
    name: String,
    source: Mutex<Source>,
    watcher: Mutex<Option<Watcher>>,
    positioner: Mutex<Option<Positioner>>,
    flushes: [[Counter; 2]; 4],
    journal_syncs: [Counter; 3],
    syncs: [[Counter; 2]; 5],
    sync_seconds: Histogram,
    cache_hits: Counter,
    cache_misses: Counter,
    fences: Counter,
    strandings: Counter,
    stranded_commits: Counter,
    hydration: Real,
    setbacks: Whole,
    breaker: Whole,
    load_commits: Whole,
    load_bytes: Whole,
    load_pages: Whole,
    load_age: Real,
    read_txid: Whole,
    read_age: Real,
    marks: [(Whole, Real); 3],
}

/// Looks a gauge up, or makes one that nobody sees.
type Find<'a, M> = &'a dyn Fn(&Family<Labels, M>, Labels) -> M;

impl Inner {
    /// A volume with gauges.
    pub(crate) fn listed(shared: &Arc<Shared>, name: &str) -> Inner {
        Inner::new(shared, name, &|family, labels| family.get_or_create_owned(&labels), &|family, labels| {
            family.get_or_create_owned(&labels)
        })
    }

    /// One of several volumes under one name: their counters add up, their gauges would not.
    pub(crate) fn unlisted(shared: &Arc<Shared>, name: &str) -> Inner {
        Inner::new(shared, name, &|_, _| Whole::default(), &|_, _| Real::default())
    }

    fn new(shared: &Arc<Shared>, name: &str, whole: Find<'_, Whole>, real: Find<'_, Real>) -> Inner {
        let families = &shared.families;
        let volume = || vec![("volume", name.to_owned())];
        Inner {
            shared: Arc::clone(shared),
            name: name.to_owned(),
            source: Mutex::default(),
            watcher: Mutex::default(),
            positioner: Mutex::default(),
            flushes: flush_labels(name)
                .map(|outcomes| outcomes.map(|labels| families.journal_wal_flush.get_or_create_owned(&labels))),
            journal_syncs: policy_labels(name).map(|labels| families.journal_sync_count.get_or_create_owned(&labels)),
            syncs: sync_labels(name).map(|outcomes| outcomes.map(|labels| families.sync.get_or_create_owned(&labels))),
            sync_seconds: families.sync_seconds.get_or_create_owned(&volume()),
            cache_hits: families.cache_hits.get_or_create_owned(&volume()),
            cache_misses: families.cache_misses.get_or_create_owned(&volume()),
            fences: families.fences.get_or_create_owned(&volume()),
            strandings: families.strandings.get_or_create_owned(&volume()),
            stranded_commits: families.stranded_commits.get_or_create_owned(&volume()),
            hydration: real(&families.hydration, volume()),
            setbacks: whole(&families.setbacks, volume()),
            breaker: whole(&families.breaker, volume()),
            load_commits: whole(&families.load_commits, volume()),
            load_bytes: whole(&families.load_bytes, volume()),
            load_pages: whole(&families.load_pages, volume()),
            load_age: real(&families.load_age, volume()),
            read_txid: whole(&families.read_txid, volume()),
            read_age: real(&families.read_age, volume()),
            marks: LEVELS.map(|level| {
                let labels = || vec![("volume", name.to_owned()), ("level", level.name().to_owned())];
                (whole(&families.watermark_lsn, labels()), real(&families.watermark_seconds, labels()))
            }),
        }
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for position, breaker, load, watermarks and cache.
    pub(crate) fn read(&self) {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(watch) = watcher {
            self.breaker.set(watch().value());
        }
        let positioner = self.positioner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(Position { txid, age }) = positioner.and_then(|read| read()) {
            self.read_txid.set(txid);
            self.read_age.set(age.as_secs_f64());
        }
        let reader = self.source().reader.clone();
        let Some(read) = reader else { return };
        let Some(Reading { load, marks, cache_hits, cache_misses, hydration, setbacks }) = read() else { return };
        {
            let mut source = self.source();
            // Unless the volume was opened anew meanwhile.
            if source.reader.as_ref().is_some_and(|now| Arc::ptr_eq(now, &read)) {
                let counters = [&self.cache_hits, &self.cache_misses];
                for ((counter, counted), now) in
                    counters.into_iter().zip(&mut source.counted).zip([cache_hits, cache_misses])
                {
                    counter.inc_by(now.saturating_sub(*counted));
                    *counted = now.max(*counted);
                }
            }
        }
        self.hydration.set(hydration.clamp(0.0, 1.0));
        self.setbacks.set(setbacks);
        self.load_commits.set(load.commits);
        self.load_bytes.set(load.bytes);
        self.load_pages.set(load.pages);
        self.load_age.set(load.age.as_secs_f64());
        for (level, (lsn, seconds)) in LEVELS.into_iter().zip(&self.marks) {
            let mark = marks.mark(level);
            lsn.set(mark.lsn.0);
            if mark.at.0 > 0 {
                seconds.set(mark.at.0 as f64 / 1000.0);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Opened again meanwhile? Then the gauges are the new one's.
        let volumes = self.shared.volumes();
        if volumes.get(&self.name).is_some_and(|listed| std::ptr::eq(Weak::as_ptr(listed), self)) {
            self.shared.families.remove_gauges(&self.name);
        }
    }
}

pub(crate) fn flush_labels(volume: &str) -> [[Labels; 2]; 4] {
    FlushReason::ALL.map(|reason| outcome_labels(volume, reason.name()))
}

pub(crate) fn sync_labels(volume: &str) -> [[Labels; 2]; 5] {
    SyncReason::ALL.map(|reason| outcome_labels(volume, reason.name()))
}

fn outcome_labels(volume: &str, reason: &str) -> [Labels; 2] {
    Outcome::ALL.map(|outcome| {
        vec![("volume", volume.to_owned()), ("reason", reason.to_owned()), ("outcome", outcome.name().to_owned())]
    })
}

pub(crate) fn policy_labels(volume: &str) -> [Labels; 3] {
    POLICIES.map(|policy| vec![("volume", volume.to_owned()), ("policy", policy.to_owned())])
}
