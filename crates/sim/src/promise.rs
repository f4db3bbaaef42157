//! What is promised, by number and name, as in ARCHITECTURE's table.

use std::fmt;

/// A promise, and the place here that holds the engine to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// The store holds the state after some prefix of the commits: [`crate::history`] at each object that is made, and
    /// every page of every snapshot that is read in [`crate::handle`].
    Prefix,
    /// A wait returns once the commit survives what its level names: [`crate::judge::Judge::is_durable`] for the store,
    /// [`crate::judge::Judge::resumed`] after power losses.
    HonestLevels,
    /// What was acknowledged is durable, pending and counted, or kept aside: [`crate::judge::Judge::resumed`] when a host
    /// goes on, [`crate::handle::Handle::honest`] for the counting.
    NoSilentLoss,
    /// One sync wins each TXID and a fenced writer is silent: [`crate::history`], [`crate::handle::Handle::appended`].
    OneHistory,
    /// The load stays under the line: [`crate::handle::Handle::honest`] after each commit.
    BoundedLoss,
    /// What head, window and readers need stays: [`crate::history::History::removed`], and snapshots that are read late.
    NothingReachableIsDeleted,
    /// A view never goes back: [`crate::handle::Handle::pin`].
    ForwardReads,
    /// A missing or damaged cache is a miss: [`crate::handle::Handle::stopped`], since caches rot in every run.
    CacheIsNotDurability,
    /// Nothing damaged is shown: every page that is read says who wrote it, in [`crate::handle`].
    BytesAreChecked,
    /// Not in that table, since safety never rests on it: [`crate::manners`] when an epoch is taken, and
    /// [`crate::finale`] for a holder who has nothing to write.
    ///
    /// Whoever was not told to take the volume by force takes no epoch after one of another host whose holder looked alive
    /// to him each time that he was shown the holder's status: not closed, and written less than `holder_ttl_ms` ago, by
    /// the store's word for when and his own clock for now. How much these two clocks differ is part of what he could know;
    /// that his was set meanwhile is not held against him. Nobody waits for a dead process of
    /// his own host, or for a holder who has been silent for longer by the same two clocks; a holder gives a sign of life
    /// every `heartbeat_ms`. One who has nothing to write lets the volume go after `idle_release_ms`, and sends no request
    /// any more.
    Politeness,
    /// Not in that table, and yet: everything comes to an end once nothing goes wrong any more, nothing panics, and
    /// errors are of a kind that can be explained.
    SoundAnswers,
}

impl Promise {
    /// With its number in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Promise::Prefix => "1 Prefix",
            Promise::HonestLevels => "2 Honest levels",
            Promise::NoSilentLoss => "3 No silent loss",
            Promise::OneHistory => "4 One history",
            Promise::BoundedLoss => "5 Bounded loss",
            Promise::NothingReachableIsDeleted => "6 Nothing reachable is deleted",
            Promise::ForwardReads => "7 Forward reads",
            Promise::CacheIsNotDurability => "8 The cache is not durability",
            Promise::BytesAreChecked => "9 Bytes are checked",
            Promise::Politeness => "Politeness",
            Promise::SoundAnswers => "Sound answers",
        }
    }

    /// It is broken, and how.
    pub(crate) fn broken(self, why: impl Into<String>) -> Broken {
        Broken { promise: self, why: why.into() }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// By whom, and what was seen.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise.name(), self.why)
    }
}
