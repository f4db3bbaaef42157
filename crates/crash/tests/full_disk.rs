//! No space left where the journal lives.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

mod support;

use std::process::Command;

use plimsoll_crash::ledger::{Ledger, Loss};
use support::{PATIENCE, SEED, Volume, Worker, first_words, kill, listen, listen_past_failures, listen_to};

/// A file system of a few megabytes, unmounted when dropped.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: std::path::PathBuf, megabytes: u64) -> Small {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={megabytes}m");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(&at).status();
        assert!(status.is_ok_and(|status| status.success()), "this test mounts a tmpfs, which needs to be root");
        Small(at)
    }

    fn resize(&self, megabytes: u64) {
        let options = format!("remount,size={megabytes}m");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_a_clear_error_and_writing_goes_on_once_there_is_space() {
    let volume = Volume::in_directory();
    let disk = Small::mount(volume.host("one"), 30);
    let mut ledger = Ledger::new(SEED, None);
    // No sync empties the journal.
    let settings = [("SYNC_INTERVAL_MS", "600000"), ("SYNC_BACKLOG_BYTES", "0"), ("MAX_LOSS_WINDOW_MS", "900000")];
    let arguments = ["--synchronous=FULL", "--stubborn"];
    let worker = Worker { host: "one", generation: 1, settings: &settings, arguments: &arguments, ..Worker::default() };
    let child = volume.start(&worker);
    let error = listen(&child, &mut ledger, 1, PATIENCE, |_| false).unwrap_err();
    assert!(error.contains("disk is full") || error.contains("disk full"), "SQLite's own code for it: {error}");
    assert!(error.contains("journal"), "and what it was that could not be written: {error}");

    let acked = ledger.line().acked;
    disk.resize(400);
    listen_past_failures(&child, &mut ledger, 1, acked + 40);
    kill(child, &mut ledger, 1);

    let again = volume.start(&Worker { host: "one", generation: 2, ..Worker::default() });
    let found = first_words(&again).unwrap();
    ledger.check(&found, Loss::Process).unwrap();
    listen_to(&again, &mut ledger, 2, found.n + 10);
}
