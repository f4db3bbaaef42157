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
    setup::{Setup, context},
};

pub(crate) fn run(setup: &Setup, command: StrandedCommand) -> Result<()> {
    match command {
        StrandedCommand::Ls { url } => list::ls(setup, &setup.locate(&url)?),
        StrandedCommand::Show { url, name } => {
            let located = setup.locate(&url)?;
            let kept = pick(&located, name.as_deref())?;
            list::show(setup, &located, &kept)
        }
        StrandedCommand::Diff { url, name } => {
            let located = setup.locate(&url)?;
            let kept = pick(&located, name.as_deref())?;
            diff::run(setup, &located, &kept)
        }
        StrandedCommand::Export { url, file, name, force } => {
            let located = setup.locate(&url)?;
            let kept = pick(&located, name.as_deref())?;
            export(setup, &located, &kept, &file, force)
        }
        StrandedCommand::Discard { url, name } => {
            let located = setup.locate(&url)?;
            let kept = pick(&located, Some(&name))?;
            discard(setup, &located, &kept)
        }
    }
}

/// The one of that name; without a name, the only one.
fn pick(located: &Located, name: Option<&str>) -> Result<Stranded> {
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
        None if all.is_empty() => Err(refuse(ErrorKind::NotFound, "this host has none".to_owned()).into()),
        None => Err(refuse(ErrorKind::NotFound, format!("there is none of that name, but {}", names())).into()),
    }
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
    let checkpoint =
        StrandedJournal::open(&*setup.process.host.files, kept).ok().and_then(|journal| journal.checkpoint());
    located.dir.discard(kept)?;
    if let Some(checkpoint) = checkpoint
        && let Err(error) = setup.wait(unpin(&context(setup, located), &checkpoint))
    {
        eprintln!("plimsoll: the checkpoint {checkpoint} was kept for it and is still there: {error}");
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
