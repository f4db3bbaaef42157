//! The licence policy of `deny.toml`, checked with nothing but `cargo metadata`.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::{
    process::output,
    workspace::{cargo, root},
};

/// Checks that every package that is built here may be used under an allowed licence.
///
/// # Errors
/// Names each package that may not.
pub(crate) fn check() -> Result<()> {
    let policy = fs::read_to_string(root().join("deny.toml")).context("reading deny.toml")?;
    let allowed = allowed(&policy)?;
    let platform = platform()?;
    let metadata = output(
        Command::new(cargo())
            .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &platform])
            .current_dir(root()),
    )?;
    let metadata: Value = serde_json::from_str(&metadata).context("reading what cargo metadata printed")?;
    let packages = metadata["packages"].as_array().ok_or_else(|| anyhow!("cargo metadata names no packages"))?;
    let mut problems = Vec::new();
    for package in packages {
        let name =
            format!("{} {}", package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
        match package["license"].as_str() {
            Some(expression) if permits(expression, &allowed) => {}
            Some(expression) => problems.push(format!("{name}: {expression}")),
            None => problems.push(format!("{name}: states no licence")),
        }
    }
    if problems.is_empty() {
        eprintln!("licences: {} packages, all allowed by deny.toml", packages.len());
        return Ok(());
    }
    bail!("licences that deny.toml does not allow:\n  {}", problems.join("\n  "));
}

/// The platform that is built for. Packages of others are not here, and need not be.
fn platform() -> Result<String> {
    let version = output(Command::new(cargo()).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| anyhow!("cargo -vV names no host"))
}

fn allowed(policy: &str) -> Result<BTreeSet<String>> {
    let policy: toml::Table = policy.parse().context("reading deny.toml")?;
    let list = policy.get("licenses").and_then(|table| table.get("allow")).and_then(toml::Value::as_array);
    let list = list.ok_or_else(|| anyhow!("deny.toml has no licenses.allow"))?;
    Ok(list.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect())
}

/// Whether an SPDX expression can be met with allowed licences alone. What cannot be read permits nothing.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // Older manifests write a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    any(&mut rest, allowed) == Some(true) && rest.is_empty()
}

fn any(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = all(words, allowed)?;
    while let ["OR", rest @ ..] = words {
        *words = rest;
        met |= all(words, allowed)?;
    }
    Some(met)
}

fn all(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while let ["AND", rest @ ..] = words {
        *words = rest;
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    match words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any(words, allowed)?;
            let [")", rest @ ..] = words else { return None };
            *words = rest;
            Some(met)
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            Some(allowed.contains(&format!("{licence} WITH {exception}")) || allowed.contains(*licence))
        }
        [licence, rest @ ..] => {
            *words = rest;
            Some(allowed.contains(*licence))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(expression: &str) -> bool {
        permits(expression, &["MIT", "Apache-2.0", "Unicode-3.0"].into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn one_allowed_choice_is_enough() {
        assert!(permitted("MIT"));
        assert!(permitted("MIT OR GPL-3.0"));
        assert!(permitted("GPL-3.0/MIT"));
        assert!(permitted("Apache-2.0 WITH LLVM-exception OR GPL-2.0"));
        assert!(!permitted("GPL-3.0"));
        assert!(!permitted("GPL-3.0 OR AGPL-3.0"));
    }

    #[test]
    fn every_part_of_a_combination_counts() {
        assert!(permitted("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!permitted("MIT AND GPL-3.0"));
        assert!(!permitted("(MIT OR Apache-2.0) AND GPL-3.0"));
        assert!(permitted("GPL-3.0 AND Zlib OR MIT"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for expression in ["", "(MIT", "MIT)", "MIT MIT", "AND MIT", "MIT OR"] {
            assert!(!permitted(expression), "{expression}");
        }
    }

    #[test]
    fn the_list_is_the_one_of_cargo_deny() {
        let policy = "[licenses]\nallow = [\"MIT\", \"ISC\"]\n";
        assert_eq!(allowed(policy).unwrap().into_iter().collect::<Vec<_>>(), ["ISC", "MIT"]);
        assert!(allowed("[bans]").is_err());
    }
}
