//! The `plimsoll` command, for what only it can do.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rusqlite::Connection;

use crate::{job::Job, subject::Place, workload::fill};

/// Runs the command on the host that a place is seen from.
pub(crate) fn command(job: &Job, place: &Place, arguments: &[&str]) -> Result<()> {
    let program = job.command.as_deref().context("the plimsoll command is needed: --plimsoll, or cargo xtask bench")?;
    let settings = [
        ("PLIMSOLL_ENDPOINT", place.endpoint.as_str()),
        ("PLIMSOLL_REGION", "us-east-1"),
        ("PLIMSOLL_ALLOW_HTTP", "true"),
    ];
    fs::create_dir_all(&place.dir)?;
    let mut command = Command::new(program);
    command.args(arguments).envs(settings).env("PLIMSOLL_STATE_DIR", place.dir.join("state")).stdin(Stdio::null());
    let output = command.output().context("starting the plimsoll command")?;
    if !output.status.success() {
        bail!("plimsoll {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Makes a volume of a plain file with so many rows: the quickest way to a large one.
pub(crate) fn import(job: &Job, place: &Place, rows: u64) -> Result<()> {
    fs::create_dir_all(&place.dir)?;
    let file = place.dir.join(format!("{}.import", place.name));
    {
        let plain = Connection::open(&file)?;
        plain.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
        fill(&plain, rows)?;
    }
    let imported = command(job, place, &["import", &file.to_string_lossy(), &place.url()]);
    fs::remove_file(&file)?;
    imported
}

/// The same, with all of it merged, as it is by the time that much was written to it since.
pub(crate) fn import_merged(job: &Job, place: &Place, rows: u64) -> Result<()> {
    import(job, place, rows)?;
    command(job, place, &["compact", &place.url()])
}
