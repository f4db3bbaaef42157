//! From a URL to a store.

use std::sync::Arc;

use plimsoll_host::Host;
use plimsoll_model::{Error, ErrorKind, Result};

use crate::{
    Breaker, BreakerState, BreakerStore, Environment, FileStore, MemoryStore, ObservedStore, Observer, RetryStore,
    Scheme, Store, StoreOptions, Unobserved, VolumeUrl, cloud::CloudStore,
};

/// A store with its wrappers.
#[derive(Clone)]
pub struct Opened {
    /// The store: backend, retries, breaker, observer.
    pub store: Arc<dyn Store>,
    /// Its breaker.
    pub breaker: Breaker,
}

impl Opened {
    /// Whether the store is being asked at all.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }
}

/// Opens the store that a URL names, with this process's environment, unobserved. Sends no request.
///
/// # Errors
/// As [`open_observed`].
pub fn open(url: &VolumeUrl, options: &StoreOptions, host: &Host) -> Result<Arc<dyn Store>> {
    let opened = open_observed(url, options, &Environment::of_process(), host, Arc::new(Unobserved))?;
    Ok(opened.store)
}

/// Opens the store that a URL names. Sends no request.
///
/// Its [`Store::url`] is the volume's identity: the URL's canonical form, with the endpoint wherever
/// that came from. The futures of a cloud store must be polled inside a tokio runtime, as a real
/// host's tasks do.
///
/// # Errors
/// [`Invalid`](plimsoll_model::ErrorKind::Invalid), [`Denied`](plimsoll_model::ErrorKind::Denied) or
/// [`Unsupported`](plimsoll_model::ErrorKind::Unsupported) when URL, options, environment or AWS
/// profile cannot work, saying which of them.
pub fn open_observed(
    url: &VolumeUrl,
    options: &StoreOptions,
    environment: &Environment,
    host: &Host,
    observer: Arc<dyn Observer>,
) -> Result<Opened> {
    let breaker = Breaker::new(options.breaker.clone(), Arc::clone(&host.clock));
    let store = RetryStore::new(backend(url, options, environment, host)?, options.retry.clone(), host);
    let store = BreakerStore::new(store, breaker.clone());
    let store = ObservedStore::new(store, observer, Arc::clone(&host.clock));
    Ok(Opened { store: Arc::new(store), breaker })
}

/// Refuses what nobody would look at, for a misspelt parameter is a setting without effect.
fn check_params(url: &VolumeUrl) -> Result<()> {
    let known: &[&str] = match url.scheme() {
        Scheme::S3 => &["region"],
        Scheme::Azure => &["account"],
        Scheme::Gcs | Scheme::File | Scheme::Memory => &[],
    };
    match url.params.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(()),
        // Its value may be a secret.
        Some((name, _)) => Err(Error::new(ErrorKind::Invalid, "opening")
            .object(url.canonical())
            .why(format!("the URL's parameter '{name}' is not known"))
            .hint("cloud URLs take endpoint, s3 also region, az also account; credentials come from the environment")),
    }
}

fn backend(url: &VolumeUrl, options: &StoreOptions, environment: &Environment, host: &Host) -> Result<Arc<dyn Store>> {
    check_params(url)?;
    Ok(match url.scheme() {
        Scheme::File => {
            let root = url.dir().expect("BUG: a file URL has a directory");
            Arc::new(FileStore::new(root, &url.canonical(), host))
        }
        Scheme::Memory => Arc::new(MemoryStore::named(url.prefix(), Arc::clone(&host.clock))),
        Scheme::S3 | Scheme::Gcs | Scheme::Azure => Arc::new(CloudStore::open(url, options, environment, host)?),
    })
}
