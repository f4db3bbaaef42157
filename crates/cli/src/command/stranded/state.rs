//! The database that stranded commits would have led to.

use std::{fs::File, os::unix::fs::FileExt};

use plimsoll_model::{Error, ErrorKind, ResultExt, Txid};
use plimsoll_volume::{Located, Reference, StrandedJournal};

use crate::{
    command::export::restore,
    exit::{Exit, Result},
    setup::Setup,
};

const WRITING: &str = "writing the state of a stranded journal";

/// Writes the state that a journal stands on, without its commits.
///
/// # Errors
/// `NotFound` if the volume was removed, if that state is not known, or the store cannot reproduce it any more.
pub(crate) fn write_base(setup: &Setup, located: &Located, journal: &StrandedJournal, file: &File) -> Result<()> {
    if journal.is_of_removed() {
        return Err(Error::new(ErrorKind::NotFound, WRITING)
            .object(located.store.url())
            .why("these commits are of a volume that was removed")
            .hint("what is at the URL now is another one; `plimsoll stranded show` lists them")
            .into());
    }
    // Commits made before anything was synced stand on nothing.
    let txid = match journal.base() {
        Some(base) if base.txid == 0 => return Ok(()),
        Some(base) => Txid(base.txid),
        None => {
            return Err(Error::new(ErrorKind::NotFound, WRITING)
                .object(located.store.url())
                .why("which state its commits were made on is not known")
                .hint("`plimsoll stranded show` lists them")
                .into());
        }
    };
    // What was kept for it is there whatever was merged and collected since.
    if let Some(name) = journal.checkpoint() {
        match restore(setup, located, Some(&Reference::Checkpoint(name)), file) {
            Ok(state) if state.txid == txid => return Ok(()),
            Err(failure) if failure.exit() != Exit::NotFound => return Err(failure),
            Ok(_) | Err(_) => {}
        }
    }
    let restored = restore(setup, located, Some(&Reference::Txid(txid)), file);
    restored.map(drop).map_err(|failure| failure.after("the state that the commits were made on cannot be had"))
}

/// Writes the state with its commits.
///
/// # Errors
/// As [`write_base`]; `Corrupt` if the journal is damaged.
pub(crate) fn write(setup: &Setup, located: &Located, journal: &StrandedJournal, file: &File) -> Result<()> {
    write_base(setup, located, journal, file)?;
    apply(journal, file)
}

/// Puts the commits on the state that they were made on.
///
/// # Errors
/// `NotFound` if they do not continue it; `Corrupt` if the journal is damaged; as the disk says.
pub(crate) fn apply(journal: &StrandedJournal, file: &File) -> Result<()> {
    journal.apply(
        |page, data| file.write_all_at(data, page.index() as u64 * data.len() as u64).doing(WRITING, ""),
        |count, size| file.set_len(count.bytes(size)).doing(WRITING, ""),
    )?;
    Ok(file.sync_all().doing(WRITING, "")?)
}
