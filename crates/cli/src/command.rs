//! What each command does.

mod checkpoint;
mod compact;
mod completions;
mod config;
mod copying; // writing a whole database as one commit
mod create;
mod detach;
mod drain;
mod du;
mod export;
mod fork;
mod import;
mod ls;
mod patience; // waiting for another process of this host
mod placement; // where a new volume may be
mod release;
mod restore;
mod rm;
mod sql;
mod status;
mod stranded;
mod sync;
mod takeover;
mod verify;

use crate::{
    args::Command,
    exit::{Exit, Result},
    setup::Setup,
};

/// Runs a command to its end.
///
/// # Errors
/// What it failed at; the exit code says of which kind that is.
pub(crate) fn run(setup: &Setup, command: Command) -> Result<()> {
    let outcome = dispatch(setup, command);
    // A failure because of that has said so.
    if !outcome.as_ref().is_err_and(|failure| failure.exit() == Exit::Fenced) {
        setup.tell_stranded();
    }
    outcome
}

fn dispatch(setup: &Setup, command: Command) -> Result<()> {
    match command {
        Command::Create { url, page_size } => create::run(setup, &url, page_size),
        Command::Status { url, watch } => status::run(setup, &url, watch),
        Command::Sql { url, statement, durability, read_only } => {
            sql::run(setup, &url, statement.as_deref(), durability, read_only)
        }
        Command::Sync { url } => sync::run(setup, &url),
        Command::Restore { url, checkpoint, txid, time, no_checkpoint } => {
            restore::run(setup, &url, restore::Wanted { checkpoint, txid, time, keep: !no_checkpoint })
        }
        Command::Stranded { command } => stranded::run(setup, command),
        Command::Release { url } => release::run(setup, &url),
        Command::Takeover { url } => takeover::run(setup, &url),
        Command::Drain { prefixes, state_dir, jobs } => drain::run(setup, state_dir.as_deref(), &prefixes, jobs),
        Command::Import { file, url, replace } => import::run(setup, &file, &url, replace),
        Command::Export { url, file, force, at } => export::run(setup, &url, &file, force, at),
        Command::Compact { url, dry_run } => compact::run(setup, &url, dry_run),
        Command::Checkpoint { command } => checkpoint::run(setup, command),
        Command::Fork { url, new_url, detach } => fork::run(setup, &url, &new_url, detach),
        Command::Detach { url } => detach::run(setup, &url),
        Command::Rm { url, force } => rm::run(setup, &url, force),
        Command::Du { url } => du::run(setup, &url),
        Command::Verify { url } => verify::run(setup, &url),
        Command::Ls { prefix, objects } => ls::run(setup, &prefix, objects),
        Command::Config { url, markdown } => config::run(setup, url.as_deref(), markdown),
        Command::Completions { shell } => completions::run(shell),
    }
}
