//! Who made a sync, and up to which commit it goes.

use std::fmt;

use crate::{Epoch, Lsn, WriterId};

/// Carried by every level-0 object that Plimsoll writes.
///
/// It answers "is this object mine?" after a lost reply, and "how much of my journal does the
/// history hold?" after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The journal that the commits came from.
    pub writer: WriterId,
    /// The epoch under which it was written. Never zero.
    pub epoch: Epoch,
    /// The last commit contained. A fence carries the LSN it inherited.
    pub lsn: Lsn,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "writer {} epoch {} lsn {}", self.writer, self.epoch, self.lsn)
    }
}
