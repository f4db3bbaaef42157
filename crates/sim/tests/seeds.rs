//! The simulation itself: the same run twice. `cargo xtask mutate` shows what it keeps and what it finds.

use plimsoll_model::way::Way;
use plimsoll_sim::{Aim, Coverage, Event, run};

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for (aim, seed) in [(Aim::Everything, 13), (Aim::Power, 2), (Aim::Takeover, 5), (Aim::Late, 1), (Aim::Family, 3)] {
        let (one, other) = (run(seed, aim, false), run(seed, aim, false));
        assert!(one.trace.lines().count() > 100, "seed {seed} did next to nothing");
        let differs = one.trace.lines().zip(other.trace.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "{} {seed}", aim.name());
        assert!(one.trace == other.trace && one.steps == other.steps, "{} {seed}", aim.name());
    }
}

/// A reader listed level 0 before the first sync, and the levels above after that sync had been merged: it took the state for
/// one without commits.
#[test]
fn a_first_sync_that_is_merged_during_a_listing_keeps_its_number() {
    assert_eq!(run(128, Aim::Takeover, false).broken, None);
}

/// Two hosts took a new volume, which has nothing to put a fence on. One began its history, a reader on the other one saw
/// that, and the writer there went on from what it took for its own.
#[test]
fn whoever_takes_a_new_volume_holds_nothing_that_another_one_has_begun() {
    assert_eq!(run(22, Aim::Collect, false).broken, None);
}

/// It died before it had synced anything, the next writer began the history and died before it had said so, and the one after
/// that took the commit of the second for that of the first.
#[test]
fn a_token_of_a_writer_without_any_sync_is_not_taken_for_a_commit_of_whoever_began_the_history() {
    assert_eq!(run(542, Aim::Session, false).broken, None);
}

/// A newer writer began the history of a new volume, and what the older one had acknowledged was taken for what comes after
/// the newer one's first sync.
#[test]
fn what_is_kept_aside_does_not_stand_on_a_history_that_somebody_else_began() {
    assert_eq!(run(7067, Aim::Aside, false).broken, None);
}

/// Level 0 was listed before the first sync, and level 1 after that had been merged: the fence was linked to what was merged.
#[test]
fn a_first_sync_that_is_merged_while_another_host_opens_is_linked_to() {
    assert_eq!(run(7222, Aim::Collect, false).broken, None);
}

/// Its process was fenced before it had synced anything. The next one of that host said that it went on from the newest
/// commit, of which the other one's had a lower number.
#[test]
fn a_token_of_a_writer_without_any_sync_is_lost_when_its_host_goes_on_from_another_history() {
    assert_eq!(run(7271, Aim::Session, false).broken, None);
}

#[test]
fn what_the_engine_logs_changes_nothing() {
    let (quiet, loud) = (run(2, Aim::Takeover, false), run(2, Aim::Takeover, true));
    let without_log: Vec<&str> = loud.trace.lines().filter(|line| !line.contains("   log ")).collect();
    assert_eq!(without_log, quiet.trace.lines().collect::<Vec<_>>());
}

/// Its answers get lost, and it asks again: what it finds then is its own.
#[test]
fn what_a_lonely_writer_finds_of_its_own_counts_as_no_race_that_it_lost() {
    let mut seen = Coverage::default();
    (0..3).for_each(|seed| seen.add(&run(seed, Aim::Outage, false).coverage));
    assert!(seen.of(Event::ResolvedOurs) > 0, "no answer to a create was lost");
    for lost in [Way::EpochTheirs, Way::VolumeTheirs, Way::FenceTheirs, Way::SyncTheirs] {
        assert_eq!(seen.of(Event::Engine(lost)), 0, "{}", lost.name());
    }
}
