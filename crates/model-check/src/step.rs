//! Steps of the protocol that can be left out.

use clap::ValueEnum;

/// A step of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// Publish a fence before anything is acknowledged.
    Fence,
    /// Give up when the newest sync is of a newer epoch.
    GiveUp,
    /// Read the tail again after a fence that was answered late.
    ReadTailAgain,
    /// Look for a newer epoch, and whether ours is the newest sync, after a sync that was answered late.
    Look,
    /// Compare the stamp of the object that has our name.
    Compare,
    /// Let signs of life renew nothing before the first sync of a volume.
    Silence,
    /// Keep a sync for the retention of level 0.
    Retention,
    /// Collect only what is merged.
    Covered,
    /// Check that what is read is what was listed.
    Listed,
    /// Trust, for earlier states, only the run that links back from the newest sync.
    Link,
    /// Strand a journal that the history does not continue.
    Strand,
    /// Find out what the history holds of a fenced writer before its journal is dropped.
    Aftermath,
    /// Create the first sign of life rather than put it: one that comes late takes no other's place.
    CreateGreeting,
    /// Tell commits of a journal from those of the same numbers that power took, and that a late first sync has made
    /// durable.
    Parted,
}
