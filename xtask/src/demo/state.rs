//! An agent's database as a pointer: looked at as it was, brought back, read elsewhere, moved, and accounted for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    follower::Follower,
    stage::{Stage, say},
};

/// Rows that are written when the host dies.
const LAST_WORDS: u64 = 40;
/// How long a sign of life is waited for.
const PATIENCE: u32 = 600;
const COUNT: &str = "SELECT count(*) AS n FROM log";

/// Plays it.
///
/// # Errors
/// When something is not as it was told.
pub(super) fn play(stage: &Stage) -> Result<()> {
    let url = format!("file://{}/store/agent", stage.dir.display());
    let url = url.as_str();
    let [agent, reader, other] = ["agent", "reader", "other"].map(|name| stage.host(name));

    say("An agent keeps what it knows in a database at a URL.");
    stage.show(&agent, &["create", url])?;
    let knows = "CREATE TABLE log(n INTEGER PRIMARY KEY, note TEXT); \
                 INSERT INTO log(note) VALUES ('met Ada'), ('met Grace'), ('met Edsger')";
    stage.show(&agent, &["sql", url, knows])?;
    say("Before it does anything bold, it gives that state a name, which keeps it.");
    stage.show(&agent, &["checkpoint", "create", url, "before-cleanup", "--note", "three friends"])?;

    say("Then it makes a mistake.");
    stage.show(&agent, &["sql", url, "DROP TABLE log; CREATE TABLE log(n INTEGER PRIMARY KEY, note TEXT)"])?;
    let now = stage.rows(&agent, url)?;
    ensure!(now == 0, "the mistake left {now} rows");

    say("The state before can be looked at by its name, by the number of a sync, or by a time.");
    let past = format!("{url}@before-cleanup");
    let seen = stage.rows(&agent, &past)?;
    ensure!(seen == 3, "{seen} rows of 3 are in the earlier state");
    stage.fails(&agent, 1, &["sql", &past, "DELETE FROM log"])?;

    say("It is brought back as a new commit that changes only what differs. The mistake stays in the history.");
    stage.show(&agent, &["restore", &past])?;
    ensure!(stage.rows(&agent, url)? == 3, "the restore did not bring the rows back");

    say("An experiment starts from the named state, on another host: a volume of its own that copies nothing.");
    let experiment = format!("file://{}/store/experiment", stage.dir.display());
    stage.show(&agent, &["fork", &past, &experiment])?;
    let only_there = "INSERT INTO log(note) VALUES ('only in the experiment')";
    stage.show(&other, &["sql", &experiment, only_there])?;
    ensure!(stage.rows(&other, &experiment)? == 4, "the experiment is not what was forked and one row more");
    ensure!(stage.rows(&agent, url)? == 3, "the experiment shows in what it was forked from");
    stage.fails(&agent, 3, &["rm", url])?;

    say(
        "Two processes on other hosts follow it, both at the same time. Each has a view of its own, about a second behind.",
    );
    let mut followers = ["one", "two"]
        .into_iter()
        .map(|name| Follower::start(stage, name, &stage.host(name), url))
        .collect::<Result<Vec<_>>>()?;
    for follower in &mut followers {
        ensure!(follower.ask(COUNT)?["n"] == 3, "a follower does not see what was brought back");
    }
    say("The agent writes. A token makes them wait for what its bearer has seen.");
    let write = "INSERT INTO log(note) VALUES ('told the readers'); SELECT plimsoll_token() AS token";
    let token = stage.ask(&agent, &["sql", url, write])?["token"].as_str().context("no token")?.to_owned();
    for follower in &mut followers {
        follower.ask(&format!("SELECT plimsoll_wait_token('{token}') IS NOT NULL AS waited"))?;
        ensure!(follower.ask(COUNT)?["n"] == 4, "a follower misses what the token stands for");
    }
    followers.into_iter().try_for_each(Follower::end)?;

    say(
        "The agent's host dies with work that is only on its disk: it was set to sync once a minute, and had told the store how much there was.",
    );
    let status = ["status", url];
    stage.write_until(&agent, url, "sync_interval_ms=60000", LAST_WORDS, || {
        for _ in 0..PATIENCE {
            if stage.quietly(&other, &status)?["load"]["commits"].as_u64() >= Some(LAST_WORDS) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        anyhow::bail!("the writer gave no sign of life")
    })?;

    say("Another host goes on at once, and is told what is missing.");
    let report = stage.ask(&other, &["takeover", url])?;
    let lost = &report["losses"][0];
    println!("{lost:#}");
    ensure!(lost["commits"].as_u64() == Some(LAST_WORDS), "{LAST_WORDS} commits were lost, the report says {lost}");
    stage.show(&other, &["sql", url, "INSERT INTO log(note) VALUES ('went on elsewhere')"])?;
    stage.show(&other, &["status", url])?;

    say("The first host comes back. What it had acknowledged is kept aside there, never merged in by itself.");
    stage.fails(&agent, 4, &["sync", url])?;
    stage.show(&agent, &["stranded", "ls", url])?;
    stage.show(&agent, &["stranded", "diff", "--rows", "3", url])?;
    let diff = stage.quietly(&agent, &["stranded", "diff", "--rows", "0", url])?;
    let table = diff["tables"].as_array().and_then(|tables| tables.first()).unwrap_or(&Value::Null);
    ensure!(table["added"].as_u64() == Some(LAST_WORDS), "the journal kept aside holds something else: {diff}");
    let file = stage.dir.join("stranded.db");
    stage.show(&agent, &["stranded", "export", url, &file.display().to_string()])?;
    ensure!(file.is_file(), "the export is not there");

    say("Moving on purpose loses nothing: everything becomes durable, and the next host need not wait.");
    stage.show(&other, &["release", url])?;
    stage.show(&reader, &["sql", url, "INSERT INTO log(note) VALUES ('moved'); SELECT count(*) FROM log"])?;
    stage.show(&reader, &["verify", url])
}
