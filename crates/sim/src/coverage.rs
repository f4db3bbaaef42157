//! How often each thing happened that a run is there to try.

use std::{collections::BTreeMap, fmt};

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $words:literal,)+) => {
        /// Something that a run tries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Event {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Event {
            /// Every one.
            pub const ALL: &[Event] = &[$(Event::$name),+];

            /// For people.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Event::$name => $words,)+
                }
            }
        }
    };
}

events! {
    /// A commit got its receipt.
    Commit = "commits",
    /// A commit was acknowledged at once.
    Buffered = "commits acknowledged as buffered",
    /// A wait for the local disk succeeded.
    Journaled = "waits for journaled",
    /// A wait for the object store succeeded.
    Durable = "waits for durable",
    /// A commit under the journal policy `interval`.
    PolicyInterval = "commits with journal_sync_policy interval",
    /// A commit under the journal policy `immediate`.
    PolicyImmediate = "commits with journal_sync_policy immediate",
    /// A commit under the journal policy `manual`.
    PolicyManual = "commits with journal_sync_policy manual",
    /// An open took an epoch.
    EpochWon = "races for an epoch won",
    /// An open found that another had taken the epoch.
    EpochLost = "races for an epoch lost",
    /// A fence found its name taken.
    FenceLost = "fences whose name was taken",
    /// A sync found its name taken.
    SyncLost = "syncs whose name was taken",
    /// A sync became part of the history.
    Sync = "syncs",
    /// A sync without pages became part of the history.
    Fence = "fences",
    /// A merged object was made.
    Compaction = "compactions",
    /// Objects of the history were removed.
    Collection = "collections",
    /// A process was killed.
    Kill = "kills",
    /// A process was killed in the middle of a change of its disk.
    KillAtDisk = "kills at a change of the disk",
    /// A process was killed while the store took its request.
    KillAtStore = "kills at a request",
    /// A host lost power.
    PowerLoss = "power losses",
    /// A journal was found with a torn end.
    TornTail = "torn tails",
    /// A host was lost with its disk.
    HostLoss = "host losses",
    /// A host slept.
    Sleep = "sleeps",
    /// A host fell asleep between a request and its answer.
    SleepAtStore = "sleeps at a request",
    /// A host slept for longer than level 0 is kept.
    LongSleep = "sleeps beyond the retention",
    /// A host slept for more than an hour.
    HoursOfSleep = "sleeps of more than an hour",
    /// A host was cut off from the store.
    Partition = "partitions",
    /// The store answered few requests for a while.
    Storm = "storms",
    /// A request was turned away.
    Throttled = "throttled requests",
    /// A request was lost on its way.
    LostRequest = "lost requests",
    /// A request took effect and its answer was lost.
    LostAnswer = "lost answers",
    /// A sync without answer turned out to be in the history.
    ResolvedOurs = "lost answers resolved as ours",
    /// A sync without answer turned out to be somebody else's.
    ResolvedTheirs = "lost answers resolved as theirs",
    /// A request took effect long after it was sent.
    LateRequest = "late requests",
    /// A request took effect after whoever sent it had died.
    Posthumous = "requests of the dead",
    /// A late request made an object of an old name.
    Stray = "strays",
    /// A listing took several requests.
    LongListing = "listings of several pages",
    /// An answer came with a bit turned over.
    FlippedAnswer = "corrupt answers",
    /// A writer learned that it was fenced.
    Fenced = "fencings",
    /// Another host took the volume.
    Takeover = "takeovers",
    /// A journal was kept aside.
    Stranding = "strandings",
    /// A volume was opened with commits of its own in the journal.
    Replay = "replays",
    /// A volume was closed with everything durable.
    CleanClose = "clean closes",
    /// A close could not make everything durable.
    UncleanClose = "closes with something pending",
    /// A transaction was rolled back.
    Rollback = "rollbacks",
    /// A transaction lost against another.
    Conflict = "conflicts",
    /// A transaction was turned away because somebody else held the volume.
    Held = "refusals while held",
    /// A transaction was turned away because a holder on another host looks alive.
    HeldByLiving = "refusals while a holder looks alive",
    /// A volume was taken, without force, from a holder who had been silent for long.
    TakenFromSilent = "volumes taken from a silent holder",
    /// A store does not keep its contract, and was refused by name.
    Unfenced = "refusals of an unfenced store",
    /// A store was probed and passed, or was remembered.
    Probed = "stores that were probed or remembered",
    /// It was checked that a journal which is kept aside lists what the history lacks, and no more.
    AsideChecked = "stranded journals held against the history",
    /// A holder had nothing to write, and let the volume go.
    LetGo = "idle volumes let go",
    /// A transaction made the volume smaller.
    Shrink = "volumes cut",
    /// A transaction was larger than memory.
    Spill = "spilled transactions",
    /// A snapshot was read twice.
    Repeat = "repeated reads",
    /// A follower saw something newer.
    Follow = "followers catching up",
    /// The load line was reached, policy `block`.
    LineBlock = "commits blocked at the load line",
    /// The load line was reached, policy `fail`.
    LineFail = "commits refused at the load line",
    /// The load line was reached, policy `write_through`.
    LineWriteThrough = "commits written through at the load line",
    /// The disk was full.
    DiskFull = "full disks",
    /// A sync of the disk failed.
    SyncFailed = "failed disk syncs",
    /// A write to the disk failed.
    WriteFailed = "failed disk writes",
    /// A read of the disk failed.
    ReadFailed = "failed disk reads",
    /// Bytes in the cache were changed.
    CacheCorruption = "corrupt caches",
    /// A cache was removed.
    CacheLoss = "lost caches",
    /// Bytes in a journal were changed.
    JournalCorruption = "corrupt journals",
    /// A wall clock jumped.
    ClockJump = "jumps of the wall clock",
    /// A checkpoint was made.
    Checkpoint = "checkpoints",
    /// A checkpoint of an earlier state was made.
    CheckpointOfPast = "checkpoints of earlier states",
    /// A checkpoint could not be made, or nobody knows.
    CheckpointRefused = "checkpoints refused",
    /// A checkpoint was removed.
    CheckpointRemoved = "checkpoints removed",
    /// A state was read by its checkpoint.
    CheckpointRead = "checkpoints read",
    /// Whoever pinned a state for a checkpoint or a fork met a collector, and removed the pin again.
    PinGivenUp = "pins that met a collector",
    /// A collector announced what it is about to remove.
    SweepAnnounced = "collections announced",
    /// A collector met a pin, and took its announcement back.
    SweepTakenBack = "collections that met a pin",
    /// A collector ended what a dead one had decided.
    SweepResumed = "collections of the dead carried out",
    /// A collector called off what a dead one had not decided.
    SweepCancelled = "collections of the dead called off",
    /// An earlier state was read by its number.
    Past = "earlier states read",
    /// An earlier state was gone.
    PastGone = "earlier states gone",
    /// An earlier state was made the newest again.
    Restore = "restores",
    /// A restore ended with an error.
    RestoreRefused = "restores refused",
    /// A fork was made.
    Fork = "forks",
    /// A fork of a checkpoint was made.
    ForkOfCheckpoint = "forks of checkpoints",
    /// A fork of an earlier state was made.
    ForkOfPast = "forks of earlier states",
    /// A fork of a fork was made.
    ForkOfFork = "forks of forks",
    /// A fork was not made, or nobody knows.
    ForkRefused = "forks refused",
    /// A fork was detached.
    Detach = "detached forks",
    /// Detaching was refused because of checkpoints.
    DetachHeld = "forks held by checkpoints",
    /// A fork took back that it was detached.
    DetachTakenBack = "marks of detached forks taken back",
    /// Detaching was interrupted by an error.
    DetachInterrupted = "interrupted detachments",
    /// A volume was removed.
    Removal = "removed volumes",
    /// A volume was not removed, since forks or a holder are there.
    RemovalRefused = "removals refused",
    /// A removal was announced, and no more than that.
    RemovalAnnounced = "removals that were announced only",
    /// Somebody came in between, and a removal was called off.
    RemovalCalledOff = "removals called off",
    /// A process gave out a token.
    Token = "tokens",
    /// Whoever waited for a token has what it stands for.
    TokenReached = "tokens reached",
    /// A token was not reached in time.
    TokenLate = "tokens not reached in time",
    /// A token stands for what was lost.
    TokenLost = "tokens of what was lost",
    /// A host let a volume go.
    Release = "releases",
    /// A host could not let a volume go.
    ReleaseRefused = "releases refused",
    /// Whoever took a volume over said what was lost.
    LossReport = "loss reports",
    /// The state was made that stranded commits would have led to.
    Exported = "stranded journals exported",
    /// A stranded journal was discarded.
    Discarded = "stranded journals discarded",
    /// A host took a volume that another one had just let go.
    TakenAtOnce = "volumes taken right after a release",
    /// A volume was read by a host that had never seen it.
    Audit = "audits",
}

/// Counts of [`Event`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Event, u64>);

impl Coverage {
    /// It happened once more.
    pub fn count(&mut self, event: Event) {
        *self.0.entry(event).or_default() += 1;
    }

    /// How often it happened.
    #[must_use]
    pub fn of(&self, event: Event) -> u64 {
        self.0.get(&event).copied().unwrap_or(0)
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Coverage) {
        for (event, times) in &other.0 {
            *self.0.entry(*event).or_default() += times;
        }
    }

    /// What never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<Event> {
        Event::ALL.iter().copied().filter(|event| self.of(*event) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in Event::ALL {
            writeln!(f, "{:>10} {}", self.of(*event), event.name())?;
        }
        Ok(())
    }
}
