//! `cargo xtask sqllogic`: the scripts of SQLite's sqllogictest, on volumes.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{process, workspace};

/// The scripts are a gigabyte, and in no package registry: <https://sqlite.org/sqllogictest> has them.
#[derive(clap::Args)]
pub(crate) struct Sqllogic {
    /// Where a copy of sqllogictest is, or one of its scripts.
    scripts: PathBuf,
    /// --plain, --only TEXT, --jobs N
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Sqllogic {
    /// # Errors
    /// There are no scripts, or a volume answers otherwise than one of them says.
    pub(crate) fn run(self) -> Result<()> {
        if !self.scripts.exists() {
            bail!(
                "{} is not there: get SQLite's scripts from https://sqlite.org/sqllogictest and name their folder",
                self.scripts.display()
            );
        }
        let mut command = Command::new(workspace::cargo());
        let scripts = std::path::absolute(&self.scripts)?;
        command.current_dir(workspace::root()).args(["run", "--quiet", "--locked", "--bin", "plimsoll-sqllogic", "--"]);
        process::run(command.arg(scripts).args(self.options))
    }
}
