//! What becomes of a journal that was left behind. Pure.

use plimsoll_model::{Lsn, Stamp, WriterId};

/// What the newest sync says, and what the journal holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The journal's identity.
    pub(crate) writer: WriterId,
    /// Whether the journal is of the volume that is at the URL now.
    pub(crate) same_volume: bool,
    /// Whether anything was ever synced.
    pub(crate) synced: bool,
    /// Stamp of the newest sync before ours.
    pub(crate) head: Option<Stamp>,
    /// First and last commit that the journal still has.
    pub(crate) commits: Option<(Lsn, Lsn)>,
    /// If another writer came after ours: the last of our commits that its history holds.
    pub(crate) held_by_others: Option<Lsn>,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It continues the history: commits after this one are replayed.
    Replay(Lsn),
    /// The history holds all of it.
    Finished,
    /// It has commits that the history cannot take up any more.
    Strand,
}

pub(crate) fn fate(found: Found) -> Fate {
    let Some((first, last)) = found.commits else { return Fate::Finished };
    if !found.same_volume {
        return Fate::Strand;
    }
    let ours = match found.head {
        Some(stamp) if stamp.writer == found.writer => Some(stamp.lsn),
        // Nothing was ever synced, by anybody: the journal is all there is.
        None if !found.synced => Some(Lsn::ZERO),
        Some(_) | None => None,
    };
    match ours {
        Some(durable) if durable >= last => Fate::Finished,
        // A journal forgets only what is durable, so a gap means that it is not the one that led here.
        Some(durable) if first <= durable.next() => Fate::Replay(durable),
        Some(_) => Fate::Strand,
        None if found.held_by_others.is_some_and(|held| held >= last) => Fate::Finished,
        None => Fate::Strand,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::Epoch;

    use super::*;

    const OURS: WriterId = WriterId(1);

    fn stamp(writer: WriterId, lsn: u64) -> Option<Stamp> {
        Some(Stamp { writer, epoch: Epoch(1), lsn: Lsn(lsn) })
    }

    fn found(head: Option<Stamp>, commits: Option<(u64, u64)>) -> Found {
        Found {
            writer: OURS,
            same_volume: true,
            synced: true,
            head,
            commits: commits.map(|(first, last)| (Lsn(first), Lsn(last))),
            held_by_others: None,
        }
    }

    #[test]
    fn what_continues_the_history_is_replayed() {
        assert_eq!(fate(found(stamp(OURS, 5), Some((3, 9)))), Fate::Replay(Lsn(5)));
        assert_eq!(fate(found(stamp(OURS, 5), Some((6, 9)))), Fate::Replay(Lsn(5)));
        assert_eq!(fate(Found { synced: false, ..found(None, Some((1, 9))) }), Fate::Replay(Lsn(0)));
    }

    #[test]
    fn what_the_history_holds_is_finished() {
        assert_eq!(fate(found(stamp(OURS, 9), Some((3, 9)))), Fate::Finished);
        assert_eq!(fate(found(stamp(OURS, 12), Some((3, 9)))), Fate::Finished, "synced before the power failed");
        assert_eq!(fate(found(stamp(WriterId(2), 4), None)), Fate::Finished);
        let taken = Found { held_by_others: Some(Lsn(9)), ..found(stamp(WriterId(2), 30), Some((3, 9))) };
        assert_eq!(fate(taken), Fate::Finished);
    }

    #[test]
    fn what_another_writer_went_past_is_stranded() {
        let taken = Found { held_by_others: Some(Lsn(8)), ..found(stamp(WriterId(2), 30), Some((3, 9))) };
        assert_eq!(fate(taken), Fate::Strand);
        assert_eq!(fate(found(None, Some((3, 9)))), Fate::Strand, "something unstamped was written over it");
        assert_eq!(fate(Found { same_volume: false, ..found(stamp(OURS, 5), Some((6, 9))) }), Fate::Strand);
        assert_eq!(fate(found(stamp(OURS, 5), Some((7, 9)))), Fate::Strand, "a gap");
    }
}
