//! An S3 server that lets several creates of one name win, built from its source.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{
    process::run,
    workspace::{cargo, root, target},
};

/// Of the same version every time: later ones may fence.
const VERSION: &str = "0.14.1";

#[derive(Args)]
pub(crate) struct Unfenced {}

impl Unfenced {
    /// Builds s3s-fs, which takes five minutes, unless it is there, and checks that it is refused for writing.
    ///
    /// # Errors
    /// When it cannot be built, or a volume on it is written to.
    pub(crate) fn run(self) -> Result<()> {
        let place = target().join("s3s-fs");
        run(Command::new(cargo())
            .args(["install", "s3s-fs", "--locked", "--version", VERSION, "--features", "binary", "--root"])
            .arg(&place))?;
        let mut test = Command::new(cargo());
        test.args(["test", "--workspace", "--locked", "--test", "unfenced_store"]).current_dir(root());
        run(test.env("PLIMSOLL_TEST_S3S_FS", place.join("bin/s3s-fs")))
    }
}
