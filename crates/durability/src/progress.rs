//! Which waits can be answered, and how.

use plimsoll_host::WallMs;
use plimsoll_model::{Error, ErrorKind, Level, Lsn};

use crate::watermark::{Mark, Watermarks};

/// Why a commit will not reach a level any more. Ordered by how much it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Terminal {
    /// Writing or syncing the journal failed: nothing further becomes journaled by it. Commits that
    /// were appended can still become durable, so waits for that go on.
    JournalFailed,
    /// The handle was closed.
    Closed,
    /// Another writer took over: nothing is acknowledged any more, at any level.
    Fenced,
}

impl Terminal {
    /// The error for somebody who waited for commit `lsn` to reach `level`.
    #[must_use]
    pub fn error(self, lsn: Lsn, level: Level) -> Error {
        let doing = format!("waiting for commit {lsn} to become {level}");
        match self {
            Terminal::JournalFailed => Error::new(ErrorKind::Io, doing)
                .why("the journal on the local disk failed")
                .hint("check the disk under state_dir and reopen the volume; the commit may still become durable"),
            Terminal::Closed => Error::new(ErrorKind::Closed, doing)
                .why("the volume was closed before")
                .hint("reopen it on this host; what the journal holds is kept"),
            Terminal::Fenced => Error::new(ErrorKind::Fenced, doing)
                .why("another writer has taken the volume")
                .hint("reopen it; commits that the new writer does not have are kept in a stranded journal"),
        }
    }
}

/// The watermarks, and whether they can still move.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    marks: Watermarks,
    ended: Option<Terminal>,
}

impl Progress {
    /// A volume opened at `mark`, everything up to there being durable.
    #[must_use]
    pub fn starting(mark: Mark) -> Self {
        Progress { marks: Watermarks::starting(mark), ended: None }
    }

    /// The watermarks.
    #[must_use]
    pub fn marks(&self) -> &Watermarks {
        &self.marks
    }

    /// See [`Watermarks::reached`].
    #[must_use]
    pub fn reached(&self, level: Level) -> Lsn {
        self.marks.reached(level)
    }

    /// Moves a watermark forward; `false` if nothing changed. Once fenced nothing moves: if the
    /// winner's history is known to hold more of our commits, say so before [`Progress::end`].
    ///
    /// # Panics
    /// As [`Watermarks::advance`].
    pub fn advance(&mut self, level: Level, lsn: Lsn, at: WallMs) -> bool {
        self.ended != Some(Terminal::Fenced) && self.marks.advance(level, lsn, at)
    }

    /// Records why waits will not be fulfilled any more. The strongest reason stays.
    pub fn end(&mut self, terminal: Terminal) {
        self.ended = self.ended.max(Some(terminal));
    }

    /// Why waits are not fulfilled any more, if so.
    #[must_use]
    pub fn ended(&self) -> Option<Terminal> {
        self.ended
    }

    /// The answer to a wait, or `None`: not yet.
    ///
    /// A durable commit stays answered `Ok` whatever happens later. A commit that is only journaled
    /// is not acknowledged after a fence: the winner's history may lack it.
    #[must_use]
    pub fn answer(&self, lsn: Lsn, level: Level) -> Option<Result<(), Terminal>> {
        let counted = if self.ended == Some(Terminal::Fenced) { Level::Durable } else { level };
        if lsn <= self.marks.reached(counted) {
            return Some(Ok(()));
        }
        match self.ended {
            None => None,
            Some(Terminal::JournalFailed) if level > Level::Journaled && lsn <= self.reached(Level::Buffered) => None,
            Some(terminal) => Some(Err(terminal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Durable to 3, journaled to 6, appended to 9.
    fn progress() -> Progress {
        let mut progress = Progress::starting(Mark { lsn: Lsn(3), at: WallMs(0) });
        progress.advance(Level::Buffered, Lsn(9), WallMs(1));
        progress.advance(Level::Journaled, Lsn(6), WallMs(2));
        progress
    }

    fn answers(ended: Option<Terminal>, lsn: u64) -> [Option<Result<(), Terminal>>; 3] {
        let mut progress = progress();
        if let Some(terminal) = ended {
            progress.end(terminal);
        }
        [Level::Buffered, Level::Journaled, Level::Durable].map(|level| progress.answer(Lsn(lsn), level))
    }

    #[test]
    fn a_wait_is_answered_once_the_level_is_reached_or_cannot_be() {
        use Terminal::{Closed, Fenced, JournalFailed};
        let ok = Some(Ok(()));
        let table = [
            (None, 3, [ok, ok, ok]),
            (None, 5, [ok, ok, None]),
            (None, 8, [ok, None, None]),
            (None, 10, [None, None, None]),
            (Some(JournalFailed), 3, [ok, ok, ok]),
            (Some(JournalFailed), 5, [ok, ok, None]),
            (Some(JournalFailed), 8, [ok, Some(Err(JournalFailed)), None]),
            (Some(JournalFailed), 10, [Some(Err(JournalFailed)); 3]),
            (Some(Closed), 3, [ok, ok, ok]),
            (Some(Closed), 5, [ok, ok, Some(Err(Closed))]),
            (Some(Closed), 8, [ok, Some(Err(Closed)), Some(Err(Closed))]),
            (Some(Fenced), 3, [ok, ok, ok]),
            (Some(Fenced), 5, [Some(Err(Fenced)); 3]),
            (Some(Fenced), 8, [Some(Err(Fenced)); 3]),
        ];
        for (ended, lsn, expected) in table {
            assert_eq!(answers(ended, lsn), expected, "{ended:?}, commit {lsn}");
        }
    }

    #[test]
    fn a_fenced_writer_moves_no_watermark() {
        let mut progress = progress();
        progress.end(Terminal::Fenced);
        for level in Level::ALL {
            assert!(!progress.advance(level, Lsn(9), WallMs(5)));
        }
        assert_eq!(progress.reached(Level::Durable), Lsn(3));
    }

    #[test]
    fn a_fence_is_not_forgotten_by_closing() {
        let mut progress = progress();
        progress.end(Terminal::Fenced);
        progress.end(Terminal::Closed);
        assert_eq!(progress.ended(), Some(Terminal::Fenced));
    }

    #[test]
    fn a_failed_journal_does_not_keep_the_store_from_making_commits_durable() {
        let mut progress = progress();
        progress.end(Terminal::JournalFailed);
        assert!(progress.advance(Level::Durable, Lsn(8), WallMs(5)));
        assert_eq!(progress.answer(Lsn(8), Level::Journaled), Some(Ok(())));
    }

    #[test]
    fn the_error_names_commit_level_and_remedy() {
        let error = Terminal::Fenced.error(Lsn(8), Level::Durable);
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert!(error.to_string().starts_with("waiting for commit 8 to become durable: another writer"), "{error}");
    }
}
