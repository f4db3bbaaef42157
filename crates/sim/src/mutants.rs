//! The test of the test: with one step of the engine left out, a promise must be seen to break.

use plimsoll_model::step::{Step, leave_out};

use crate::{
    aim::Aim,
    run::{Report, run},
};

/// Runs after which a step counts as one that nobody would miss.
pub const RUNS_MAX: u64 = 1000;

/// The kind of run that shows best what a step is for.
#[must_use]
pub fn aim(step: Step) -> Aim {
    match step {
        Step::CreateEpoch
        | Step::Fence
        | Step::GiveUp
        | Step::CompareStamp
        | Step::AskAgain
        | Step::Unknown
        | Step::SameBytes
        | Step::Strand
        | Step::JudgeJournal => Aim::Takeover,
        Step::Look | Step::ListAnew | Step::SuspendClock => Aim::Late,
        Step::CutAtOneCommit => Aim::Busy,
        Step::DurableAfterSync | Step::LoadLine | Step::HeldCommits => Aim::Line,
        Step::Replay
        | Step::NumberOn
        | Step::WholePrefix
        | Step::ReleaseDurable
        | Step::SyncJournal
        | Step::Poison
        | Step::SyncNames
        | Step::MakeGood => Aim::Power,
        Step::SettleStranded | Step::Inherit => Aim::Aside,
        Step::FrameChecksum => Aim::Torn,
        Step::NewestUpTo | Step::KeepInUse | Step::KeepWindow | Step::OneClock => Aim::Reading,
        Step::ForwardOnly => Aim::Turns,
        Step::CacheHash | Step::CacheWant => Aim::Rot,
        Step::ObjectChecksum => Aim::Flips,
        Step::PageHash => Aim::Parts,
        Step::SpareCheckpoints
        | Step::Announce
        | Step::LookAtPins
        | Step::AskDecision
        | Step::HeedAnnouncements
        | Step::PinnedIsThere => Aim::Collect,
        Step::SpareForks | Step::LookForForks | Step::DetachCopies | Step::DetachChecks | Step::RestoreAll => {
            Aim::Family
        }
        Step::TokenAftermath | Step::LetGo => Aim::Session,
        Step::Account => Aim::Account,
        Step::RefuseLiving | Step::SameHost | Step::TakeSilent | Step::Beat => Aim::Polite,
        Step::Probe => Aim::Unfenced,
        Step::LateFence => Aim::Fence,
        Step::LookAtEpochs => Aim::Decision,
        Step::FirstSync => Aim::Newborn,
        Step::EndFenced => Aim::Told,
        Step::HeedRemovals => Aim::Vanish,
        Step::ReadTail => Aim::StrayFence,
        Step::LinkBack => Aim::Stray,
        Step::OnlyMerged => Aim::Unmerged,
    }
}

/// Leaves a step out in one run after the other until one breaks a promise. Returns the run, and how many there were.
pub fn hunt(step: Step, runs_max: u64) -> (u64, Option<Report>) {
    leave_out(Some(step));
    let found = (0..runs_max).map(|seed| run(seed, aim(step), false)).find(|report| report.broken.is_some());
    leave_out(None);
    (found.as_ref().map_or(runs_max, |report| report.seed + 1), found)
}
