//! The power goes, and with it everything that was not synced. A short campaign: the long ones are run by hand.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use plimsoll_crash::{
    campaign::{Campaign, Mode, Tally},
    power::fuse,
};

#[test]
fn what_was_synced_survives_power_loss_on_the_journals_disk_and_on_the_stores() {
    if !fuse().unwrap() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let campaign = Campaign {
        program: PathBuf::from(env!("CARGO_BIN_EXE_plimsoll-crash")),
        dir: dir.path().to_owned(),
        seed: 20,
        mode: Mode::Same,
        power: true,
        server: None,
    };
    let tally = Tally::default();
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    campaign.run(&tally, || of(&tally.power_losses) < 20).unwrap();
    assert!(of(&tally.checks) > 0 && of(&tally.acked) > 0);
}
