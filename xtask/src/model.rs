//! `cargo xtask model`: every order of events of the commit protocol, in small worlds.

use std::process::Command;

use anyhow::Result;

use crate::{process, workspace};

/// See `--help` after `--` for what it can do.
#[derive(clap::Args)]
pub(crate) struct Model {
    /// --without STEP, --pins-without STEP, --full, --own, --threads
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Model {
    /// # Errors
    /// A promise can be broken, or a step is not needed.
    pub(crate) fn run(self) -> Result<()> {
        let mut command = Command::new(workspace::cargo());
        command.current_dir(workspace::root()).args([
            "run",
            "--quiet",
            "--locked",
            "--bin",
            "plimsoll-model-check",
            "--",
        ]);
        process::run(command.args(self.options))
    }
}
