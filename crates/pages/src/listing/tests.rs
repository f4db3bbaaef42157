//! Listings of several pages.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use plimsoll_store::{Body, Created, MemoryStore, Object, Tail};

use super::*;

/// Gives listings four keys at a time, and counts them.
struct Paged {
    inner: MemoryStore,
    layout: Layout,
    asked: AtomicUsize,
}

#[async_trait]
impl Store for Paged {
    fn url(&self) -> &str {
        self.inner.url()
    }
    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        self.inner.create(key, body).await
    }
    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.inner.put(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.inner.get_range(key, range).await
    }
    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        self.inner.get_tail(key, bytes).await
    }
    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        let entries = self.inner.list(folder, after).await?;
        self.asked.fetch_add(1 + entries.len() / 4, Ordering::Relaxed);
        Ok(entries)
    }
    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.inner.list(folder, after).await?;
        let more = entries.len() > 4;
        entries.truncate(4);
        Ok(Page { entries, more })
    }
    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.inner.delete(keys).await
    }
    fn s3_layout(&self) -> bool {
        self.layout == Layout::S3
    }
}

struct Shelf {
    store: Arc<dyn Store>,
    paged: Arc<Paged>,
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("memory takes no time")
}

impl Shelf {
    fn new(layout: Layout, files: &[(u8, u64, u64)]) -> Shelf {
        let host = plimsoll_host::os::host().unwrap();
        let inner = MemoryStore::private(host.clock);
        let paged = Arc::new(Paged { inner, layout, asked: AtomicUsize::new(0) });
        let others = ["epoch/1.json", "index/1-x.pix", "volume.json", "0001/notes", "0009/x/y"].map(str::to_owned);
        let files =
            files.iter().map(|&(level, min, max)| layout.key(&FileId { level, min: Txid(min), max: Txid(max) }));
        for key in files.chain(others) {
            now(paged.inner.put(&key, Body::default())).unwrap();
        }
        Shelf { store: Arc::clone(&paged) as _, paged }
    }

    /// What is listed, how it ends, in how many requests.
    fn newest(&self) -> (Vec<(u8, u64, u64)>, bool, usize) {
        let before = self.paged.asked.load(Ordering::Relaxed);
        let (listing, whole) = now(list_newest(&self.store, self.paged.layout)).unwrap();
        let all = now(list(&self.store, self.paged.layout)).unwrap();
        assert!(listing.files.iter().all(|file| all.files.contains(file)));
        assert_eq!(whole, listing.files == all.files);
        assert_eq!((listing.head(), listing.newest().unwrap()), (all.head(), all.newest().unwrap()));
        assert_eq!(listing.level(0).next_back(), all.level(0).next_back());
        let after = self.paged.asked.load(Ordering::Relaxed);
        let of_all = LEVELS.map(|level| 1 + all.level(level).count() / 4).sum::<usize>();
        let ids = listing.files.iter().map(|file| (file.id.level, file.id.min.0, file.id.max.0)).collect();
        (ids, whole, after - before - of_all)
    }
}

const LAYOUTS: [Layout; 2] = [Layout::S3, Layout::Other];

fn syncs(range: std::ops::RangeInclusive<u64>) -> Vec<(u8, u64, u64)> {
    range.map(|txid| (0, txid, txid)).collect()
}

#[test]
fn a_short_listing_is_whole_and_takes_three_requests_where_levels_can_be_listed_together() {
    for (layout, requests) in LAYOUTS.into_iter().zip([3, 10]) {
        let shelf = Shelf::new(layout, &[(0, 4, 4), (0, 5, 5), (1, 4, 4), (9, 1, 3)]);
        assert_eq!(shelf.newest(), (vec![(0, 4, 4), (0, 5, 5), (1, 4, 4), (9, 1, 3)], true, requests));
    }
}

#[test]
fn of_a_long_level_the_beginning_is_left_out_but_never_the_newest_sync() {
    for layout in LAYOUTS {
        let merges: Vec<(u8, u64, u64)> = (0..9).map(|at| (1, at * 10 + 1, at * 10 + 10)).collect();
        for last in [90, 97] {
            let files = [syncs(1..=last), merges.clone(), vec![(2, 1, 80)]].concat();
            let (listed, whole, asked) = Shelf::new(layout, &files).newest();
            // The first page of either level, and what is not known to be covered by then.
            let expected = [syncs(1..=4), syncs(80..=last), merges[..4].to_vec(), vec![merges[8], (2, 1, 80)]].concat();
            assert_eq!((listed, whole), (expected, false), "{layout:?}, {last}");
            assert!(asked <= 10 + 1 + 5, "{asked}");
        }
    }
}

#[test]
fn of_syncs_alone_as_many_are_listed_as_are_not_merged_and_one_more() {
    for layout in LAYOUTS {
        let files = [syncs(1..=97), vec![(1, 1, 90), (9, 1, 30)]].concat();
        let (listed, whole, _) = Shelf::new(layout, &files).newest();
        let expected = [syncs(1..=4), syncs(90..=97), vec![(1, 1, 90), (9, 1, 30)]].concat();
        assert_eq!((listed, whole), (expected, false), "{layout:?}");
    }
}

#[test]
fn of_a_long_level_that_nothing_stands_for_each_sync_is_listed_once() {
    for layout in LAYOUTS {
        for merged in [vec![], vec![(1, 1, 2)]] {
            let files = [syncs(1..=9), merged].concat();
            let shelf = Shelf::new(layout, &files);
            let (listing, whole) = now(list_newest(&shelf.store, layout)).unwrap();
            let ids: Vec<_> = listing.files.iter().map(|file| (file.id.level, file.id.min.0, file.id.max.0)).collect();
            assert_eq!((ids, whole), (files, false), "{layout:?}");
        }
    }
}

#[test]
fn levels_that_are_too_long_to_be_listed_together_are_listed_each() {
    for layout in LAYOUTS {
        let seconds: Vec<(u8, u64, u64)> = (0..9).map(|at| (2, at * 10 + 1, at * 10 + 10)).collect();
        let files = [syncs(90..=92), seconds, vec![(3, 1, 70), (9, 1, 30)]].concat();
        let (listed, whole, _) = Shelf::new(layout, &files).newest();
        assert!(
            !whole && listed.contains(&(3, 1, 70)) && listed.contains(&(2, 81, 90)) && !listed.contains(&(2, 51, 60))
        );
    }
}
