//! What the project does, narrated.

mod crash; // what a crash and a lost host leave
mod follower; // a process that follows a volume
mod stage; // a store, hosts, and what is shown of them
mod state; // a database as a pointer

use std::{env, fs, process::Command};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use self::stage::Stage;
use crate::{
    process::run,
    workspace::{cargo, root, target},
};

/// What is told.
#[derive(Clone, Copy, ValueEnum)]
enum Story {
    /// What a crash and a lost host leave of a database.
    Crash,
    /// Looking back, going back, moving to another host, and what is lost with one.
    State,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Which story is told.
    #[arg(value_enum, default_value = "crash")]
    story: Story,
    /// Uses a debug build, which is sooner there.
    #[arg(long)]
    debug: bool,
    /// Keeps the store and what the hosts know, and says where.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Plays it through.
    ///
    /// # Errors
    /// When something is not as it was told.
    pub(crate) fn run(self) -> Result<()> {
        let mut build = Command::new(cargo());
        build.args(["build", "--locked", "-p", "plimsoll-cli", "-p", "plimsoll-extension"]).current_dir(root());
        if !self.debug {
            build.arg("--release");
        }
        run(&mut build)?;
        let dir = env::temp_dir().join(format!("plimsoll-demo-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let stage = Stage { built: target().join(if self.debug { "debug" } else { "release" }), dir };
        let played = match self.story {
            Story::Crash => crash::play(&stage),
            Story::State => state::play(&stage),
        };
        if self.keep {
            println!("\nAll of it is in {}.", stage.dir.display());
        } else {
            fs::remove_dir_all(&stage.dir).with_context(|| format!("removing {}", stage.dir.display()))?;
        }
        played
    }
}
