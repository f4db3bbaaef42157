//! Bringing pages from the object store, with their neighbours.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use plimsoll_cache::{Cache, Want};
use plimsoll_host::Host;
use plimsoll_ltx::{
    FileId, Layout,
    decode::{decode_frame, verify_whole},
    page_hash,
};
use plimsoll_model::{
    Error, ErrorKind, PageNo, PageSize, Result,
    step::{Step, taken},
};
use plimsoll_proof::WHOLE_BYTES_MAX;
use plimsoll_store::Store;

use crate::{Object, Slot, View, load::frame, readahead::ReadAhead};

mod hydrate; // everything, in the background

/// Bytes between two wanted frames that are fetched rather than skipped by a second request.
pub(crate) const GAP_BYTES_MAX: u64 = 64 << 10;

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

type Fetch = Shared<BoxFuture<'static, ()>>;

struct Inflight {
    object: Arc<Object>,
    first: PageNo,
    last: PageNo,
    done: Fetch,
}

/// See the [module](self). Cheap to call from many readers at once; they share requests.
pub struct Fetcher {
    config: FetcherConfig,
    cache: Mutex<Option<Arc<Cache>>>,
    ahead: Mutex<ReadAhead>,
    inflight: Mutex<Vec<Inflight>>,
    foreground: AtomicUsize,
    hydrated: AtomicU64,
    hydrate_total: AtomicU64,
}

/// A run of pages in one object that one request brings.
struct Run {
    object: Arc<Object>,
    pages: Vec<(PageNo, Slot)>,
}

/// Lets hydration know that somebody is waiting.
struct Foreground<'a>(&'a AtomicUsize);

impl<'a> Foreground<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Foreground(count)
    }
}

impl Drop for Foreground<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
        let ahead = ReadAhead::new(config.read_ahead_bytes);
        Fetcher {
            config,
            cache: Mutex::new(None),
            ahead: Mutex::new(ahead),
            inflight: Mutex::new(Vec::new()),
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
        let _foreground = Foreground::enter(&self.foreground);
        if let Some(pending) = self.pending(slot.object(), page) {
            pending.await;
            if self.cached(view, page, &slot, out) {
                return Ok(());
            }
        }
        let window = lock(&self.ahead).miss(page);
        let run = self.run(view, page, &slot, window.bytes);
        let next = run.pages.last().and_then(|(last, _)| last.next());
        if let Some(next) = next {
            lock(&self.ahead).fetched(page, next);
            let mut at = next;
            for _ in 0..window.ahead {
                let Some(end) = self.prefetch(view, at, window.bytes) else { break };
                at = end;
            }
            // What is under way already is no miss; the scan goes on behind it.
            lock(&self.ahead).fetched(next, at);
        }
        self.bring(view, run, Some((page, out))).await
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.config.store
    }

    pub(crate) fn key(&self, id: &FileId) -> String {
        self.config.layout.key(id)
    }

    pub(crate) fn cached(&self, view: &View, page: PageNo, slot: &Slot, out: &mut [u8]) -> bool {
        let cache = lock(&self.cache).clone();
        cache.is_some_and(|cache| cache.get(page, &want(view, slot), out).is_some())
    }

    fn pending(&self, object: &Arc<Object>, page: PageNo) -> Option<Fetch> {
        let inflight = lock(&self.inflight);
        let covers =
            |fetch: &&Inflight| Arc::ptr_eq(&fetch.object, object) && (fetch.first..=fetch.last).contains(&page);
        inflight.iter().find(covers).map(|fetch| fetch.done.clone())
    }

    /// Starts bringing the window that a scan will want next; the page behind it.
    fn prefetch(self: &Arc<Self>, view: &Arc<View>, page: PageNo, bytes: u64) -> Option<PageNo> {
        let slot = view.slot(page).cloned()?;
        if lock(&self.cache).is_none() || self.pending(slot.object(), page).is_some() {
            return None;
        }
        let run = self.run(view, page, &slot, bytes);
        let ((first, _), (last, _)) = (run.pages.first()?, run.pages.last()?);
        let (object, first, last) = (Arc::clone(&run.object), *first, *last);
        let (this, view) = (Arc::clone(self), Arc::clone(view));
        let ended = Arc::clone(&object);
        let done = async move {
            // A failed prefetch is no failure: whoever wants the page asks again and gets the error.
            if let Err(error) = this.bring(&view, run, None).await {
                tracing::debug!(%error, "read-ahead failed");
            }
            lock(&this.inflight).retain(|fetch| !(Arc::ptr_eq(&fetch.object, &ended) && fetch.first == first));
        }
        .boxed()
        .shared();
        lock(&self.inflight).push(Inflight { object, first, last, done: done.clone() });
        self.config.host.tasks.spawn(done.boxed());
        last.next()
    }

    /// The run of pages from `page` on that one request for about `bytes` brings.
    fn run(&self, view: &View, page: PageNo, slot: &Slot, bytes: u64) -> Run {
        let object = Arc::clone(slot.object());
        let mut pages = vec![(page, slot.clone())];
        if object.size > WHOLE_BYTES_MAX {
            let cache = lock(&self.cache).clone();
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
                    if next.get() - page.get() > 1024 || Arc::ptr_eq(slot.object(), &object) {
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

    /// Fetches a run, verifies it, fills the cache and, if asked, one page for a reader. What is damaged may have been
    /// damaged on its way only, so what a reader waits for is asked for once more.
    async fn bring(&self, view: &View, run: Run, mut wanted: Option<(PageNo, &mut [u8])>) -> Result<()> {
        let alone =
            run.pages.iter().find(|(page, _)| wanted.as_ref().is_some_and(|(wanted, _)| wanted == page)).cloned();
        let again = wanted.as_mut().map(|(page, out)| (*page, &mut **out));
        match (self.bring_once(view, &run, again).await, alone) {
            (Err(error), Some(alone)) if error.kind() == ErrorKind::Corrupt => {
                tracing::debug!(%error, "read once more");
                self.bring_once(view, &Run { object: run.object, pages: vec![alone] }, wanted).await
            }
            (brought, _) => brought,
        }
    }

    async fn bring_once(&self, view: &View, run: &Run, wanted: Option<(PageNo, &mut [u8])>) -> Result<()> {
        let key = self.config.layout.key(&run.object.id);
        let named = |error: Error| error.object(format!("{}/{key}", self.config.store.url()));
        let size = view.page_size.ok_or_else(|| gone(&key))?;
        if run.object.size <= WHOLE_BYTES_MAX {
            let object = self.config.store.get(&key).await?.ok_or_else(|| gone(&key))?;
            return self.keep_whole(view, &run.object, &key, &object.bytes, wanted).map_err(named);
        }
        let (Some(first), Some(last)) = (run.pages.first(), run.pages.last()) else { return Ok(()) };
        let (start, end) = (first.1.offset(), last.1.end());
        let bytes = self.config.store.get_range(&key, start..end).await?.ok_or_else(|| gone(&key))?;
        self.keep_frames(view, run, start, &bytes, size, wanted).map_err(named)
    }

    fn keep_frames(
        &self,
        view: &View,
        run: &Run,
        start: u64,
        bytes: &Bytes,
        size: PageSize,
        mut wanted: Option<(PageNo, &mut [u8])>,
    ) -> Result<()> {
        let cache = lock(&self.cache).clone();
        let mut data = vec![0; size.bytes()];
        for (page, slot) in &run.pages {
            let out = wanted.as_mut().filter(|(wanted, _)| wanted == page).map(|(_, out)| &mut **out);
            let part = frame(bytes, start, slot.offset(), slot.len());
            let hash = match proved_frame(part, *page, slot, size, &mut data) {
                Ok(hash) => hash,
                Err(error) if out.is_some() => return Err(error),
                Err(error) => {
                    // Of its neighbours, one of which somebody may be waiting for, it says nothing.
                    tracing::warn!(%error, object = %run.object.id, "what was read ahead is damaged, and not kept");
                    continue;
                }
            };
            if let Some(cache) = &cache {
                cache.put(*page, &data, hash, view.txid);
            }
            if let Some(out) = out {
                fill(out, &data)?;
            }
        }
        Ok(())
    }

    fn keep_whole(
        &self,
        view: &View,
        object: &Arc<Object>,
        key: &str,
        bytes: &Bytes,
        mut wanted: Option<(PageNo, &mut [u8])>,
    ) -> Result<()> {
        let cache = lock(&self.cache).clone();
        let mut found = wanted.is_none();
        let decoded = verify_whole(bytes)?;
        let size = decoded.header.page_size;
        let mut data = vec![0; size.bytes()];
        for entry in &decoded.index {
            let Some(slot) = view.slot(entry.page).filter(|slot| Arc::ptr_eq(slot.object(), object)) else { continue };
            if slot.hash().is_some_and(|expected| expected != entry.hash) {
                // All of it is sound, so it is another object, which has taken the name since.
                return Err(gone(key));
            }
            let part = frame(bytes, 0, entry.offset, u64::from(entry.len));
            decode_frame(part, entry.page, size, &mut data)?;
            if let Some((want, out)) = &mut wanted
                && *want == entry.page
            {
                fill(out, &data)?;
                found = true;
            }
            if let Some(cache) = &cache {
                cache.put(entry.page, &data, entry.hash, view.txid);
            }
        }
        if found {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, "reading a page of")
            .why("the index names a page that the object does not hold"))
    }
}

/// Decodes the frame of a page into `data`; its hash, which is the right one.
fn proved_frame(frame: &[u8], page: PageNo, slot: &Slot, size: PageSize, data: &mut [u8]) -> Result<u64> {
    decode_frame(frame, page, size, data)?;
    let hash = page_hash(data);
    if slot.hash().is_some_and(|expected| expected != hash) && taken(Step::PageHash) {
        return Err(Error::new(ErrorKind::Corrupt, "reading a page of")
            .why(format!("page {page} has hash {hash:016x}, its index says {:016x}", slot.hash().unwrap_or(0)))
            .hint("keep the object; `plimsoll verify` checks the whole volume"));
    }
    Ok(hash)
}

/// Gives a reader its page.
fn fill(out: &mut [u8], data: &[u8]) -> Result<()> {
    if out.len() != data.len() {
        let (theirs, ours) = (data.len(), out.len());
        return Err(Error::new(ErrorKind::Corrupt, "reading a page of")
            .why(format!("its pages have {theirs} bytes, the volume's {ours}")));
    }
    out.copy_from_slice(data);
    Ok(())
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
