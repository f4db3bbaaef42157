//! A sync: what the model knows of an LTX object of level 0.

use plimsoll_commitlog::Head;
use plimsoll_model::{Epoch, Lsn, PageCount, PageSize, Stamp, Txid, WriterId};

/// The commits that one sync may carry.
pub(crate) const COMMITS_MAX: usize = 2;

/// A commit of the application. Its number says what it was made on, so two of one LSN are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Commit {
    pub(crate) lsn: u8,
    /// The epoch that it was made under, as the journal has it.
    pub(crate) epoch: u8,
    /// The state after it.
    pub(crate) state: u32,
    /// The state that it was made on.
    pub(crate) on: u32,
}

/// A level-0 object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Object {
    pub(crate) txid: u8,
    pub(crate) writer: u8,
    pub(crate) epoch: u8,
    pub(crate) lsn: u8,
    /// Checksum of its predecessor.
    pub(crate) link: u32,
    /// The state that it must be applied to.
    pub(crate) on: u32,
    /// The states after each of its commits; of a fence the one that it leaves as it is.
    pub(crate) states: [u32; COMMITS_MAX],
}

impl Object {
    /// The state after it.
    pub(crate) fn state(&self) -> u32 {
        self.states.into_iter().rev().find(|state| *state != 0).unwrap_or(self.on)
    }

    pub(crate) fn checksum(&self) -> u32 {
        let fields = [self.txid, self.writer, self.epoch, self.lsn].map(u32::from);
        fields.into_iter().chain([self.link, self.on]).chain(self.states).fold(7, mix)
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { writer: WriterId(self.writer.into()), epoch: Epoch(self.epoch.into()), lsn: Lsn(self.lsn.into()) }
    }

    /// As the engine sees it.
    pub(crate) fn head(&self) -> Head {
        Head {
            txid: Txid(self.txid.into()),
            stamp: Some(self.stamp()),
            checksum: self.checksum().into(),
            page_count: PageCount(1),
            page_size: PageSize::DEFAULT,
        }
    }

    /// What an unchanged volume looks like one TXID later.
    pub(crate) fn fence(&self, writer: u8, epoch: u8) -> Object {
        Object {
            txid: self.txid + 1,
            writer,
            epoch,
            lsn: self.lsn,
            link: self.checksum(),
            on: self.state(),
            states: [0; COMMITS_MAX],
        }
    }

    pub(crate) fn is_fence(&self) -> bool {
        self.states == [0; COMMITS_MAX]
    }
}

/// FNV-1a over words, never zero: zero stands for nothing.
pub(crate) fn mix(hash: u32, word: u32) -> u32 {
    let mixed = (hash ^ word).wrapping_mul(0x0100_0193);
    (mixed ^ mixed >> 15) | 1
}
