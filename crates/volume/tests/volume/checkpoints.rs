//! Names for states, which are kept until the names are removed.

use plimsoll_commitlog::{Context, PinRecord, pins};
use plimsoll_ltx::{FileId, Layout, plan::Target};
use plimsoll_model::{ErrorKind, Level, Txid};
use plimsoll_pages::list;
use plimsoll_store::Store as _;
use plimsoll_volume::{Nowhere, Volume, checkpoint, remove_checkpoint, usage};

use crate::world::{Machine, World, put};

const LAZY: (&str, &str) = ("sync_interval_ms", "60000");
/// Everything that is merged is garbage at once.
const SHORT: &[(&str, &str)] =
    &[("compaction_levels_ms", "1000,5000"), ("l0_retention_ms", "2000"), ("retention_ms", "2000")];

fn context(machine: &Machine) -> Context {
    let config = machine.config(SHORT);
    Context::new(config.host, config.store, config.settings.l0_retention)
}

fn is_restorable(world: &World, machine: &Machine, txid: Txid) -> bool {
    let context = context(machine);
    world.wait(async { list(context.store(), context.layout()).await }).unwrap().restore(Target::Txid(txid)).is_ok()
}

fn busy(world: &World, volume: &Volume, marks: std::ops::Range<u64>) {
    for mark in marks {
        put(volume, &[(1, mark), (2, mark)], 2, Level::Durable).unwrap();
        world.run_for(300);
    }
}

#[test]
fn a_checkpoint_has_everything_that_was_acknowledged_before_it() {
    let world = World::new(1);
    let machine = world.machine("a");
    let volume = machine.open(&[LAZY]);
    put(&volume, &[(1, 1)], 1, Level::Durable).unwrap();
    put(&volume, &[(1, 2)], 1, Level::Buffered).unwrap();
    let record = volume.checkpoint("mine", Some("before")).unwrap();
    assert_eq!((record.txid, record.bytes), (Txid(volume.status().txid), 512));
    assert_eq!(volume.status().load.commits, 0);
    let found: Vec<(String, PinRecord)> =
        volume.pins().unwrap().into_iter().map(|(name, record)| (name, record.unwrap())).collect();
    assert_eq!(found, [("mine".to_owned(), record)]);
    assert_eq!(volume.checkpoint("mine", None).unwrap_err().kind(), ErrorKind::Conflict);
    let follower = world.machine("b").open_read_only(&[]);
    assert_eq!(follower.checkpoint("other", None).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_checkpoint_stays_restorable_while_all_around_it_is_merged_and_collected() {
    let world = World::new(2);
    let machine = world.machine("a");
    let volume = machine.open(SHORT);
    busy(&world, &volume, 1..10);
    let kept = volume.checkpoint("kept", None).unwrap().txid;
    busy(&world, &volume, 10..40);
    volume.compact().unwrap();
    busy(&world, &volume, 40..60);
    volume.compact().unwrap();
    assert!(is_restorable(&world, &machine, kept));
    assert!(!is_restorable(&world, &machine, Txid(kept.0 + 1)), "the test collects too little");
    assert_eq!(world.keys("gc/"), Vec::<String>::new());

    let (context, keep) = (context(&machine), machine.config(SHORT).settings);
    let keep = plimsoll_pages::compact::Retention { level0: keep.l0_retention, snapshots: keep.retention };
    let used = world.wait(usage(&context, keep, &Nowhere)).unwrap();
    assert_eq!((used.pins.len(), used.pins[0].complete), (1, true));
    assert!(used.pins[0].holds > 0 && used.pins[0].holds == used.pinned && used.pins[0].alone == used.pinned);
    world.wait(remove_checkpoint(&context, "kept", false, &Nowhere)).unwrap();
    volume.compact().unwrap();
    assert!(!is_restorable(&world, &machine, kept), "what only it needed is garbage");
    let error = world.wait(remove_checkpoint(&context, "kept", false, &Nowhere)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_checkpoint_holds_back_what_is_garbage_but_for_it_and_alone_what_no_other_one_names() {
    let world = World::new(7);
    let machine = world.machine("a");
    let volume = machine.open(SHORT);
    busy(&world, &volume, 1..10);
    let one = volume.checkpoint("one", None).unwrap();
    put(&volume, &[(1, 10)], 2, Level::Durable).unwrap();
    let two = volume.checkpoint("two", None).unwrap();
    busy(&world, &volume, 11..40);
    volume.compact().unwrap();
    world.run_for(10_000);
    busy(&world, &volume, 40..42);
    volume.compact().unwrap();
    volume.checkpoint("newest", None).unwrap();
    let keep = machine.config(SHORT).settings;
    let keep = plimsoll_pages::compact::Retention { level0: keep.l0_retention, snapshots: keep.retention };
    let used = world.wait(usage(&context(&machine), keep, &Nowhere)).unwrap();
    let of = |name: &str| used.pins.iter().find(|pin| pin.name == name).map(|pin| (pin.holds, pin.alone)).unwrap();
    assert_eq!(of("newest"), (0, 0), "all of it would be kept without it");
    let bytes = |record: &PinRecord, other: Option<&PinRecord>| -> u64 {
        let shared = |id| other.is_some_and(|other| other.objects.iter().any(|object| object.id == id));
        record.objects.iter().filter(|object| !shared(object.id)).map(|object| object.bytes).sum()
    };
    assert_eq!(of("one"), (bytes(&one, None), bytes(&one, Some(&two))));
    assert_eq!(of("two"), (bytes(&two, None), bytes(&two, Some(&one))));
    assert!(of("two").0 > of("two").1 && of("two").1 > 0, "{:?}", of("two"));
    assert_eq!(used.pinned, of("one").0 + of("two").1, "each object once");
}

#[test]
fn a_state_that_was_collected_cannot_be_named_any_more() {
    let world = World::new(3);
    let machine = world.machine("a");
    let volume = machine.open(SHORT);
    busy(&world, &volume, 1..30);
    volume.compact().unwrap();
    let context = context(&machine);
    let error = world.wait(checkpoint(&context, "old", None, Some(Txid(3)))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("transaction 3 cannot be reproduced any more"), "{error}");
    assert!(world.wait(pins(&context)).unwrap().is_empty());
    let empty = Context::new(
        machine.host(),
        std::sync::Arc::new(plimsoll_store::MemoryStore::private(machine.host().clock)),
        keep(),
    );
    assert_eq!(world.wait(checkpoint(&empty, "x", None, None)).unwrap_err().kind(), ErrorKind::NotFound);
}

fn keep() -> std::time::Duration {
    std::time::Duration::from_secs(300)
}

#[test]
fn a_checkpoint_costs_the_same_after_ten_syncs_and_after_nine_hundred() {
    let costs = [10, 900].map(|syncs| {
        let world = World::new(4);
        let machine = world.machine("a");
        let volume = machine.open(&[]);
        for mark in 1..=syncs {
            put(&volume, &[(1, mark)], 1, Level::Durable).unwrap();
        }
        machine.remote.asked();
        machine.remote.set_latency(20);
        let before = world.now();
        volume.checkpoint("mine", None).unwrap();
        (machine.remote.asked().len(), world.now() - before)
    });
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0].1.as_millis() <= 140, "{costs:?}");
}

/// The name of a sync that was merged and collected is free, and a late request of a dead writer can take it. A
/// checkpoint of an earlier state was once made of such strays.
#[test]
fn a_late_request_of_a_dead_writer_is_not_made_a_checkpoint_of() {
    let (world, elsewhere) = (World::new(5), World::new(6));
    let machine = world.machine("a");
    let volume = machine.open(&[("compaction_levels_ms", "1000,5000"), ("l0_retention_ms", "1000")]);
    busy(&world, &volume, 1..20);
    let name = |txid: u64| Layout::Other.key(&FileId::sync(Txid(txid)));
    assert!(world.wait(world.shelf().get(&name(2))).unwrap().is_none(), "it was merged and collected");
    let dead = elsewhere.machine("b").open(&[]);
    for mark in 1..=2 {
        put(&dead, &[(1, mark)], 1, Level::Durable).unwrap();
        let late = elsewhere.wait(elsewhere.shelf().get(&name(mark))).unwrap().unwrap();
        world.wait(world.shelf().put(&name(mark), late.bytes.into())).unwrap();
    }
    let refused = world.wait(checkpoint(&context(&machine), "early", None, Some(Txid(2)))).unwrap_err();
    assert!(refused.kind() == ErrorKind::NotFound && refused.to_string().contains("link"), "{refused}");
    assert_eq!(world.keys("pins/"), Vec::<String>::new());
    world.wait(checkpoint(&context(&machine), "late", None, Some(Txid(volume.status().txid - 1)))).unwrap();
}
