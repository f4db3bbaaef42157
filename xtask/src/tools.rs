//! What the tests need: Debian packages, Python packages, Node packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    process::{find, output, run},
    workspace::{node, python, root},
};

/// What is looked for, and the package that brings it.
const PACKAGES: [(Sign, &str); 11] = [
    (Sign::Program("cc"), "build-essential"),
    (Sign::Program("make"), "build-essential"),
    (Sign::Program("/usr/bin/python3"), "python3"),
    (Sign::PythonModule("ensurepip"), "python3-venv"),
    (Sign::Program("/usr/bin/sqlite3"), "sqlite3"),
    (Sign::File("/usr/include/sqlite3.h"), "libsqlite3-dev"),
    (Sign::File("/usr/lib/tcl8.6/tclConfig.sh"), "tcl-dev"),
    (Sign::Program("node"), "nodejs"),
    (Sign::Program("npm"), "npm"),
    (Sign::Program("strace"), "strace"),
    (Sign::Program("valgrind"), "valgrind"),
];

/// What shows that a package is installed.
enum Sign {
    /// On the path, or at an absolute one.
    Program(&'static str),
    File(&'static str),
    PythonModule(&'static str),
}

impl Sign {
    fn is_there(&self) -> bool {
        match self {
            // A path that is absolute replaces the one that it is joined to.
            Sign::Program(name) => find(name).is_some(),
            Sign::File(path) => Path::new(path).exists(),
            Sign::PythonModule(name) => Command::new("/usr/bin/python3")
                .args(["-c", &format!("import {name}")])
                .output()
                .is_ok_and(|probe| probe.status.success()),
        }
    }
}

/// better-sqlite3 turns URI file names off, and without them a program cannot name a VFS. The last definition wins.
const URI_NAMES: &str = "-USQLITE_USE_URI -DSQLITE_USE_URI=1";

#[derive(Args)]
pub(crate) struct Tools {}

impl Tools {
    /// Installs what is missing. What is there costs a look.
    ///
    /// # Errors
    /// Names what could not be installed.
    pub(crate) fn run(self) -> Result<()> {
        install(PACKAGES.iter().filter(|(sign, _)| !sign.is_there()).map(|(_, package)| *package).collect())?;
        packages_of_python()?;
        packages_of_node()
    }
}

/// Installs Debian packages, each unless its program is there.
///
/// # Errors
/// Names what could not be installed.
pub(crate) fn programs(wanted: &[(&str, &'static str)]) -> Result<()> {
    install(wanted.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect())
}

fn install(mut missing: Vec<&str>) -> Result<()> {
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if find("apt-get").is_none() || output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("the tests need these packages, and only root on Debian can install them from here: {list}");
    }
    let apt = || {
        run(Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // Lists of packages that are there may do; downloading them takes longer than the packages.
    apt().or_else(|_| {
        run(Command::new("apt-get").arg("update"))?;
        apt()
    })
}

/// Whether `stamp` says what `wanted` says; then nothing is to be done.
pub(crate) fn is_stamped(stamp: &Path, wanted: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text == wanted)
}

/// Notes that what `wanted` says has been done.
///
/// # Errors
/// When the stamp cannot be written.
pub(crate) fn stamp(stamp: &Path, wanted: &str) -> Result<()> {
    fs::write(stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

fn packages_of_python() -> Result<()> {
    let list = root().join("tools/requirements.txt");
    let wanted = fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    let done = root().join(".venv/requirements.txt");
    if is_stamped(&done, &wanted) && python().exists() {
        return Ok(());
    }
    // Debian's Python: others are often built without loadable extensions for SQLite.
    run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(root().join(".venv")))?;
    run(Command::new(python()).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&list))?;
    stamp(&done, &wanted)
}

fn packages_of_node() -> Result<()> {
    let source = root().join("tools/node");
    let target = node();
    fs::create_dir_all(&target).with_context(|| format!("creating {}", target.display()))?;
    let mut wanted = format!("{URI_NAMES}\n");
    let files: [PathBuf; 2] = ["package.json", "package-lock.json"].map(PathBuf::from);
    for file in &files {
        let text = fs::read_to_string(source.join(file)).with_context(|| format!("reading {}", file.display()))?;
        stamp(&target.join(file), &text)?;
        wanted.push_str(&text);
    }
    let done = target.join("installed.txt");
    if is_stamped(&done, &wanted) && target.join("node_modules").is_dir() {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&target);
    npm.env("npm_config_build_from_source", "true").env("CFLAGS", URI_NAMES);
    if Path::new("/usr/include/node/node.h").exists() {
        // Headers that are here need not be downloaded.
        npm.env("npm_config_nodedir", "/usr");
    }
    run(&mut npm)?;
    stamp(&done, &wanted)
}
