//! Bringing pages from the object store, with their neighbours.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use futures::FutureExt;
use plimsoll_cache::{Cache, Want};
use plimsoll_host::{Host, run_blocking};
use plimsoll_ltx::{FileId, Layout};
use plimsoll_model::{
    Error, ErrorKind, PageNo, Result,
    way::{Way, went},
};
use plimsoll_proof::WHOLE_BYTES_MAX;
use plimsoll_store::Store;

use crate::{
    Slot, View,
    marks::Marks,
    parcel::{Parcel, Run},
    readahead::{ReadAhead, Scan},
    underway::{Expected, Underway},
};

mod hydrate; // everything, in the background

/// Bytes between two wanted frames that are fetched rather than skipped by a second request.
pub(crate) const GAP_BYTES_MAX: u64 = 64 << 10;
/// A run goes on behind pages of other objects, and past what is cached, for so many pages.
const RUN_PAGES_MAX: u32 = 1024;

/// What a [`Fetcher`] works with.
pub struct FetcherConfig {
    /// Where the objects are.
    pub store: Arc<dyn Store>,
    /// How their keys look.
    pub layout: Layout,
    /// Clock and tasks.
    pub host: Host,
    /// Largest request of a scan, bytes; 0 fetches nothing ahead.
    pub read_ahead_bytes: u64,
    /// Bound of the cache; hydration stops short of it.
    pub cache_bytes_max: u64,
}

/// See the [module](self). Cheap to call from many readers at once; they share requests.
pub struct Fetcher {
    config: FetcherConfig,
    cache: Mutex<Option<Arc<Cache>>>,
    ahead: Mutex<ReadAhead>,
    marks: Marks,
    underway: Arc<Underway>,
    foreground: AtomicUsize,
    hydrated: AtomicU64,
    hydrate_total: AtomicU64,
}

/// Lets hydration know that somebody is waiting, or will be.
struct Foreground(Arc<Fetcher>);

impl Foreground {
    fn enter(fetcher: &Arc<Fetcher>) -> Self {
        fetcher.foreground.fetch_add(1, Ordering::Relaxed);
        Foreground(Arc::clone(fetcher))
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        self.0.foreground.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is guarded here is a hint or a list of requests; a panic elsewhere does not make it wrong.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fetcher {
    /// Without a cache yet: until [`Fetcher::set_cache`], nothing that is fetched is kept.
    #[must_use]
    pub fn new(config: FetcherConfig) -> Self {
        let ahead = ReadAhead::new(config.read_ahead_bytes, config.cache_bytes_max);
        Fetcher {
            config,
            cache: Mutex::new(None),
            ahead: Mutex::new(ahead),
            marks: Marks::default(),
            underway: Arc::default(),
            foreground: AtomicUsize::new(0),
            hydrated: AtomicU64::new(0),
            hydrate_total: AtomicU64::new(0),
        }
    }

    /// Keeps what is fetched from now on.
    pub fn set_cache(&self, cache: Arc<Cache>) {
        *lock(&self.cache) = Some(cache);
    }

    /// Changes the largest request of a scan; 0 fetches nothing ahead.
    pub fn set_read_ahead(&self, bytes: u64) {
        lock(&self.ahead).set_window_max(bytes);
    }

    /// Pages brought by hydration, and pages that it set out to bring.
    pub fn hydration(&self) -> (u64, u64) {
        (self.hydrated.load(Ordering::Relaxed), self.hydrate_total.load(Ordering::Relaxed))
    }

    /// Brings one page of a view into `out`, and its neighbours into the cache.
    ///
    /// # Errors
    /// `NotFound`: the object was merged into another and collected; look the page up in a newer
    /// view. `Corrupt`: what the store holds fails its check. `Unavailable`, `Denied` as the store says.
    pub async fn fetch(self: &Arc<Self>, view: &Arc<View>, page: PageNo, out: &mut [u8]) -> Result<()> {
        let Some(slot) = view.slot(page).cloned() else {
            out.fill(0);
            return Ok(());
        };
        let _foreground = Foreground::enter(self);
        if let Some((_, arrival)) = self.underway.find(slot.object(), page) {
            self.reached(view, page);
            // It is there, or it will not come: whoever wants the page asks again then, and gets the error.
            let _ = arrival.await;
            if self.cached(view, page, &slot, out) {
                return Ok(());
            }
        }
        let window = lock(&self.ahead).miss(page);
        let run = self.run(view, page, &slot, window.bytes);
        let size = view.page_size.ok_or_else(|| gone(&self.key(&run.object.id)))?;
        let expected = self.underway.expect(&run.object, run.parts(size), run.is_whole());
        if let Some(next) = run.pages.last().and_then(|(last, _)| last.next()) {
            lock(&self.ahead).fetched(page, next);
        }
        if let Some(scan) = window.scan {
            went(Way::ReadAhead);
            self.go_ahead(view, scan);
        }
        self.bring(view, run, expected, (page, out)).await
    }

    /// To be told of each page that was read without asking for it. If it was asked for ahead of a scan, the scan goes on:
    /// more is asked for. Costs next to nothing otherwise.
    pub fn reached(self: &Arc<Self>, view: &Arc<View>, page: PageNo) {
        if !self.marks.contain(page) {
            return;
        }
        // Somebody else may have come there meanwhile.
        let scan = lock(&self.ahead).reached(page);
        if let Some(scan) = scan {
            self.go_ahead(view, scan);
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.config.store
    }

    pub(crate) fn key(&self, id: &FileId) -> String {
        self.config.layout.key(id)
    }

    fn cache(&self) -> Option<Arc<Cache>> {
        lock(&self.cache).clone()
    }

    pub(crate) fn cached(&self, view: &View, page: PageNo, slot: &Slot, out: &mut [u8]) -> bool {
        self.cache().is_some_and(|cache| cache.get(page, &want(view, slot), out).is_some())
    }

    /// Asks for what a scan will want next, as far ahead as it is worth.
    fn go_ahead(self: &Arc<Self>, view: &Arc<View>, scan: Scan) {
        loop {
            let Some((page, bytes)) = lock(&self.ahead).wants(scan) else { break };
            let Some(next) = self.prefetch(view, page, bytes) else { break };
            lock(&self.ahead).asked(scan, page, next);
        }
        let ahead = lock(&self.ahead);
        self.marks.set(ahead.marks());
    }

    /// Starts bringing what comes from `page` on, unless it is there or on its way; the page behind it. `None`: there is
    /// nothing to bring, as far as a scan can be expected to come.
    fn prefetch(self: &Arc<Self>, view: &Arc<View>, page: PageNo, bytes: u64) -> Option<PageNo> {
        let (cache, size) = (self.cache()?, view.page_size?);
        let mut at = page;
        let slot = loop {
            if !view.count.contains(at) || at.get() - page.get() > RUN_PAGES_MAX {
                return None;
            }
            at = match view.slot(at) {
                Some(slot) if !cache.contains(at, &want(view, slot)) => match self.underway.find(slot.object(), at) {
                    Some((last, _)) => last.next()?,
                    None => break slot.clone(),
                },
                _ => at.next()?,
            };
        };
        let run = self.run(view, at, &slot, bytes);
        let next = run.pages.last().and_then(|(last, _)| last.next());
        let mut expected = self.underway.expect(&run.object, run.parts(size), run.is_whole());
        let (this, view) = (Arc::clone(self), Arc::clone(view));
        let task = async move {
            let _foreground = Foreground::enter(&this);
            // A failed prefetch is no failure: whoever wants the page asks again and gets the error.
            if let Err(error) = this.bring_ahead(&view, run, move || expected.arrived()).await {
                tracing::debug!(%error, "read-ahead failed");
            }
        };
        self.config.host.tasks.spawn(task.boxed());
        next
    }

    /// The run of pages from `page` on that one request for about `bytes` brings.
    fn run(&self, view: &View, page: PageNo, slot: &Slot, bytes: u64) -> Run {
        let object = Arc::clone(slot.object());
        let mut pages = vec![(page, slot.clone())];
        if object.size > WHOLE_BYTES_MAX {
            let cache = self.cache();
            let mut end = slot.end();
            let mut at = page;
            while let Some(next) = at.next().filter(|next| view.count.contains(*next)) {
                at = next;
                let Some(slot) = view.slot(next) else { continue };
                let near = Arc::ptr_eq(slot.object(), &object)
                    && slot.offset() >= end
                    && slot.offset() - end <= GAP_BYTES_MAX
                    && slot.end() - pages[0].1.offset() <= bytes;
                if !near {
                    // Another object's page in between does not end the run, the window's size does.
                    if next.get() - page.get() > RUN_PAGES_MAX || Arc::ptr_eq(slot.object(), &object) {
                        break;
                    }
                    continue;
                }
                if cache.as_ref().is_some_and(|cache| cache.contains(next, &want(view, slot))) {
                    continue;
                }
                end = slot.end();
                pages.push((next, slot.clone()));
            }
        }
        Run { object, pages }
    }

    /// Fetches a run for a reader, gives it its page, which is the first one, and has the rest kept beside it. What is
    /// damaged may have been damaged on its way only, so the reader's page is asked for once more.
    async fn bring(
        &self,
        view: &Arc<View>,
        run: Run,
        mut expected: Expected,
        (page, out): (PageNo, &mut [u8]),
    ) -> Result<()> {
        let cache = self.cache();
        let alone = Run { object: Arc::clone(&run.object), pages: run.pages[..1].to_vec() };
        let opened = self.open(view, run, cache.as_deref(), (page, &mut *out)).await;
        let parcel = match opened {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::debug!(%error, "read once more");
                self.open(view, alone, cache.as_deref(), (page, out)).await?
            }
            opened => opened?,
        };
        expected.arrived();
        if let Some(cache) = cache.filter(|_| parcel.parts() > 1) {
            let rest = move || {
                if let Err(error) = parcel.unpack(1, &cache, || expected.arrived()) {
                    tracing::debug!(%error, "what came beside a page is not kept");
                }
            };
            self.config.host.tasks.spawn_blocking(Box::new(rest));
        }
        Ok(())
    }

    /// Fetches a run and unpacks the part of it that a reader waits for.
    async fn open(
        &self,
        view: &Arc<View>,
        run: Run,
        cache: Option<&Cache>,
        wanted: (PageNo, &mut [u8]),
    ) -> Result<Parcel> {
        let parcel = self.receive(view, run).await?;
        parcel.unpack_first(cache, wanted).map_err(|error| self.named(&parcel.key, error))?;
        Ok(parcel)
    }

    /// Fetches a run that nobody waits for, or nobody yet, and fills the cache. Says so for each part.
    async fn bring_ahead(&self, view: &Arc<View>, run: Run, arrived: impl FnMut() + Send + 'static) -> Result<()> {
        let Some(cache) = self.cache() else { return Ok(()) };
        let parcel = self.receive(view, run).await?;
        let key = parcel.key.clone();
        let done = run_blocking(&self.config.host.tasks, move || parcel.unpack(0, &cache, arrived)).await;
        done.map_err(|error| self.named(&key, error))
    }

    /// Asks for the bytes of a run.
    async fn receive(&self, view: &Arc<View>, run: Run) -> Result<Parcel> {
        let key = self.key(&run.object.id);
        let size = view.page_size.ok_or_else(|| gone(&key))?;
        let (Some((_, first)), Some((_, last))) = (run.pages.first(), run.pages.last()) else { return Err(gone(&key)) };
        let (start, end) = if run.is_whole() { (0, run.object.size) } else { (first.offset(), last.end()) };
        let bytes = if run.is_whole() {
            self.config.store.get(&key).await?.map(|object| object.bytes)
        } else {
            self.config.store.get_range(&key, start..end).await?
        };
        let bytes = bytes.ok_or_else(|| gone(&key))?;
        Ok(Parcel { run, view: Arc::clone(view), key, start, bytes, size })
    }

    fn named(&self, key: &str, error: Error) -> Error {
        error.object(format!("{}/{key}", self.config.store.url()))
    }
}

/// What a cached page must be to stand for a slot of a view.
pub(crate) fn want(view: &View, slot: &Slot) -> Want {
    Want { hash: slot.hash(), changed: slot.object().id.max, view: view.txid }
}

pub(crate) fn gone(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, "reading a page of")
        .object(key.to_owned())
        .why("the object is gone")
        .hint("it was merged and collected while this read was pinned to an old state; start the transaction again")
}
