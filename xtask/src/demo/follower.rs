//! A process that follows a volume while the story goes on.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::stage::Stage;

/// A session that reads, and waits for what it is asked next.
pub(super) struct Follower {
    name: &'static str,
    child: Child,
    asked: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    /// Starts one on a host.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(stage: &Stage, name: &'static str, host: &Path, url: &str) -> Result<Follower> {
        let mut command = stage.plimsoll(host);
        command.args(["--json", "sql", "--read-only", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        println!("{name}$ plimsoll sql --read-only {url}");
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let asked = child.stdin.take().ok_or_else(|| anyhow!("{name} has no input"))?;
        let said = child.stdout.take().ok_or_else(|| anyhow!("{name} has no output"))?;
        Ok(Follower { name, child, asked, said: BufReader::new(said).lines() })
    }

    /// What it answers to a statement of one row.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) fn ask(&mut self, statement: &str) -> Result<Value> {
        let name = self.name;
        println!("{name}> {statement};");
        writeln!(self.asked, "{statement};")
            .and_then(|()| self.asked.flush())
            .with_context(|| format!("asking {name}"))?;
        let row =
            self.said.next().ok_or_else(|| anyhow!("{name} has ended"))?.with_context(|| format!("hearing {name}"))?;
        println!("{row}");
        serde_json::from_str(&row).with_context(|| format!("reading {row}"))
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it did not end well.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.asked);
        let status = self.child.wait().with_context(|| format!("waiting for the end of {}", self.name))?;
        ensure!(status.success(), "{}: {status}", self.name);
        Ok(())
    }
}
