//! A volume of nothing but pages, beside the map that it has to be the same as.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use futures::executor::block_on;
use plimsoll_cache::{Cache, CacheId};
use plimsoll_host::{Clock, Host};
use plimsoll_ltx::{Encoder, FileId, Frames, Header, Layout, plan::Target};
use plimsoll_model::{Epoch, ErrorKind, Lsn, PageCount, PageNo, PageSize, Stamp, Txid, WriterId};
use plimsoll_pages::{
    Bases, Fetcher, FetcherConfig, Found, Keep, Listed, Listing, Object, Overlay, Placed, Reading, View,
    compact::{Merger, Retention, garbage, merge_inputs, snapshot_inputs},
    list, load,
};
use plimsoll_proof::Prover;
use plimsoll_store::{MemoryStore, Store};

use crate::machine::{Ticks, host};

const PAGE: usize = 512;
/// The cache has room for a few pages only.
const CACHE_BYTES_MAX: u64 = 8 * PAGE as u64;
/// Readers at a time.
const PINS_MAX: usize = 5;
const KEEP: Retention = Retention { level0: Duration::from_millis(4), snapshots: Duration::from_millis(8) };

/// A cache that gets what is read anew.
struct Kept(Arc<Cache>);

impl Keep for Kept {
    fn cache(&self, _: PageSize) -> Option<Arc<Cache>> {
        Some(Arc::clone(&self.0))
    }
}

/// What a volume has to be: the mark of each page that is not zeros, and how many pages there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    marks: BTreeMap<u32, u64>,
    count: u32,
}

/// A reader.
struct Snapshot {
    lsn: Lsn,
    view: Arc<View>,
    state: State,
}

/// See the [module](self).
pub(crate) struct Engine {
    clock: Arc<Ticks>,
    store: Arc<dyn Store>,
    prover: Prover,
    fetcher: Arc<Fetcher>,
    merger: Merger,
    cache: Option<Arc<Cache>>,
    /// The mark of each version, as long as a reader may need it.
    journal: Vec<(Lsn, Option<u64>)>,
    overlay: Overlay<usize>,
    view: Arc<View>,
    lsn: Lsn,
    state: State,
    pins: Vec<Snapshot>,
    /// The state after each sync.
    synced: BTreeMap<Txid, State>,
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn size() -> PageSize {
    PageSize::new(512).unwrap()
}

fn content(mark: u64) -> Vec<u8> {
    mark.to_le_bytes().repeat(PAGE / 8)
}

fn mark(bytes: &[u8]) -> u64 {
    let mark = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, content(mark), "a torn page");
    mark
}

impl Engine {
    pub(crate) fn new(cached: bool) -> Self {
        let clock = Arc::new(Ticks::default());
        let host: Host = host(Arc::clone(&clock) as Arc<dyn Clock>);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::private(Arc::clone(&host.clock)));
        let prover = Prover::new(Arc::clone(&store), host.clone(), None);
        let fetcher = Arc::new(Fetcher::new(FetcherConfig {
            store: Arc::clone(&store),
            layout: Layout::Other,
            host: host.clone(),
            read_ahead_bytes: 4096,
            cache_bytes_max: CACHE_BYTES_MAX,
        }));
        let id = CacheId { volume: [7; 16], page_size: size() };
        let cache = cached.then(|| Arc::new(Cache::open(&host, Path::new("/cache"), id, CACHE_BYTES_MAX)));
        if let Some(cache) = &cache {
            fetcher.set_cache(Arc::clone(cache));
        }
        let merger = Merger {
            prover: prover.clone(),
            host,
            cache: cache.clone().map_or_else(OnceLock::new, OnceLock::from),
            frames: Frames::Block,
            scratch: PathBuf::from("/scratch"),
            known: Mutex::default(),
        };
        Engine {
            clock,
            store,
            prover,
            fetcher,
            merger,
            cache,
            journal: Vec::new(),
            overlay: Overlay::new(PageCount(0)),
            view: Arc::new(View::empty()),
            lsn: Lsn::ZERO,
            state: State::default(),
            pins: Vec::new(),
            synced: BTreeMap::new(),
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.state.count
    }

    pub(crate) fn commit(&mut self, pages: &[u32], count: u32) {
        self.clock.pass();
        self.lsn = self.lsn.next();
        let first = self.journal.len();
        let pages: BTreeSet<u32> = pages.iter().copied().filter(|page| *page <= count).collect();
        // A state that ends before page `count` is one of zeros behind it.
        self.state.marks.retain(|page, _| *page <= count);
        self.state.count = count;
        for (at, page) in pages.iter().enumerate() {
            let mark = self.lsn.0 << 8 | at as u64 | 1 << 40;
            self.journal.push((self.lsn, Some(mark)));
            self.state.marks.insert(*page, mark);
        }
        let places = pages.iter().enumerate().map(|(at, number)| (page(*number), first + at));
        self.overlay.insert(self.lsn, PageCount(count), places);
    }

    pub(crate) fn pin(&mut self) {
        self.pins.truncate(PINS_MAX - 1);
        self.pins.push(self.newest());
    }

    fn newest(&self) -> Snapshot {
        Snapshot { lsn: self.lsn, view: Arc::clone(&self.view), state: self.state.clone() }
    }

    pub(crate) fn unpin(&mut self, which: usize) {
        if !self.pins.is_empty() {
            self.pins.swap_remove(which % self.pins.len());
        }
    }

    /// What a sync carries: each page that changed, and zeros where the volume grew over what was never written.
    pub(crate) fn sync(&mut self) {
        if self.lsn == self.view.lsn {
            return;
        }
        self.clock.pass();
        let (from, to, count) = (self.view.lsn, self.lsn, PageCount(self.state.count));
        let known = self.overlay.lowest(from, to).map_or(self.view.count, |lowest| self.view.count.min(lowest));
        let mut carried: BTreeMap<PageNo, u64> = (known.0 + 1..=count.0).map(|number| (page(number), 0)).collect();
        let changed = self.overlay.changed(from, to, count);
        carried
            .extend(changed.into_iter().map(|(page, place)| (page, self.journal[place].1.expect("it was given up"))));

        let txid = self.view.txid.next();
        let header = Header {
            page_size: size(),
            commit: count,
            min: txid,
            max: txid,
            timestamp: self.clock.wall(),
            stamp: Some(Stamp { writer: WriterId(1), epoch: Epoch(1), lsn: to }),
            link: self.view.checksum,
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
        for (page, mark) in carried {
            encoder.page(page, &content(mark)).unwrap();
        }
        let finished = encoder.finish().unwrap();
        let placed = finished.index.iter().map(|entry| Placed {
            page: entry.page,
            offset: entry.offset,
            len: entry.len.into(),
            hash: entry.hash,
        });
        let placed: Vec<Placed> = placed.collect();
        let object = Arc::new(Object { id: FileId::sync(txid), size: finished.size });
        block_on(self.store.create(&Layout::Other.key(&object.id), bytes.into())).unwrap();
        let mut view = self.view.after(&object, to, count, size(), &placed);
        view.checksum = finished.checksum;
        self.view = Arc::new(view);
        self.synced.insert(txid, self.state.clone());
    }

    /// What no reader's view lacks is given up, and with it the journal's copy.
    pub(crate) fn trim(&mut self) {
        let floor = self.pins.iter().map(|pin| pin.view.lsn).min().unwrap_or(self.view.lsn);
        self.overlay.trim(floor);
        for (_, mark) in self.journal.iter_mut().filter(|(lsn, _)| *lsn <= floor) {
            *mark = None;
        }
    }

    fn listing(&self) -> Listing {
        block_on(list(&self.store, Layout::Other)).unwrap()
    }

    pub(crate) fn merge(&mut self, level: u8) {
        if let Some((id, inputs)) = merge_inputs(&self.listing(), level) {
            self.make(id, &inputs);
        }
    }

    pub(crate) fn snapshot(&mut self) {
        if let Some((id, inputs)) = snapshot_inputs(&self.listing()).unwrap() {
            self.make(id, &inputs);
        }
    }

    fn make(&mut self, id: FileId, inputs: &[Listed]) {
        self.clock.pass();
        let merged = block_on(self.merger.merge(id, inputs, &|_| {}, std::future::ready(Ok(())))).unwrap();
        let relocated = self.view.relocated(&merged.object, &merged.pages);
        assert!(relocated.same_content(&self.view), "a merge changed what is read");
        self.view = Arc::new(relocated);
    }

    pub(crate) fn collect(&mut self) {
        let views = self.pins.iter().map(|pin| &pin.view).chain([&self.view]);
        let needed: HashSet<FileId> =
            views.flat_map(|view| view.slots().map(|(_, slot)| slot.object().id).collect::<Vec<_>>()).collect();
        let listing = self.listing();
        let gone = garbage(&listing, listing.now(), KEEP, |id| needed.contains(id));
        let keys: Vec<String> = gone.iter().flat_map(|id| [Layout::Other.key(id), id.sidecar_key()]).collect();
        block_on(self.store.delete(&keys)).unwrap();
        self.merger.forget(&gone);
    }

    fn read_anew(&self, files: Vec<Listed>) -> View {
        let kept = self.cache.clone().map(Kept);
        let reading = Reading {
            sidecars: true,
            keep: kept.as_ref().map(|kept| kept as &dyn Keep),
            beginning: true,
            ..Reading::default()
        };
        block_on(load(&self.prover, &Bases::default(), files, reading)).unwrap().0
    }

    pub(crate) fn load(&mut self) {
        let mut view = self.read_anew(self.listing().newest().unwrap());
        assert_eq!(view.txid, self.view.txid);
        // Merges say nothing of commits; the newest sync, which always stays, does.
        (view.lsn, view.checksum) = (self.view.lsn, self.view.checksum);
        self.view = Arc::new(view);
    }

    /// Earlier states are kept for a while. What can be had of them is what was there.
    pub(crate) fn past(&mut self, back: u64) {
        let txid = Txid(self.view.txid.0.saturating_sub(back));
        let Some(state) = self.synced.get(&txid).cloned() else { return };
        match self.listing().restore(Target::Txid(txid)) {
            Ok(files) => {
                let view = Arc::new(self.read_anew(files));
                self.compare(&Snapshot { lsn: view.lsn, view, state }, &[1, 2, 9, 512, 600], false);
            }
            Err(error) => {
                assert!(error.kind() == ErrorKind::NotFound && txid < self.view.txid, "sync {txid}: {error}");
            }
        }
    }

    pub(crate) fn hydrate(&mut self) {
        block_on(self.fetcher.hydrate(&self.view, &View::empty(), || true)).unwrap();
    }

    /// Every reader sees its state, and who compares two of them is told of each page that differs.
    pub(crate) fn check(&self, pages: &[u32]) {
        let newest = self.newest();
        for snapshot in self.pins.iter().chain([&newest]) {
            self.compare(snapshot, pages, true);
        }
        let Some(now) = self.synced.get(&self.view.txid) else { return };
        for pin in &self.pins {
            let Some(then) = self.synced.get(&pin.view.txid) else { continue };
            let differing = self.view.differing(&pin.view);
            for number in pages.iter().filter(|page| **page <= now.count && !differing.contains(&self::page(**page))) {
                assert_eq!(now.marks.get(number), then.marks.get(number), "page {number} is said to be the same");
            }
        }
    }

    fn compare(&self, snapshot: &Snapshot, pages: &[u32], pending: bool) {
        let within = pages.iter().copied().chain([snapshot.state.count]).filter(|page| *page <= snapshot.state.count);
        let within: Vec<PageNo> = within.filter_map(PageNo::new).collect();
        let at_once = block_on(self.fetcher.fetch_many(&snapshot.view, &within)).unwrap();
        for number in &within {
            let found = pending.then(|| self.overlay.find(*number, snapshot.lsn, snapshot.view.lsn)).flatten();
            let stored = at_once.get(number).map_or(0, |bytes| mark(bytes));
            let mark = match found {
                Some(Found::At(place)) => self.journal[place].1.expect("a reader needs it, and it was given up"),
                Some(Found::Zeros) => 0,
                Some(Found::Spare(place)) => self.journal[place].1.unwrap_or(stored),
                None => stored,
            };
            let expected = snapshot.state.marks.get(&number.get()).copied().unwrap_or(0);
            assert_eq!(mark, expected, "page {number} of commit {} on {:?}", snapshot.lsn, snapshot.view);
        }
        // One by itself, another one each time.
        if let Some(number) = within.get(usize::try_from(self.clock.wall().0).unwrap() % within.len().max(1)) {
            let mut bytes = vec![0xee; PAGE];
            block_on(self.fetcher.fetch(&snapshot.view, *number, &mut bytes)).unwrap();
            let many = at_once.get(number).map_or(0, |bytes| mark(bytes));
            assert_eq!(mark(&bytes), many, "page {number} of {:?}", snapshot.view);
        }
    }
}
