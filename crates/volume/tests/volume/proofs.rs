//! Bytes of large objects are checked before use, whoever wrote them.

use std::time::Duration;

use plimsoll_host::{WallMs, run_blocking};
use plimsoll_ltx::{Encoder, FileId, Frames, Header, Layout};
use plimsoll_model::{ErrorKind, Level, Lsn, PageCount, PageSize, Txid};
use plimsoll_store::{
    Store as _,
    fault::{Fault, Op},
};
use plimsoll_volume::Volume;

use crate::world::{PAGE, World, marks, page, put, try_get};

/// Of noise, so that an object of so many pages is a large one.
const PAGES: u32 = 1500;

fn layout(world: &World) -> Layout {
    if world.shelf().s3_layout() { Layout::S3 } else { Layout::Other }
}

fn key(world: &World, id: FileId) -> String {
    layout(world).key(&id)
}

fn noise(world: &World) -> Vec<u8> {
    let words = std::iter::repeat_with(|| world.chance().bits().to_le_bytes()).take(PAGE / 8);
    words.flatten().collect()
}

/// A replica that something else wrote: one large object.
fn foreign(world: &World) -> String {
    let header = Header {
        page_size: PageSize::new(PAGE as u32).unwrap(),
        commit: PageCount(PAGES),
        min: Txid(1),
        max: Txid(1),
        timestamp: WallMs(1_700_000_000_000),
        stamp: None,
        link: 0,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
    for number in 1..=PAGES {
        encoder.page(page(number), &noise(world)).unwrap();
    }
    encoder.finish().unwrap();
    let key = key(world, FileId::sync(Txid(1)));
    world.wait(world.shelf().put(&key, bytes.into())).unwrap();
    key
}

/// One large sync of ours, durable, by a host that is gone afterwards without a word.
fn ours(world: &World) -> String {
    let mut machine = world.machine("a");
    let volume = machine.open(&[]);
    put_noise(world, &volume);
    // Its sidecar comes after it.
    world.run_for(1000);
    assert_eq!(world.wait(world.shelf().list("index/", None)).unwrap().len(), 1);
    machine.kill();
    key(world, FileId::sync(Txid(1)))
}

fn put_noise(world: &World, volume: &Volume) {
    let mut txn = volume.begin_write(&volume.snapshot().unwrap()).unwrap();
    for number in 1..=PAGES {
        txn.write(page(number), &noise(world)).unwrap();
    }
    txn.commit(PageCount(PAGES), Level::Durable).unwrap().wait(Level::Durable).unwrap();
}

fn flip(world: &World, key: &str, at: impl Fn(usize) -> usize) {
    let found = world.wait(world.shelf().get(key)).unwrap().unwrap();
    let mut bytes = found.bytes.to_vec();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    world.wait(world.shelf().put(key, bytes.into())).unwrap();
}

fn forget_sidecars(world: &World) {
    for entry in world.wait(world.shelf().list("index/", None)).unwrap() {
        world.wait(world.shelf().delete(&[entry.key])).unwrap();
    }
}

/// What reading all of a volume comes to on a new host.
fn read_all(world: &World, values: &[(&str, &str)]) -> Result<usize, ErrorKind> {
    let machine = world.machine("reader");
    let read = || {
        let volume = Volume::open(plimsoll_volume::Config { read_only: true, ..machine.config(values) })?;
        let snapshot = volume.snapshot()?;
        let mut bytes = vec![0; PAGE];
        for number in snapshot.page_count().pages() {
            snapshot.read(number, &mut bytes)?;
        }
        Ok(snapshot.page_count().0 as usize)
    };
    read().map_err(|error: plimsoll_model::Error| error.kind())
}

#[test]
fn a_flipped_bit_in_a_large_object_that_litestream_wrote_is_found_before_a_page_of_it_is_used() {
    let world = World::new(1);
    let key = foreign(&world);
    assert_eq!(read_all(&world, &[]), Ok(PAGES as usize));
    flip(&world, &key, |len| len / 2);
    assert_eq!(read_all(&world, &[]), Err(ErrorKind::Corrupt));
    assert_eq!(read_all(&world, &[("unsafe_unproved_pages", "true")]), Ok(PAGES as usize), "waived");
}

#[test]
fn a_large_object_that_nobody_has_described_is_read_whole_once_per_host() {
    let world = World::new(2);
    let key = foreign(&world);
    let mut machine = world.machine("a");
    let read = |machine: &crate::world::Machine| {
        machine.remote.asked();
        machine.open_read_only(&[]);
        machine.remote.asked().into_iter().filter(|(op, of)| *op == Op::GetRange && *of == key).count()
    };
    assert!(read(&machine) >= 2, "the header and the pages");
    machine.kill();
    assert_eq!(read(&machine), 0, "it is described on this host");
    // Another object of the same name and size is another object.
    flip(&world, &key, |len| len - 1);
    machine.kill();
    assert_eq!(
        Volume::open(plimsoll_volume::Config { read_only: true, ..machine.config(&[]) }).err().unwrap().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn a_description_is_asked_for_once_per_host() {
    let world = World::new(9);
    ours(&world);
    let mut machine = world.machine("b");
    let asked = |machine: &crate::world::Machine| {
        machine.remote.asked();
        machine.open_read_only(&[]);
        machine.remote.asked().into_iter().filter(|(op, of)| *op == Op::Get && of.ends_with(".pix")).count()
    };
    assert!(asked(&machine) > 0);
    machine.kill();
    assert_eq!(asked(&machine), 0, "it was kept");
}

#[test]
fn a_flipped_bit_in_a_large_sync_of_ours_is_found_with_its_sidecar_and_without() {
    for sidecar in [true, false] {
        let world = World::new(3);
        let key = ours(&world);
        if !sidecar {
            forget_sidecars(&world);
        }
        assert_eq!(read_all(&world, &[]), Ok(PAGES as usize));
        flip(&world, &key, |len| len / 2);
        assert_eq!(read_all(&world, &[]), Err(ErrorKind::Corrupt));
    }
}

#[test]
fn a_damaged_sidecar_is_passed_over() {
    let world = World::new(4);
    ours(&world);
    for entry in world.wait(world.shelf().list("index/", None)).unwrap() {
        flip(&world, &entry.key, |len| len / 2);
    }
    assert_eq!(read_all(&world, &[]), Ok(PAGES as usize));
}

#[test]
fn a_merge_does_not_vouch_for_what_is_damaged() {
    let world = World::new(5);
    let key = foreign(&world);
    flip(&world, &key, |len| len / 2);
    let machine = world.machine("a");
    // Who waives the check reads what is there, but a fence is not put on it: that would make it ours.
    let volume = machine.open(&[("unsafe_unproved_pages", "true"), ("compaction_levels_ms", "1000")]);
    assert!(volume.snapshot().is_ok());
    assert_eq!(volume.compact().unwrap_err().kind(), ErrorKind::Corrupt);

    // The same below a sync that is sound.
    let world = World::new(6);
    let key = ours(&world);
    let machine = world.machine("b");
    let volume = machine.open(&[("takeover", "true"), ("compaction_levels_ms", "1000")]);
    put(&volume, &[(1, 1)], PAGES, Level::Durable).unwrap();
    flip(&world, &key, |len| len / 2);
    assert_eq!(volume.compact().unwrap_err().kind(), ErrorKind::Corrupt);
    let entries = world.wait(world.shelf().list("", None)).unwrap();
    let merged = entries.iter().filter_map(|entry| layout(&world).parse(&entry.key)).filter(|id| id.level > 0);
    assert_eq!(merged.count(), 0);
}

#[test]
fn a_merge_that_somebody_else_has_made_meanwhile_is_read_before_it_is_believed() {
    for damaged in [true, false] {
        let world = World::new(7);
        let machine = world.machine("a");
        let volume = machine.open(&[("compaction_levels_ms", "3600000")]);
        put_noise(&world, &volume);
        put(&volume, &[(1, 1)], PAGES, Level::Durable).unwrap();
        let merged = volume.compact().unwrap().merged[0];
        let key = key(&world, merged);
        let mut bytes = world.wait(world.shelf().get(&key)).unwrap().unwrap().bytes.to_vec();
        for entry in world.wait(world.shelf().list("", None)).unwrap() {
            let ours = layout(&world).parse(&entry.key).or(FileId::parse_sidecar_key(&entry.key));
            if ours.is_some_and(|id| id.level > 0) {
                world.wait(world.shelf().delete(&[entry.key])).unwrap();
            }
        }
        if damaged {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        }
        // It is not there when this one lists, and it is when this one creates it.
        machine.remote.script.once(Op::Create, "ltx/9/", Fault::Delay(Duration::from_secs(5)));
        let (host, shelf) = (machine.host(), world.shelf().clone());
        host.tasks.clone().spawn(Box::pin(async move {
            host.clock.sleep(Duration::from_secs(1)).await;
            shelf.put(&key, bytes.into()).await.unwrap();
        }));
        let compacted = volume.compact();
        assert!(machine.remote.script.is_used_up());
        if damaged {
            assert_eq!(compacted.unwrap_err().kind(), ErrorKind::Corrupt);
        } else {
            assert_eq!(compacted.unwrap().merged[0], merged);
        }
    }
}

#[test]
fn a_writer_goes_on_only_from_a_newest_sync_whose_header_is_proved() {
    // The last digit of the commit number in the stamp.
    const LSN: usize = 91;
    let world = World::new(8);
    let key = ours(&world);
    flip(&world, &key, |_| LSN);
    // The sidecar says it rightly.
    let volume = world.machine("b").open(&[("takeover", "true")]);
    put(&volume, &[(1, 1)], PAGES, Level::Durable).unwrap();
    assert_eq!(volume.head(), Lsn(2));

    let world = World::new(8);
    let key = ours(&world);
    flip(&world, &key, |_| LSN);
    forget_sidecars(&world);
    let before = world.wait(world.shelf().list("", None)).unwrap();
    let opened = world.machine("b").try_open(&[("takeover", "true"), ("unsafe_unproved_pages", "true")]).unwrap();
    assert_eq!(put(&opened, &[(1, 1)], PAGES, Level::Durable).err().unwrap().kind(), ErrorKind::Corrupt);
    let after = world.wait(world.shelf().list("", None)).unwrap();
    let syncs = |entries: &[plimsoll_store::Entry]| entries.iter().filter(|entry| entry.key.ends_with(".ltx")).count();
    assert_eq!(syncs(&before), syncs(&after));
}

#[test]
fn a_writer_that_is_overtaken_while_it_opens_says_by_whom() {
    let world = World::new(9);
    let volume = world.machine("first").open(&[]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    volume.close().unwrap();

    let (slow, fast) = (world.machine("slow"), world.machine("fast"));
    let (late, early) = (slow.open(&[]), fast.open(&[("takeover", "true")]));
    put(&early, &[(1, 3)], 1, Level::Durable).unwrap();
    early.release().unwrap();
    // It has what is under its own fence to read still, and then the fence, which is slow.
    slow.remote.script.once(Op::GetTail, "0000000000000004-", Fault::Delay(Duration::from_secs(10)));
    let host = fast.host();
    let winner = early.clone();
    host.tasks.clone().spawn(Box::pin(async move {
        host.clock.sleep(Duration::from_secs(5)).await;
        run_blocking(&host.tasks, move || put(&winner, &[(1, 7)], 1, Level::Durable).map(drop)).await.unwrap();
    }));
    let error = put(&late, &[(1, 5)], 1, Level::Durable).err().unwrap();
    assert!(slow.remote.script.is_used_up());
    assert_eq!(error.kind(), ErrorKind::Held, "{error}");
    assert!(error.to_string().contains("host fast"), "{error}");
    assert_eq!(marks(&early), [7]);
    assert_eq!(try_get(&early.snapshot().unwrap(), 1).unwrap(), 7);
}

/// Where many objects were read at once over a way that turns bits over, none of them had to be for an open or a merge to succeed.
#[test]
fn an_answer_that_was_damaged_on_its_way_is_asked_for_again() {
    let world = World::new(12);
    let volume = world.machine("a").open(&[]);
    for mark in 1..4 {
        put(&volume, &[(1, mark), (2, mark)], 2, Level::Durable).unwrap();
    }
    volume.close().unwrap();
    let machine = world.machine("b");
    machine.remote.script.once(Op::Get, ".ltx", Fault::Truncate(200));
    let volume = machine.open(&[("cache_bytes_max", "0")]);
    assert!(machine.remote.script.is_used_up(), "an open reads syncs");
    assert_eq!(marks(&volume), [3, 3]);
    machine.remote.script.once(Op::GetRange, ".ltx", Fault::Truncate(10));
    volume.compact().unwrap();
    assert!(machine.remote.script.is_used_up(), "a merge reads pages");
    assert_eq!(marks(&world.machine("c").open_read_only(&[])), [3, 3]);
}

#[test]
fn a_buffer_that_is_not_a_page_long_is_refused_rather_than_filled_in_part() {
    let world = World::new(20);
    put(&world.machine("a").open(&[]), &[(1, 1)], 1, Level::Durable).unwrap();
    let snapshot = world.machine("b").open_read_only(&[]).snapshot().unwrap();
    for bytes in [PAGE / 2, PAGE * 2] {
        let mut buffer = vec![7; bytes];
        let error = snapshot.read(page(1), &mut buffer).unwrap_err();
        assert!(error.to_string().contains(&format!("have {PAGE} bytes, the volume's {bytes}")), "{error}");
        assert!(buffer.iter().all(|byte| *byte == 7));
    }
    assert_eq!(try_get(&snapshot, 1).unwrap(), 1);
}
