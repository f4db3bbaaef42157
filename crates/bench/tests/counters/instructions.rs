//! Instructions of hot paths, counted by valgrind on this build.

use std::process::Command;

use crate::check;

/// Instructions of one `what`, on average of so many.
fn each(what: &str, times: u32) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=plimsoll_bench_probe", "--callgrind-out-file=/dev/null"])
        .args([env!("CARGO_BIN_EXE_plimsoll-bench"), "probe", what, &times.to_string()])
        .arg(dir.path())
        .output()
        .expect("valgrind is not installed; `cargo xtask tools` does that");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")).expect("no count");
    collected.1.trim().parse::<f64>().unwrap() / f64::from(times)
}

#[test]
fn hot_paths_stay_within_their_instructions() {
    let figures = ["read", "overlay", "commit"].map(|what| (what, each(what, 50)));
    check("instructions", &figures);
}
