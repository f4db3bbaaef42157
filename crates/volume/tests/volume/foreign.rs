//! Replicas that something else writes: syncs without stamps.

use plimsoll_host::WallMs;
use plimsoll_ltx::{Encoder, FileId, Frames, Header, Layout};
use plimsoll_model::{ErrorKind, Level, PageCount, PageSize, Txid};
use plimsoll_store::Store as _;
use plimsoll_volume::Role;

use crate::world::{Machine, PAGE, World, content, marks, page, put};

fn sync(world: &World, txid: u64, pages: &[(u32, u64)], count: u32) {
    sync_of(world, PAGE, txid, pages, count);
}

fn sync_of(world: &World, page_bytes: usize, txid: u64, pages: &[(u32, u64)], count: u32) {
    object(world, FileId::sync(Txid(txid)), page_bytes, &contents(page_bytes, pages), count);
}

fn contents(page_bytes: usize, pages: &[(u32, u64)]) -> Vec<(u32, Vec<u8>)> {
    pages.iter().map(|(number, mark)| (*number, content(*mark).repeat(page_bytes / PAGE))).collect()
}

fn object(world: &World, id: FileId, page_bytes: usize, pages: &[(u32, Vec<u8>)], count: u32) {
    let header = Header {
        page_size: PageSize::new(page_bytes as u32).unwrap(),
        commit: PageCount(count),
        min: id.min,
        max: id.max,
        timestamp: WallMs(1_700_000_000_000 + id.max.0),
        stamp: None,
        link: 0,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, Frames::Frame).unwrap();
    for (number, bytes) in pages {
        encoder.page(page(*number), bytes).unwrap();
    }
    encoder.finish().unwrap();
    let layout = if world.shelf().s3_layout() { Layout::S3 } else { Layout::Other };
    let key = layout.key(&id);
    world.wait(world.shelf().put(&key, bytes.into())).unwrap();
}

#[test]
fn a_replica_without_stamps_is_followed_and_leaves_no_trace() {
    let world = World::new(1);
    sync(&world, 1, &[(1, 1), (2, 2)], 2);
    sync(&world, 2, &[(2, 3)], 2);
    let before = world.wait(world.shelf().list("", None)).unwrap().len();
    let follower = world.machine("a").open_read_only(&[]);
    assert_eq!(marks(&follower), [1, 3]);
    sync(&world, 3, &[(1, 4), (3, 5)], 3);
    world.run_for(5000);
    assert_eq!(marks(&follower), [4, 3, 5]);
    assert_eq!(world.wait(world.shelf().list("", None)).unwrap().len(), before + 1);
}

#[test]
fn a_replica_without_stamps_is_continued_and_survives_crashes() {
    let world = World::new(2);
    sync(&world, 1, &[(1, 1), (2, 2)], 2);
    let mut machine = world.machine("a");
    let volume = machine.open(&[("sync_interval_ms", "60000")]);
    put(&volume, &[(1, 5)], 2, Level::Durable).unwrap();
    put(&volume, &[(2, 6)], 2, Level::Buffered).unwrap();
    assert_eq!(marks(&world.machine("b").open_read_only(&[])), [5, 2]);
    machine.kill();
    let volume = machine.open(&[]);
    assert_eq!(marks(&volume), [5, 6]);
    volume.close().unwrap();
    assert_eq!(marks(&world.machine("c").open_read_only(&[])), [5, 6]);
}

#[test]
fn a_foreign_writer_that_takes_the_next_name_fences_ours_and_its_tail_is_kept() {
    let world = World::new(3);
    let machine = world.machine("a");
    let volume = machine.open(&[("sync_interval_ms", "60000")]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    let tail = put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    sync(&world, volume.status().txid + 1, &[(1, 9)], 1);
    assert_eq!(tail.wait(Level::Durable).unwrap_err().kind(), ErrorKind::Fenced);
    world.run_for(100);
    assert_eq!((volume.status().role, volume.status().stranded.len()), (Role::Fenced, 1));
    assert_eq!(marks(&volume), [9]);
}

/// It has no identity by which that could be told, and pages of another size were once read as if they were of this one.
#[test]
fn a_replica_that_was_made_again_with_another_page_size_is_not_read_as_the_same() {
    for slept in [1_000, 3_600_000] {
        let world = World::new(4);
        for txid in 1..=3 {
            sync(&world, txid, &[(1, txid)], 1);
        }
        let follower = world.machine("a").open_read_only(&[]);
        assert_eq!(marks(&follower), [3]);
        world.wait(world.shelf().delete(&world.keys(""))).unwrap();
        for txid in 1..=6 {
            sync_of(&world, 2 * PAGE, txid, &[(1, txid)], 1);
        }
        world.run_for(slept);
        for _ in 0..10 {
            world.run_for(2_000);
            assert_eq!(marks(&follower), [3]);
        }
        assert!(follower.refresh().is_err());
        let trouble = follower.status().trouble.unwrap();
        assert!(trouble.contains("pages of 1024 bytes"), "{trouble}");
    }
}

/// Pages that nothing can compress, so that they make a large object.
fn noise(world: &World, pages: u32) -> Vec<(u32, Vec<u8>)> {
    let bytes = || (0..PAGE / 8).flat_map(|_| world.chance().bits().to_le_bytes()).collect();
    (1..=pages).map(|number| (number, bytes())).collect()
}

/// Without hashes a page of the cache was told by its transaction alone, and that may be another database's.
#[test]
fn without_proofs_a_replica_that_was_made_again_is_not_read_from_what_an_earlier_process_has_kept() {
    const PAGES: u32 = 2000;
    let world = World::new(5);
    let id = |level, min, max| FileId { level, min: Txid(min), max: Txid(max) };
    let machine = world.machine("a");
    let read = |machine: &Machine| {
        let follower = machine.open_read_only(&[("unsafe_unproved_pages", "true")]);
        let snapshot = follower.snapshot().unwrap();
        let mut bytes = vec![0; PAGE];
        let mut pages = Vec::new();
        for number in 1..=PAGES {
            snapshot.read(page(number), &mut bytes).unwrap();
            pages.push((number, bytes.clone()));
        }
        drop(snapshot);
        follower.close().unwrap();
        pages
    };
    let old = noise(&world, PAGES);
    object(&world, id(9, 1, 50), PAGE, &old, PAGES);
    assert!(read(&machine) == old);
    world.wait(world.shelf().delete(&world.keys(""))).unwrap();
    let new = noise(&world, PAGES);
    object(&world, id(9, 1, 10), PAGE, &new, PAGES);
    let mut newest = new.clone();
    newest[PAGES as usize - 1].1 = content(7);
    object(&world, id(1, 11, 60), PAGE, &newest[PAGES as usize - 1..], PAGES);
    world.run_for(60_000);
    assert!(read(&machine.beside()) == newest);
}

/// Those were not looked at by who takes the volume, so it seemed to be another one.
#[test]
fn a_replica_of_which_only_a_merge_of_a_high_level_is_left_is_continued() {
    for level in 1..=9 {
        let world = World::new(6);
        object(&world, FileId { level, min: Txid(1), max: Txid(5) }, PAGE, &contents(PAGE, &[(1, 1), (2, 2)]), 2);
        let volume = world.machine("a").open(&[]);
        put(&volume, &[(1, 5)], 2, Level::Durable).unwrap();
        volume.close().unwrap();
        assert_eq!(marks(&world.machine("b").open_read_only(&[])), [5, 2], "level {level}");
    }
}

/// Where no hashes are known, two pages that have none are not the same for that.
#[test]
fn without_proofs_a_page_of_a_state_that_was_collected_is_not_read_from_another_state() {
    let world = World::new(14);
    let [first, second] = [(); 2].map(|()| noise(&world, 1100));
    object(&world, FileId::sync(Txid(1)), PAGE, &first, 1100);
    let values = [("unsafe_unproved_pages", "true"), ("cache_bytes_max", "0")];
    let follower = world.machine("a").open_read_only(&values);
    let pinned = follower.snapshot().unwrap();
    object(&world, FileId::sync(Txid(2)), PAGE, &second, 1100);
    world.run_for(5000);
    follower.refresh().unwrap();
    let mut bytes = vec![0; PAGE];
    follower.snapshot().unwrap().read(page(7), &mut bytes).unwrap();
    assert_eq!(bytes, second[6].1);
    object(&world, FileId { level: 9, min: Txid(1), max: Txid(2) }, PAGE, &second, 1100);
    let gone = world.keys("ltx/0/").swap_remove(0);
    world.wait(world.shelf().delete(&[gone])).unwrap();
    assert_eq!(pinned.read(page(7), &mut bytes).unwrap_err().kind(), ErrorKind::NotFound);
}
