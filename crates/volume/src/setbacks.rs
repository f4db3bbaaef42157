//! Merges that failed, and rounds that did not come to their end, and when each is tried again. Pure.
//!
//! What is merged at a level grows with every sync, but begins at the same place until it succeeds.

use std::{collections::BTreeMap, time::Duration};

use plimsoll_host::Mono;
use plimsoll_ltx::FileId;
use plimsoll_model::{Error, ErrorKind, Txid};

/// Pause after the first failure. It doubles with each further one, since trying costs reading what is merged.
const PAUSE_MIN: Duration = Duration::from_secs(10);
/// Longest pause, and the one before what can only change if the volume or its store does.
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// Longest pause before what a round leaves once it has merged is tried again: collecting above all, which needs a listing.
const REST_PAUSE_MAX: Duration = Duration::from_mins(5);

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Setbacks {
    merges: BTreeMap<(u8, Txid), Setback>,
    /// What the last round left, and whether that needs all of the volume.
    rest: Option<(Setback, bool)>,
}

struct Setback {
    pause: Duration,
    until: Mono,
    why: String,
}

impl Setbacks {
    /// Whether an error is of one merge alone, and may be there again the next time.
    pub(crate) fn is_one(error: &Error) -> bool {
        use ErrorKind::{Corrupt, Full, NotFound, Unsupported};
        matches!(error.kind(), NotFound | Corrupt | Full | Unsupported)
    }

    /// Whether a merge may be tried now.
    pub(crate) fn allow(&self, id: &FileId, now: Mono) -> bool {
        self.merges.get(&(id.level, id.min)).is_none_or(|setback| setback.until <= now)
    }

    /// Remembers how a merge ended.
    pub(crate) fn note(&mut self, id: &FileId, error: Option<&Error>, now: Mono) {
        let place = (id.level, id.min);
        let Some(error) = error else {
            self.merges.remove(&place);
            return;
        };
        if !Self::is_one(error) {
            // It says nothing of this merge.
            return;
        }
        let pause = match self.merges.get(&place) {
            Some(before) => (before.pause * 2).min(PAUSE_MAX),
            None if error.kind() == ErrorKind::Unsupported => PAUSE_MAX,
            None => PAUSE_MIN,
        };
        self.merges.insert(place, Setback { pause, until: now + pause, why: error.to_string() });
    }

    /// Remembers how a round ended that was to do more than merge; `all`: it went through all of the volume.
    pub(crate) fn note_rest(&mut self, all: bool, error: Option<&Error>, now: Mono) {
        let before = self.rest.take();
        let Some(error) = error else {
            // A round that looks at the newest only does not do what one for all of it has left.
            self.rest = before.filter(|(_, needs_all)| *needs_all && !all);
            return;
        };
        let (pause, all) = before
            .map_or((PAUSE_MIN, all), |(before, needs_all)| ((before.pause * 2).min(REST_PAUSE_MAX), needs_all || all));
        self.rest = Some((Setback { pause, until: now + pause, why: error.to_string() }, all));
    }

    /// Whether the time has come to do what the last round left; if so, whether that needs all of the volume.
    pub(crate) fn rest_due(&self, now: Mono) -> Option<bool> {
        self.rest.as_ref().filter(|(setback, _)| setback.until <= now).map(|(_, all)| *all)
    }

    /// How many there are, and why one of them failed: the largest of the merges, which stands for most.
    pub(crate) fn told(&self) -> (u64, Option<&str>) {
        let rest = self.rest.as_ref().map(|(setback, _)| setback);
        let first = self.merges.values().next_back().or(rest);
        ((self.merges.len() + usize::from(rest.is_some())) as u64, first.map(|setback| setback.why.as_str()))
    }

    /// The levels of the merges whose time has come again.
    pub(crate) fn due(&self, now: Mono) -> Vec<u8> {
        self.merges.iter().filter(|(_, setback)| setback.until <= now).map(|((level, _), _)| *level).collect()
    }

    /// Forgets the merges whose time had come again and that a round was over without: there is nothing to merge there
    /// any more.
    pub(crate) fn forget(&mut self, now: Mono) {
        self.merges.retain(|_, setback| setback.until > now);
    }

    /// When the next one's time comes.
    pub(crate) fn next(&self) -> Option<Mono> {
        let rest = self.rest.as_ref().map(|(setback, _)| setback);
        self.merges.values().chain(rest).map(|setback| setback.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(Duration::from_secs(1000));

    fn merge(max: u64) -> FileId {
        FileId { level: 1, min: Txid(5), max: Txid(max) }
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "merging")
    }

    #[test]
    fn each_failure_of_a_merge_doubles_the_pause_before_it_whatever_else_it_takes_up_meanwhile() {
        let mut setbacks = Setbacks::default();
        let mut now = NOW;
        for seconds in [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600] {
            assert!(setbacks.allow(&merge(9), now));
            setbacks.note(&merge(9), Some(&error(ErrorKind::Corrupt)), now);
            let next = now + Duration::from_secs(seconds);
            assert_eq!(setbacks.next(), Some(next));
            assert!(!setbacks.allow(&merge(1000), Mono(next.0 - Duration::from_millis(1))));
            assert_eq!(setbacks.due(now), Vec::<u8>::new());
            assert_eq!(setbacks.due(next), [1]);
            now = next;
        }
        assert!(setbacks.allow(&FileId { min: Txid(6), ..merge(9) }, NOW), "another one");
        setbacks.forget(NOW);
        assert!(setbacks.next().is_some());
        setbacks.note(&merge(9), None, now);
        assert_eq!(setbacks.next(), None);
    }

    #[test]
    fn a_merge_that_a_round_was_over_without_once_its_time_had_come_is_forgotten() {
        let mut setbacks = Setbacks::default();
        setbacks.note(&merge(9), Some(&error(ErrorKind::Corrupt)), NOW);
        let due = NOW + PAUSE_MIN;
        assert_eq!(setbacks.due(due), [1]);
        setbacks.forget(due);
        assert_eq!((setbacks.due(due), setbacks.next()), (vec![], None));
    }

    #[test]
    fn what_cannot_be_done_is_tried_rarely_from_the_beginning_and_an_outage_is_not_held_against_a_merge() {
        let mut setbacks = Setbacks::default();
        setbacks.note(&merge(9), Some(&error(ErrorKind::Unsupported)), NOW);
        assert_eq!(setbacks.next(), Some(NOW + PAUSE_MAX));
        setbacks.note(&merge(9), Some(&error(ErrorKind::Unavailable)), NOW);
        assert_eq!(setbacks.next(), Some(NOW + PAUSE_MAX), "nor does it begin from the beginning after one");
        setbacks.note(&FileId { level: 2, ..merge(9) }, Some(&error(ErrorKind::Unavailable)), NOW);
        assert_eq!(setbacks.merges.len(), 1);
    }

    #[test]
    fn what_a_round_has_left_is_tried_again_less_and_less_often_and_done_with_by_a_round_that_looks_at_as_much() {
        let mut setbacks = Setbacks::default();
        let refused = error(ErrorKind::Denied);
        let mut now = NOW;
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            setbacks.note_rest(false, Some(&refused), now);
            let next = now + Duration::from_secs(seconds);
            assert_eq!((setbacks.next(), setbacks.rest_due(now)), (Some(next), None));
            assert_eq!(setbacks.rest_due(next), Some(false));
            now = next;
        }
        setbacks.note_rest(false, None, now);
        assert_eq!((setbacks.next(), setbacks.told()), (None, (0, None)));
        setbacks.note_rest(true, Some(&refused), now);
        setbacks.note_rest(false, None, now);
        assert_eq!(setbacks.rest_due(now + PAUSE_MIN), Some(true), "a smaller round does not do it");
        setbacks.note_rest(true, None, now);
        assert_eq!(setbacks.next(), None);
    }

    #[test]
    fn what_is_told_is_how_many_there_are_and_why_the_largest_failed() {
        let mut setbacks = Setbacks::default();
        setbacks.note_rest(true, Some(&error(ErrorKind::Denied).why("collecting")), NOW);
        assert_eq!(setbacks.told(), (1, Some("merging: collecting")));
        setbacks.note(&merge(9), Some(&error(ErrorKind::Corrupt).why("level 1")), NOW);
        setbacks.note(&FileId { level: 9, ..merge(9) }, Some(&error(ErrorKind::Unsupported).why("level 9")), NOW);
        assert_eq!(setbacks.told(), (3, Some("merging: level 9")));
    }
}
