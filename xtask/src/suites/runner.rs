//! Running one of SQLite's test files, in a folder of its own.

use std::{
    env, fs,
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{list::Manner, outcome::Outcome};
use crate::{
    process::{find, output},
    workspace::{root, suites},
};

/// After this a file counts as hanging. The longest takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(900);

/// What has processes take turns as on a file: who wants to write waits, a commit is in the store when it returns, and whoever
/// begins to read looks there.
const IN_TURNS: [(&str, &str); 3] = [
    ("PLIMSOLL_TEST_BUSY_TIMEOUT_MS", "60000"),
    ("PLIMSOLL_DURABILITY", "durable"),
    ("PLIMSOLL_FOLLOW_INTERVAL_MS", "1"),
];

/// Where databases are.
pub(super) enum Vfs {
    /// In files.
    Plain,
    /// In volumes, by this library.
    Volumes(PathBuf),
}

/// What runs test files.
pub(super) struct Runner {
    pub(super) fixture: PathBuf,
    pub(super) tests: PathBuf,
    pub(super) vfs: Vfs,
}

impl Runner {
    /// # Errors
    /// When it cannot be started or hangs.
    pub(super) fn run(&self, file: &str, manner: &Manner) -> Result<Outcome> {
        let kind = if matches!(self.vfs, Vfs::Plain) { "plain" } else { "volumes" };
        let dir = suites().join("run").join(kind).join(file);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let log_path = dir.join("log");
        let log = File::create(&log_path).with_context(|| format!("creating {}", log_path.display()))?;

        let mut command = self.command()?;
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PLIMSOLL_")) {
                command.env_remove(name);
            }
        }
        if let Vfs::Volumes(library) = &self.vfs {
            command.arg(root().join("tools/suites/volumes.tcl"));
            command.env("PLIMSOLL_TEST_LIBRARY", library).env("PLIMSOLL_STATE_DIR", dir.join("state"));
            command.env("PLIMSOLL_CONFIG", "").env("PLIMSOLL_LOG", "off");
            if !manner.left_out.is_empty() {
                command.env("PLIMSOLL_TEST_LEFT_OUT", manner.left_out.join(" "));
            }
            if manner.in_turns {
                command.envs(IN_TURNS);
            }
        }
        command.arg(self.tests.join(format!("{file}.test"))).current_dir(&dir).env("TZ", "UTC");
        let errors = log.try_clone().context("sharing the log")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {}", self.fixture.display()))?;
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().context("waiting for the test program")?.is_none() {
            if Instant::now() > deadline {
                child.kill().context("ending the test program")?;
                child.wait().context("waiting for the test program")?;
                bail!("no end after {} s; see {}", PATIENCE.as_secs(), log_path.display());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let text = fs::read(&log_path).with_context(|| format!("reading {}", log_path.display()))?;
        let outcome = Outcome::read(&String::from_utf8_lossy(&text));
        // Databases take room, and their names are in nobody's way.
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))?.flatten() {
            if entry.file_name() != "log" {
                let path = entry.path();
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            }
        }
        Ok(outcome)
    }

    /// The test program, with no more rights on files than their owner has: tests take rights away and look what happens.
    fn command(&self) -> Result<Command> {
        if find("setpriv").is_none() || output(Command::new("id").arg("-u"))?.trim() != "0" {
            return Ok(Command::new(&self.fixture));
        }
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override,-dac_read_search").arg(&self.fixture);
        Ok(command)
    }
}
