//! Random histories of the page engine against a map of pages: commits that write, cut and grow, snapshots of any age,
//! syncs, merges of every level, collecting, and reading everything anew from the store.

mod engine;
mod hydration;
mod machine;

use proptest::{prelude::*, test_runner::RngSeed};

use crate::engine::Engine;

/// The first ones, and some at both sides of where the parts that views share meet.
const PAGES: [u32; 12] = [1, 2, 3, 4, 5, 7, 9, 511, 512, 513, 514, 600];

/// Something that happens to a volume.
#[derive(Clone, Debug)]
enum Op {
    /// Writes some of [`PAGES`], as far as they are within the volume, which has so many pages from then on.
    Commit { pages: Vec<u32>, count: u32 },
    /// The same, with the size that it has.
    Write { pages: Vec<u32> },
    /// Pins the newest state.
    Pin,
    /// Lets one of the pinned states go.
    Unpin(usize),
    /// Makes everything up to now one object.
    Sync,
    /// Gives up the versions that no reader needs.
    Trim,
    /// Merges into a level.
    Merge(u8),
    /// Makes an object of everything.
    Snapshot,
    /// Removes what nothing needs.
    Collect,
    /// Loads the newest state from the store.
    Load,
    /// Loads an earlier state, if it is still to be had: how many syncs back.
    Past(u64),
    /// Brings everything into the cache.
    Hydrate,
}

/// `large`: also volumes of more than one part, which take long.
fn op(large: bool) -> impl Strategy<Value = Op> {
    let pages = || prop::collection::vec(prop::sample::select(PAGES.to_vec()), 1..5);
    let count = prop_oneof![4 => 1..10_u32, u32::from(large) => prop::sample::select(vec![510, 512, 513, 515, 600])];
    prop_oneof![
        3 => (pages(), count).prop_map(|(pages, count)| Op::Commit { pages, count }),
        6 => pages().prop_map(|pages| Op::Write { pages }),
        4 => Just(Op::Pin),
        2 => any::<usize>().prop_map(Op::Unpin),
        6 => Just(Op::Sync),
        2 => Just(Op::Trim),
        3 => (1..=3_u8).prop_map(Op::Merge),
        1 => Just(Op::Snapshot),
        2 => Just(Op::Collect),
        1 => Just(Op::Load),
        1 => (0..12_u64).prop_map(Op::Past),
        1 => Just(Op::Hydrate),
    ]
}

fn play(ops: &[Op], cached: bool) {
    let mut engine = Engine::new(cached);
    for op in ops {
        match op {
            Op::Commit { pages, count } => engine.commit(pages, *count),
            Op::Write { pages } => engine.commit(pages, engine.count().max(1)),
            Op::Pin => engine.pin(),
            Op::Unpin(which) => engine.unpin(*which),
            Op::Sync => engine.sync(),
            Op::Trim => engine.trim(),
            Op::Merge(level) => engine.merge(*level),
            Op::Snapshot => engine.snapshot(),
            Op::Collect => engine.collect(),
            Op::Load => engine.load(),
            Op::Past(back) => engine.past(*back),
            Op::Hydrate => engine.hydrate(),
        }
        engine.check(&PAGES);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn every_snapshot_reads_what_was_written_up_to_its_commit_whatever_is_merged_and_collected(
        ops in prop::collection::vec(op(false), 1..100),
        cached in any::<bool>(),
    ) {
        play(&ops, cached);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, rng_seed: RngSeed::Fixed(2), ..ProptestConfig::default() })]

    #[test]
    fn so_it_does_where_a_volume_is_cut_and_grows_beyond_what_its_views_share(
        ops in prop::collection::vec(op(true), 1..40),
        cached in any::<bool>(),
    ) {
        play(&ops, cached);
    }
}
