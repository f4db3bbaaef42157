//! What is read is what it should be, or an error.

use std::sync::Arc;

use futures::FutureExt as _;
use plimsoll_host::{Host, WallMs};
use plimsoll_ltx::{Encoder, FileId, Finished, Frames, Header, IndexEntry, Layout, page_hash};
use plimsoll_model::{ErrorKind, Lsn, PageCount, PageNo, PageSize, Txid};
use plimsoll_pages::{Fetcher, FetcherConfig, Object, Placed, Reading, View, index, list_level};
use plimsoll_proof::{Prover, WHOLE_BYTES_MAX};
use plimsoll_store::{
    MemoryStore, Store,
    fault::{Fault, FaultyStore, Op, Script},
};

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

/// What nothing can compress.
fn noise(number: u32) -> Vec<u8> {
    (0..64).flat_map(|at: u32| page_hash(&(number << 8 | at).to_le_bytes()).to_le_bytes()).collect()
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
        encoder.page(page(number), &noise(number)).unwrap();
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

/// A request brings neighbours along. One of them that was damaged failed the read of a sound page.
#[test]
fn a_sound_page_is_read_beside_a_damaged_one_and_asked_for_once_more_if_it_was_damaged_on_its_way() {
    const PAGES: u32 = 1100;
    let host = plimsoll_host::os::host().unwrap();
    let (mut bytes, finished) = sync(PAGES);
    let damaged = &finished.index[5];
    bytes[usize::try_from(damaged.offset).unwrap() + damaged.len as usize - 9] ^= 1;
    let script = Script::default();
    let memory = MemoryStore::private(Arc::clone(&host.clock));
    let store: Arc<dyn Store> = Arc::new(FaultyStore::new(memory, script.clone(), Arc::clone(&host.clock)));
    let object = Arc::new(Object { id: FileId::sync(Txid(1)), size: finished.size });
    now(store.create(&Layout::Other.key(&object.id), bytes.into())).unwrap();
    let (read_ahead_bytes, cache_bytes_max) = (1 << 20, 0);
    let fetcher = Fetcher::new(FetcherConfig { store, layout: Layout::Other, host, read_ahead_bytes, cache_bytes_max });
    let fetcher = Arc::new(fetcher);
    let place = |entry: &IndexEntry| {
        let IndexEntry { page, offset, len, hash } = *entry;
        Placed { page, offset, len: u64::from(len), hash }
    };
    let placed: Vec<Placed> = finished.index.iter().map(place).collect();
    let view = Arc::new(View::empty().after(&object, Lsn(1), PageCount(PAGES), size(), &placed));
    let read = |number: u32| {
        let mut data = vec![0; 512];
        now(fetcher.fetch(&view, page(number), &mut data)).map(|()| data).map_err(|error| error.kind())
    };
    assert_eq!(read(5), Ok(noise(5)));
    assert_eq!(read(6), Err(ErrorKind::Corrupt));
    script.once(Op::GetRange, "", Fault::Truncate(7));
    assert_eq!(read(900), Ok(noise(900)));
    script.once(Op::GetRange, "", Fault::Truncate(7));
    assert_eq!(now(fetcher.fetch_many(&view, &[page(3)])).unwrap()[&page(3)], noise(3));
    assert!(script.is_used_up());
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
