//! What `deny.toml` says of dependencies beside their licences, checked with nothing but `cargo metadata`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::{
    process::output,
    workspace::{cargo, root},
};

/// Where a dependency may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks that nothing banned is built and nothing comes from elsewhere, and says what is there twice.
///
/// # Errors
/// Names each package that may not be.
pub(crate) fn check() -> Result<()> {
    let policy: toml::Table = fs::read_to_string(root().join("deny.toml"))
        .context("reading deny.toml")?
        .parse()
        .context("reading deny.toml")?;
    let banned = policy.get("bans").and_then(|bans| bans.get("deny")).and_then(toml::Value::as_array);
    let banned = banned.ok_or_else(|| anyhow!("deny.toml has no bans.deny"))?;
    let banned: BTreeSet<&str> = banned.iter().filter_map(|ban| ban.get("crate")?.as_str()).collect();

    let metadata =
        output(Command::new(cargo()).args(["metadata", "--format-version=1", "--locked"]).current_dir(root()))?;
    let metadata: Value = serde_json::from_str(&metadata).context("reading what cargo metadata printed")?;
    let packages = metadata["packages"].as_array().ok_or_else(|| anyhow!("cargo metadata names no packages"))?;
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or("?");
        versions.entry(name).or_default().insert(package["version"].as_str().unwrap_or("?"));
        if banned.contains(name) {
            problems.push(format!("{name} is banned"));
        }
        // A package of this workspace has no source.
        match package["source"].as_str() {
            None | Some(REGISTRY) => {}
            Some(source) => problems.push(format!("{name} comes from {source}")),
        }
    }
    if !problems.is_empty() {
        bail!("dependencies that deny.toml does not allow:\n  {}", problems.join("\n  "));
    }
    let twice: Vec<&str> = versions.iter().filter(|(_, all)| all.len() > 1).map(|(name, _)| *name).collect();
    eprintln!("dependencies: none banned, all from the registry; in several versions: {}", twice.join(", "));
    Ok(())
}
