//! S3 servers that let several creates of one name win, built from their source.

use std::process::Command;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    process::run,
    workspace::{cargo, root, target},
};

#[derive(Args)]
pub(crate) struct Unfenced {
    /// Which server.
    #[arg(default_value = "s3s-fs")]
    server: Which,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    /// Heeds the condition but in races. Five minutes to build.
    S3sFs,
    /// Ignores the condition. Half an hour to build, and a C compiler.
    Garage,
}

impl Which {
    /// The package, of the same version every time, since later ones may fence; and how it is built. Nobody waits for the
    /// answers of a server that is only looked at, so Garage is not made fast.
    fn package(self) -> &'static [&'static str] {
        match self {
            Which::S3sFs => &["s3s-fs", "--version", "0.14.1", "--features", "binary"],
            Which::Garage => &["garage", "--version", "2.5.0", "--config", "profile.release.opt-level=1"],
        }
    }

    /// The program, and the variable that names it for the test.
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Which::S3sFs => ("s3s-fs", "PLIMSOLL_TEST_S3S_FS"),
            Which::Garage => ("garage", "PLIMSOLL_TEST_GARAGE"),
        }
    }
}

impl Unfenced {
    /// Builds the server, unless it is there, and checks that it is refused for writing.
    ///
    /// # Errors
    /// When it cannot be built, or a volume on it is written to.
    pub(crate) fn run(self) -> Result<()> {
        let (program, variable) = self.server.program();
        let place = target().join(program);
        let mut install = Command::new(cargo());
        run(install.args(["install", "--locked", "--root"]).arg(&place).args(self.server.package()))?;
        let mut test = Command::new(cargo());
        test.args(["test", "--workspace", "--locked", "--test", "unfenced_store"]).current_dir(root());
        run(test.env(variable, place.join("bin").join(program)))
    }
}
