//! SQLite's test program: the interpreter of its tests, with SQLite built in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    process::{output, run},
    tools::{is_stamped, stamp},
    workspace::{root, suites},
};

/// Where Debian keeps what describes its Tcl.
const TCL: &str = "--with-tcl=/usr/lib/tcl8.6";
/// Exports what our file defines in place of the C library, so that the extension meets it too.
const FLAGS: &str = "CFLAGS=-O1 -w -Wl,-E";
const OPTIONS: &str = "OPTS=-DSQLITE_EXTRA_INIT=plimsoll_by_default";

/// The test program. Builds it unless it is there: that takes half a minute.
///
/// # Errors
/// When it cannot be compiled.
pub(super) fn build(source: &Path) -> Result<PathBuf> {
    let dir = suites().join("testfixture");
    let (program, done) = (dir.join("testfixture"), dir.join("built.txt"));
    let ours = root().join("tools/suites/plimsoll_by_default.c");
    let text = fs::read_to_string(&ours).with_context(|| format!("reading {}", ours.display()))?;
    let wanted = format!("{}\n{FLAGS}\n{OPTIONS}\n{text}", source.display());
    if program.exists() && is_stamped(&done, &wanted) {
        return Ok(program);
    }
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    eprintln!("building SQLite's test program");
    // What they say is of interest only when they fail, and then it is on stderr.
    output(Command::new(source.join("configure")).args(["--quiet", TCL]).current_dir(&dir))?;
    output(
        Command::new("make")
            .args(["--silent", "testfixture", FLAGS, OPTIONS])
            .arg(format!("TESTFIXTURE_SRC1=sqlite3.c {}", ours.display()))
            .current_dir(&dir),
    )?;
    run(Command::new("strip").arg(&program))?;
    stamp(&done, &wanted)?;
    Ok(program)
}
