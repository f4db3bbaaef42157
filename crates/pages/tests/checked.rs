//! What is read is what it should be, or an error.

use std::sync::Arc;

use futures::FutureExt as _;
use plimsoll_host::{Host, WallMs};
use plimsoll_ltx::{Encoder, FileId, Finished, Frames, Header, Layout, page_hash};
use plimsoll_model::{ErrorKind, Lsn, PageCount, PageNo, PageSize, Txid};
use plimsoll_pages::{Fetcher, FetcherConfig, Object, Placed, Reading, View, index, list_level};
use plimsoll_proof::{Prover, WHOLE_BYTES_MAX};
use plimsoll_store::{MemoryStore, Store};

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn size() -> PageSize {
    PageSize::new(512).unwrap()
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("memory answers at once")
}

fn store(host: &Host) -> Arc<dyn Store> {
    Arc::new(MemoryStore::private(Arc::clone(&host.clock)))
}

/// A sync of the first transaction, of pages that nothing can compress.
fn sync(pages: u32) -> (Vec<u8>, Finished) {
    let header = Header {
        page_size: size(),
        commit: PageCount(pages),
        min: Txid(1),
        max: Txid(1),
        timestamp: WallMs(5),
        stamp: None,
        link: 0,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
    for number in 1..=pages {
        let noise = |at: u32| page_hash(&(number << 8 | at).to_le_bytes()).to_le_bytes();
        encoder.page(page(number), &(0..64).flat_map(noise).collect::<Vec<u8>>()).unwrap();
    }
    let finished = encoder.finish().unwrap();
    (bytes, finished)
}

/// Only small objects have a checksum that comes with every read.
#[test]
fn of_a_large_object_no_page_is_handed_out_that_is_not_what_its_index_says() {
    const PAGES: u32 = 1100;
    let host = plimsoll_host::os::host().unwrap();
    let store = store(&host);
    let (bytes, finished) = sync(PAGES);
    let object = Arc::new(Object { id: FileId::sync(Txid(1)), size: finished.size });
    assert!(object.size > WHOLE_BYTES_MAX);
    now(store.create(&Layout::Other.key(&object.id), bytes.into())).unwrap();
    let (read_ahead_bytes, cache_bytes_max) = (0, 0);
    let fetcher = Fetcher::new(FetcherConfig { store, layout: Layout::Other, host, read_ahead_bytes, cache_bytes_max });
    for wrong in [None, Some(page(5))] {
        let placed = finished.index.iter().map(|entry| Placed {
            page: entry.page,
            offset: entry.offset,
            len: u64::from(entry.len),
            hash: entry.hash ^ u64::from(Some(entry.page) == wrong),
        });
        let placed: Vec<Placed> = placed.collect();
        let view = View::empty().after(&object, Lsn(1), PageCount(PAGES), size(), &placed);
        let found = now(fetcher.fetch_many(&view, &[page(3), page(5)]));
        let expected = if wrong.is_none() { Ok(2) } else { Err(ErrorKind::Corrupt) };
        assert_eq!(found.map(|pages| pages.len()).map_err(|error| error.kind()), expected);
    }
}

#[test]
fn an_object_under_the_name_of_another_one_is_damage() {
    let host = plimsoll_host::os::host().unwrap();
    let store = store(&host);
    now(store.create(&Layout::Other.key(&FileId::sync(Txid(2))), sync(1).0.into())).unwrap();
    let file = now(list_level(&store, Layout::Other, 0)).unwrap()[0];
    let read = now(index(&Prover::new(store, host, None), file, Reading::default()));
    assert_eq!(read.map(|index| index.checksum).unwrap_err().kind(), ErrorKind::Corrupt);
}
