//! `cargo xtask crash`: processes that write to a volume are killed, and what is left is checked.

use std::process::Command;

use anyhow::Result;

use crate::{process, workspace};

/// See `--help` after `--` for what it can do.
#[derive(clap::Args)]
pub(crate) struct Crash {
    /// --rounds, --seconds, --seed, --store file|s3, --mode same|other|mixed, --power, --jobs
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Crash {
    /// # Errors
    /// Something acknowledged was lost, or something else is wrong. The seed and the folders are printed.
    pub(crate) fn run(self) -> Result<()> {
        let mut command = Command::new(workspace::cargo());
        command.current_dir(workspace::root()).args(["run", "--quiet", "-p", "plimsoll-crash", "--", "run"]);
        process::run(command.args(self.options))
    }
}
