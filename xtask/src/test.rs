//! Every test: the workspace's own, then other programs that load the extension.

use std::{
    env,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    process::{find, run, watch},
    suites::SuitesFetch,
    tools::Tools,
    totals::Totals,
    workspace::{cargo, node, python, root, suites, target},
};

#[derive(Args)]
pub(crate) struct Test {
    /// Only the tests with other programs.
    #[arg(long)]
    foreign: bool,
    /// Only the workspace's own tests.
    #[arg(long, conflicts_with = "foreign")]
    own: bool,
    /// Optimised builds.
    #[arg(long)]
    release: bool,
    /// Of the tests with other programs, only those whose names contain one of these.
    names: Vec<String>,
}

/// One program that runs tests.
struct Suite {
    name: &'static str,
    totals: Totals,
    took: Duration,
}

impl Test {
    /// Runs them all, also after one failed, and ends with the totals.
    ///
    /// # Errors
    /// When a test failed, or could not be run.
    pub(crate) fn run(self) -> Result<()> {
        Tools {}.run()?;
        run(&mut self.cargo(&["build", "--locked", "-p", "plimsoll-extension", "-p", "plimsoll-cli"]))?;
        let mut suites = Vec::new();
        if !self.foreign {
            self.own_tests(&mut suites)?;
        }
        if !self.own {
            SuitesFetch {}.run()?;
            self.foreign_tests(&mut suites)?;
            if self.names.is_empty() {
                self.tests_of_sqlite(&mut suites)?;
            }
        }
        let mut all = Totals::default();
        println!();
        for Suite { name, totals, took } in &suites {
            println!("{name}: {totals}, {} s", took.as_secs());
            all.passed += totals.passed;
            all.failed += totals.failed;
        }
        println!("{all}");
        if all.failed > 0 {
            bail!("{} tests failed", all.failed);
        }
        Ok(())
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        command.args(arguments).current_dir(root());
        if self.release {
            command.arg("--release");
        }
        command
    }

    fn own_tests(&self, suites: &mut Vec<Suite>) -> Result<()> {
        if find("cargo-nextest").is_some() {
            let tests = self.cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
            suites.push(suite("tests", tests)?);
            let examples = self.cargo(&["test", "--doc", "--workspace", "--locked", "--no-fail-fast"]);
            suites.push(suite("examples in the documentation", examples)?);
        } else {
            suites.push(suite("tests", self.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]))?);
        }
        Ok(())
    }

    fn foreign_tests(&self, suites: &mut Vec<Suite>) -> Result<()> {
        let mut tests = Command::new(python());
        tests.arg(root().join("tests/foreign/run.py")).args(&self.names).current_dir(root());
        tests.envs(self.places());
        suites.push(suite("other programs", tests)?);
        Ok(())
    }

    /// A program of its own, so that its totals are read as those of the others.
    fn tests_of_sqlite(&self, suites: &mut Vec<Suite>) -> Result<()> {
        let mut tests = Command::new(env::current_exe().context("finding this program")?);
        tests.arg("suites");
        if self.release {
            tests.arg("--release");
        }
        suites.push(suite("SQLite's own tests", tests)?);
        Ok(())
    }

    /// Where the tests find what was built and installed.
    fn places(&self) -> [(&'static str, PathBuf); 4] {
        let built = target().join(if self.release { "release" } else { "debug" });
        [
            ("PLIMSOLL_TEST_LIBRARY", built.join("libplimsoll.so")),
            ("PLIMSOLL_TEST_PROGRAM", built.join("plimsoll")),
            ("PLIMSOLL_TEST_NODE", node()),
            ("PLIMSOLL_TEST_SUITES", suites()),
        ]
    }
}

fn suite(name: &'static str, mut command: Command) -> Result<Suite> {
    let mut totals = Totals::default();
    let started = Instant::now();
    let succeeded = watch(&mut command, |line| totals.read(line))?;
    if !succeeded && totals.failed == 0 {
        // It did not compile, or died.
        totals.failed = 1;
    }
    Ok(Suite { name, totals, took: started.elapsed() })
}
