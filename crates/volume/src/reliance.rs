//! Commits that leave a page to the next sync, and what that sync carries: decided in turn.

use std::sync::{Mutex, MutexGuard};

use plimsoll_model::Lsn;

/// How far the newest sync goes, and whether a commit relies on the one after it.
#[derive(Default)]
pub(crate) struct Syncs {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The commit up to which the newest sync carries, whether or not its outcome is known.
    cut: Lsn,
    /// A commit has left out a page that the next sync carries, and is not visible to that sync yet.
    relied_on: bool,
    /// A sync waits for that commit, and is not to be kept waiting by another one.
    waits: bool,
}

/// Held by a commit until it is visible: no sync is cut meanwhile.
pub(crate) struct Reliance<'a> {
    syncs: &'a Syncs,
}

impl Syncs {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("BUG: a panic while a sync was cut")
    }

    /// For a commit: relies on the next sync if that carries what the commit would leave out. `carries` is asked about a
    /// sync that begins after the commit that it is given.
    pub(crate) fn rely(&self, carries: impl FnOnce(Lsn) -> bool) -> Option<Reliance<'_>> {
        let mut inner = self.inner();
        if inner.waits || !carries(inner.cut) {
            return None;
        }
        inner.relied_on = true;
        Some(Reliance { syncs: self })
    }

    /// For a sync: where it is cut, as `tip` says. `None` while a commit relies on it that is not visible yet.
    pub(crate) fn cut<T>(&self, tip: impl FnOnce() -> (Lsn, T)) -> Option<T> {
        let mut inner = self.inner();
        inner.waits = inner.relied_on;
        if inner.relied_on {
            return None;
        }
        let (lsn, cut) = tip();
        inner.cut = inner.cut.max(lsn);
        Some(cut)
    }
}

impl Drop for Reliance<'_> {
    fn drop(&mut self) {
        self.syncs.inner().relied_on = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_relies_only_on_what_no_sync_carries_yet() {
        let syncs = Syncs::default();
        let changed_at = |at| move |cut| Lsn(at) > cut;
        assert!(syncs.rely(changed_at(3)).is_some());
        assert_eq!(syncs.cut(|| (Lsn(5), ())), Some(()));
        assert!(syncs.rely(changed_at(5)).is_none(), "the sync under way has it");
        assert!(syncs.rely(changed_at(6)).is_some());
    }

    #[test]
    fn a_sync_waits_for_one_commit_that_relies_on_it_and_not_for_a_second() {
        let syncs = Syncs::default();
        let commit = syncs.rely(|_| true).unwrap();
        assert_eq!(syncs.cut(|| (Lsn(1), ())), None);
        assert!(syncs.rely(|_| true).is_none());
        drop(commit);
        assert!(syncs.rely(|_| true).is_none(), "it still waits");
        assert_eq!(syncs.cut(|| (Lsn(1), ())), Some(()));
        assert!(syncs.rely(|_| true).is_some());
    }
}
