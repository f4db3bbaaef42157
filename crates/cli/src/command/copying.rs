//! Writing a whole database into a volume, as one commit.

use plimsoll_model::{Error, ErrorKind, Level, PageCount, Result};
use plimsoll_volume::{Receipt, Volume, WriteTxn};

use super::patience::patiently;
use crate::{opened::Opened, setup::Setup};

/// Settings that suit one commit of any size that is waited for: it takes as long as it takes.
pub(crate) const PATIENCE: &[(&str, &str)] =
    &[("sync_timeout_ms", "0"), ("close_timeout_ms", "60000"), ("hydrate", "false")];

/// States in a row that may change under a transaction that is just being started.
const STARTS_MAX: usize = 8;

/// Starts a write transaction on the newest state, once a process of this host that holds the volume has let go.
/// `replace`: also if that state holds anything.
///
/// # Errors
/// `Conflict` if it does and must not. `Held`, `Fenced`, or as the store says.
pub(crate) fn begin(setup: &Setup, volume: &Volume, doing: &'static str, replace: bool) -> Result<WriteTxn> {
    patiently(setup, || begin_now(volume, doing, replace))
}

fn begin_now(volume: &Volume, doing: &'static str, replace: bool) -> Result<WriteTxn> {
    for _ in 1..STARTS_MAX {
        let base = volume.snapshot()?;
        match volume.begin_write(&base) {
            // Taking the volume may show a newer state than the one that was looked at.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Ok(txn) if txn.base().page_size().is_some() && !replace => {
                drop(txn);
                return Err(occupied(doing, &volume.status().url));
            }
            other => return other,
        }
    }
    Err(Error::new(ErrorKind::Conflict, doing).object(volume.status().url).why("others keep writing to it"))
}

/// The error for a volume that is there already.
pub(crate) fn occupied(doing: &'static str, url: &str) -> Error {
    Error::new(ErrorKind::Conflict, doing)
        .object(url)
        .why("there is a volume at this URL, and it holds a database")
        .hint("choose another URL; `plimsoll import --replace` replaces what a volume holds")
}

/// Commits, waits until that is durable, and closes the volume. The newest TXID.
///
/// # Errors
/// When it did not become durable, or was not committed at all.
pub(crate) fn finish(volume: Opened, txn: WriteTxn, count: PageCount) -> Result<u64> {
    let outcome = txn.commit(count, Level::Durable).and_then(|receipt: Receipt| receipt.wait(Level::Durable));
    let txid = volume.status().txid;
    let closed = volume.close();
    outcome.and(closed).map(|()| txid)
}

/// Closes the volume after a failure, which says more than whatever closing answers.
pub(crate) fn give_up(volume: Opened, error: Error) -> Error {
    let _ = volume.close();
    error
}
