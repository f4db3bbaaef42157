//! Which files make up a state: the restore plan, as Litestream makes it.
//!
//! First the newest snapshot (level 9) that is not too new. Then, as long as something extends it:
//! among the files of levels 8 to 0 that start no later than the next transaction and go further,
//! the one that goes furthest; of equals the one that starts first, then the one of the highest
//! level. Litestream would then take the oldest, but files equal in all three have one key.

use std::cmp::Reverse;

use plimsoll_model::{Error, ErrorKind, Result, Txid};

use crate::{FileId, SNAPSHOT_LEVEL};

/// Which state is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The newest.
    Latest,
    /// The state right after this transaction.
    Txid(Txid),
}

const PLANNING: &str = "planning which LTX objects to read";

/// The files to apply one after the other, oldest first; where they overlap, the later one wins.
///
/// `files` may come in any order. Nothing at all is planned for [`Target::Latest`] of a volume
/// without files.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) if, for the latest state, a file begins after a gap: an object is
/// missing, or was deleted while the levels were listed one after the other; list again before
/// believing it. [`NotFound`](ErrorKind::NotFound) if the files cannot reproduce the transaction
/// asked for.
pub fn plan(files: &[FileId], target: Target) -> Result<Vec<FileId>> {
    let end = match target {
        Target::Latest => Txid(u64::MAX),
        Target::Txid(txid) => txid,
    };
    let snapshot = files
        .iter()
        .filter(|file| file.level == SNAPSHOT_LEVEL && file.is_snapshot() && file.max <= end)
        .max_by_key(|file| file.max);
    let mut plan: Vec<FileId> = snapshot.copied().into_iter().collect();
    let mut reached = snapshot.map_or(Txid::ZERO, |file| file.max);

    let mut rest: Vec<FileId> =
        files.iter().filter(|file| file.level < SNAPSHOT_LEVEL && file.max <= end).copied().collect();
    rest.sort_unstable_by_key(|file| file.min);
    let mut rest = rest.into_iter().peekable();
    let mut best: Option<FileId> = None;
    loop {
        // `min - 1` instead of `reached + 1`, which may not exist.
        while let Some(file) = rest.next_if(|file| file.min.prev() <= reached) {
            best = best.filter(|best| preference(best) >= preference(&file)).or(Some(file));
        }
        match best {
            Some(file) if file.max > reached => {
                plan.push(file);
                reached = file.max;
            }
            _ => break,
        }
    }

    match target {
        Target::Latest => match rest.peek() {
            Some(next) => Err(gap(reached, next)),
            None => Ok(plan),
        },
        Target::Txid(txid) if reached == txid && !txid.is_zero() => Ok(plan),
        Target::Txid(txid) => Err(unreachable(txid, reached, files)),
    }
}

fn preference(file: &FileId) -> impl Ord + use<> {
    (file.max, Reverse(file.min), file.level)
}

fn gap(reached: Txid, next: &FileId) -> Error {
    Error::new(ErrorKind::Corrupt, PLANNING)
        .why(format!("objects reach transaction {reached}, the next one ({next}) begins at {}", next.min))
        .hint("list again; if the gap stays, an object is missing: restore it, or open at an earlier transaction")
}

fn unreachable(txid: Txid, reached: Txid, files: &[FileId]) -> Error {
    let newest = files.iter().map(|file| file.max).max().unwrap_or(Txid::ZERO);
    let why = if txid > newest {
        format!("transaction {txid} was asked for, the newest is {newest}")
    } else if reached.is_zero() {
        format!("transaction {txid} cannot be reproduced any more, nor any before it")
    } else {
        format!("transaction {txid} cannot be reproduced any more; the newest before it that can is {reached}")
    };
    let error = Error::new(ErrorKind::NotFound, PLANNING).why(why);
    if txid > newest {
        return error.hint("it may not be synced yet, or be one of another volume");
    }
    error.hint("older transactions are merged after a while; choose the end of a merged object, or a checkpoint")
}
