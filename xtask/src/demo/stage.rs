//! Where a demo plays: a store, hosts, and what is shown of them.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::process::{find, line, output};

/// A store, and hosts that know nothing of each other but the URL.
pub(super) struct Stage {
    /// Where the programs are.
    pub(super) built: PathBuf,
    /// Where everything that is made is.
    pub(super) dir: PathBuf,
}

impl Stage {
    /// A host: what it has on its disk.
    pub(super) fn host(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Loses a host's disk.
    pub(super) fn lose(&self, host: &Path) -> Result<()> {
        fs::remove_dir_all(host).with_context(|| format!("removing {}", host.display()))
    }

    pub(super) fn plimsoll(&self, host: &Path) -> Command {
        let mut command = Command::new(self.built.join("plimsoll"));
        // No settings of whoever runs the demo.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLIMSOLL_")) {
            command.env_remove(name);
        }
        command.env("PLIMSOLL_CONFIG", "").env("PLIMSOLL_STATE_DIR", host);
        command
    }

    pub(super) fn show(&self, host: &Path, arguments: &[&str]) -> Result<()> {
        typed(arguments);
        let mut command = self.plimsoll(host);
        command.args(arguments);
        let status = command.status().with_context(|| format!("starting {}", line(&command)))?;
        ensure!(status.success(), "{}: {status}", line(&command));
        Ok(())
    }

    /// The SQLite of this machine, with the extension; without one, the SQLite in our own program.
    pub(super) fn shell(&self, host: &Path, url: &str) -> Result<()> {
        const INSERT: &str = "INSERT INTO log(note) VALUES ('written by the sqlite3 shell')";
        let library = self.built.join("libplimsoll");
        let Some(sqlite3) = find("sqlite3") else {
            return self.show(host, &["sql", url, INSERT]);
        };
        say("Any SQLite that loads extensions opens it.");
        let lines = [
            format!(".load {}", library.display()),
            format!(".open file:{url}?vfs=plimsoll"),
            format!("{INSERT};"),
            "SELECT * FROM log;".to_owned(),
        ];
        println!("$ sqlite3\n> {}", lines.join("\n> "));
        let mut command = Command::new(sqlite3);
        command.env("PLIMSOLL_CONFIG", "").env("PLIMSOLL_STATE_DIR", host);
        command.args(["-batch", "-bail"]).args(lines.iter().flat_map(|line| ["-cmd", line.as_str()]));
        print!("{}", output(command.stdin(Stdio::null()))?);
        Ok(())
    }

    /// Starts a process that writes, and kills it with SIGKILL once it has said that so many commits returned.
    pub(super) fn write_until_killed(
        &self,
        host: &Path,
        url: &str,
        sync_interval_ms: u64,
        commits: u64,
    ) -> Result<u64> {
        self.write_until(host, url, &format!("sync_interval_ms={sync_interval_ms}"), commits, || Ok(()))
    }

    /// The same with any setting; before the kill, `then` happens.
    pub(super) fn write_until(
        &self,
        host: &Path,
        url: &str,
        setting: &str,
        commits: u64,
        then: impl FnOnce() -> Result<()>,
    ) -> Result<u64> {
        let mut sql: String = (1..=commits)
            .map(|n| format!("INSERT INTO log(note) VALUES ('commit {n}'); SELECT 'acknowledged';"))
            .collect();
        // It is killed in the middle of something.
        sql.push_str("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;");
        let mut command = self.plimsoll(host);
        command.args([
            "--json",
            "--set",
            setting,
            "--set",
            "heartbeat_ms=200",
            "sql",
            url,
            "--durability",
            "journaled",
            &sql,
        ]);
        println!("$ plimsoll --set {setting} sql {url} --durability journaled 'INSERT …; INSERT …; …'");
        let mut writer = command.stdout(Stdio::piped()).spawn().context("starting the writer")?;
        let said = writer.stdout.take().ok_or_else(|| anyhow!("the writer has no output"))?;
        let mut acknowledged = 0;
        for line in BufReader::new(said).lines() {
            acknowledged += u64::from(line.context("listening to the writer")?.contains("acknowledged"));
            if acknowledged == commits {
                break;
            }
        }
        let ready = then();
        writer.kill().context("killing the writer")?;
        writer.wait().context("waiting for the writer's end")?;
        ready?;
        ensure!(acknowledged == commits, "the writer ended by itself after {acknowledged} commits");
        println!("kill -9");
        Ok(acknowledged)
    }

    /// Counts the rows of the log, and shows how many there are.
    pub(super) fn rows(&self, host: &Path, url: &str) -> Result<u64> {
        let mut command = self.plimsoll(host);
        println!("$ plimsoll sql {url} 'SELECT count(*) FROM log'");
        let said = output(command.args(["--json", "sql", url, "SELECT count(*) AS n FROM log"]))?;
        let row: Value = serde_json::from_str(&said).context("reading the number of rows")?;
        let rows = row["n"].as_u64().ok_or_else(|| anyhow!("no number of rows in {said}"))?;
        println!("{rows} rows");
        Ok(rows)
    }

    /// Runs the command, shows what was typed, and returns what it prints as JSON.
    pub(super) fn ask(&self, host: &Path, arguments: &[&str]) -> Result<Value> {
        typed(arguments);
        self.quietly(host, arguments)
    }

    /// The same, without showing anything.
    pub(super) fn quietly(&self, host: &Path, arguments: &[&str]) -> Result<Value> {
        let said = output(self.plimsoll(host).arg("--json").args(arguments))?;
        serde_json::from_str(&said).with_context(|| format!("reading {said}"))
    }

    /// Runs the command, which must fail with this exit code.
    pub(super) fn fails(&self, host: &Path, code: i32, arguments: &[&str]) -> Result<()> {
        typed(arguments);
        let mut command = self.plimsoll(host);
        let status = command.args(arguments).status().with_context(|| format!("starting {}", line(&command)))?;
        ensure!(status.code() == Some(code), "{}: {status}, not exit code {code}", line(&command));
        Ok(())
    }
}

fn typed(arguments: &[&str]) {
    let quoted = |word: &&str| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() };
    println!("$ plimsoll {}", arguments.iter().map(quoted).collect::<Vec<_>>().join(" "));
}

/// A sentence of the story.
pub(super) fn say(text: &str) {
    println!("\n\x1b[1m{text}\x1b[0m");
}
