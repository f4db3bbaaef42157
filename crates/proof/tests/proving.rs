//! Of a large object nothing is believed but what was said by somebody who had all of it in hand.

use std::sync::Arc;

use futures::FutureExt as _;
use plimsoll_host::{Host, WallMs};
use plimsoll_ltx::{Encoder, FileId, Frames, Header, Layout, PageTable, page_hash, sidecar::Sidecar};
use plimsoll_model::{ErrorKind, PageCount, PageNo, PageSize, Txid};
use plimsoll_proof::{Prover, WHOLE_BYTES_MAX};
use plimsoll_store::{
    MemoryStore, Store,
    fault::{Fault, FaultyStore, Op, Rule, Script},
};

const PAGES: u32 = 1100;

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("memory answers at once")
}

/// What nothing can compress.
fn noise(mark: u32, number: u32) -> Vec<u8> {
    (0..64).flat_map(|at: u32| page_hash(&[mark, number, at].map(u32::to_le_bytes).concat()).to_le_bytes()).collect()
}

/// A large sync, and what describes it.
fn sync(txid: u64, mark: u32) -> (Vec<u8>, Sidecar) {
    let header = Header {
        page_size: PageSize::new(512).unwrap(),
        commit: PageCount(PAGES),
        min: Txid(txid),
        max: Txid(txid),
        timestamp: WallMs(5),
        stamp: None,
        link: 0,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
    for number in 1..=PAGES {
        encoder.page(PageNo::new(number).unwrap(), &noise(mark, number)).unwrap();
    }
    let finished = encoder.finish().unwrap();
    assert!(finished.size > WHOLE_BYTES_MAX);
    (bytes, Sidecar::of(&header, finished))
}

struct Place {
    host: Host,
    store: Arc<dyn Store>,
    prover: Prover,
}

impl Place {
    fn new() -> Place {
        let host = plimsoll_host::os::host().unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::private(Arc::clone(&host.clock)));
        Place { prover: Prover::new(Arc::clone(&store), host.clone(), None), host, store }
    }

    fn put(&self, txid: u64, bytes: &[u8], sidecar: Option<&Sidecar>) {
        let id = FileId::sync(Txid(txid));
        now(self.store.put(&Layout::Other.key(&id), bytes.to_vec().into())).unwrap();
        match sidecar {
            Some(sidecar) => now(self.store.put(&id.sidecar_key(), sidecar.encode().into())).unwrap(),
            None => now(self.store.delete(&[id.sidecar_key()])).unwrap(),
        }
    }
}

#[test]
fn a_description_of_another_object_of_the_same_size_is_passed_over() {
    let place = Place::new();
    let ((_, other), (bytes, own)) = (sync(1, 1), sync(1, 2));
    assert_eq!((other.file_bytes, other.entries.len()), (own.file_bytes, own.entries.len()));
    place.put(1, &bytes, Some(&other));
    let proved =
        place.host.tasks.wait(place.prover.prove(&FileId::sync(Txid(1)), Some(own.file_bytes), true)).unwrap().unwrap();
    let hashes = |table: &PageTable| table.iter().map(|entry| entry.hash).collect::<Vec<_>>();
    assert_eq!(proved.checksum, own.file_checksum);
    assert_eq!(hashes(&proved.entries), hashes(&own.entries));
}

#[test]
fn a_large_object_under_the_name_of_another_one_is_damaged_whether_or_not_it_is_described() {
    let place = Place::new();
    let (bytes, own) = sync(1, 1);
    for sidecar in [Some(&own), None] {
        place.put(2, &bytes, sidecar);
        let proved = place.host.tasks.wait(place.prover.prove(&FileId::sync(Txid(2)), Some(own.file_bytes), true));
        assert_eq!(proved.unwrap_err().kind(), ErrorKind::Corrupt, "described: {}", sidecar.is_some());
        let anew = place.host.tasks.wait(place.prover.prove_anew(&FileId::sync(Txid(2))));
        assert_eq!(anew.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn what_has_the_name_and_the_size_of_an_object_is_not_that_object_unchanged() {
    let place = Place::new();
    let ((bytes, own), (others, other)) = (sync(1, 1), sync(1, 2));
    let id = FileId::sync(Txid(1));
    let unchanged =
        || place.host.tasks.wait(place.prover.unchanged(&id, own.file_bytes, own.file_checksum)).unwrap().is_some();
    assert!(!unchanged());
    place.put(1, &bytes, None);
    assert!(unchanged());
    assert_eq!(other.file_bytes, own.file_bytes);
    place.put(1, &others, None);
    assert!(!unchanged());
}

/// Where hundreds of objects are read at once, none of them would have to be damaged on its way for anything to come of it.
#[test]
fn a_small_object_that_arrives_damaged_is_asked_for_once_more() {
    let host = plimsoll_host::os::host().unwrap();
    let (memory, script) = (MemoryStore::private(Arc::clone(&host.clock)), Script::default());
    let header = Header {
        page_size: PageSize::new(512).unwrap(),
        commit: PageCount(1),
        min: Txid(1),
        max: Txid(1),
        timestamp: WallMs(5),
        stamp: None,
        link: 0,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
    encoder.page(PageNo::FIRST, &noise(1, 1)).unwrap();
    encoder.finish().unwrap();
    let (id, size) = (FileId::sync(Txid(1)), bytes.len() as u64);
    now(memory.put(&Layout::Other.key(&id), bytes.into())).unwrap();
    let store: Arc<dyn Store> = Arc::new(FaultyStore::new(memory, script.clone(), Arc::clone(&host.clock)));
    let prover = Prover::new(store, host.clone(), None);
    for (damaged, right) in [(1, true), (2, false)] {
        let key_contains = ".ltx".to_owned();
        script.add(Rule { op: Some(Op::Get), key_contains, fault: Fault::Truncate(200), times: damaged });
        let proved = host.tasks.wait(prover.prove(&id, Some(size), false));
        assert!(script.is_used_up());
        match proved {
            Ok(found) => assert_eq!((right, found.unwrap().size), (true, size)),
            Err(error) => assert_eq!((right, error.kind()), (false, ErrorKind::Corrupt)),
        }
    }
}
