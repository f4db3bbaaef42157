//! SQLite's sources, from Debian's source package.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};

use crate::{process::run, workspace::suites};

/// The folder of the sources. Downloads them unless they are there.
///
/// # Errors
/// When the source package cannot be downloaded.
pub(super) fn source() -> Result<PathBuf> {
    let dir = suites();
    if let Some(source) = find_source(&dir) {
        return Ok(source);
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    download(&dir)?;
    find_source(&dir).ok_or_else(|| anyhow!("the source package has no test/speedtest1.c"))
}

fn find_source(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| path.join("test/speedtest1.c").is_file())
}

/// Debian's source package, by a list of sources of its own: those of the machine stay as they are.
fn download(dir: &Path) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .ok_or_else(|| anyhow!("/etc/os-release names no Debian release"))?;
    let lists = dir.join("lists");
    fs::create_dir_all(lists.join("partial")).with_context(|| format!("creating {}", lists.display()))?;
    let sources = dir.join("sources.list");
    let line = format!("deb-src http://deb.debian.org/debian {codename} main\n");
    fs::write(&sources, line).with_context(|| format!("writing {}", sources.display()))?;
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get")
            .arg("-q")
            .args(["-o".to_owned(), format!("Dir::Etc::SourceList={}", sources.display())])
            .args(["-o", "Dir::Etc::SourceParts=/dev/null"])
            .args(["-o".to_owned(), format!("Dir::State::Lists={}", lists.display())])
            .args(["-o", "APT::Sandbox::User=root"])
            .args(arguments)
            .current_dir(dir))
    };
    apt(&["update"])?;
    apt(&["source", "sqlite3"])
}
