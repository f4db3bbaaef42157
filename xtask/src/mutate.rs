//! `cargo xtask mutate`: leaves one step of the engine out after the other; the simulation has to notice each time.

use std::process::Command;

use anyhow::Result;

use crate::{process, sim, workspace};

/// Runs of all kinds that together with the aimed ones see everything.
const SEEDS: &str = "24";

/// One build serves all steps: which one is left out is decided at run time.
#[derive(clap::Args)]
pub(crate) struct Mutate {
    /// Steps at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only this step.
    #[arg(long)]
    step: Option<String>,
}

impl Mutate {
    /// # Errors
    /// Nobody misses a step.
    pub(crate) fn run(self) -> Result<()> {
        process::run(&mut sim::build(&["--features", "plimsoll-sim/mutate"]))?;
        if self.step.is_none() {
            // With every step taken all promises are kept, and everything that breaks them otherwise does occur.
            let mut whole = Command::new(sim::program());
            whole.current_dir(workspace::root());
            process::run(whole.args(["--complete", "--seeds", SEEDS, "--jobs", &self.jobs.to_string()]))?;
        }
        let mut command = Command::new(sim::program());
        command.current_dir(workspace::root()).args(["--mutate", "--jobs", &self.jobs.to_string()]);
        if let Some(step) = &self.step {
            command.args(["--leave-out", step]);
        }
        process::run(&mut command)
    }
}
