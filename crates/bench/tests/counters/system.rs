//! Calls to the system for a commit, counted by strace over all threads of a process.

use std::{fs, process::Command};

use crate::check;

/// Calls of a process that does `what` so many times, and half as many before these.
fn calls(what: &str, times: u32) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let counts = dir.path().join("counts");
    let output = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,syscall", "-o"])
        .arg(&counts)
        .args([env!("CARGO_BIN_EXE_plimsoll-bench"), "probe", what, &times.to_string()])
        .arg(dir.path().join("state"))
        .output()
        .expect("strace is not installed; `cargo xtask tools` does that");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = fs::read_to_string(&counts).unwrap();
    let total = table.lines().find_map(|line| line.trim().strip_suffix(" total")).unwrap_or_else(|| panic!("{table}"));
    total.trim().parse().unwrap()
}

/// Calls for each of many, apart from what it takes to begin and to end.
fn each(what: &str) -> f64 {
    const FEW: u32 = 200;
    const MANY: u32 = 2000;
    (calls(what, MANY) - calls(what, FEW)) / f64::from((MANY - FEW) * 3 / 2)
}

#[test]
fn commits_stay_within_their_calls_to_the_system() {
    let figures = [("normal", "commit"), ("full", "commit-full"), ("extra", "commit-extra")]
        .map(|(name, what)| (name, each(what)));
    check("system_calls", &figures);
}
