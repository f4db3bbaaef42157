//! What a commit says about itself.

use std::fmt;

use plimsoll_host::WallMs;
use plimsoll_model::{Lsn, PageCount, PageSize};

use crate::Position;

/// The end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its number: the one after the commit before it.
    pub lsn: Lsn,
    /// Pages in the volume after it.
    pub page_count: PageCount,
    /// Bytes per page.
    pub page_size: PageSize,
    /// When it was made.
    pub wall: WallMs,
}

/// A transaction whose pages are appended before its commit. Zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnNo(pub(crate) u64);

impl TxnNo {
    pub(crate) const NONE: TxnNo = TxnNo(0);
    /// A greater number at rest is damage, and below it counting on cannot overflow.
    pub(crate) const CEILING: TxnNo = TxnNo(u64::MAX / 2);
}

impl fmt::Display for TxnNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An append that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Once the journal is synced to here, the commit survives power loss.
    pub end: Position,
    /// Bytes that this call added.
    pub bytes: u64,
}
