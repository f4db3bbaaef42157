//! What a crash and a lost host leave of a database, narrated.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use crate::{
    process::{find, line, output, run},
    workspace::{cargo, root, target},
};

#[derive(Args)]
pub(crate) struct Demo {
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
        let played = stage.play();
        if self.keep {
            println!("\nAll of it is in {}.", stage.dir.display());
        } else {
            fs::remove_dir_all(&stage.dir).with_context(|| format!("removing {}", stage.dir.display()))?;
        }
        played
    }
}

/// Where the demo plays: a store, and hosts that know nothing of each other but the URL.
struct Stage {
    built: PathBuf,
    dir: PathBuf,
}

impl Stage {
    fn play(&self) -> Result<()> {
        let url = format!("file://{}/store/harbour", self.dir.display());
        let [here, elsewhere] = ["here", "elsewhere"].map(|name| self.dir.join(name));
        say("A database at a URL. Here the store is a directory; s3://, gs:// and az:// work alike.");
        self.show(&here, &["create", &url])?;
        self.show(&here, &["sql", &url, "CREATE TABLE log(n INTEGER PRIMARY KEY, note TEXT)"])?;
        self.shell(&here, &url)?;

        say("A process writes, one row per transaction, and is killed. It last synced long ago.");
        let acknowledged = self.write_until_killed(&here, &url, 60_000, 200)?;
        println!("{acknowledged} commits were acknowledged, each when it was in the journal on this disk.");
        say("What is at risk while that process is down:");
        self.show(&here, &["status", &url])?;
        say("Opened again on this host, nothing acknowledged is missing:");
        let before = self.rows(&here, &url)?;
        println!("{before} rows");
        ensure!(before >= acknowledged, "{acknowledged} rows were acknowledged, {before} are there");

        say("Once more, syncing every 50 ms. This time the whole host is lost with the process.");
        let written = self.write_until_killed(&here, &url, 50, 600)?;
        fs::remove_dir_all(&here).with_context(|| format!("removing {}", here.display()))?;
        println!("{written} commits were acknowledged; journal and cache are gone.");
        say("Another host opens the URL. What it finds is the state after one of those commits:");
        let after = self.rows(&elsewhere, &url)?;
        let kept = after.saturating_sub(before);
        println!("{after} rows: {kept} of the last {written} commits; the others were not synced yet");
        ensure!(after >= before, "a durable row is missing: {after} after {before}");
        ensure!(kept > 0, "nothing was synced in the background");
        say("A commit may wait until it has survived that, too. The old host looks alive for a while: take over.");
        let insert = "INSERT INTO log(note) VALUES ('written elsewhere')";
        self.show(&elsewhere, &["sql", &url, "--durability", "durable", "--set", "takeover=true", insert])?;
        self.show(&elsewhere, &["status", &url])?;
        self.show(&elsewhere, &["verify", &url])
    }

    fn plimsoll(&self, host: &Path) -> Command {
        let mut command = Command::new(self.built.join("plimsoll"));
        // No settings of whoever runs the demo.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLIMSOLL_")) {
            command.env_remove(name);
        }
        command.env("PLIMSOLL_CONFIG", "").env("PLIMSOLL_STATE_DIR", host);
        command
    }

    fn show(&self, host: &Path, arguments: &[&str]) -> Result<()> {
        let quoted = |word: &&str| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() };
        println!("$ plimsoll {}", arguments.iter().map(quoted).collect::<Vec<_>>().join(" "));
        let mut command = self.plimsoll(host);
        command.args(arguments);
        let status = command.status().with_context(|| format!("starting {}", line(&command)))?;
        ensure!(status.success(), "{}: {status}", line(&command));
        Ok(())
    }

    /// The SQLite of this machine, with the extension; without one, the SQLite in our own program.
    fn shell(&self, host: &Path, url: &str) -> Result<()> {
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
    fn write_until_killed(&self, host: &Path, url: &str, sync_interval_ms: u64, commits: u64) -> Result<u64> {
        let mut sql: String = (1..=commits)
            .map(|n| format!("INSERT INTO log(note) VALUES ('commit {n}'); SELECT 'acknowledged';"))
            .collect();
        // It is killed in the middle of something.
        sql.push_str("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;");
        let interval = format!("sync_interval_ms={sync_interval_ms}");
        let mut command = self.plimsoll(host);
        command.args(["--json", "--set", &interval, "sql", url, "--durability", "journaled", &sql]);
        println!("$ plimsoll --set {interval} sql {url} --durability journaled 'INSERT …; INSERT …; …'");
        let mut writer = command.stdout(Stdio::piped()).spawn().context("starting the writer")?;
        let said = writer.stdout.take().ok_or_else(|| anyhow!("the writer has no output"))?;
        let mut acknowledged = 0;
        for line in BufReader::new(said).lines() {
            acknowledged += u64::from(line.context("listening to the writer")?.contains("acknowledged"));
            if acknowledged == commits {
                break;
            }
        }
        writer.kill().context("killing the writer")?;
        writer.wait().context("waiting for the writer's end")?;
        ensure!(acknowledged == commits, "the writer ended by itself after {acknowledged} commits");
        println!("kill -9");
        Ok(acknowledged)
    }

    fn rows(&self, host: &Path, url: &str) -> Result<u64> {
        let mut command = self.plimsoll(host);
        println!("$ plimsoll sql {url} 'SELECT count(*) FROM log'");
        let said = output(command.args(["--json", "sql", url, "SELECT count(*) AS n FROM log"]))?;
        let row: serde_json::Value = serde_json::from_str(&said).context("reading the number of rows")?;
        row["n"].as_u64().ok_or_else(|| anyhow!("no number of rows in {said}"))
    }
}

fn say(text: &str) {
    println!("\n\x1b[1m{text}\x1b[0m");
}
