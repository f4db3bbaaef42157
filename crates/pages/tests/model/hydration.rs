//! What is done in the background leaves the thread to others.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{FutureExt as _, task::noop_waker};
use plimsoll_cache::{Cache, CacheId};
use plimsoll_host::Clock;
use plimsoll_ltx::{FileId, Layout};
use plimsoll_model::{Lsn, PageCount, PageSize, Txid};
use plimsoll_pages::{Fetcher, FetcherConfig, Object, View};
use plimsoll_store::{MemoryStore, Store};

use crate::machine::{Ticks, host};

/// It walked a quarter of a million pages after each sync in one go, on the thread that drives every volume.
#[test]
fn hydration_gives_way_every_few_hundred_pages_although_it_has_nothing_to_wait_for() {
    let host = host(Arc::new(Ticks::default()) as Arc<dyn Clock>);
    let size = PageSize::new(512).unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::private(Arc::clone(&host.clock)));
    let fetcher = Arc::new(Fetcher::new(FetcherConfig {
        store,
        layout: Layout::Other,
        host: host.clone(),
        read_ahead_bytes: 0,
        cache_bytes_max: 1 << 20,
    }));
    let id = CacheId { volume: [7; 16], page_size: size };
    fetcher.set_cache(Arc::new(Cache::open(&host, Path::new("/cache"), id, 1 << 20)));
    let object = Arc::new(Object { id: FileId::sync(Txid(1)), size: 1 });
    // No page of it was ever written.
    let view = Arc::new(View::empty().after(&object, Lsn(1), PageCount(10_000), size, &[]));
    let before = View::empty();
    let looks = AtomicUsize::new(0);
    let hydrating = fetcher.hydrate(&view, &before, || looks.fetch_add(1, Ordering::Relaxed) < 1000);
    let mut hydrating = std::pin::pin!(hydrating);
    let waker = noop_waker();
    let mut turns = 1;
    while hydrating.as_mut().poll_unpin(&mut std::task::Context::from_waker(&waker)).is_pending() {
        turns += 1;
    }
    assert!((20..200).contains(&turns), "{turns}");
    assert_eq!(fetcher.hydration(), (10_000, 10_000));
}
