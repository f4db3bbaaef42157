//! Merges that failed, and when each is tried again. Pure.
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

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Setbacks(BTreeMap<(u8, Txid), Setback>);

struct Setback {
    pause: Duration,
    until: Mono,
}

impl Setbacks {
    /// Whether an error is of one merge alone, and may be there again the next time.
    pub(crate) fn is_one(error: &Error) -> bool {
        use ErrorKind::{Corrupt, Full, NotFound, Unsupported};
        matches!(error.kind(), NotFound | Corrupt | Full | Unsupported)
    }

    /// Whether a merge may be tried now.
    pub(crate) fn allow(&self, id: &FileId, now: Mono) -> bool {
        self.0.get(&(id.level, id.min)).is_none_or(|setback| setback.until <= now)
    }

    /// Remembers how a merge ended.
    pub(crate) fn note(&mut self, id: &FileId, error: Option<&Error>, now: Mono) {
        let place = (id.level, id.min);
        let Some(error) = error.filter(|error| Self::is_one(error)) else {
            self.0.remove(&place);
            return;
        };
        let pause = match self.0.get(&place) {
            Some(before) => (before.pause * 2).min(PAUSE_MAX),
            None if error.kind() == ErrorKind::Unsupported => PAUSE_MAX,
            None => PAUSE_MIN,
        };
        self.0.insert(place, Setback { pause, until: now + pause });
    }

    /// The levels of the merges whose time has come again.
    pub(crate) fn due(&self, now: Mono) -> Vec<u8> {
        self.0.iter().filter(|(_, setback)| setback.until <= now).map(|((level, _), _)| *level).collect()
    }

    /// Forgets the merges whose time had come again and that a round was over without: there is nothing to merge there
    /// any more.
    pub(crate) fn forget(&mut self, now: Mono) {
        self.0.retain(|_, setback| setback.until > now);
    }

    /// When the next one's time comes.
    pub(crate) fn next(&self) -> Option<Mono> {
        self.0.values().map(|setback| setback.until).min()
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
        assert_eq!(setbacks.next(), None);
    }
}
