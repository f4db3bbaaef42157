//! From a URL to a store.

use std::sync::Arc;

use plimsoll_host::Host;
use plimsoll_model::{Error, ErrorKind, Result};

use crate::{
    Breaker, BreakerState, BreakerStore, FileStore, MemoryStore, ObservedStore, Observer, RetryStore, Scheme, Store,
    StoreOptions, Unobserved, VolumeUrl,
};

/// A store with its wrappers, and a view of its breaker.
#[derive(Clone)]
pub struct Opened {
    /// The store: backend, retries, breaker, observer.
    pub store: Arc<dyn Store>,
    breaker: Breaker,
}

impl Opened {
    /// Whether the store is being asked at all.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }
}

/// Opens the store that a URL names, unobserved. Sends no request.
///
/// # Errors
/// As [`open_observed`].
pub fn open(url: &VolumeUrl, options: &StoreOptions, host: &Host) -> Result<Arc<dyn Store>> {
    open_observed(url, options, host, Arc::new(Unobserved)).map(|opened| opened.store)
}

/// Opens the store that a URL names. Sends no request.
///
/// # Errors
/// [`ErrorKind::Invalid`] or [`ErrorKind::Unsupported`] when URL, options, environment or AWS
/// profile cannot work, saying which of them.
pub fn open_observed(
    url: &VolumeUrl,
    options: &StoreOptions,
    host: &Host,
    observer: Arc<dyn Observer>,
) -> Result<Opened> {
    let breaker = Breaker::new(options.breaker.clone(), Arc::clone(&host.clock));
    let store = RetryStore::new(backend(url, options, host)?, options.retry.clone(), host);
    let store = BreakerStore::new(store, breaker.clone());
    let store = ObservedStore::new(store, observer, Arc::clone(&host.clock));
    Ok(Opened { store: Arc::new(store), breaker })
}

fn backend(url: &VolumeUrl, _options: &StoreOptions, host: &Host) -> Result<Arc<dyn Store>> {
    match url.scheme() {
        Scheme::File => {
            let root = url.dir().expect("BUG: a file URL has a directory");
            Ok(Arc::new(FileStore::new(root, &url.canonical(), host)))
        }
        Scheme::Memory => Ok(Arc::new(MemoryStore::named(url.prefix(), Arc::clone(&host.clock)))),
        Scheme::S3 | Scheme::Gcs | Scheme::Azure => {
            Err(Error::new(ErrorKind::Unsupported, "opening").object(url.canonical()))
        }
    }
}
