//! What two states of one volume have in common is in memory once, and is not read again for the second one. What nobody
//! has asked for yet is not even laid out.

use std::{
    alloc::{GlobalAlloc, Layout as Room, System},
    cell::Cell,
    sync::Arc,
};

use futures::{FutureExt as _, future::join};
use plimsoll_host::{Host, WallMs};
use plimsoll_ltx::{Encoder, FileId, Frames, Header, Layout, page_hash, sidecar::Sidecar};
use plimsoll_model::{ErrorKind, PageCount, PageNo, PageSize, Result, Txid};
use plimsoll_pages::{Bases, Listed, Reading, View, load};
use plimsoll_proof::{Prover, WHOLE_BYTES_MAX};
use plimsoll_store::{MemoryStore, Store};

/// Two dozen parts of 512 pages each.
const PAGES: u32 = 12_000;
/// Between two pages that were written: more than a part.
const FAR: u32 = 1_100;
const SYNCS: u64 = 10;

/// What a part takes once it is laid out.
const PART_BYTES: isize = 512 * 24;

struct Counting;

thread_local! {
    /// Bytes that this thread has asked for and not given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, room: Room) -> *mut u8 {
        HELD.set(HELD.get() + room.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(room) }
    }

    unsafe fn dealloc(&self, at: *mut u8, room: Room) {
        HELD.set(HELD.get() - room.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, room) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What something makes, and the bytes that this keeps.
fn kept<T>(make: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.get();
    let made = make();
    (made, HELD.get() - before)
}

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

/// Opening a gigabyte once took 30 ms more than ten megabytes: a place in memory was made for each of its pages.
#[test]
fn a_state_is_laid_out_where_somebody_asks_for_pages_and_nowhere_else() {
    let volume = Volume::new();
    let parts = PAGES.div_ceil(512) as isize;
    let (state, bytes) = kept(|| now(volume.state(1)).unwrap());
    assert!(bytes < parts * 512, "{bytes} bytes for {parts} parts");

    let (hash, bytes) = kept(|| state.slot(page(700)).unwrap().hash());
    assert_eq!(hash, Some(page_hash(&[content(700, 16), content(700, 16)].concat())));
    assert_eq!(bytes, PART_BYTES);
    assert_eq!(kept(|| assert!(state.slot(page(701)).is_some())).1, 0, "its neighbour is in the same part");

    // Syncs on top of it change the parts that they have pages in; who compares states looks at these.
    let (newest, bytes) = kept(|| now(volume.state(volume.files.len())).unwrap());
    assert!((SYNCS as isize..SYNCS as isize + 1).contains(&(bytes / PART_BYTES)), "{bytes} bytes for {SYNCS} syncs");
    let (differing, bytes) = kept(|| state.differing(&newest).len() as u64);
    assert_eq!(differing, SYNCS);
    assert!(bytes / PART_BYTES <= SYNCS as isize, "{bytes} bytes to find what {SYNCS} syncs changed");
    let (objects, bytes) = kept(|| View::objects([&state, &newest]).len() as u64);
    assert_eq!(objects, 1 + SYNCS);
    assert!(bytes < PART_BYTES, "{bytes} bytes to name the objects");
}

#[test]
fn of_large_objects_the_newest_has_a_page_also_where_nobody_asked_for_it_before() {
    let mut volume = Volume::new();
    volume.files.truncate(1);
    // The second one changes every page from 600 on, and a later one three of them.
    volume.put(2, 17, &(600..=PAGES).collect::<Vec<_>>());
    volume.put(3, 18, &[2, 601, 9_000]);
    assert!(volume.files[1].size > WHOLE_BYTES_MAX && volume.files[2].size < WHOLE_BYTES_MAX);
    let state = now(volume.state(3)).unwrap();
    for (number, mark) in [(1, 16), (2, 18), (599, 16), (600, 17), (601, 18), (9_000, 18), (PAGES, 17)] {
        let wanted = page_hash(&[content(number, mark), content(number, mark)].concat());
        assert_eq!(state.slot(page(number)).unwrap().hash(), Some(wanted), "page {number}");
    }
    let objects: Vec<u64> =
        (1..=3).filter(|txid| View::objects([&state]).contains(&FileId::sync(Txid(*txid)))).collect();
    assert_eq!(objects, [1, 2, 3]);
    let first = now(volume.state(1)).unwrap();
    assert_eq!(first.differing(&state).len() as u32, PAGES - 600 + 2);
}

#[test]
fn what_an_object_below_another_one_was_replaced_by_is_read_too() {
    let mut volume = Volume::new();
    volume.put(2, 18, &(600..=PAGES).collect::<Vec<_>>());
    assert!(volume.files[1].size > WHOLE_BYTES_MAX);
    let before = now(volume.state(2)).unwrap();
    volume.put(1, 17, &(1..=PAGES).collect::<Vec<_>>());
    let after = now(volume.state(2)).unwrap();
    let hash = |number, mark| Some(page_hash(&[content(number, mark), content(number, mark)].concat()));
    let found = [&before, &after].map(|view| [3, 700].map(|number| view.slot(page(number)).unwrap().hash()));
    assert_eq!(found, [[hash(3, 16), hash(700, 18)], [hash(3, 17), hash(700, 18)]]);
}

/// A late request may bring the very bytes again, once they were merged and collected: that is not what was listed.
#[test]
fn what_has_taken_a_name_since_it_was_listed_is_not_taken_for_the_listed_object_also_where_its_bytes_are_known() {
    let mut volume = Volume::new();
    let _known = now(volume.state(1)).unwrap();
    volume.files[0].modified = WallMs(1);
    assert_eq!(now(volume.state(1)).err().unwrap().kind(), ErrorKind::NotFound);
}
