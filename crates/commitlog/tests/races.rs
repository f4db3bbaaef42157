//! Random worlds: whatever races, sleeps and gets lost, there is one history.

mod support;

use support::sim::{Tally, simulate};

#[test]
fn at_most_one_writer_is_told_durable_for_each_txid() {
    let seeds = std::env::var("PLIMSOLL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(150);
    let mut sum = Tally::default();
    for seed in 0..seeds {
        let tally = simulate(seed, |context| context).unwrap_or_else(|violation| panic!("{violation}"));
        sum.durable += tally.durable;
        sum.fenced += tally.fenced;
        sum.settled += tally.settled;
        sum.strays += tally.strays;
        sum.opened += tally.opened;
    }
    println!("{sum:?}");
    // A world in which nothing happens proves nothing.
    assert!(
        sum.durable > 1000 && sum.fenced > 100 && sum.settled > 50 && sum.strays > 20 && sum.opened > 100,
        "{sum:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let world = || format!("{:?}", simulate(7, |context| context));
    assert_eq!(world(), world());
}
