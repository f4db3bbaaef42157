//! Pure decisions of a sync: what an answer means.

use std::time::Duration;

use plimsoll_host::Mono;
use plimsoll_model::{Epoch, Stamp, Txid};

use crate::Head;

/// Whose object has the name that we wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// From an earlier request of ours whose answer was lost.
    Ours,
    /// Somebody else's, with its stamp if it has one.
    Theirs(Option<Stamp>),
    /// It was there when we asked to create ours, and is not any more.
    Gone,
}

/// Compares the object that is there with the one we sent.
#[must_use]
pub fn whose(found: Option<&Head>, stamp: Stamp, checksum: u64) -> Whose {
    match found {
        None => Whose::Gone,
        Some(found) if found.stamp == Some(stamp) && found.checksum == checksum => Whose::Ours,
        Some(found) => Whose::Theirs(found.stamp),
    }
}

/// Whether an answer came so late after the last look that the object may be a stray: our name may
/// have been used, merged and deleted by somebody else while we slept.
#[must_use]
pub fn is_late(looked: Mono, answered: Mono, fresh_for: Duration) -> bool {
    answered.since(looked) > fresh_for
}

/// Whether an object of ours that was answered late is the history after all, by a look after the answer.
#[must_use]
pub fn holds(ours: (Epoch, Txid), newest_epoch: Epoch, newest_txid: Option<Txid>) -> bool {
    newest_epoch <= ours.0 && newest_txid == Some(ours.1)
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{Lsn, PageCount, PageSize, WriterId};

    use super::*;

    #[test]
    fn an_object_is_ours_by_stamp_and_checksum() {
        let stamp = Stamp { writer: WriterId(1), epoch: Epoch(2), lsn: Lsn(3) };
        let found = |stamp, checksum| {
            Some(Head { txid: Txid(9), stamp, checksum, page_count: PageCount(1), page_size: PageSize::DEFAULT })
        };
        let other = Stamp { epoch: Epoch(3), ..stamp };
        let cases = [
            (found(Some(stamp), 7), Whose::Ours),
            (found(Some(stamp), 8), Whose::Theirs(Some(stamp))),
            (found(Some(other), 7), Whose::Theirs(Some(other))),
            (found(None, 7), Whose::Theirs(None)),
            (None, Whose::Gone),
        ];
        for (found, expected) in cases {
            assert_eq!(whose(found.as_ref(), stamp, 7), expected, "{found:?}");
        }
    }

    #[test]
    fn late_is_after_the_whole_span_since_the_look_was_sent() {
        let at = |secs| Mono(Duration::from_secs(secs));
        assert!(!is_late(at(10), at(160), Duration::from_secs(150)));
        assert!(is_late(at(10), at(161), Duration::from_secs(150)));
    }

    #[test]
    fn a_late_object_counts_only_as_the_newest_of_the_newest_epoch() {
        let ours = (Epoch(4), Txid(9));
        let cases = [
            (Epoch(4), Some(9), true),
            (Epoch::ZERO, Some(9), true), // only epochs above ours were listed
            (Epoch(5), Some(9), false),
            (Epoch(4), Some(12), false),
            (Epoch(4), None, false),
        ];
        for (epoch, txid, expected) in cases {
            assert_eq!(holds(ours, epoch, txid.map(Txid)), expected, "{epoch} {txid:?}");
        }
    }
}
