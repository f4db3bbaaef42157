//! What this host's journal holds and the store does not. Only looks.

use std::collections::BTreeSet;

use plimsoll_commitlog::Head;
use plimsoll_host::Host;
use plimsoll_journal::Journal;
use plimsoll_model::{ErrorKind, Lsn, Result, WriterId};
use plimsoll_volume::VolumeDir;
use serde::Serialize;

/// Commits that are only on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct JournalTail {
    #[serde(skip)]
    pub(crate) writer: WriterId,
    /// Commits that are not durable, as far as the newest sync tells.
    pub(crate) commits: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Distinct pages.
    pub(crate) pages: u64,
    /// When the oldest was made, in milliseconds since 1970; 0 if there is none.
    pub(crate) since_ms: u64,
}

/// Reads the journal of a volume on this host; `None` if there is none.
///
/// # Errors
/// `Corrupt` if it is damaged, or changed while it was read.
pub(crate) fn journal_tail(host: &Host, dir: &VolumeDir, head: Option<&Head>) -> Result<Option<JournalTail>> {
    if !dir.has_journal() {
        return Ok(None);
    }
    let replay = match Journal::inspect(&*host.files, &dir.journal()) {
        Ok((_, replay)) => replay,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let durable = match head.and_then(|head| head.stamp) {
        Some(stamp) if stamp.writer == replay.writer => stamp.lsn,
        _ => Lsn::ZERO,
    };
    let pending = || replay.commits.iter().filter(|commit| commit.lsn > durable);
    let pages: BTreeSet<_> = pending().flat_map(|commit| commit.pages.iter().map(|(page, _)| page.get())).collect();
    Ok(Some(JournalTail {
        writer: replay.writer,
        commits: pending().count() as u64,
        bytes: pending().map(|commit| commit.bytes).sum(),
        pages: pages.len() as u64,
        since_ms: pending().next().map_or(0, |commit| commit.wall.0),
    }))
}
