//! What every store promises. One function per promise; [`check`] runs them all.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Barrier, Mutex},
    thread,
};

use bytes::Bytes;
use plimsoll_host::{Host, WallMs};
use plimsoll_model::ErrorKind;
use plimsoll_store::{Blocks, Body, Created, Folder, Piece, Store};

/// Runs every promise against an empty prefix, which is empty again afterwards.
pub fn check(store: &dyn Store, host: &Host) {
    racing_creates_have_one_winner(store, host);
    host.tasks.wait(async {
        a_create_never_replaces(store).await;
        a_put_replaces(store).await;
        bodies_arrive_whole(store).await;
        what_cannot_be_read_while_it_is_sent_becomes_no_object(store).await;
        ranges_are_exact(store).await;
        tails_are_what_there_is(store).await;
        listings_are_ordered_and_complete(store).await;
        deleted_is_deleted_and_missing_is_fine(store).await;
        odd_names_come_back_unchanged(store).await;
        bad_names_are_refused(store).await;
        assert!(store.list("", None).await.unwrap().is_empty(), "each check cleans up");
    });
}

fn body(text: &str) -> Body {
    Body::from(text.as_bytes().to_vec())
}

async fn read(store: &dyn Store, key: &str) -> Option<Vec<u8>> {
    store.get(key).await.unwrap().map(|object| object.bytes.to_vec())
}

async fn remove(store: &dyn Store, keys: &[&str]) {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    store.delete(&keys).await.unwrap();
}

/// The primitive that everything rests on, from as many threads as racers.
fn racing_creates_have_one_winner(store: &dyn Store, host: &Host) {
    const RACERS: usize = 16;
    for round in 0..5 {
        let key = format!("race/{round}");
        let start = Barrier::new(RACERS);
        let winners = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for racer in 0..RACERS {
                let (key, start, winners) = (&key, &start, &winners);
                scope.spawn(move || {
                    let text = format!("round {round} racer {racer}");
                    start.wait();
                    match host.tasks.wait(store.create(key, body(&text))).unwrap() {
                        Created::New => winners.lock().unwrap().push(text),
                        Created::Exists => {}
                    }
                });
            }
        });
        let winners = winners.into_inner().unwrap();
        assert_eq!(winners.len(), 1, "{key}: {winners:?}");
        assert_eq!(host.tasks.wait(read(store, &key)).unwrap(), winners[0].as_bytes());
        host.tasks.wait(remove(store, &[&key]));
    }
}

async fn a_create_never_replaces(store: &dyn Store) {
    assert_eq!(store.create("c/a", body("one")).await.unwrap(), Created::New);
    assert_eq!(store.create("c/a", body("two")).await.unwrap(), Created::Exists);
    assert_eq!(read(store, "c/a").await.unwrap(), b"one");
    remove(store, &["c/a"]).await;
    assert_eq!(store.create("c/a", body("three")).await.unwrap(), Created::New, "a deleted name is free");
    remove(store, &["c/a"]).await;
}

async fn a_put_replaces(store: &dyn Store) {
    store.put("p/a", body("one")).await.unwrap();
    store.put("p/a", body("two, and longer")).await.unwrap();
    assert_eq!(read(store, "p/a").await.unwrap(), b"two, and longer");
    assert_eq!(store.create("p/a", body("three")).await.unwrap(), Created::Exists);
    let object = store.get("p/a").await.unwrap().unwrap();
    assert!(object.modified > WallMs(1_500_000_000_000), "{:?}", object.modified);
    remove(store, &["p/a"]).await;
}

async fn bodies_arrive_whole(store: &dyn Store) {
    let pieces: Vec<Piece> = ["ab", "", "c"].map(|text| Bytes::from_static(text.as_bytes()).into()).into();
    let timestamp = Some(WallMs(1_700_000_000_123));
    store.create("b/pieces.ltx", Body { pieces: pieces.clone(), timestamp }).await.unwrap();
    store.put("b/again.ltx", Body { pieces, timestamp }).await.unwrap();
    store.create("b/empty", Body::default()).await.unwrap();
    let large = Body::from((0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    store.create("b/large", large.clone()).await.unwrap();
    assert_eq!(read(store, "b/pieces.ltx").await.unwrap(), b"abc");
    assert_eq!(read(store, "b/again.ltx").await.unwrap(), b"abc");
    assert_eq!(read(store, "b/empty").await.unwrap(), b"");
    assert!(read(store, "b/large").await.unwrap() == large.to_bytes().unwrap());
    let sizes: Vec<u64> = store.list("b/", None).await.unwrap().iter().map(|entry| entry.size).collect();
    assert_eq!(sizes, [3, 0, 12_000_000, 3]);
    remove(store, &["b/pieces.ltx", "b/again.ltx", "b/empty", "b/large"]).await;
}

/// Content that is read when it is sent, in blocks of a MiB, each with its number in all bytes.
struct Numbers {
    /// After so many reads of the last block but one, the next fails.
    fails: Mutex<Option<usize>>,
}

const BLOCK_BYTES: usize = 1 << 20;
/// More than is sent from memory.
const BLOCKS: usize = 35;

impl Blocks for Numbers {
    fn read(&self, block: usize) -> io::Result<Bytes> {
        let mut fails = self.fails.lock().unwrap();
        if block == BLOCKS - 2
            && let Some(reads) = *fails
        {
            *fails = reads.checked_sub(1);
            if fails.is_none() {
                return Err(io::Error::other("the disk has failed"));
            }
        }
        Ok(vec![u8::try_from(block).unwrap(); BLOCK_BYTES].into())
    }
}

/// As long as it was mapped into memory, a disk that failed ended the process.
async fn what_cannot_be_read_while_it_is_sent_becomes_no_object(store: &dyn Store) {
    let numbers = Arc::new(Numbers { fails: Mutex::default() });
    let piece = |block| Piece::Stored { blocks: Arc::clone(&numbers) as Arc<dyn Blocks>, block, range: 0..BLOCK_BYTES };
    let body = Body { pieces: (0..BLOCKS).map(piece).collect(), timestamp: None };
    for (key, exclusive) in [("s/create", true), ("s/put", false)] {
        let send = async || {
            if exclusive {
                store.create(key, body.clone()).await
            } else {
                store.put(key, body.clone()).await.map(|()| Created::New)
            }
        };
        // Some read it once more before they send it, for its digest.
        for reads in [0, 1] {
            *numbers.fails.lock().unwrap() = Some(reads);
            let Err(error) = send().await else {
                assert_eq!((reads, numbers.fails.lock().unwrap().take()), (1, Some(0)));
                remove(store, &[key]).await;
                continue;
            };
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert!(error.to_string().contains("the disk has failed") && error.to_string().contains(key), "{error}");
            assert_eq!(read(store, key).await, None);
        }
        assert_eq!(send().await.unwrap(), Created::New, "the next try reads it again");
        let bytes = read(store, key).await.unwrap();
        assert_eq!(bytes.len(), BLOCKS * BLOCK_BYTES);
        let right = |(block, bytes): (usize, &[u8])| bytes.iter().all(|byte| usize::from(*byte) == block);
        assert!(bytes.chunks(BLOCK_BYTES).enumerate().all(right));
        if exclusive {
            assert_eq!(send().await.unwrap(), Created::Exists);
        }
    }
    remove(store, &["s/create", "s/put"]).await;
}

async fn ranges_are_exact(store: &dyn Store) {
    store.put("r/a", body("0123456789")).await.unwrap();
    for (range, expected) in [(0..10, "0123456789"), (3..4, "3"), (9..10, "9"), (4..4, ""), (10..10, "")] {
        let bytes = store.get_range("r/a", range.clone()).await.unwrap().unwrap();
        assert_eq!(bytes, expected.as_bytes(), "{range:?}");
    }
    for range in [0..11, 9..12, 10..11, 50..60, 11..11, 0..u64::MAX] {
        let error = store.get_range("r/a", range.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{range:?}: {error}");
        assert!(error.to_string().contains("r/a"), "{error}");
    }
    assert!(store.get_range("r/none", 0..1).await.unwrap().is_none());
    assert!(store.get_range("r/none", 0..0).await.unwrap().is_none());
    remove(store, &["r/a"]).await;
}

async fn tails_are_what_there_is(store: &dyn Store) {
    store.put("t/a", body("0123456789")).await.unwrap();
    store.put("t/empty", Body::default()).await.unwrap();
    for (wanted, expected) in [(0, ""), (1, "9"), (10, "0123456789"), (11, "0123456789"), (1 << 40, "0123456789")] {
        let tail = store.get_tail("t/a", wanted).await.unwrap().unwrap();
        assert_eq!((&tail.bytes[..], tail.size), (expected.as_bytes(), 10), "{wanted}");
    }
    let tail = store.get_tail("t/empty", 5).await.unwrap().unwrap();
    assert_eq!((tail.bytes.len(), tail.size), (0, 0));
    assert!(store.get_tail("t/none", 1).await.unwrap().is_none());
    remove(store, &["t/a", "t/empty"]).await;
}

async fn listings_are_ordered_and_complete(store: &dyn Store) {
    let keys = ["l-x", "l/0/a", "l/0/b", "l/0/b.c", "l/00/a", "l/1/a/deep", "m/a"];
    for key in keys {
        store.put(key, body(key)).await.unwrap();
    }
    let list = async |folder: &str, after: Option<&str>| -> Vec<String> {
        store.list(folder, after).await.unwrap().into_iter().map(|entry| entry.key).collect()
    };
    let mut sorted = keys;
    sorted.sort_unstable();
    assert_eq!(list("", None).await, sorted, "in the order of bytes");
    assert_eq!(list("l/", None).await, ["l/0/a", "l/0/b", "l/0/b.c", "l/00/a", "l/1/a/deep"]);
    assert_eq!(list("l/0/", None).await, ["l/0/a", "l/0/b", "l/0/b.c"]);
    let inside = store.list_folder("l/").await.unwrap();
    assert_eq!((inside.folders, inside.entries), (vec!["l/0/".into(), "l/00/".into(), "l/1/".into()], vec![]));
    let inside = store.list_folder("l/0/").await.unwrap();
    assert_eq!(inside.folders, [""; 0]);
    assert_eq!(
        inside.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(),
        ["l/0/a", "l/0/b", "l/0/b.c"]
    );
    assert_eq!(store.list_folder("none/").await.unwrap(), Folder::default());
    assert_eq!(list("l/0/", Some("l/0/a")).await, ["l/0/b", "l/0/b.c"]);
    assert_eq!(list("l/0/", Some("l/0/aa")).await, ["l/0/b", "l/0/b.c"]);
    assert_eq!(list("l/0/", Some("l/0/b.c")).await, [""; 0]);
    assert_eq!(list("l/0/", Some("a")).await, ["l/0/a", "l/0/b", "l/0/b.c"]);
    assert_eq!(list("l/0/", Some("zzz")).await, [""; 0]);
    assert_eq!(list("", Some("l/1")).await, ["l/1/a/deep", "m/a"]);
    assert_eq!(list("none/", None).await, [""; 0]);
    assert_eq!(store.list("l", None).await.unwrap_err().kind(), ErrorKind::Invalid, "a folder ends with a slash");
    let entries = store.list("", None).await.unwrap();
    assert!(entries.iter().all(|entry| entry.size == entry.key.len() as u64));
    assert!(entries.iter().all(|entry| entry.modified > WallMs(1_500_000_000_000)), "{entries:?}");
    remove(store, &keys).await;
}

async fn deleted_is_deleted_and_missing_is_fine(store: &dyn Store) {
    remove(store, &[]).await;
    remove(store, &["d/none", "d/neither/nor"]).await;
    for key in ["d/a", "d/b", "d/c"] {
        store.put(key, body(key)).await.unwrap();
    }
    remove(store, &["d/a", "d/none", "d/c"]).await;
    assert_eq!(read(store, "d/a").await, None);
    assert_eq!(read(store, "d/b").await.unwrap(), b"d/b");
    remove(store, &["d/b", "d/b"]).await;
    assert!(store.list("d/", None).await.unwrap().is_empty());
}

/// Users name checkpoints.
async fn odd_names_come_back_unchanged(store: &dyn Store) {
    let keys = ["o/a b+c%41&d=é'\"~!()*@:;,$.json", "o/%2F", "o/ü?#[]", "o/ leading", "o/<x>"];
    for key in keys {
        assert_eq!(store.create(key, body(key)).await.unwrap(), Created::New, "{key}");
        assert_eq!(store.create(key, body(key)).await.unwrap(), Created::Exists, "{key}");
        assert_eq!(read(store, key).await.unwrap(), key.as_bytes());
    }
    let listed: BTreeSet<String> = store.list("o/", None).await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(listed, keys.map(str::to_owned).into());
    remove(store, &keys).await;
    assert!(store.list("o/", None).await.unwrap().is_empty());
}

async fn bad_names_are_refused(store: &dyn Store) {
    for key in ["", "../x", "a//b", "/a", "a/", "a/./b", ".x", "a\nb", &"x".repeat(300)] {
        let errors = [
            store.create(key, Body::default()).await.unwrap_err(),
            store.put(key, Body::default()).await.unwrap_err(),
            store.get(key).await.unwrap_err(),
            store.get_range(key, 0..1).await.unwrap_err(),
            store.get_tail(key, 1).await.unwrap_err(),
            store.delete(&[key.to_owned()]).await.unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Invalid), "{key:?}: {errors:?}");
    }
}
