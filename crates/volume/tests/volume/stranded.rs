//! Journals that are kept aside: what they hold, what it stands on, and how long they stay.

use std::collections::HashMap;

use plimsoll_commitlog::{Context, PinRecord, Pinned, pin, unpin};
use plimsoll_model::{Level, PageNo, Result, Txid};
use plimsoll_volume::{Reference, StrandedJournal, Volume};

use crate::world::{Machine, PAGE, World, get, marks, put};

const LAZY: [(&str, &str); 2] = [("sync_interval_ms", "600000"), ("max_loss_window_ms", "600000")];
const PUSHY: [(&str, &str); 1] = [("takeover", "true")];

fn open_kept(world: &World, machine: &Machine, volume: &Volume) -> StrandedJournal {
    let kept = volume.dir().stranded();
    assert_eq!(kept.len(), 1);
    let mut journal = StrandedJournal::open(&machine.disk, &kept[0]).unwrap();
    let context = Context::new(machine.host(), std::sync::Arc::new(world.shelf().clone()), PAGE_RETENTION);
    world.wait(journal.settle(&context)).unwrap();
    journal
}

const PAGE_RETENTION: std::time::Duration = std::time::Duration::from_secs(300);

/// The state that the stranded commits would have led to.
fn outcome(journal: &StrandedJournal, volume: &Volume) -> Result<Vec<u64>> {
    let txid = journal.base().expect("what it stands on is known").txid;
    let mut state = Vec::new();
    if txid > 0 {
        let base = volume.at(&Reference::Txid(Txid(txid)))?;
        state = base.page_count().pages().map(|page| get(&base, page.get())).collect();
    }
    let state = std::cell::RefCell::new(state);
    journal.apply(
        |page: PageNo, data| {
            let mut state = state.borrow_mut();
            let length = state.len().max(page.index() + 1);
            state.resize(length, 0);
            state[page.index()] = u64::from_le_bytes(data[..8].try_into().unwrap());
            assert_eq!(data.len(), PAGE);
            Ok(())
        },
        |count, _| {
            state.borrow_mut().resize(count.0 as usize, 0);
            Ok(())
        },
    )?;
    Ok(state.into_inner())
}

#[test]
fn a_fenced_writer_keeps_its_tail_with_the_state_that_it_stands_on() {
    let world = World::new(1);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&LAZY);
    put(&old, &[(1, 1), (2, 2), (3, 3)], 3, Level::Durable).unwrap();
    put(&old, &[(2, 20)], 2, Level::Buffered).unwrap();
    put(&old, &[(5, 50)], 5, Level::Journaled).unwrap();
    let new = second.open(&PUSHY);
    put(&new, &[(1, 9)], 3, Level::Durable).unwrap();
    assert!(old.sync().is_err());
    world.run_for(100);

    let journal = open_kept(&world, &first, &old);
    let commits: Vec<_> = journal.commits().map(|commit| (commit.lsn, commit.pages, commit.page_count)).collect();
    assert_eq!(commits, [(2, 1, 2), (3, 1, 5)]);
    assert_eq!((journal.epoch(), journal.base().unwrap().lsn), (Some(1), 1));
    assert_eq!(journal.pages().iter().map(|page| page.get()).collect::<Vec<_>>(), [2, 5]);
    assert_eq!(outcome(&journal, &new).unwrap(), [1, 20, 0, 0, 50]);
    assert_eq!(marks(&new), [9, 2, 3]);
}

/// They were once listed from where the newer writer's first sync ended, and put on that.
#[test]
fn commits_of_a_new_volume_whose_history_a_newer_writer_began_stand_on_nothing() {
    let world = World::new(5);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&LAZY);
    put(&old, &[(1, 1)], 1, Level::Journaled).unwrap();
    put(&old, &[(2, 2)], 2, Level::Journaled).unwrap();
    let new = second.open(&PUSHY);
    put(&new, &[(1, 9)], 1, Level::Durable).unwrap();
    assert!(old.sync().is_err());
    world.run_for(100);

    let journal = open_kept(&world, &first, &old);
    assert_eq!(journal.commits().map(|commit| commit.lsn).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(journal.base().map(|base| (base.txid, base.lsn)), Some((0, 0)));
    assert_eq!(outcome(&journal, &new).unwrap(), [1, 2]);
}

/// The same, and whoever began the history died before it had said so: a writer in between may have put its fence on these
/// commits, or not.
#[test]
fn what_commits_of_a_writer_that_may_never_have_synced_stand_on_is_not_guessed() {
    for dies in [false, true] {
        let world = World::new(6);
        let (mut first, mut second) = (world.machine("first"), world.machine("second"));
        let old = first.open(&LAZY);
        put(&old, &[(1, 1)], 1, Level::Journaled).unwrap();
        put(&old, &[(2, 2)], 2, Level::Journaled).unwrap();
        first.kill();
        let new = second.open(&PUSHY);
        put(&new, &[(1, 9)], 1, Level::Durable).unwrap();
        if dies {
            second.kill();
        } else {
            new.release().unwrap();
        }
        let back = first.open(&PUSHY);

        let journal = open_kept(&world, &first, &back);
        assert_eq!(journal.commits().map(|commit| commit.lsn).collect::<Vec<_>>(), [1, 2]);
        let known = (!dies).then_some((0, 0));
        assert_eq!(journal.base().map(|base| (base.txid, base.lsn)), known, "dies: {dies}");
    }
}

#[test]
fn what_stranded_commits_stand_on_outlives_its_retention() {
    let world = World::new(3);
    let (mut first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[LAZY[0], LAZY[1], ("heartbeat_ms", "1000")]);
    put(&old, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    put(&old, &[(2, 20)], 2, Level::Journaled).unwrap();
    world.run_for(2000);
    first.kill();
    let brief = [PUSHY[0], ("l0_retention_ms", "1000"), ("retention_ms", "2000"), ("compaction_levels_ms", "500")];
    let new = second.open(&brief);
    assert_eq!(new.take_over().unwrap().known[0].commits, 1);
    let names = |volume: &Volume| volume.pins().unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&new).len(), 1, "the one that takes over knows of the loss, and keeps what it stands on");
    for mark in 3..8 {
        put(&new, &[(1, mark)], 2, Level::Durable).unwrap();
        world.run_for(4000);
        new.compact().unwrap();
    }
    new.release().unwrap();
    let back = first.open(&[]);
    let journal = open_kept(&world, &first, &back);
    assert_eq!(names(&back), [journal.checkpoint().unwrap()], "the host that comes back finds it");
    assert_eq!(outcome(&journal, &back).unwrap(), [1, 20]);
}

#[test]
fn what_stranded_commits_of_a_host_that_never_comes_back_stand_on_is_given_up_in_the_end() {
    let world = World::new(4);
    let (mut first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&[LAZY[0], LAZY[1], ("heartbeat_ms", "1000")]);
    put(&old, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    put(&old, &[(2, 20)], 2, Level::Journaled).unwrap();
    world.run_for(2000);
    first.kill();
    let brief = [PUSHY[0], ("stranded_retention_ms", "60000"), ("compaction_levels_ms", "500")];
    let new = second.open(&brief);
    assert_eq!(new.take_over().unwrap().known[0].commits, 1);
    new.checkpoint("stranded-ship", None).unwrap();
    let names = |volume: &Volume| volume.pins().unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    for (wait, kept) in [(50_000, 2), (30_000, 1)] {
        world.run_for(wait);
        put(&new, &[(1, wait)], 2, Level::Durable).unwrap();
        new.compact().unwrap();
        assert_eq!(names(&new).len(), kept, "{:?}", names(&new));
    }
    assert_eq!(names(&new), ["stranded-ship"], "what somebody named himself stays");
}

/// It was the clock of whoever had made it that was compared with the collector's.
#[test]
fn how_long_what_stranded_commits_stand_on_is_kept_is_told_by_no_hosts_clock() {
    for made_ms in [0, u64::MAX / 4] {
        let world = World::new(8);
        let (mut first, second) = (world.machine("first"), world.machine("second"));
        let old = first.open(&[LAZY[0], LAZY[1], ("heartbeat_ms", "1000")]);
        put(&old, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
        put(&old, &[(2, 20)], 2, Level::Journaled).unwrap();
        world.run_for(2000);
        first.kill();
        let new = second.open(&[PUSHY[0], ("stranded_retention_ms", "60000")]);
        new.take_over().unwrap();
        let (name, made) = new.pins().unwrap().remove(0);
        let record = PinRecord { created_ms: made_ms, ..made.unwrap() };
        let context = Context::new(second.host(), std::sync::Arc::new(world.shelf().clone()), PAGE_RETENTION);
        world.wait(unpin(&context, &name)).unwrap();
        assert_eq!(world.wait(pin(&context, &name, &record, &HashMap::new())).unwrap(), Pinned::Kept);
        for (wait, kept) in [(40_000, 1), (40_000, 0)] {
            world.run_for(wait);
            put(&new, &[(1, wait)], 2, Level::Durable).unwrap();
            new.compact().unwrap();
            assert_eq!(new.pins().unwrap().len(), kept, "after another {wait} ms, made at {made_ms}");
        }
    }
}

/// It was there, and yet it was said that it could not be kept; and nobody kept what it stands on.
#[test]
fn a_journal_that_is_kept_aside_is_told_of_also_if_the_disk_fails_when_that_is_made_to_last() {
    let world = World::new(9);
    let (first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&LAZY);
    put(&old, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    put(&old, &[(2, 20)], 2, Level::Journaled).unwrap();
    let new = second.open(&PUSHY);
    put(&new, &[(1, 9)], 2, Level::Durable).unwrap();
    first.disk.fail_dir_syncs(1000);
    assert!(old.sync().is_err());
    world.run_for(100);
    let (kept, told) = (old.dir().stranded(), old.status().trouble.unwrap());
    assert!(kept.len() == 1 && told.contains(&*kept[0].path.to_string_lossy()), "{told}");
    assert_eq!(new.pins().unwrap().len(), 1, "what it stands on");
}

#[test]
fn a_host_that_comes_back_keeps_what_it_had_acknowledged_and_reads_the_new_history() {
    let world = World::new(2);
    let (mut first, second) = (world.machine("first"), world.machine("second"));
    let old = first.open(&LAZY);
    put(&old, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    put(&old, &[(2, 20)], 2, Level::Journaled).unwrap();
    first.kill();
    let new = second.open(&PUSHY);
    put(&new, &[(1, 9)], 2, Level::Durable).unwrap();
    new.release().unwrap();

    let back = first.open(&[]);
    assert_eq!(marks(&back), [9, 2]);
    let journal = open_kept(&world, &first, &back);
    assert_eq!(outcome(&journal, &back).unwrap(), [1, 20]);
    put(&back, &[(1, 10)], 2, Level::Durable).unwrap();
    assert_eq!(back.dir().stranded().len(), 1, "it stays");
    let kept = back.dir().stranded().remove(0);
    back.dir().discard(&kept).unwrap();
    assert_eq!(back.dir().stranded(), []);
    assert_eq!(back.status().stranded.len(), 0);
}
