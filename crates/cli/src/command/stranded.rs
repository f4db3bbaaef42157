//! `plimsoll stranded …`: commits of this host that another writer went on without.

mod diff; // what they would have changed
mod list; // what there is
mod state; // the database that they would have led to

use std::{
    io::{Write, stdout},
    path::Path,
};

use plimsoll_commitlog::unpin;
use plimsoll_model::{Error, ErrorKind};
use plimsoll_volume::{Located, Stranded, StrandedJournal};

use crate::{
    args::StrandedCommand,
    exit::Result,
    journal_tail::{JournalTail, Newest, journal_tail},
    setup::{Setup, context},
};

pub(crate) fn run(setup: &Setup, command: StrandedCommand) -> Result<()> {
    match command {
        StrandedCommand::Ls { url } => list::ls(setup, &setup.locate(&url)?),
        StrandedCommand::Show { url, name } => {
            let located = setup.locate(&url)?;
            let kept = pick(setup, &located, name.as_deref())?;
            list::show(setup, &located, &kept)
        }
        StrandedCommand::Diff { url, name, against, rows, all } => {
            let located = setup.locate(&url)?;
            let kept = pick(setup, &located, name.as_deref())?;
            let rows = if all { u64::MAX } else { rows };
            diff::run(setup, &located, &kept, &diff::Wanted { against, rows })
        }
        StrandedCommand::Export { url, file, name, force } => {
            let located = setup.locate(&url)?;
            let kept = pick(setup, &located, name.as_deref())?;
            export(setup, &located, &kept, &file, force)
        }
        StrandedCommand::Discard { url, name } => {
            let located = setup.locate(&url)?;
            let kept = pick(setup, &located, Some(&name))?;
            discard(setup, &located, &kept)
        }
    }
}

/// The one of that name; without a name, the only one.
fn pick(setup: &Setup, located: &Located, name: Option<&str>) -> Result<Stranded> {
    let all = located.dir.stranded();
    let names = || all.iter().map(Stranded::name).collect::<Vec<_>>().join(", ");
    let refuse =
        |kind, why: String| Error::new(kind, "looking for a stranded journal of").object(located.store.url()).why(why);
    let found = match name {
        Some(name) => all.iter().find(|kept| kept.name() == name),
        None if all.len() > 1 => {
            let why = format!("there are {}: {}", all.len(), names());
            return Err(refuse(ErrorKind::Invalid, why).hint("name one of them").into());
        }
        None => all.first(),
    };
    match found {
        Some(kept) => Ok(kept.clone()),
        None if all.is_empty() => {
            let fenced = left_behind(setup, located)?
                .map_or_else(String::new, |left| format!(" set aside yet, but {}", left.verdict(located.store.url())));
            Err(refuse(ErrorKind::NotFound, format!("this host has none{fenced}")).into())
        }
        None => Err(refuse(ErrorKind::NotFound, format!("there is none of that name, but {}", names())).into()),
    }
}

/// Commits of this host's journal that another writer went on without, and that no process has set aside yet.
///
/// # Errors
/// As the store says, of which they are asked.
fn left_behind(setup: &Setup, located: &Located) -> plimsoll_model::Result<Option<JournalTail>> {
    if !located.dir.has_journal()? {
        return Ok(None);
    }
    let tail = journal_tail(setup, located, &Newest::ask(setup, located)?)?;
    Ok(tail.filter(|tail| tail.commits > 0 && !tail.is_pending()))
}

/// Reads a journal, and finds out what it stands on as far as the store can tell.
fn read(setup: &Setup, located: &Located, kept: &Stranded) -> Result<StrandedJournal> {
    let mut journal = StrandedJournal::open(&*setup.process.host.files, kept)?;
    if let Err(error) = setup.wait(journal.settle(&context(setup, located))) {
        eprintln!("plimsoll: what {} stands on is not known: {error}", kept.name());
    }
    Ok(journal)
}

/// Removes a journal, and the checkpoint that keeps what it stands on.
fn discard(setup: &Setup, located: &Located, kept: &Stranded) -> Result<()> {
    // A volume that was made at the URL since may have a checkpoint of the same name, for others.
    let journal = read(setup, located, kept).ok().filter(|journal| !journal.is_of_removed());
    let checkpoint = journal.and_then(|journal| journal.checkpoint());
    located.dir.discard(kept)?;
    if let Some(checkpoint) = checkpoint
        && let Err(error) = setup.wait(unpin(&context(setup, located), &checkpoint))
    {
        eprintln!("plimsoll: the checkpoint {checkpoint} was kept for it and is still there: {error}");
    }
    if setup.json {
        let report = serde_json::json!({ "url": located.store.url(), "discarded": kept.name() });
        return Ok(writeln!(stdout(), "{report}")?);
    }
    Ok(writeln!(stdout(), "discarded {}", kept.name())?)
}

fn export(setup: &Setup, located: &Located, kept: &Stranded, file: &Path, force: bool) -> Result<()> {
    let journal = read(setup, located, kept)?;
    super::export::into_file(file, force, |temp| state::write(setup, located, &journal, temp))?;
    let commits = journal.commits().count() as u64;
    let url = located.store.url();
    if setup.json {
        let report = serde_json::json!({
            "url": url, "file": file.display().to_string(), "name": kept.name(), "commits": commits, "base": journal.base(),
        });
        return Ok(writeln!(stdout(), "{report}")?);
    }
    let base = journal.base().map_or(0, |base| base.txid);
    let commits = crate::units::counted(commits, "stranded commit");
    Ok(writeln!(stdout(), "exported {url} at TXID {base} with {commits} to {}", file.display())?)
}
