//! Syncs that no merge stands for yet, as far as a writer knows.

use std::collections::VecDeque;

use plimsoll_model::Txid;
use plimsoll_pages::{
    Listed,
    compact::{Crowd, crowd},
};

/// How large they are, by TXID.
#[derive(Debug, Default)]
pub(crate) struct Waiting(VecDeque<(Txid, u64)>);

impl Waiting {
    /// Those among the objects that a state is made of.
    pub(crate) fn among(made_of: &[Listed]) -> Waiting {
        let syncs = made_of.iter().filter(|file| file.id.level == 0);
        Waiting(syncs.map(|file| (file.id.max, file.size)).collect())
    }

    /// One more.
    pub(crate) fn add(&mut self, txid: Txid, size: u64) {
        self.0.push_back((txid, size));
    }

    /// Those up to here are merged, or were looked at.
    pub(crate) fn forget(&mut self, up_to: Txid) {
        self.0.retain(|(txid, _)| *txid > up_to);
    }

    /// Whether they are to be merged before their time.
    pub(crate) fn crowd(&self) -> Crowd {
        crowd(self.0.iter().map(|(_, size)| *size))
    }
}
