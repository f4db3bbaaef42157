//! Format, lints, policy.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    dependencies, licences,
    process::{find, run},
    workspace::{cargo, root},
};

#[derive(Args)]
pub(crate) struct Lint {}

impl Lint {
    /// Runs every check, also after one failed.
    ///
    /// # Errors
    /// Names the checks that failed.
    pub(crate) fn run(self) -> Result<()> {
        let mut failed = Vec::new();
        let mut check = |name: &'static str, result: Result<()>| {
            if let Err(error) = result {
                eprintln!("{error:#}");
                failed.push(name);
            }
        };
        let cargo = |arguments: &[&str]| run(Command::new(cargo()).args(arguments).current_dir(root()));
        check("format", cargo(&["fmt", "--all", "--check"]));
        check("clippy", cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]));
        check("licences", licences::check());
        check("dependencies", dependencies::check());
        if find("cargo-deny").is_some() {
            check("deny", cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]));
            check("advisories", advisories());
        } else {
            eprintln!("cargo-deny is not installed: known vulnerabilities were not checked");
        }
        if failed.is_empty() {
            return Ok(());
        }
        bail!("failed: {}", failed.join(", "));
    }
}

/// Known vulnerabilities, as far as the database of them is here; this command downloads nothing.
fn advisories() -> Result<()> {
    let home = std::env::var_os("CARGO_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    if !home.is_some_and(|home| home.join("advisory-dbs").is_dir()) {
        eprintln!("no advisory database here: run `cargo deny fetch` to check for known vulnerabilities");
        return Ok(());
    }
    run(Command::new(cargo()).args(["deny", "--offline", "check", "advisories"]).current_dir(root()))
}
