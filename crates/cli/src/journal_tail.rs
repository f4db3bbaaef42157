//! What this host's journal holds and the store does not. Only looks.

use std::collections::BTreeSet;

use futures::try_join;
use plimsoll_commitlog::{Head, Levels, Standing, look, tail};
use plimsoll_journal::{Journal, Replay};
use plimsoll_model::{ErrorKind, Lsn, Result, WriterId};
use plimsoll_volume::{Located, Outlook, Prospect, outlook};
use serde::Serialize;

use crate::{
    setup::{Setup, context},
    units,
};

/// What [`JournalTail::prospect`] says.
const PENDING: &str = "pending";
const FENCED: &str = "fenced";
const REMOVED: &str = "removed";

/// Commits that are only on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct JournalTail {
    #[serde(skip)]
    pub(crate) writer: WriterId,
    /// Whether they can still be synced.
    pub(crate) prospect: &'static str,
    /// Commits that the history does not hold; at most, if what it holds is not known exactly.
    pub(crate) commits: u64,
    /// Whether that is known exactly.
    pub(crate) settled: bool,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Distinct pages.
    pub(crate) pages: u64,
    /// When the oldest was made, in milliseconds since 1970; 0 if there is none.
    pub(crate) since_ms: u64,
}

impl JournalTail {
    fn of(replay: &Replay, Outlook { prospect, held, settled }: Outlook) -> Self {
        let missing = || replay.commits.iter().filter(|commit| commit.lsn > held);
        let pages: BTreeSet<_> = missing().flat_map(|commit| commit.pages.iter().map(|(page, _)| page.get())).collect();
        JournalTail {
            writer: replay.writer,
            prospect: match prospect {
                Prospect::Pending => PENDING,
                Prospect::Fenced => FENCED,
                Prospect::Removed => REMOVED,
            },
            settled,
            commits: missing().count() as u64,
            bytes: missing().map(|commit| commit.bytes).sum(),
            pages: pages.len() as u64,
            since_ms: missing().next().map_or(0, |commit| commit.wall.0),
        }
    }

    /// Whether opening the volume for writing makes them durable.
    pub(crate) fn is_pending(&self) -> bool {
        self.prospect == PENDING
    }

    /// Why they cannot be synced any more, and what to do about it.
    pub(crate) fn verdict(&self, url: &str) -> String {
        let commits = format!("{} ({})", units::counted(self.commits, "commit"), units::bytes(self.bytes));
        match self.prospect {
            REMOVED => format!(
                "{commits} in this host's journal are of a volume that was removed from this URL; \
                 `plimsoll release {url}` sets them aside"
            ),
            _ => format!(
                "{}{commits} in this host's journal are fenced: another writer went on without them; \
                 `plimsoll sync {url}` sets them aside",
                if self.settled { "" } else { "at most " }
            ),
        }
    }
}

/// What the store says, by which a journal is judged.
pub(crate) struct Newest {
    pub(crate) standing: Standing,
    pub(crate) head: Option<Head>,
}

impl Newest {
    /// Asks.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) fn ask(setup: &Setup, located: &Located) -> Result<Newest> {
        let context = context(setup, located);
        let (standing, tail) = setup.wait(async { try_join!(look(&context), tail(&context, Levels::Newest)) })?;
        Ok(Newest { standing, head: tail.head })
    }
}

/// Reads the journal of a volume on this host; `None` if there is none.
///
/// # Errors
/// `Corrupt` if it is damaged; `Held` if it changed faster than it can be read. As the store says.
pub(crate) fn journal_tail(setup: &Setup, located: &Located, newest: &Newest) -> Result<Option<JournalTail>> {
    let Some(replay) = replay(setup, located)? else { return Ok(None) };
    let Newest { standing, head } = newest;
    let context = context(setup, located);
    let outlook = setup.wait(outlook(&context, &located.dir, (standing, head.as_ref()), &replay))?;
    Ok(Some(JournalTail::of(&replay, outlook)))
}

/// The same without the store: which of its commits are durable is not known, so all of them are counted.
///
/// # Errors
/// `Corrupt` if it is damaged; `Held` if it changed faster than it can be read.
pub(crate) fn journal_alone(setup: &Setup, located: &Located) -> Result<Option<JournalTail>> {
    let all = Outlook { prospect: Prospect::Pending, held: Lsn::ZERO, settled: true };
    Ok(replay(setup, located)?.map(|replay| JournalTail::of(&replay, all)))
}

fn replay(setup: &Setup, located: &Located) -> Result<Option<Replay>> {
    if !located.dir.has_journal()? {
        return Ok(None);
    }
    match Journal::inspect(&*setup.process.host.files, &located.dir.journal()) {
        Ok((_, replay)) => Ok(Some(replay)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // Whoever has the volume open still syncs all of it: not the time to go on elsewhere.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Err(error
                .hint("nothing was changed; keep the directory, and have whatever has the volume open sync it first"))
        }
        Err(error) => Err(error),
    }
}
