//! `cargo xtask sim`: the whole engine on simulated hosts, from seeds.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{process, workspace};

/// See `--help` after `--` for what it can do.
#[derive(clap::Args)]
pub(crate) struct Sim {
    /// --seeds, --seed, --minutes, --jobs, --aim
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Sim {
    /// # Errors
    /// A promise was broken. The seed and its trace are printed.
    pub(crate) fn run(self) -> Result<()> {
        process::run(&mut build(&[]))?;
        let mut command = Command::new(program());
        process::run(command.current_dir(workspace::root()).args(self.options))
    }
}

/// Builds the simulation. The engine is optimised a little, for a run has millions of steps; what it depends on is
/// shared with all other builds, for features are settled for the whole workspace.
pub(crate) fn build(arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.current_dir(workspace::root()).env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    command.args(["build", "--quiet", "--locked", "--bin", "plimsoll-sim"]).args(arguments);
    command
}

/// What [`build`] makes.
pub(crate) fn program() -> PathBuf {
    workspace::target().join("debug").join("plimsoll-sim")
}
