//! `plimsoll export URL FILE`: a state of a volume as a plain database file.
//!
//! The objects that make up the state are read from end to end, oldest first, and each page goes to its
//! place in the file. So everything is checked, and nothing is requested page by page.

use std::{
    fs::{self, File},
    io::{Write, stdout},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use indicatif::ProgressBar;
use plimsoll_model::{Error, ErrorKind, PageCount, PageSize, ResultExt, Txid};
use plimsoll_pages::{Listed, list};
use plimsoll_volume::{Located, Reference, objects, split_reference};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::{
    exit::Result,
    interrupt,
    journal_tail::{Newest, journal_tail},
    object_reader::stream_object,
    progress,
    setup::{Setup, layout, no_volume, no_volume_but},
    units,
};

const EXPORTING: &str = "exporting";
/// Listings in a row that may be outrun by merging and collecting.
const LISTINGS_MAX: usize = 5;

/// Makes a file of what `write` writes; nothing has its name before all of it is there.
///
/// # Errors
/// What `write` fails at; if there is a file of that name, unless it is to be replaced.
pub(crate) fn into_file<T>(file: &Path, force: bool, write: impl FnOnce(&File) -> Result<T>) -> Result<T> {
    if !force && file.symlink_metadata().is_ok() {
        return Err(exists(file).into());
    }
    let folder = folder_of(file);
    if !folder.is_dir() {
        let missing = Error::new(ErrorKind::NotFound, EXPORTING).object(file.display().to_string());
        return Err(missing.why(format!("there is no folder {}", folder.display())).hint("make it first").into());
    }
    let temp = tempfile::Builder::new()
        .prefix(".plimsoll-")
        // As for any new file, what the process's mask leaves of it counts.
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(&folder)
        // Its own words name a file that nobody has asked for.
        .map_err(|refused| std::io::Error::from(refused.kind()))
        .doing("creating a file in", folder.display())?;
    let held = interrupt::scratch(temp.path(), format!("nothing was written to {}", file.display()))?;
    let written = write(temp.as_file())?;
    publish(temp, file, &folder, force)?;
    drop(held);
    Ok(written)
}

pub(crate) fn run(setup: &Setup, typed: &str, file: &Path, force: bool, at: Option<u64>) -> Result<()> {
    let (typed, in_url) = split_reference(typed);
    let located = setup.locate(&typed)?;
    let wanted = match (in_url, at) {
        (None, None) => None,
        (None, Some(txid)) => Some(Reference::Txid(Txid(txid))),
        (Some(text), None) => Some(Reference::parse(&text, setup.process.host.clock.wall())?),
        (Some(_), Some(_)) => {
            return Err(Error::new(ErrorKind::Invalid, EXPORTING)
                .object(typed)
                .why("the URL names a state and --at another")
                .into());
        }
    };
    let state = into_file(file, force, |temp| restore(setup, &located, wanted.as_ref(), temp))?;
    if wanted.is_none() {
        warn_of_journal(setup, &located);
    }
    tell(setup, &located, file, &state)
}

/// What was exported.
pub(crate) struct State {
    pub(crate) txid: Txid,
    pub(crate) count: PageCount,
    pub(crate) size: PageSize,
}

/// Writes a state into a file: the newest, or the one that is wanted.
///
/// # Errors
/// `NotFound` if the state cannot be had any more, or there is no volume; otherwise as store and disk say.
pub(crate) fn restore(setup: &Setup, located: &Located, wanted: Option<&Reference>, file: &File) -> Result<State> {
    let mut attempt = 1;
    loop {
        let plan = match wanted {
            Some(reference) => setup.wait(objects(&located.store, &setup.process.host, reference)),
            None => setup.wait(list(&located.store, layout(located))).and_then(|listing| listing.newest()),
        };
        let plan = plan.map_err(|error| error.object(located.store.url()))?;
        if plan.is_empty() {
            return Err(no_volume_but(setup, EXPORTING, located.store.url(), &located.dir).into());
        }
        let bar = progress::bytes(setup, plan.iter().map(|file| file.size).sum(), "exporting");
        let applied = apply(setup, located, &plan, file, &bar);
        bar.finish_and_clear();
        match applied {
            Err(error) if error.kind() == ErrorKind::NotFound && attempt < LISTINGS_MAX => attempt += 1,
            other => return Ok(other?),
        }
    }
}

/// Writes the pages of every object, oldest first, so that the newest content of each stays.
fn apply(
    setup: &Setup,
    located: &Located,
    plan: &[Listed],
    file: &File,
    bar: &ProgressBar,
) -> plimsoll_model::Result<State> {
    const WRITING: &str = "writing";
    const DATABASE: &str = "the exported database";
    let host = &setup.process.host;
    file.set_len(0).doing(WRITING, DATABASE)?;
    let mut state: Option<State> = None;
    for Listed { id, size: bytes, .. } in plan {
        let key = layout(located).key(id);
        let expected = state.as_ref().map(|state| state.size);
        let summary = stream_object(host, &located.store, &key, *bytes, bar, |page| {
            let offset = page.number().index() as u64 * page.data.len() as u64;
            file.write_all_at(page.data, offset).doing(WRITING, DATABASE).map_err(roomless)
        });
        // A disk that is full is not the object's fault.
        let named = |error: Error| match error.object_name() {
            Some(DATABASE) => error,
            _ => error.object(format!("{}/{key}", located.store.url())),
        };
        let header = summary.map_err(named)?.header;
        if expected.is_some_and(|size| size != header.page_size) {
            let why = format!("its pages have {} bytes, those of older objects another number", header.page_size);
            return Err(named(Error::new(ErrorKind::Corrupt, EXPORTING).why(why)));
        }
        // What it cut off must not come back when a later object grows the database again.
        file.set_len(header.commit.bytes(header.page_size)).doing(WRITING, DATABASE)?;
        state = Some(State { txid: id.max, count: header.commit, size: header.page_size });
    }
    let state = state.ok_or_else(|| no_volume(EXPORTING, located.store.url()))?;
    file.sync_all().doing(WRITING, DATABASE)?;
    Ok(state)
}

/// A disk that is full can be helped.
fn roomless(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Full => error.hint("nothing of it was left there; make room, or export to another disk"),
        _ => error,
    }
}

/// Gives the finished file its name.
fn publish(temp: NamedTempFile, file: &Path, folder: &Path, force: bool) -> Result<()> {
    let named = if force { temp.persist(file) } else { temp.persist_noclobber(file) };
    if let Err(refused) = named {
        if refused.error.kind() == std::io::ErrorKind::AlreadyExists {
            return Err(exists(file).into());
        }
        return Err(Error::io("naming the exported database", refused.error).object(file.display().to_string()).into());
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(synced.doing("syncing the folder of", file.display())?)
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn exists(file: &Path) -> Error {
    Error::new(ErrorKind::Conflict, EXPORTING)
        .object(file.display().to_string())
        .why("the file exists")
        .hint("choose another name, or replace it with --force")
}

/// Says if this host has commits that are not part of what was exported. The export itself is complete without.
fn warn_of_journal(setup: &Setup, located: &Located) {
    let Ok(newest) = Newest::ask(setup, located) else { return };
    match journal_tail(setup, located, &newest) {
        Ok(Some(pending)) if pending.commits > 0 && pending.is_pending() => eprintln!(
            "plimsoll: {} of this host's journal are not durable yet, so not exported; `plimsoll sync` makes them so",
            units::counted(pending.commits, "commit")
        ),
        Ok(Some(left)) if left.commits > 0 => eprintln!("plimsoll: {}", left.verdict(located.store.url())),
        Ok(_) | Err(_) => {}
    }
}

fn tell(setup: &Setup, located: &Located, file: &Path, state: &State) -> Result<()> {
    let (url, file, bytes) = (located.store.url(), file.display(), state.count.bytes(state.size));
    if setup.json {
        let file = file.to_string();
        writeln!(
            stdout(),
            "{}",
            json!({ "url": url, "file": file, "txid": state.txid.0, "pages": state.count.0, "bytes": bytes })
        )?;
    } else {
        writeln!(stdout(), "exported {url} at TXID {} to {file}, {}", state.txid, units::bytes(bytes))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_made_meanwhile_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.db");
        let export = |force| {
            into_file(&file, force, |mut temp| {
                fs::write(&file, "precious")?;
                Ok(temp.write_all(b"exported")?)
            })
        };
        assert!(export(false).unwrap_err().to_string().contains("the file exists"));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        export(true).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"exported");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays");
    }
}
