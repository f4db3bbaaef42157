//! How often each thing happened that a run is there to try.

use std::{collections::BTreeMap, fmt};

use plimsoll_model::way::Way;

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $words:literal,)+) => {
        /// Something that a run tries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Event {
            $($(#[doc = $doc])+ $name,)+
            /// A way that the engine went.
            Engine(Way),
        }

        impl Event {
            /// Every one.
            pub fn all() -> impl Iterator<Item = Event> {
                [$(Event::$name),+].into_iter().chain(Way::ALL.iter().copied().map(Event::Engine))
            }

            /// For people.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Event::$name => $words,)+
                    Event::Engine(way) => way.name(),
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
    /// A commit where readers bring the whole volume.
    WithHydration = "commits with hydrate on",
    /// A commit where they do not.
    WithoutHydration = "commits with hydrate off",
    /// A commit of a writer that never lets go by itself.
    NeverLetsGo = "commits with idle_release_ms 0",
    /// A commit of a writer that lets go when nobody writes.
    LetsGoWhenIdle = "commits with another idle_release_ms",
    /// A commit whose sync compresses page by page.
    WithFrames = "commits with ltx_frames on",
    /// A commit whose sync does not.
    WithoutFrames = "commits with ltx_frames off",
    /// A commit where scans are read ahead of.
    WithReadAhead = "commits with read-ahead",
    /// A commit where they are not.
    WithoutReadAhead = "commits without read-ahead",
    /// A commit that may bring a flush forward.
    WithJournalBacklog = "commits with journal_sync_backlog_bytes",
    /// A commit that may not.
    WithoutJournalBacklog = "commits with journal_sync_backlog_bytes 0",
    /// A commit that may bring a sync forward.
    WithSyncBacklog = "commits with sync_backlog_bytes",
    /// A commit that may not.
    WithoutSyncBacklog = "commits with sync_backlog_bytes 0",
    /// A journal was synced since enough was waiting.
    FlushByBacklog = "flushes by backlog",
    /// A journal was synced since it was time.
    FlushByInterval = "flushes by interval",
    /// A journal was synced since somebody asked for it.
    FlushOnRequest = "flushes on request",
    /// A journal was synced at the end.
    FlushAtEnd = "flushes at the end",
    /// A sync was made since it was time.
    SyncByInterval = "syncs by interval",
    /// A sync was made since enough was waiting.
    SyncByBacklog = "syncs by backlog",
    /// A sync was made since somebody waited for it.
    SyncOnRequest = "syncs on request",
    /// A sync was made to stay below the load line.
    SyncByLoadLine = "syncs by the load line",
    /// A sync was made at the end.
    SyncAtEnd = "syncs at the end",
    /// An open took an epoch.
    EpochWon = "races for an epoch won",
    /// A sync became part of the history.
    Sync = "syncs",
    /// A sync without pages became part of the history.
    Fence = "fences",
    /// A merged object was made.
    Compaction = "compactions",
    /// All of a state was put into one object.
    SnapshotMade = "snapshots",
    /// Syncs that were merged were removed.
    SyncsCollected = "collections of syncs",
    /// Merges that were merged again were removed.
    MergesCollected = "collections of merges",
    /// Snapshots were removed, since there were newer ones for long enough.
    SnapshotsCollected = "collections of snapshots",
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
    /// A writer woke up and held the volume still.
    WokeHolding = "writers that woke up and held the volume still",
    /// A writer woke up and another one had taken the volume; the name of its next sync is taken.
    WokeOvertaken = "writers that woke up overtaken",
    /// The same, and that name is free again.
    WokeToCollected = "writers that woke up when the name of their next sync was merged and collected",
    /// A request of a host that was cut off from the store.
    Partition = "requests of hosts that were cut off",
    /// A request of which nothing came in a storm.
    Storm = "requests lost in storms",
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
    /// A late request of a process that has ended made an object of an old name.
    StrayOfDead = "strays of the dead",
    /// The same of a process that goes on.
    StrayOfLiving = "strays of the living",
    /// A listing took several requests.
    LongListing = "listings of several pages",
    /// An answer came with a bit turned over.
    FlippedAnswer = "corrupt answers",
    /// A writer learned that it was fenced.
    Fenced = "fencings",
    /// A host took the volume from another one that had let it go.
    TakenAfterRelease = "takeovers after a release",
    /// A host took the volume from another one whose process had ended.
    TakenFromDead = "takeovers from the dead",
    /// A host took the volume from another one that had given no sign of life for long, and goes on.
    TakenFromSleeper = "takeovers from sleepers",
    /// A host took the volume from another one that had just given a sign of life, and goes on.
    TakenFromLiving = "takeovers from the living",
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
    /// A change of a disk that was full.
    DiskFull = "changes of full disks",
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
    /// Whoever looked at such a journal noticed.
    JournalDamage = "damaged journals noticed",
    /// A wall clock jumped.
    ClockJump = "jumps of the wall clock",
    /// A checkpoint was made.
    Checkpoint = "checkpoints",
    /// A checkpoint of an earlier state was made.
    CheckpointOfPast = "checkpoints of earlier states",
    /// A checkpoint was not made, since there is one of its name.
    CheckpointTaken = "checkpoints whose name was taken",
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

/// So rare that the runs of a day need not come to them. They are counted all the same.
const RARE: &[Event] = &[Event::Engine(Way::VanishedFenced), Event::Engine(Way::FollowParted)];

/// Counts of [`Event`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Event, u64>);

impl Coverage {
    /// It happened once more.
    pub fn count(&mut self, event: Event) {
        self.count_all(event, 1);
    }

    /// It happened so many times more.
    pub fn count_all(&mut self, event: Event, times: u64) {
        if times > 0 {
            *self.0.entry(event).or_default() += times;
        }
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

    /// What never happened, but for what is rare.
    #[must_use]
    pub fn missing(&self) -> Vec<Event> {
        Event::all().filter(|event| self.of(*event) == 0 && !RARE.contains(event)).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in Event::all() {
            writeln!(f, "{:>10} {}", self.of(event), event.name())?;
        }
        Ok(())
    }
}
