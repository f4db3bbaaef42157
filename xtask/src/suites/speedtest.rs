//! SQLite's `speedtest1`, and what else the tests with other programs need of its sources.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use super::{mptester, oldest, source::source, threadtest3};
use crate::{
    process::run,
    workspace::{root, suites},
};

#[derive(Args)]
pub(crate) struct SuitesFetch {}

impl SuitesFetch {
    /// Leaves `speedtest1`, `mptester`, `threadtest3` and the oldest SQLite in `target/suites`, unless they are there.
    ///
    /// # Errors
    /// When the source cannot be downloaded or compiled.
    pub(crate) fn run(self) -> Result<()> {
        mptester::build(source)?;
        threadtest3::build(source)?;
        oldest::build()?;
        let program = suites().join("speedtest1");
        if program.exists() {
            return Ok(());
        }
        run(Command::new("cc")
            .args(["-O2", "-o"])
            .arg(&program)
            .arg(source()?.join("test/speedtest1.c"))
            .arg(root().join("tools/load_plimsoll.c"))
            .arg("-lsqlite3"))
    }
}
