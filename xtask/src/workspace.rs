//! Where things are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("BUG: this crate lies in the workspace")
}

/// What cargo builds into.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Python with the packages of `tools/requirements.txt`.
pub(crate) fn python() -> PathBuf {
    root().join(".venv/bin/python")
}

/// Node packages.
pub(crate) fn node() -> PathBuf {
    target().join("node")
}

/// Foreign test programs.
pub(crate) fn suites() -> PathBuf {
    target().join("suites")
}

/// The cargo that runs this command.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
