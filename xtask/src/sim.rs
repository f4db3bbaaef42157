//! `cargo xtask sim`: the whole engine on simulated hosts, from seeds.

use std::process::Command;

use anyhow::Result;

use crate::{process, workspace};

/// See `--help` after `--` for what it can do.
#[derive(clap::Args)]
pub(crate) struct Sim {
    /// Optimised build: worth its time for long runs.
    #[arg(long)]
    release: bool,
    /// --seeds, --seed, --minutes, --jobs
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Sim {
    /// # Errors
    /// A promise was broken. The seed and its trace are printed.
    pub(crate) fn run(self) -> Result<()> {
        let mut command = Command::new(workspace::cargo());
        command.current_dir(workspace::root()).args(["run", "--quiet", "-p", "plimsoll-sim"]);
        if self.release {
            command.arg("--release");
        }
        process::run(command.arg("--").args(self.options))
    }
}
