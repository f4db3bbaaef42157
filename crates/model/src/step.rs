//! Steps of the engine that a test of the tests leaves out, one at a time.
//!
//! `taken(Step::Fence)` is `true`, a constant that costs nothing, unless this crate is built with the feature `mutate`.
//! Then [`leave_out`] decides for the thread that calls it, and `cargo xtask mutate` shows that the simulation notices.

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $name:ident = $words:literal,)+) => {
        /// Something the engine must do. See the [module](self).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Step {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Step {
            /// Every one.
            pub const ALL: &[Step] = &[$(Step::$name),+];

            /// For people, and for `cargo xtask mutate`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Step::$name => $words,)+
                }
            }
        }
    };
}

steps! {
    /// Before the first write a store is asked whether it has one winner for each name.
    Probe = "probe the store",
    /// An epoch is created if absent: of two writers that want it one gets the next.
    CreateEpoch = "create an epoch only if absent",
    /// A holder who looks alive is left alone, unless whoever opens was told to take the volume.
    RefuseLiving = "refuse while a holder looks alive",
    /// A holder who has been silent for long is not respected any more.
    TakeSilent = "take over from a silent holder",
    /// A holder shows that it lives.
    Beat = "give signs of life",
    /// An epoch of this host's own writer, whose process is gone, is followed at once.
    SameHost = "follow a dead process of this host at once",
    /// A writer publishes a fence before it acknowledges anything.
    Fence = "publish a fence",
    /// An open gives up when the newest sync is of a newer epoch.
    GiveUp = "give up on a newer head",
    /// A writer looks for a newer one after a sync that was answered late.
    Look = "look after a late create",
    /// Whose object it is that has our name is asked by stamp and checksum.
    CompareStamp = "compare the stamp",
    /// A create without answer is asked for again.
    AskAgain = "ask again after a lost answer",
    /// A create without answer may have been carried out, and may not.
    Unknown = "take a lost answer for no refusal",
    /// A sync without answer is asked for again as it was.
    SameBytes = "ask again with the same bytes",
    /// Commits are durable once the sync is in the history.
    DurableAfterSync = "durable only after the sync",
    /// A sync's stamp names the commit at which it was cut.
    CutAtOneCommit = "cut at one commit",
    /// A page at a commit is its newest version up to that commit.
    NewestUpTo = "newest version up to the commit",
    /// A journal whose commits the history lacks is kept aside.
    Strand = "strand what the history lacks",
    /// What is in a journal that is kept aside is synced first.
    SettleStranded = "sync a journal that is kept aside",
    /// A journal that does not continue the history is not replayed.
    JudgeJournal = "replay only onto its own history",
    /// What the journal holds beyond the history is replayed.
    Replay = "replay the journal",
    /// Commits go on after the last number in the journal.
    NumberOn = "number on after the journal",
    /// Every whole commit before a torn end is replayed.
    WholePrefix = "replay all before a torn end",
    /// The journal forgets only what is durable.
    ReleaseDurable = "release the journal after the sync",
    /// A wait for the local disk syncs the journal.
    SyncJournal = "sync the journal before answering",
    /// A journal whose sync failed accepts nothing more.
    Poison = "a failed sync poisons the journal",
    /// A frame of the journal counts only with its checksum.
    FrameChecksum = "check the checksums of the journal",
    /// Names of new segments are synced.
    SyncNames = "sync the journal's directory",
    /// What an earlier process left unsynced is synced before it counts.
    MakeGood = "sync what a crash left in the journal",
    /// A commit waits for the load line.
    LoadLine = "admit by the load line",
    /// A commit above the line is acknowledged once it is durable.
    HeldCommits = "hold commits above the line",
    /// Objects that readers of this process use are kept.
    KeepInUse = "keep what readers use",
    /// A sync stays for its retention.
    KeepWindow = "keep syncs for their retention",
    /// A reader that has not looked for long lists everything anew.
    ListAnew = "list anew after a long sleep",
    /// What a reader finds never takes the place of something newer.
    ForwardOnly = "show nothing older than before",
    /// A page that is read by itself counts only with the hash that its object's index has.
    PageHash = "check the hashes of pages read by range",
    /// A cached page counts only with its hash.
    CacheHash = "check the hashes of the cache",
    /// A cached page counts only for the content that is asked for.
    CacheWant = "serve a cached page only if it is current",
    /// An object counts only with its checksum.
    ObjectChecksum = "check the checksums of objects",
    /// A collector spares what a checkpoint is made of.
    SpareCheckpoints = "spare what checkpoints name",
    /// A collector spares what a fork reads.
    SpareForks = "spare what forks read",
    /// A collector announces what it is about to remove.
    Announce = "announce a collection",
    /// A collector looks for pins once it has announced.
    LookAtPins = "look at pins after announcing",
    /// Whether a dead collector had decided is asked before what it announced is removed.
    AskDecision = "ask whether a dead collector had decided",
    /// A pin of what is announced is given up.
    HeedAnnouncements = "give up a pin of what is announced",
    /// A pin of what is gone is given up.
    PinnedIsThere = "give up a pin of what is gone",
    /// A volume that forks read from is not removed.
    LookForForks = "look for forks before a removal",
    /// A fork copies what it reads from elsewhere before it gives that up.
    DetachCopies = "copy before detaching",
    /// A fork gives up nothing that its checkpoints are made of.
    DetachChecks = "look at checkpoints before detaching",
    /// A restore writes every page that differs.
    RestoreAll = "restore every page that differs",
    /// Whether a writer was taken over from is asked before its commit numbers count.
    TokenAftermath = "ask what became of a token's writer",
    /// A fence that was answered late says nothing: what is newest is asked again, and what was known before counts no more.
    LateFence = "look again after a late fence",
    /// Before the first sync of a volume no look counts for what comes later.
    FirstSync = "trust no look before the first sync",
    /// A writer that is told of a newer one acknowledges nothing more, whatever it does not know yet.
    EndFenced = "end a writer that was told of a newer one",
    /// Whoever takes a volume over says what the writer before took with it.
    Account = "account for what a dead writer took",
    /// A writer's status says which sync it found.
    Inherit = "record the inherited stamp",
    /// Time passes while a host sleeps. The engine is handed its clock, so the simulation's leaves this out.
    SuspendClock = "count the time that a host sleeps",
    /// A writer without anything to write lets the volume go.
    LetGo = "let an idle volume go",
    /// A collector looks for a newer epoch once it has decided.
    LookAtEpochs = "look at epochs after a collector's decision",
    /// Whoever has made a fork looks whether what it reads from is being removed.
    HeedRemovals = "heed a removal when forking",
    /// A fence that was answered late is read again, lest what it was put on is said to be what there was.
    ReadTail = "read the tail again after a late fence",
    /// An earlier state is made of syncs that the newest one links back to.
    LinkBack = "trust earlier syncs only by links",
    /// A collector removes no sync that is not part of a merge.
    OnlyMerged = "collect only what is merged",
    /// How old an object is, is told by the store's clock alone.
    OneClock = "tell the age of objects by one clock",
}

/// Whether a step is taken: always, except in a test of the tests.
#[cfg(not(feature = "mutate"))]
#[inline(always)]
#[must_use]
pub const fn taken(_: Step) -> bool {
    true
}

#[cfg(feature = "mutate")]
pub use choice::{leave_out, taken};

#[cfg(feature = "mutate")]
mod choice {
    use std::cell::Cell;

    use super::Step;

    thread_local! {
        static LEFT_OUT: Cell<Option<Step>> = const { Cell::new(None) };
    }

    /// Whether a step is taken: unless [`leave_out`] says otherwise on this thread.
    #[must_use]
    pub fn taken(step: Step) -> bool {
        LEFT_OUT.get() != Some(step)
    }

    /// Leaves a step out on this thread, instead of another one; `None` takes them all.
    pub fn leave_out(step: Option<Step>) {
        LEFT_OUT.set(step);
    }
}
