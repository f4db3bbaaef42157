//! How far each level has come.

use plimsoll_host::WallMs;
use plimsoll_model::{Level, Lsn};

/// The highest commit that has reached a level, and when it got there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Every commit up to this one has reached the level.
    pub lsn: Lsn,
    /// When the mark came here, for people. Never goes back, even if the wall clock does.
    pub at: WallMs,
}

/// One mark per level. Marks only move forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    appended: Mark,
    journaled: Mark,
    replicated: Mark,
    durable: Mark,
}

impl Watermarks {
    /// Everything up to `mark` is durable already: what a volume is at when opened.
    #[must_use]
    pub fn starting(mark: Mark) -> Self {
        Watermarks { appended: mark, journaled: mark, replicated: Mark::default(), durable: mark }
    }

    /// The mark of this level by itself. [`Level::Buffered`] is the last appended commit.
    #[must_use]
    pub fn mark(&self, level: Level) -> Mark {
        match level {
            Level::Buffered => self.appended,
            Level::Journaled => self.journaled,
            Level::Replicated => self.replicated,
            Level::Durable => self.durable,
        }
    }

    /// The highest commit that has survived what `level` names, by this level or by a stronger one.
    #[must_use]
    pub fn reached(&self, level: Level) -> Lsn {
        Level::ALL
            .into_iter()
            .filter(|other| *other >= level)
            .map(|other| self.mark(other).lsn)
            .max()
            .expect("BUG: a level is as strong as itself")
    }

    /// Moves the mark of a level forward; `false` if it was there already, or further.
    ///
    /// # Panics
    /// When a commit is said to have reached a level without having been appended.
    pub fn advance(&mut self, level: Level, lsn: Lsn, at: WallMs) -> bool {
        assert!(
            level == Level::Buffered || lsn <= self.appended.lsn,
            "BUG: commit {lsn} is called {level}, but the last appended one is {}",
            self.appended.lsn
        );
        let mark = match level {
            Level::Buffered => &mut self.appended,
            Level::Journaled => &mut self.journaled,
            Level::Replicated => &mut self.replicated,
            Level::Durable => &mut self.durable,
        };
        if lsn <= mark.lsn {
            return false;
        }
        *mark = Mark { lsn, at: at.max(mark.at) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: u64) -> Mark {
        Mark { lsn: Lsn(lsn), at: WallMs(lsn * 10) }
    }

    #[test]
    fn a_mark_never_goes_back() {
        let mut marks = Watermarks::starting(at(5));
        assert!(marks.advance(Level::Buffered, Lsn(9), WallMs(90)));
        assert!(marks.advance(Level::Journaled, Lsn(8), WallMs(80)));
        for lsn in [7, 8] {
            assert!(!marks.advance(Level::Journaled, Lsn(lsn), WallMs(99)));
        }
        assert_eq!(marks.mark(Level::Journaled), at(8));
    }

    #[test]
    fn a_wall_clock_set_back_does_not_take_a_mark_with_it() {
        let mut marks = Watermarks::starting(at(5));
        marks.advance(Level::Buffered, Lsn(6), WallMs(1));
        assert_eq!(marks.mark(Level::Buffered), Mark { lsn: Lsn(6), at: WallMs(50) });
    }

    #[test]
    fn what_reached_a_stronger_level_reached_the_weaker_ones() {
        let mut marks = Watermarks::starting(at(5));
        marks.advance(Level::Buffered, Lsn(9), WallMs(90));
        marks.advance(Level::Durable, Lsn(7), WallMs(95));
        assert_eq!(marks.mark(Level::Journaled).lsn, Lsn(5));
        let reached = Level::ALL.map(|level| marks.reached(level).0);
        assert_eq!(reached, [9, 7, 7, 7]);
    }

    #[test]
    #[should_panic(expected = "BUG: commit 6 is called durable")]
    fn nothing_is_durable_before_it_was_appended() {
        Watermarks::starting(at(5)).advance(Level::Durable, Lsn(6), WallMs(0));
    }
}
