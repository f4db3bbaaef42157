//! The oldest SQLite that the extension supports, as a library in place of the system's.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    process::{output, run},
    workspace::suites,
};

/// It comes in the source of a Node package of its time, which need not be built itself.
const PACKAGE: &str = "better-sqlite3@7.0.0";
const VERSION: &str = "#define SQLITE_VERSION        \"3.31.1\"";

/// Leaves `libsqlite3.so.0` in `target/suites/oldest`, unless it is there: with what Python's module asks for.
///
/// # Errors
/// When it cannot be downloaded or compiled.
pub(super) fn build() -> Result<()> {
    let dir = suites().join("oldest");
    let library = dir.join("libsqlite3.so.0");
    if library.exists() {
        return Ok(());
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let packed = output(Command::new("npm").args(["pack", "--silent", PACKAGE]).current_dir(&dir))?;
    // The sources are an archive within the archive, of which nothing else is needed.
    let inner = "package/deps/sqlite3.tar.gz";
    run(Command::new("tar").args(["-xzf", packed.trim(), inner]).current_dir(&dir))?;
    run(Command::new("tar").args(["-xzf", inner]).current_dir(&dir))?;
    let header = fs::read_to_string(dir.join("sqlite3.h")).context("reading sqlite3.h of the oldest SQLite")?;
    if !header.contains(VERSION) {
        bail!("{PACKAGE} has another SQLite than {VERSION}");
    }
    run(Command::new("cc")
        .args(["-O1", "-w", "-shared", "-fPIC", "-Wl,-soname,libsqlite3.so.0", "-DSQLITE_ENABLE_DESERIALIZE"])
        .args(["-DSQLITE_ENABLE_COLUMN_METADATA", "-o"])
        .arg(&library)
        .args(["sqlite3.c", "-lpthread", "-ldl", "-lm"])
        .current_dir(&dir))
}
