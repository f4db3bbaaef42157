//! What a crash and a lost host leave of a database.

use anyhow::{Result, ensure};

use super::stage::{Stage, say};

/// Plays it.
///
/// # Errors
/// When something is not as it was told.
pub(super) fn play(stage: &Stage) -> Result<()> {
    let url = format!("file://{}/store/harbour", stage.dir.display());
    let [here, elsewhere] = ["here", "elsewhere"].map(|name| stage.host(name));
    say("A database at a URL. Here the store is a directory; s3://, gs:// and az:// work alike.");
    stage.show(&here, &["create", &url])?;
    stage.show(&here, &["sql", &url, "CREATE TABLE log(n INTEGER PRIMARY KEY, note TEXT)"])?;
    stage.shell(&here, &url)?;

    say("A process writes, one row per transaction, and is killed. It last synced long ago.");
    let acknowledged = stage.write_until_killed(&here, &url, 60_000, 200)?;
    println!("{acknowledged} commits were acknowledged, each when it was in the journal on this disk.");
    say("What is at risk while that process is down:");
    stage.show(&here, &["status", &url])?;
    say("Opened again on this host, nothing acknowledged is missing:");
    let before = stage.rows(&here, &url)?;
    println!("{before} rows");
    ensure!(before >= acknowledged, "{acknowledged} rows were acknowledged, {before} are there");

    say("Once more, syncing every 50 ms. This time the whole host is lost with the process.");
    let written = stage.write_until_killed(&here, &url, 50, 600)?;
    stage.lose(&here)?;
    println!("{written} commits were acknowledged; journal and cache are gone.");
    say("Another host opens the URL. What it finds is the state after one of those commits:");
    let after = stage.rows(&elsewhere, &url)?;
    let kept = after.saturating_sub(before);
    println!("{after} rows: {kept} of the last {written} commits; the others were not synced yet");
    ensure!(after >= before, "a durable row is missing: {after} after {before}");
    ensure!(kept > 0, "nothing was synced in the background");
    say("A commit may wait until it has survived that, too. The old host looks alive for a while: take over.");
    let insert = "INSERT INTO log(note) VALUES ('written elsewhere')";
    stage.show(&elsewhere, &["sql", &url, "--durability", "durable", "--set", "takeover=true", insert])?;
    stage.show(&elsewhere, &["status", &url])?;
    stage.show(&elsewhere, &["verify", &url])
}
