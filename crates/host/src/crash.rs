//! Places where a test can have the process killed.
//!
//! Each stands between two steps that a crash must be allowed to separate. Without the feature `crash-points` passing
//! one is nothing at all; with it nothing happens either until a test program has called [`arm`].
//!
//! After a crash at any of them, with whatever is on the disk and in the store at that moment: this host goes on with
//! everything that was acknowledged; another host that takes over finds the state after some commit, no older than
//! what was said to be durable; neither is refused. What a point's own line adds is what makes it worth a place.

macro_rules! points {
    ($($(#[doc = $words:literal])+ $point:ident = $name:literal,)+) => {
        /// Where a process can be killed, and what is special about a crash there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[doc = $words])+ $point,)+
        }

        impl Point {
            /// Every point.
            pub const ALL: &[Point] = &[$(Point::$point,)+];

            /// What a command line calls it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Point::$point => $name,)+ }
            }
        }
    };
}

points! {
    /// Before a commit is written to the journal: nobody will see it.
    JournalWrite = "journal-write",
    /// In the middle of that write: the half commit does not count, and hides nothing before it.
    JournalTorn = "journal-torn",
    /// The commit is written and not acknowledged: it may count.
    JournalWritten = "journal-written",
    /// Before the journal is synced.
    JournalSync = "journal-sync",
    /// The journal is synced, and whoever waits for that has not been told.
    JournalSynced = "journal-synced",
    /// A new segment has its header under a temporary name: it is not part of the journal.
    SegmentMade = "segment-made",
    /// A new segment has its name, and the folder is not synced: a segment without frames is no gap.
    SegmentNamed = "segment-named",
    /// A segment was given up, and the folder is not synced: whether it comes back or not makes no difference.
    SegmentRetired = "segment-retired",
    /// A journal that was left behind has been read, and nothing of it was made good yet.
    JournalFound = "journal-found",
    /// A journal that was left behind is whole again, and nothing was appended to it: the next one finds the same.
    JournalMended = "journal-mended",
    /// The host's identity is drawn and nothing was done under it.
    IdentityDrawn = "identity-drawn",
    /// The volume's record is made, and no epoch.
    VolumeMade = "volume-made",
    /// Before an epoch is taken.
    EpochTake = "epoch-take",
    /// An epoch is taken, and its fence not published: the old writer may still go on.
    EpochTaken = "epoch-taken",
    /// Before the first sign of life of an epoch: its fence may be published already.
    Greet = "greet",
    /// An epoch has its first sign of life, and its writer has found nothing yet: it has acknowledged nothing.
    Greeted = "greeted",
    /// Before a fence is published.
    FencePublish = "fence-publish",
    /// A fence is published by a writer that is dead: what is under it is still its host's to go on with.
    FencePublished = "fence-published",
    /// A writer has said what it inherited, and not looked at its journal yet.
    Introduced = "introduced",
    /// The journal has the mark of the new epoch, the note beside it has the old one's.
    EpochMarked = "epoch-marked",
    /// It is said how far an earlier process of this host had got, and nothing was synced on top of that.
    WentOn = "went-on",
    /// Everything is in hand and the first commit not made.
    Holding = "holding",
    /// A sync is encoded and was not asked for.
    SyncCreate = "sync-create",
    /// A sync is in the store, and its writer does not know: the next one finds it and does not repeat it.
    SyncCreated = "sync-created",
    /// The view has moved on to a sync, no watermark has.
    SyncDone = "sync-done",
    /// The watermark has moved, and the journal has forgotten nothing.
    WatermarkMoved = "watermark-moved",
    /// A sign of life is in the store, and its writer has not heard whether anybody took the volume meanwhile.
    AliveSaid = "alive-said",
    /// The map of the cache says that it has a page, and the page is still another one: that is a miss.
    CacheMapped = "cache-mapped",
    /// The cache has what was synced, and the journal still has it too.
    CacheKept = "cache-kept",
    /// The journal has forgotten what is durable.
    JournalReleased = "journal-released",
    /// A large sync is in the store without its sidecar.
    SidecarPut = "sidecar-put",
    /// Before a merged object is created.
    MergeCreate = "merge-create",
    /// A merged object is there without its sidecar.
    MergeCreated = "merge-created",
    /// A merge is complete and nobody reads it yet.
    Merged = "merged",
    /// Garbage is announced and nothing decided: it stays until somebody else collects it.
    CollectAnnounced = "collect-announced",
    /// Garbage is announced that somebody has just pinned, and the announcement is to be taken back: none of it goes.
    CollectWithdrawn = "collect-withdrawn",
    /// It is decided that garbage goes, and all of it is there.
    CollectDelete = "collect-delete",
    /// Some of the garbage is gone: what is left has to be a history still.
    CollectHalf = "collect-half",
    /// All of the garbage is gone, and the folders are not synced.
    Collected = "collected",
    /// All of the garbage is gone, and its announcement still says that it is to go.
    CollectDone = "collect-done",
    /// What a dead collector announced is cancelled, and its announcement still there.
    CollectCancelled = "collect-cancelled",
    /// A checkpoint has its record, and whether it holds is not known yet.
    PinCreated = "pin-created",
    /// A checkpoint holds, and whoever asked for it has not been told.
    PinKept = "pin-kept",
    /// A checkpoint came too late and was given up, and has its record still: it keeps nobody from anything, and can be
    /// removed.
    PinGivenUp = "pin-given-up",
    /// The records of writers whom nobody asks about any more are gone.
    BygoneForgotten = "bygone-forgotten",
    /// Everything is durable, and the epoch not closed: this host goes on at once, others wait.
    EpochClose = "epoch-close",
    /// The epoch is closed, and the journal still there: all of it is in the history.
    EpochClosed = "epoch-closed",
    /// The finished journal is gone, and the folder above it not synced.
    JournalDropped = "journal-dropped",
    /// What a journal stands on is kept that is to be kept aside: the next one finds it kept.
    BaseKept = "base-kept",
    /// A journal is to be kept aside, and is still in its place: the next one keeps it aside.
    StrandJournal = "strand-journal",
    /// A journal was moved aside, and no folder is synced.
    StrandMoved = "strand-moved",
    /// A restore is committed and not durable: it is made or not, as any commit.
    RestoreCommitted = "restore-committed",
    /// A fork's pins are there and the fork is not: its parent keeps for it what a removal of the pin gives back.
    ForkPinned = "fork-pinned",
    /// A fork is there, and whether it came in time is not known yet: it can be used, or be removed.
    ForkMade = "fork-made",
    /// A detaching fork has copied everything, and nothing says so.
    DetachCopied = "detach-copied",
    /// A fork has said that it is about to let go of what it started with: until it has, everything is there.
    DetachMarking = "detach-marking",
    /// A fork says that it has everything, and its parent has not been told: repeating it does that.
    DetachMarked = "detach-marked",
    /// The parent keeps nothing for a fork any more, and whoever detached it has not been told.
    DetachTold = "detach-told",
    /// A removal is announced, before it was looked who forks the volume or opens it: whoever opens or forks it calls
    /// that off.
    RemovalMarked = "removal-marked",
    /// It is decided that a volume goes, and all of it is there: it is read, and nobody opens it for writing.
    RemovalDecided = "removal-decided",
    /// What a removed fork was made of keeps nothing for it; all of its own objects are there, but not its record.
    RemovalTold = "removal-told",
    /// Of a removed volume nothing is left but the decision.
    RemovalEmptied = "removal-emptied",
    /// A stranded journal is gone, its note and its checkpoint are not.
    DiscardDropped = "discard-dropped",
    /// An object of a file store is written under a temporary name: no reader sees it.
    ObjectWritten = "object-written",
    /// An object of a file store has its name, and the folder is not synced.
    ObjectNamed = "object-named",
}

impl Point {
    /// The point of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Point> {
        Point::ALL.iter().copied().find(|point| point.name() == name)
    }
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    use rustix::process::{Signal, getpid, kill_process};

    use super::Point;

    /// The point, and how often it will still be passed.
    static ARMED: OnceLock<(Point, AtomicU64)> = OnceLock::new();
    /// The same, and what is done meanwhile.
    static MEANWHILE: OnceLock<(Point, AtomicU64, Deed)> = OnceLock::new();

    type Deed = Box<dyn Fn() + Send + Sync>;

    /// Has this process killed when it passes `point` for the `nth` time, counted from 1. Only the first call counts.
    pub fn arm(point: Point, nth: u64) {
        let _ = ARMED.set((point, AtomicU64::new(nth)));
    }

    /// Has `done` done, by others for example, while this process is at `point` for the `nth` time. Only the first call counts.
    pub fn meanwhile(point: Point, nth: u64, done: impl Fn() + Send + Sync + 'static) {
        let _ = MEANWHILE.set((point, AtomicU64::new(nth), Box::new(done)));
    }

    pub(super) fn wait(point: Point) {
        if let Some((armed, left, done)) = MEANWHILE.get()
            && *armed == point
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            done();
        }
    }

    pub(super) fn is_due(point: Point) -> bool {
        ARMED.get().is_some_and(|(armed, left)| *armed == point && left.fetch_sub(1, Ordering::Relaxed) == 1)
    }

    pub(super) fn die() -> ! {
        // Not an exit: nothing may be flushed, unlocked or said any more.
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(feature = "crash-points")]
pub use armed::{arm, meanwhile};

/// Passes a point.
#[inline]
pub fn here(point: Point) {
    here_after(point, || {});
}

/// Passes a point at which something is to be half done first, if the process is to die here.
#[inline]
pub fn here_after(point: Point, half: impl FnOnce()) {
    #[cfg(feature = "crash-points")]
    {
        armed::wait(point);
        if armed::is_due(point) {
            half();
            armed::die();
        }
    }
    #[cfg(not(feature = "crash-points"))]
    let _ = (point, half);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_found_by_a_name_of_its_own() {
        for point in Point::ALL {
            assert_eq!(Point::named(point.name()), Some(*point));
        }
        assert_eq!(Point::named("nowhere"), None);
    }
}
