//! What two states of one volume have in common is in memory once, and is not read again for the second one.

use std::sync::Arc;

use futures::{FutureExt as _, future::join};
use plimsoll_host::{Host, WallMs};
use plimsoll_ltx::{Encoder, FileId, Frames, Header, Layout, page_hash, sidecar::Sidecar};
use plimsoll_model::{PageCount, PageNo, PageSize, Result, Txid};
use plimsoll_pages::{Bases, Listed, Reading, View, load};
use plimsoll_proof::{Prover, WHOLE_BYTES_MAX};
use plimsoll_store::{MemoryStore, Store};

/// Two dozen parts of 512 pages each.
const PAGES: u32 = 12_000;
/// Between two pages that were written: more than a part.
const FAR: u32 = 1_100;
const SYNCS: u64 = 10;

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("memory answers at once")
}

fn page(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn content(number: u32, mark: u64) -> Vec<u8> {
    (0..32).flat_map(|word: u64| (word % 4 + (u64::from(number) << 32) + (mark << 8)).to_le_bytes()).collect()
}

struct Volume {
    store: Arc<dyn Store>,
    prover: Prover,
    bases: Bases,
    files: Vec<Listed>,
}

impl Volume {
    /// A large object, and syncs of a page each on top of it.
    fn new() -> Volume {
        let host: Host = plimsoll_host::os::host().unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::private(Arc::clone(&host.clock)));
        let prover = Prover::new(Arc::clone(&store), host, None);
        let mut volume = Volume { store, prover, bases: Bases::default(), files: Vec::new() };
        volume.put(1, 16, &(1..=PAGES).collect::<Vec<_>>());
        assert!(volume.files[0].size > WHOLE_BYTES_MAX);
        for (number, txid) in (1..).zip(2..2 + SYNCS) {
            volume.put(txid, txid, &[number * FAR]);
        }
        volume
    }

    fn put(&mut self, txid: u64, mark: u64, pages: &[u32]) {
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
        for number in pages {
            encoder.page(page(*number), &[content(*number, mark), content(*number, mark)].concat()).unwrap();
        }
        let finished = encoder.finish().unwrap();
        let id = FileId::sync(Txid(txid));
        self.files.retain(|file| file.id != id);
        // As a pin names it: without the time at which it was made.
        self.files.push(Listed { id, size: finished.size, modified: WallMs(0) });
        self.files.sort_unstable_by_key(|file| file.id.max);
        now(self.store.put(&Layout::Other.key(&id), bytes.into())).unwrap();
        now(self.store.put(&id.sidecar_key(), Sidecar::of(&header, finished).encode().into())).unwrap();
    }

    /// The state after so many of its objects.
    async fn state(&self, objects: usize) -> Result<View> {
        let reading = Reading { sidecars: true, ..Reading::default() };
        Ok(load(&self.prover, &self.bases, self.files[..objects].to_vec(), reading).await?.0)
    }

    /// Nothing is left of what the large object holds, but for its end.
    fn empty_the_large_object(&self) {
        let id = self.files[0].id;
        let key = Layout::Other.key(&id);
        let bytes = now(self.store.get(&key)).unwrap().unwrap().bytes;
        let (body, end) = bytes.split_at(bytes.len() - 8);
        now(self.store.put(&key, [&vec![0; body.len()], end].concat().into())).unwrap();
        now(self.store.delete(&[id.sidecar_key()])).unwrap();
    }
}

/// Going back to an earlier state of a gigabyte once took a fifth longer than of ten megabytes: its table of pages was
/// read and made anew, and compared page by page.
#[test]
fn an_earlier_state_is_another_one_only_where_something_was_written_since() {
    let volume = Volume::new();
    let newest = now(volume.state(volume.files.len())).unwrap();
    volume.empty_the_large_object();
    let earlier = now(volume.state(2)).unwrap();
    assert_eq!(newest.unshared_parts(&earlier), SYNCS as usize);
    let written: Vec<PageNo> = (2..=SYNCS as u32).map(|number| page(number * FAR)).collect();
    assert_eq!(earlier.differing(&newest), written);
    assert_eq!(newest.differing(&earlier), written);
}

#[test]
fn states_that_are_read_at_the_same_time_share_what_they_have_in_common() {
    let volume = Volume::new();
    let (newest, earlier) = now(join(volume.state(volume.files.len()), volume.state(1)));
    assert_eq!(newest.unwrap().unshared_parts(&earlier.unwrap()), SYNCS as usize);
}

#[test]
fn an_object_that_has_taken_the_place_of_another_one_is_read() {
    let mut volume = Volume::new();
    let before = now(volume.state(1)).unwrap();
    let size = volume.files[0].size;
    volume.put(1, 17, &(1..=PAGES).collect::<Vec<_>>());
    assert_eq!(volume.files[0].size, size, "it can be told apart by its checksum only");
    let after = now(volume.state(1)).unwrap();
    let hash = |mark| Some(page_hash(&[content(3, mark), content(3, mark)].concat()));
    assert_eq!([&before, &after].map(|view| view.slot(page(3)).unwrap().hash()), [hash(16), hash(17)]);
}
