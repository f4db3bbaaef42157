//! What a volume shows to whoever looks at its metrics. Each of these is asked at each look, and keeps nothing open.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use plimsoll_durability::{Load, Mark, Watermarks};
use plimsoll_host::WallMs;
use plimsoll_metrics::{Position, Reading, VolumeMetrics};
use plimsoll_store::{Breaker, BreakerState};

use crate::shared::Shared;

/// Has the metrics of a volume ask it.
pub(crate) fn register(shared: &Arc<Shared>) {
    let metrics = &shared.config.metrics;
    let asked = Arc::downgrade(shared);
    metrics.read_with(move || asked.upgrade().map(|shared| reading(&shared)));
    let asked = Arc::downgrade(shared);
    metrics.follow_with(move || Weak::upgrade(&asked).and_then(|shared| position(&shared)));
}

/// Has the metrics of a volume ask the breaker of its store.
pub(crate) fn watch(metrics: &VolumeMetrics, breaker: Breaker) {
    metrics.watch_with(move || match breaker.state() {
        BreakerState::Closed => plimsoll_metrics::Breaker::Closed,
        BreakerState::HalfOpen => plimsoll_metrics::Breaker::HalfOpen,
        BreakerState::Open => plimsoll_metrics::Breaker::Open,
    });
}

fn reading(shared: &Shared) -> Reading {
    let (writer, view) = {
        let state = shared.state();
        (state.writer.clone(), Arc::clone(&state.view))
    };
    let (load, marks, setbacks) = match writer {
        Some(writer) => {
            let (setbacks, _) = writer.setbacks().told();
            let accounts = writer.accounts();
            (accounts.ledger.load(shared.now()), *accounts.progress.marks(), setbacks)
        }
        // Nothing of this process is at risk, and what it reads is what the store holds; since when, nobody here knows.
        None => (Load::default(), Watermarks::starting(Mark { lsn: view.lsn, at: WallMs(0) }), 0),
    };
    let cache = shared.cache().map(|cache| cache.stats()).unwrap_or_default();
    let hydration = if view.count.0 == 0 { 0.0 } else { cache.pages as f64 / f64::from(view.count.0) };
    Reading { load, marks, cache_hits: cache.hits, cache_misses: cache.misses, hydration, setbacks }
}

fn position(shared: &Shared) -> Option<Position> {
    let state = shared.state();
    let age = match (&state.writer, state.looked) {
        (Some(_), _) => Duration::ZERO,
        (None, looked) => shared.now().since(looked?),
    };
    Some(Position { txid: state.view.txid.0, age })
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use plimsoll_host::os;
    use plimsoll_metrics::Metrics;
    use plimsoll_store::{
        BreakerPolicy, BreakerStore, MemoryStore, Store as _,
        fault::{Fault, FaultyStore, Op, Script},
    };

    use super::*;

    #[test]
    fn a_store_that_does_not_answer_shows_as_an_open_breaker() {
        let metrics = Metrics::new();
        let of_volume = metrics.volume("memory:///v");
        let clock = os::host().unwrap().clock;
        let breaker = Breaker::new(BreakerPolicy::default(), Arc::clone(&clock));
        watch(&of_volume, breaker.clone());
        let shown =
            || metrics.encode().lines().find(|line| line.starts_with("plimsoll_breaker_state{")).map(str::to_owned);
        assert_eq!(shown().unwrap(), "plimsoll_breaker_state{volume=\"memory:///v\"} 0");

        let script = Script::default();
        let store = FaultyStore::new(MemoryStore::private(Arc::clone(&clock)), script.clone(), clock);
        let store = BreakerStore::new(store, breaker);
        for _ in 0..BreakerPolicy::default().failures_max {
            script.once(Op::Get, "", Fault::FailBefore);
            block_on(store.get("volume.json")).unwrap_err();
        }
        assert_eq!(shown().unwrap(), "plimsoll_breaker_state{volume=\"memory:///v\"} 2");
    }
}
