//! What becomes of a journal that was left behind. Pure.

use plimsoll_journal::Replay;
use plimsoll_model::{Epoch, Lsn, Stamp, WriterId};

/// Journal mark: the epoch under which the commits after it were made, `u32` little-endian.
pub(crate) const MARK_EPOCH: u8 = 1;

/// The last epoch that a journal says it was written under, as far as the segments that are left tell.
pub(crate) fn marked_epoch(replay: &Replay) -> Option<Epoch> {
    let mark = replay.marks.iter().rev().find(|mark| mark.kind == MARK_EPOCH)?;
    Some(Epoch(u32::from_le_bytes(mark.payload.as_slice().try_into().ok()?)))
}

/// The last commit of a journal that was made under an epoch or before, if later ones were not, as far as the segments that
/// are left tell.
pub(crate) fn parted_from(replay: &Replay, epoch: Epoch) -> Option<Lsn> {
    let later = |mark: &&plimsoll_journal::Mark| {
        let payload = mark.payload.as_slice().try_into();
        mark.kind == MARK_EPOCH && payload.is_ok_and(|bytes| u32::from_le_bytes(bytes) > epoch.0)
    };
    let last = replay.commits.last()?.lsn;
    replay.marks.iter().find(later).map(|mark| mark.after).filter(|after| *after < last)
}

/// What the newest sync says, and what the journal holds.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The journal's identity.
    pub writer: WriterId,
    /// Whether the journal is of the volume that is at the URL now.
    pub same_volume: bool,
    /// Whether anything was ever synced.
    pub synced: bool,
    /// Stamp of the newest sync before ours.
    pub head: Option<Stamp>,
    /// The last epoch under which the journal was written.
    pub epoch: Option<Epoch>,
    /// First and last commit that the journal still has.
    pub commits: Option<(Lsn, Lsn)>,
    /// The last of them that was made under the epoch of the newest sync or before, if later ones were not.
    pub parted: Option<Lsn>,
    /// What later epochs say of it, if there are any.
    pub later: Option<Later>,
}

/// What the epochs say that came after the journal was last written.
#[derive(Clone, Copy, Debug)]
pub struct Later {
    /// The last of the journal's commits that the first of them found in the history.
    pub held: Lsn,
    /// All of them were processes of this host that died before they had looked at the journal.
    pub alone: bool,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It continues the history: commits after this one are replayed.
    Replay(Lsn),
    /// The history holds all of it.
    Finished,
    /// It has commits that the history cannot take up any more.
    Strand,
}

/// Pure: what the newest sync and the journal together mean.
#[must_use]
pub fn fate(found: Found) -> Fate {
    let Some((first, last)) = found.commits else { return Fate::Finished };
    if !found.same_volume {
        return Fate::Strand;
    }
    let ours = match found.head {
        Some(stamp) if stamp.writer == found.writer => {
            // Before the first sync of a volume there is no fence. A late sync of a process that had lost its last commits by then
            // holds others of the same numbers than a process that came after it.
            let parted = found.parted.is_some_and(|parted| parted < stamp.lsn);
            let continued = found.epoch.is_some_and(|epoch| stamp.epoch <= epoch) && !parted;
            // Otherwise it is a fence of ours, which says nothing of who wrote what is under it.
            let fenced_only = found.later.is_some_and(|later| later.alone && later.held == stamp.lsn);
            (continued || fenced_only).then_some(stamp.lsn)
        }
        // Nothing was ever synced, by anybody: the journal is all there is.
        None if !found.synced => Some(Lsn::ZERO),
        Some(_) | None => None,
    };
    match ours {
        Some(durable) if durable >= last => Fate::Finished,
        // A journal forgets only what is durable, so a gap means that it is not the one that led here.
        Some(durable) if first <= durable.next() => Fate::Replay(durable),
        Some(_) => Fate::Strand,
        None if found.later.is_some_and(|later| later.held >= last) => Fate::Finished,
        None => Fate::Strand,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::WallMs;
    use plimsoll_journal::{Mark, ReplayedCommit};
    use plimsoll_model::{PageCount, PageSize};

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
            epoch: Some(Epoch(1)),
            commits: commits.map(|(first, last)| (Lsn(first), Lsn(last))),
            parted: None,
            later: None,
        }
    }

    /// One whose last commit has this number, with marks of epochs behind these commits.
    fn journal(epochs: &[(u64, u32)], last: u64) -> Replay {
        let mark = |(after, epoch): &(u64, u32)| Mark {
            after: Lsn(*after),
            kind: MARK_EPOCH,
            payload: epoch.to_le_bytes().to_vec(),
        };
        let commit = ReplayedCommit {
            lsn: Lsn(last),
            page_count: PageCount(1),
            page_size: PageSize::DEFAULT,
            wall: WallMs(0),
            pages: Vec::new(),
            bytes: 0,
        };
        let mut marks: Vec<Mark> = epochs.iter().map(mark).collect();
        marks.push(Mark { after: Lsn(last), kind: MARK_EPOCH + 1, payload: 99_u32.to_le_bytes().to_vec() });
        Replay { volume: [0; 16], writer: OURS, last: Lsn(last), commits: vec![commit], marks, cut: None }
    }

    #[test]
    fn a_journal_is_of_the_last_epoch_that_it_names_and_parts_from_another_where_a_later_one_goes_on() {
        let of = journal(&[(0, 2), (7, 4), (9, 6)], 12);
        assert_eq!(marked_epoch(&of), Some(Epoch(6)));
        let parted = |replay: &Replay, epoch| parted_from(replay, Epoch(epoch)).map(|lsn| lsn.0);
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7].map(|epoch| parted(&of, epoch)),
            [Some(0), Some(7), Some(7), Some(9), Some(9), None, None]
        );
        let ended = journal(&[(0, 2), (12, 4)], 12);
        assert_eq!(
            (marked_epoch(&ended), parted(&ended, 2)),
            (Some(Epoch(4)), None),
            "nothing was made under the later one"
        );
        assert_eq!((marked_epoch(&journal(&[], 12)), parted(&journal(&[], 12), 1)), (None, None));
    }

    fn later(held: u64, alone: bool) -> Option<Later> {
        Some(Later { held: Lsn(held), alone })
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
        let taken = Found { later: later(9, false), ..found(stamp(WriterId(2), 30), Some((3, 9))) };
        assert_eq!(fate(taken), Fate::Finished);
    }

    #[test]
    fn what_another_writer_went_past_is_stranded() {
        let taken = Found { later: later(8, false), ..found(stamp(WriterId(2), 30), Some((3, 9))) };
        assert_eq!(fate(taken), Fate::Strand);
        assert_eq!(fate(found(None, Some((3, 9)))), Fate::Strand, "something unstamped was written over it");
        assert_eq!(fate(Found { same_volume: false, ..found(stamp(OURS, 5), Some((6, 9))) }), Fate::Strand);
        assert_eq!(fate(found(stamp(OURS, 5), Some((7, 9)))), Fate::Strand, "a gap");
    }
    /// A process of this host had taken the volume back from another one, and died before it set the journal
    /// aside: its fence has our name and the other one's number.
    #[test]
    fn a_fence_of_ours_on_what_another_writer_wrote_does_not_make_it_ours() {
        let fenced = |lsn| Some(Stamp { writer: OURS, epoch: Epoch(3), lsn: Lsn(lsn) });
        for lsn in [7, 9, 30] {
            let found = Found { later: later(5, false), ..found(fenced(lsn), Some((3, 9))) };
            assert_eq!(fate(found), Fate::Strand, "{lsn}");
            assert_eq!(fate(Found { later: None, ..found }), Fate::Strand, "{lsn}");
            assert_eq!(fate(Found { later: later(5, true), ..found }), Fate::Strand, "a copy of this host wrote it");
        }
        let finished = Found { later: later(9, false), ..found(fenced(30), Some((3, 9))) };
        assert_eq!(fate(finished), Fate::Finished);
    }

    /// Power took commits 8 and 9 of the process before, whose first sync came after all: 8 and 9 are others here.
    #[test]
    fn a_late_sync_of_commits_that_this_journal_has_lost_does_not_make_others_of_their_numbers_durable() {
        let found =
            |lsn| Found { epoch: Some(Epoch(2)), parted: Some(Lsn(7)), ..found(stamp(OURS, lsn), Some((1, 12))) };
        assert_eq!(fate(found(9)), Fate::Strand);
        assert_eq!(fate(found(8)), Fate::Strand);
        assert_eq!(fate(found(7)), Fate::Replay(Lsn(7)), "what both have");
    }

    #[test]
    fn fences_of_processes_that_died_while_opening_are_no_obstacle() {
        let fenced = Some(Stamp { writer: OURS, epoch: Epoch(3), lsn: Lsn(5) });
        assert_eq!(fate(Found { later: later(5, true), ..found(fenced, Some((3, 9))) }), Fate::Replay(Lsn(5)));
        assert_eq!(fate(Found { epoch: Some(Epoch(3)), ..found(fenced, Some((3, 9))) }), Fate::Replay(Lsn(5)));
        assert_eq!(fate(Found { epoch: None, ..found(fenced, Some((3, 9))) }), Fate::Strand, "of unknown age");
    }
}
