//! `cargo xtask bench`: Plimsoll beside what people would pick instead.

use std::process::Command;

use anyhow::Result;

use crate::{
    process::run,
    tools::Tools,
    workspace::{cargo, root, target},
};

/// See `--help` after `--` for what it can do.
#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Build without link-time optimisation: sooner ready, a little slower.
    #[arg(long)]
    quick: bool,
    /// Also write tables and plots to `docs/benchmarks`.
    #[arg(long)]
    docs: bool,
    /// Names of benches; --scale, --rounds, --out, --data
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Bench {
    /// Builds, then measures. Tables and plots go to `target/bench`.
    ///
    /// # Errors
    /// When something does not build. A peer that fails is a part of the result.
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
        bench.args(self.options);
        run(bench.current_dir(root()))
    }
}
