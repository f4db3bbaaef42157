//! Ways that the engine goes now and then, for a simulation that has to know that it went each of them.
//!
//! `went(Way::LateFenceHolds)` is nothing at all unless this crate is built with the feature `ways`. Then it counts, for the
//! thread on which the engine is simulated; `take` says how often each was gone.

macro_rules! ways {
    ($($(#[doc = $doc:literal])+ $name:ident = $words:literal,)+) => {
        /// One of several. See the [module](self).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Way {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Way {
            /// Every one.
            pub const ALL: &[Way] = &[$(Way::$name),+];

            /// For people.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Way::$name => $words,)+
                }
            }
        }
    };
}

ways! {
    /// The next epoch is another writer's, not one of ours whose answer was lost.
    EpochTheirs = "epochs that somebody else took first",
    /// A new volume's record is another writer's.
    VolumeTheirs = "new volumes that somebody else made first",
    /// The name of a fence has somebody else's sync.
    FenceTheirs = "fences whose name somebody else had taken",
    /// The name of a sync has somebody else's.
    SyncTheirs = "syncs whose name somebody else had taken",
    /// A holder that looks alive, and whoever asks may take the volume all the same.
    Forced = "volumes taken by force",
    /// A holder that looks alive is left alone.
    Respected = "holders that were respected",
    /// An open finds a sync of a newer epoch.
    GivenUp = "openings given up for a newer epoch",
    /// A fence that was answered late is the newest sync.
    LateFenceHolds = "late fences that hold",
    /// A fence that was answered late is not: its name had been merged and collected.
    LateFenceStray = "late fences that are strays",
    /// A sync that was answered late is the newest.
    LateSyncHolds = "late syncs that hold",
    /// A sync that was answered late is not, or there is a newer epoch.
    LateSyncFenced = "late syncs that are fenced",
    /// What had a sync's name is gone when it is read, and the history is somebody else's.
    VanishedFenced = "syncs whose name somebody else had taken and lost again",
    /// A writer that was silent for long looks before it writes, and is alone.
    SilentHolds = "silent writers that still hold the volume",
    /// The same, and it is not.
    SilentFenced = "silent writers that were overtaken",
    /// The next sync is put on what a follower has.
    FollowContinues = "next syncs that continue a follower's state",
    /// The next sync is put on something else.
    FollowParted = "next syncs that do not continue a follower's state",
    /// The answer of a follower's question comes so late that it says nothing.
    FollowLate = "answers that came too late for a follower",
    /// A process gives the volume to another one of its host.
    TurnGiven = "turns given to another process",
    /// It was asked to, and keeps the volume.
    TurnKept = "turns that came to nothing",
    /// A writer lets go since nobody writes.
    IdleRelease = "volumes let go for idleness",
    /// A store that does not answer is asked nothing more for now.
    BreakerOpened = "breakers opened",
    /// A store that is asked again does not answer.
    BreakerReopened = "breakers opened again by a probe",
    /// A store answers again.
    BreakerClosed = "breakers closed again",
    /// A commit waits at the load line, and goes on.
    LineWaited = "commits that waited at the load line",
    /// A commit waits at the load line, in vain.
    LineWaitedInVain = "commits that waited at the load line in vain",
    /// A commit is refused at the load line, policy `fail`.
    LineRefused = "commits refused at the load line",
    /// A commit at the load line is held until it is durable, policy `write_through`.
    LineHeld = "commits written through at the load line",
    /// A commit has no room by itself.
    LineOversized = "commits larger than the load line",
    /// What is at risk is too much.
    LineBytes = "load lines reached by bytes",
    /// What is at risk is too old.
    LineAge = "load lines reached by age",
    /// A cached page fails its check.
    CacheDamage = "damaged pages noticed in a cache",
    /// Pages are pushed out of a cache.
    CacheEviction = "evictions from a cache",
    /// All of a volume was brought here.
    Hydrated = "hydrations carried out",
    /// Pages are asked for ahead of a scan.
    ReadAhead = "reads ahead of a scan",
}

/// The engine goes this way.
#[cfg(not(feature = "ways"))]
#[inline(always)]
pub const fn went(_: Way) {}

#[cfg(feature = "ways")]
pub use count::{take, went};

#[cfg(feature = "ways")]
mod count {
    use std::{cell::RefCell, collections::BTreeMap};

    use super::Way;

    thread_local! {
        static WENT: RefCell<BTreeMap<Way, u64>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// The engine goes this way.
    pub fn went(way: Way) {
        WENT.with_borrow_mut(|went| *went.entry(way).or_default() += 1);
    }

    /// How often each was gone on this thread since this was asked last.
    #[must_use]
    pub fn take() -> BTreeMap<Way, u64> {
        WENT.take()
    }
}

#[cfg(all(test, feature = "ways"))]
mod tests {
    use super::*;

    #[test]
    fn a_way_counts_until_somebody_asks() {
        went(Way::TurnGiven);
        went(Way::TurnGiven);
        assert_eq!(take().into_iter().collect::<Vec<_>>(), [(Way::TurnGiven, 2)]);
        assert!(take().is_empty());
    }
}
