//! `cargo xtask fuzz`: feeds every decoder what nobody wrote.

use std::process::Command;

use anyhow::Result;

use crate::{process, workspace};

/// See `--help` after `--` for what it can do.
#[derive(clap::Args)]
pub(crate) struct Fuzz {
    /// [TARGET], --seconds, --seed, --input FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Fuzz {
    /// # Errors
    /// An input breaks a decoder. It is kept in `target/fuzz`, and its name is printed.
    pub(crate) fn run(self) -> Result<()> {
        let mut command = Command::new(workspace::cargo());
        command.current_dir(workspace::root()).args(["run", "--quiet", "-p", "plimsoll-fuzz", "--"]);
        process::run(command.args(self.options))
    }
}
