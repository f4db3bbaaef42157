//! Earlier states, read and held against what they were.

use plimsoll_model::{ErrorKind, PageNo, Txid};
use plimsoll_volume::{Reference, Snapshot};

use crate::{
    coverage::Event,
    handle::{Handle, Stopped},
    promise::Promise,
    state::{self, State},
};

/// An earlier state that was found, and what it has to be.
pub(crate) struct Found {
    pub(crate) snapshot: Snapshot,
    pub(crate) txid: u64,
    pub(crate) state: State,
}

impl Handle {
    /// Looks for an earlier state. A checkpoint must be there; what nobody named may be gone.
    pub(crate) fn look_back(&self, reference: &Reference) -> Result<Found, Stopped> {
        let named = self.named(reference);
        let txid = match reference {
            Reference::Txid(Txid(txid)) => *txid,
            _ => named.ok_or(Stopped(ErrorKind::NotFound))?,
        };
        let Some(state) = self.world.judge().history.state_at(txid) else { return Err(Stopped(ErrorKind::NotFound)) };
        let snapshot = self.volume.at(reference).map_err(|error| {
            self.lost(reference, &error.to_string(), error.kind());
            self.stopped("looking back", &error)
        })?;
        if snapshot.txid().0 != txid || snapshot.page_count().0 != state.count {
            let (other, count) = (snapshot.txid(), snapshot.page_count());
            self.object(
                Promise::Prefix,
                &format!("{reference:?} is sync {txid} with {} pages, sync {other} with {count} was read", state.count),
            );
        }
        Ok(Found { snapshot, txid, state })
    }

    /// The sync of a checkpoint that is promised at this moment.
    fn named(&self, reference: &Reference) -> Option<u64> {
        let Reference::Checkpoint(name) = reference else { return None };
        self.world.judge().pointers.checkpoints.get(name).map(|kept| kept.txid)
    }

    /// A state could not be had: a checkpoint's must be.
    fn lost(&self, reference: &Reference, why: &str, kind: ErrorKind) {
        if kind != ErrorKind::NotFound {
            return;
        }
        self.world.count(Event::PastGone);
        if self.named(reference).is_some() {
            self.object(Promise::NothingReachableIsDeleted, &format!("{reference:?} cannot be read: {why}"));
        }
    }

    /// Reads all of an earlier state.
    pub(crate) fn check_past(&self, reference: &Reference, found: &Found) -> Result<(), Stopped> {
        let Some(size) = found.snapshot.page_size() else { return Ok(()) };
        let mut buf = vec![0; size.bytes()];
        for page in 1..=found.state.count {
            let number = PageNo::new(page).expect("BUG: pages begin at 1");
            found.snapshot.read(number, &mut buf).map_err(|error| {
                self.lost(reference, &error.to_string(), error.kind());
                self.stopped("reading back", &error)
            })?;
            let (expected, read) = (found.state.tag(page), state::read(&buf, page));
            if read != Some(expected) {
                let txid = found.txid;
                self.object(
                    Promise::Prefix,
                    &format!("page {page} after sync {txid} was of commit {expected}, of {read:?} was read"),
                );
            }
        }
        self.world.count(match reference {
            Reference::Checkpoint(_) => Event::CheckpointRead,
            _ => Event::Past,
        });
        Ok(())
    }
}
