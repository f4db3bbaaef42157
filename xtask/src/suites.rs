//! Foreign sources that are compiled, and never kept here: SQLite's `speedtest1`, from Debian's source package.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use crate::{
    process::run,
    workspace::{root, suites},
};

#[derive(Args)]
pub(crate) struct SuitesFetch {}

impl SuitesFetch {
    /// Leaves `speedtest1` in `target/suites`, unless it is there.
    ///
    /// # Errors
    /// When the source cannot be downloaded or compiled.
    pub(crate) fn run(self) -> Result<()> {
        let dir = suites();
        let program = dir.join("speedtest1");
        if program.exists() {
            return Ok(());
        }
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let source = match find_source(&dir) {
            Some(source) => source,
            None => {
                download(&dir)?;
                find_source(&dir).ok_or_else(|| anyhow!("the source package has no test/speedtest1.c"))?
            }
        };
        run(Command::new("cc")
            .args(["-O2", "-o"])
            .arg(&program)
            .arg(source)
            .arg(root().join("tools/load_plimsoll.c"))
            .arg("-lsqlite3"))
    }
}

fn find_source(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    let sources = entries.flatten().map(|entry| entry.path().join("test/speedtest1.c"));
    sources.into_iter().find(|path| path.is_file())
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
