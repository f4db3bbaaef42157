//! Merging and collecting, as a writer does it from time to time.

use std::time::Duration;

use plimsoll_ltx::FileId;
use plimsoll_model::Txid;
use plimsoll_pages::{
    Listed,
    compact::{Retention, garbage, merge_inputs},
};

use crate::{
    bucket::{Name, listing},
    promise::Promise,
    step::Step,
    world::{Request, World},
};

/// A round that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Round {
    /// Has listed what there is.
    Listed(Vec<Name>),
    /// Has asked for a merge to be created.
    Merging { names: Vec<Name>, min: u8, max: u8 },
}

impl World {
    /// What a round of this writer would find, if there is something to do.
    pub(crate) fn round_of(&self, at: usize, left_out: Option<Step>) -> Option<Round> {
        let life = &self.hosts[at].life;
        let head = life.head?.txid;
        let ours = head + u8::from(life.attempt.is_some());
        let mut names = self.bucket.names();
        if names.iter().any(|name| name.max > ours) {
            return None;
        }
        names.retain(|name| name.max <= head);
        let worth = merge_inputs(&listing(&names), 1).is_some() || !collectable(&names, left_out).is_empty();
        worth.then_some(Round::Listed(names))
    }

    /// The next thing that a round does.
    pub(crate) fn go_on_with(&mut self, at: usize, round: Round, left_out: Option<Step>) {
        let Round::Listed(names) = round else { return };
        let Some((id, inputs)) = merge_inputs(&listing(&names), 1) else {
            self.collect(&names, left_out);
            return;
        };
        for input in inputs {
            let txid = input.id.max.0 as u8;
            let listed = names.iter().find(|name| name.id() == input.id).map(|name| name.checksum);
            let Some(found) = self.bucket.sync(txid) else { return };
            if Some(found.checksum()) != listed && left_out != Some(Step::Listed) {
                return;
            }
            if self.history.get(usize::from(txid) - 1) != Some(&found) {
                // It will be in the merge, under a name that vouches for it.
                self.broken.get_or_insert(Promise::StraysNeverRead);
            }
        }
        let (min, max) = (id.min.0 as u8, id.max.0 as u8);
        self.send(Request::Merge { by: at as u8, min, max });
        self.hosts[at].life.round = Some(Round::Merging { names, min, max });
    }

    /// Whether a round has something to remove, and something to merge as well.
    pub(crate) fn may_only_collect(&self, names: &[Name], left_out: Option<Step>) -> bool {
        !collectable(names, left_out).is_empty() && merge_inputs(&listing(names), 1).is_some()
    }

    /// Asks for the removal of what is merged and old.
    pub(crate) fn collect(&mut self, names: &[Name], left_out: Option<Step>) {
        let gone = collectable(names, left_out);
        if !gone.is_empty() {
            self.send(Request::Delete(gone));
        }
    }
}

fn collectable(names: &[Name], left_out: Option<Step>) -> Vec<u8> {
    // Half the retention is a tick, and a tick is a millisecond here.
    let level0 = Duration::from_millis(if left_out == Some(Step::Retention) { 0 } else { 2 });
    let keep = Retention { level0, snapshots: Duration::from_secs(3600) };
    let mut listing = listing(names);
    let last = listing.head();
    if left_out == Some(Step::Covered) {
        // As if everything were merged long ago.
        let modified = listing.files.iter().map(|file| file.modified).min().unwrap_or_default();
        let id = FileId { level: 1, min: Txid(1), max: last };
        listing.files.push(Listed { id, size: 1, modified });
    }
    let ids: Vec<FileId> = garbage(&listing, listing.now(), keep, |_| false);
    ids.iter().filter(|id| id.level == 0).map(|id| id.max.0 as u8).collect()
}
