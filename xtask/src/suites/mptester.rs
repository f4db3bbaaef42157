//! SQLite's `mptester`: several processes on one database.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    process::run,
    workspace::{root, suites},
};

/// How long it waits, in its own words, and in ours: a loaded machine is no error.
const PATIENCE: [(&str, &str); 3] = [
    ("#define DEFAULT_TIMEOUT 10000", "#define DEFAULT_TIMEOUT 600000"),
    ("atoi(azArg[1]) : 10000", "atoi(azArg[1]) : 600000"),
    ("waitForClient(0, 2000,", "waitForClient(0, 600000,"),
];

/// Leaves `mptester` in `target/suites`, with its scripts in a folder beside it, unless it is there.
///
/// # Errors
/// When it cannot be compiled.
pub(super) fn build(source: impl Fn() -> Result<PathBuf>) -> Result<()> {
    let (program, scripts) = (suites().join("mptester"), suites().join("mptest"));
    if program.exists() {
        return Ok(());
    }
    let folder = source()?.join("mptest");
    fs::create_dir_all(&scripts).with_context(|| format!("creating {}", scripts.display()))?;
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        let to = scripts.join(path.file_name().unwrap_or_default());
        fs::copy(&path, &to).with_context(|| format!("copying {}", path.display()))?;
    }
    let patched = scripts.join("mptest.c");
    wait_longer(&patched)?;
    let loader = root().join("tools/load_plimsoll.c");
    run(Command::new("cc").args(["-O1", "-w", "-o"]).arg(&program).arg(&patched).arg(loader).arg("-lsqlite3"))
}

fn wait_longer(path: &Path) -> Result<()> {
    let mut text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    for (theirs, ours) in PATIENCE {
        if !text.contains(theirs) {
            bail!("{} does not contain {theirs}", path.display());
        }
        text = text.replace(theirs, ours);
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
