//! Steps of pinning and collecting that can be left out.

use clap::ValueEnum;

/// A step of pinning or of collecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PinStep {
    /// Create the pin before anything is looked for.
    PinFirst,
    /// Read the announcements after the pin is there.
    ReadAnnouncements,
    /// Read the announcements before the objects are listed.
    AnnouncementsFirst,
    /// List the objects.
    ListObjects,
    /// Announce what is to go.
    Announce,
    /// Look for pins after the announcement.
    LookAgain,
    /// Decide before anything is removed.
    Decide,
    /// Look for a newer epoch after the decision.
    NewerEpoch,
    /// Take the epoch before what others began is settled.
    EpochFirst,
    /// Decide against what others announced and did not decide.
    Cancel,
    /// Carry out what others decided.
    CarryOut,
    /// Carry it out only if the announcement is still there after the decision was read.
    ReadAgain,
    /// Keep the announcement until the objects are gone.
    TidyLast,
}
