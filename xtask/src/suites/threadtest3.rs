//! SQLite's `threadtest3`: many threads on one database, with connections and schemas that come and go.

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

/// Each of its tests runs for so long, in its own words and in ours: a twentieth.
const TIME: (&str, &str) = ("aTest[i].xTest(aTest[i].nMs);", "aTest[i].xTest(aTest[i].nMs / 20);");

/// Leaves `threadtest3` in `target/suites`, unless it is there.
///
/// # Errors
/// When it cannot be compiled.
pub(super) fn build(source: impl Fn() -> Result<PathBuf>) -> Result<()> {
    let program = suites().join("threadtest3");
    if program.exists() {
        return Ok(());
    }
    let source = source()?;
    let main = shortened(&source.join("test/threadtest3.c"))?;
    let [multiplex, loader] = [source.join("src/test_multiplex.c"), root().join("tools/load_plimsoll.c")];
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-w", "-I"]).arg(source.join("test")).arg("-I").arg(source.join("src"));
    run(compiler.arg("-o").arg(program).arg(main).arg(multiplex).arg(loader).args(["-lsqlite3", "-lpthread", "-lm"]))
}

/// A copy that takes less time.
fn shortened(path: &Path) -> Result<PathBuf> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let (theirs, ours) = TIME;
    if !text.contains(theirs) {
        bail!("{} does not contain {theirs}", path.display());
    }
    let copy = suites().join("threadtest3.c");
    fs::write(&copy, text.replace(theirs, ours)).with_context(|| format!("writing {}", copy.display()))?;
    Ok(copy)
}
