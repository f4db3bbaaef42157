//! `cargo xtask bench`: Plimsoll beside what people would pick instead.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    process::run,
    tools::Tools,
    workspace::{cargo, root, target},
};

#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Benches: commits, processes, reads, opening, syncing, idle, growth, recovery, pointer; all without any.
    names: Vec<String>,
    /// Build without link-time optimisation: sooner ready, a little slower.
    #[arg(long)]
    quick: bool,
    /// Measure at full scale, and write tables and plots to `docs/benchmarks`, too.
    #[arg(long)]
    docs: bool,
    /// Only cases whose name contains this, such as "EXTRA" or "10 ms". Not with --docs, whose tables are whole.
    #[arg(long, conflicts_with = "docs")]
    only: Option<String>,
    /// How long it may take: tiny (does it work), small (some 20 minutes for all), full.
    #[arg(long)]
    scale: Option<String>,
    /// Rounds of each case, in place of the scale's.
    #[arg(long)]
    rounds: Option<u64>,
    /// Where tables and plots go, in place of `target/bench`.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where databases lie while they are measured, in place of `target/bench/data`: on the disk that matters.
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Bench {
    /// Builds, then measures. Tables and plots go to `target/bench`.
    ///
    /// # Errors
    /// When something does not build; at the end, when a measurement failed. The others are in the tables.
    pub(crate) fn run(self) -> Result<()> {
        Tools {}.run()?;
        let profile = if self.quick { "profiling" } else { "release" };
        let mut build = Command::new(cargo());
        build.args(["build", "--locked", "--profile", profile, "-p", "plimsoll-bench", "-p", "plimsoll-cli"]);
        run(build.current_dir(root()))?;
        let built = target().join(profile);
        let mut bench = Command::new(built.join("plimsoll-bench"));
        bench.args(["run", "--plimsoll"]).arg(built.join("plimsoll"));
        if self.docs {
            bench.arg("--docs").arg(root().join("docs/benchmarks"));
        }
        let scale = self.scale.or_else(|| self.docs.then(|| "full".to_owned()));
        let rounds = self.rounds.map(|rounds| rounds.to_string());
        for (option, value) in [("--only", self.only), ("--scale", scale), ("--rounds", rounds)] {
            if let Some(value) = value {
                bench.args([option, &value]);
            }
        }
        // What the user named is seen from where the user is.
        for (option, path) in [("--out", self.out), ("--data", self.data)] {
            if let Some(path) = path {
                bench.arg(option).arg(std::path::absolute(path)?);
            }
        }
        run(bench.args(self.names).current_dir(root()))
    }
}
