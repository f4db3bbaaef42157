//! Runs that are after something: short, with little else going on, so that few of them find it.

use std::time::Duration;

use plimsoll_durability::OnLoadLine;
use plimsoll_model::PageSize;
use plimsoll_settings::JournalSyncPolicy;

use crate::{
    bucket::Contract,
    deed::{Deed, Deeds},
    dice::Dice,
    fate::{Blow, Blows},
    network::Weather,
    profile::Profile,
    staging::stage,
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What a run is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// All of it, as the seed decides.
    Everything,
    /// What the local disk loses.
    Power,
    /// Who may write.
    Takeover,
    /// Requests that come when their name is free again.
    Late,
    /// What readers need while syncs are merged and collected.
    Reading,
    /// Damage to what is local.
    Rot,
    /// How much may be at risk.
    Line,
    /// Damage to what the store answers.
    Flips,
    /// What the local disk keeps in parts.
    Torn,
    /// Many commits in a short time.
    Busy,
    /// Objects so large that they are read in parts.
    Parts,
    /// Transactions that do not fit into memory.
    Large,
    /// A host that lets the volume go and takes it again all the time.
    Turns,
    /// What is left on a host that another one has gone past.
    Aside,
    /// Checkpoints, restores and forks beside merging and collecting.
    Family,
    /// Checkpoints of what is being collected.
    Collect,
    /// Tokens that are carried from host to host, and volumes that are let go.
    Session,
    /// The first sync of a volume.
    Newborn,
    /// A fence that is answered late.
    Fence,
    /// What a writer does that was told of a newer one.
    Told,
    /// What a writer takes with it that has not synced.
    Account,
    /// A store that does not keep its contract.
    Unfenced,
    /// One writer on such a store.
    Alone,
    /// A host that wants to write while another one does.
    Polite,
    /// A collector that meets somebody who names a state.
    Meeting,
    /// A collector's decision that comes when it means nothing any more.
    Decision,
    /// Volumes that are removed while others are forked from them.
    Vanish,
    /// A store that does not answer for a while, and does again.
    Outage,
    /// A fence that takes the name of an earlier sync.
    StrayFence,
    /// A late request that takes the name of an earlier sync.
    Stray,
    /// Syncs that cannot be merged.
    Unmerged,
}

impl Aim {
    /// Every one.
    pub const ALL: &[Aim] = &[
        Aim::Everything,
        Aim::Power,
        Aim::Takeover,
        Aim::Late,
        Aim::Reading,
        Aim::Rot,
        Aim::Line,
        Aim::Flips,
        Aim::Torn,
        Aim::Busy,
        Aim::Parts,
        Aim::Large,
        Aim::Turns,
        Aim::Aside,
        Aim::Family,
        Aim::Collect,
        Aim::Session,
        Aim::Newborn,
        Aim::Fence,
        Aim::Told,
        Aim::Account,
        Aim::Unfenced,
        Aim::Alone,
        Aim::Polite,
        Aim::Decision,
        Aim::Meeting,
        Aim::Vanish,
        Aim::StrayFence,
        Aim::Stray,
        Aim::Unmerged,
        Aim::Outage,
    ];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Aim::Everything => "everything",
            Aim::Power => "power",
            Aim::Takeover => "takeover",
            Aim::Late => "late",
            Aim::Reading => "reading",
            Aim::Rot => "rot",
            Aim::Line => "line",
            Aim::Flips => "flips",
            Aim::Torn => "torn",
            Aim::Busy => "busy",
            Aim::Parts => "parts",
            Aim::Large => "large",
            Aim::Turns => "turns",
            Aim::Aside => "aside",
            Aim::Family => "family",
            Aim::Collect => "collect",
            Aim::Session => "session",
            Aim::Newborn => "newborn",
            Aim::Fence => "fence",
            Aim::Told => "told",
            Aim::Account => "account",
            Aim::Unfenced => "unfenced",
            Aim::Alone => "alone",
            Aim::Polite => "polite",
            Aim::Decision => "decision",
            Aim::Meeting => "meeting",
            Aim::Vanish => "vanish",
            Aim::Outage => "outage",
            Aim::StrayFence => "stray fence",
            Aim::Stray => "stray",
            Aim::Unmerged => "unmerged",
        }
    }

    /// Makes what a seed has drawn serve the aim.
    pub(crate) fn bend(self, profile: &mut Profile, dice: &Dice) {
        if self == Aim::Everything {
            return;
        }
        shorten(profile);
        let (weather, settings) = (&mut profile.weather, &mut profile.settings);
        match self {
            Aim::Everything => {}
            Aim::Power => {
                profile.blows = POWER;
                profile.levels = (10, 88);
                settings.sync_interval = 5 * SECOND;
                settings.max_loss_window = 30 * SECOND;
            }
            Aim::Takeover => {
                (profile.hosts, profile.applications, profile.takeover) = (2, 1, 1);
                profile.blows = RIVALS;
                profile.levels = (50, 40);
                profile.patience = 15;
                (weather.lost_answer, weather.lost_request) = (6, 20);
                settings.sync_interval = *dice.pick(&[100 * MILLI, SECOND]);
                // Nothing else tells a writer that there is a newer one.
                settings.heartbeat = 20 * SECOND;
            }
            Aim::Unfenced => {
                (profile.hosts, profile.applications, profile.takeover) = (2, 1, 1);
                profile.contract = *dice.pick(&[Contract::Ignored, Contract::Racing]);
                profile.blows = &[(1, Blow::CacheLoss)];
                (profile.levels, profile.patience) = ((50, 20), 15);
                profile.length = 20 * SECOND;
                settings.sync_interval = 100 * MILLI;
            }
            Aim::Alone => {
                profile.contract = *dice.pick(&[Contract::Ignored, Contract::Racing]);
                profile.blows = &[(2, Blow::Kill), (1, Blow::PowerLoss)];
                // What a dead process has sent has arrived before the next one gets as far.
                weather.latency = MILLI / 10;
                settings.unsafe_no_fencing = true;
                settings.sync_interval = 100 * MILLI;
            }
            Aim::Late => {
                (profile.hosts, profile.applications, profile.takeover) = (2, 2, 1);
                profile.blows = SLEEPERS;
                profile.levels = (30, 10);
                // Long enough for the one to merge and collect what the other slept through.
                profile.patience = 60;
                profile.rest_max = SECOND;
                profile.blow_every = 10 * SECOND;
                profile.sleep = (12 * SECOND, 30 * SECOND);
                profile.length = 100 * SECOND;
                (weather.lost_answer, weather.late_create, weather.late_max) = (20, 12, 60 * SECOND);
                settings.sync_interval = 100 * MILLI;
                settings.heartbeat = 60 * SECOND;
                settings.l0_retention = 5 * SECOND;
                settings.compaction_levels = vec![SECOND, 6 * SECOND, 18 * SECOND];
            }
            Aim::Reading => {
                (profile.hosts, profile.applications, profile.workers) = (2, 1, 2);
                profile.takeover = 8;
                profile.rest_max = 15 * SECOND;
                profile.length = 60 * SECOND;
                profile.blows = &[(1, Blow::CacheRot), (1, Blow::CacheLoss)];
                settings.sync_interval = 100 * MILLI;
                settings.follow_interval = 100 * MILLI;
                settings.l0_retention = 5 * SECOND;
                settings.compaction_levels = vec![2 * SECOND, 6 * SECOND, 18 * SECOND];
                settings.snapshot_interval = 20 * SECOND;
                settings.retention = 20 * SECOND;
                settings.cache_bytes_max = 4 * 512;
                settings.hydrate = false;
            }
            Aim::Rot => {
                profile.pages_max = 8;
                profile.blow_every = 500 * MILLI;
                profile.blows = &[(8, Blow::CacheRot), (1, Blow::Kill)];
                settings.sync_interval = 100 * MILLI;
            }
            Aim::Line => {
                profile.workers = 2;
                profile.pause_max = 50 * MILLI;
                profile.blows = &[(2, Blow::Storm), (1, Blow::Kill)];
                profile.levels = (50, 50);
                weather.latency = SECOND;
                settings.max_dirty_bytes = 10 * 512;
                settings.max_loss_window = *dice.pick(&[2 * SECOND, 30 * SECOND]);
                settings.on_load_line = *dice.pick(&OnLoadLine::ALL);
            }
            Aim::Torn => {
                profile.blows = &[(1, Blow::PowerLoss)];
                profile.levels = (90, 8);
                settings.sync_interval = 5 * SECOND;
                settings.journal_sync_policy = JournalSyncPolicy::Manual;
            }
            Aim::Busy => {
                profile.workers = 3;
                profile.pause_max = MILLI;
                profile.length = 10 * SECOND;
                profile.levels = (98, 1);
                settings.sync_interval = 100 * MILLI;
            }
            Aim::Aside => {
                (profile.hosts, profile.applications, profile.takeover) = (2, 1, 1);
                profile.blows = &[(3, Blow::Kill), (3, Blow::PowerLoss), (1, Blow::Partition)];
                profile.blow_every = SECOND;
                profile.levels = (95, 2);
                (profile.pointers, profile.deeds) = (20, ASIDE);
                settings.sync_interval = 2 * SECOND;
                settings.journal_sync_policy = JournalSyncPolicy::Manual;
                settings.heartbeat = 20 * SECOND;
            }
            Aim::Parts => {
                profile.page_size = PageSize::new(65_536).expect("BUG: not a page size");
                profile.pages_max = 24;
                profile.rough = true;
                profile.length = 8 * SECOND;
                profile.blows = &[(1, Blow::CacheLoss), (1, Blow::Kill)];
                weather.flipped = 20;
                settings.sync_interval = SECOND;
                settings.compaction_levels = vec![3 * SECOND, 12 * SECOND, 36 * SECOND];
                settings.cache_bytes_max = 4 * 65_536;
                settings.hydrate = false;
            }
            Aim::Large => {
                profile.page_size = PageSize::new(65_536).expect("BUG: not a page size");
                (profile.pages_max, profile.whole) = (80, 6);
                (profile.hosts, profile.takeover) = (2, 1);
                profile.pause_max = SECOND;
                profile.length = 6 * SECOND;
                profile.blows = POWER;
                settings.compaction_levels = vec![3 * SECOND, 12 * SECOND, 36 * SECOND];
            }
            Aim::Turns => {
                (profile.workers, profile.applications) = (3, 1);
                profile.pause_max = SECOND;
                profile.rest_max = 2 * SECOND;
                profile.blows = &[(2, Blow::CacheLoss), (1, Blow::Storm)];
                weather.latency = 500 * MILLI;
                weather.late = 8;
                weather.late_max = 2 * SECOND;
                settings.idle_release = 100 * MILLI;
                settings.sync_interval = 100 * MILLI;
                settings.follow_interval = 100 * MILLI;
                settings.l0_retention = 5 * SECOND;
                settings.compaction_levels = vec![2 * SECOND, 6 * SECOND, 18 * SECOND];
                settings.cache_bytes_max = 4 * 512;
                settings.hydrate = false;
            }
            Aim::Family => {
                (profile.hosts, profile.applications, profile.workers) = (2, 2, 1);
                (profile.pointers, profile.volumes_max, profile.deeds) = (60, 16, BREEDING);
                profile.takeover = 3;
                profile.rest_max = SECOND;
                profile.pause_max = 400 * MILLI;
                profile.length = 25 * SECOND;
                profile.blows = COLLECTORS;
                profile.blow_every = 5 * SECOND;
                profile.back_max = SECOND;
                profile.patience = 8;
                profile.sleep = (SECOND, 4 * SECOND);
                profile.levels = (20, 20);
                weather.latency = 60 * MILLI;
                settings.sync_interval = 100 * MILLI;
                settings.follow_interval = 100 * MILLI;
                settings.l0_retention = 2 * SECOND;
                settings.compaction_levels = vec![500 * MILLI, 2 * SECOND];
                settings.snapshot_interval = 3 * SECOND;
                settings.retention = 2 * SECOND;
                settings.idle_release = 2 * SECOND;
                settings.holder_ttl = 2 * SECOND;
            }
            Aim::Collect => {
                (profile.hosts, profile.applications, profile.workers) = (2, 1, 2);
                (profile.pointers, profile.deeds, profile.takeover) = (70, NAMING, 1);
                profile.pause_max = 100 * MILLI;
                profile.rest_max = SECOND;
                profile.length = 20 * SECOND;
                profile.blows = &[(1, Blow::KillAtAnnouncement), (2, Blow::SleepAtPins)];
                profile.blow_every = SECOND;
                profile.back_max = SECOND;
                profile.sleep = (300 * MILLI, 3 * SECOND);
                profile.levels = (20, 20);
                weather.latency = 60 * MILLI;
                settings.sync_interval = 100 * MILLI;
                settings.follow_interval = 100 * MILLI;
                settings.l0_retention = SECOND;
                settings.compaction_levels = vec![500 * MILLI, 2 * SECOND];
                settings.snapshot_interval = SECOND;
                settings.retention = SECOND;
            }
            Aim::Session => {
                (profile.hosts, profile.applications, profile.workers) = (3, 1, 1);
                (profile.pointers, profile.deeds) = (50, MOVING);
                (profile.takeover, profile.volumes_max) = (1, 1);
                profile.blows = RIVALS;
                profile.patience = 15;
                profile.levels = (60, 30);
                profile.length = 20 * SECOND;
                settings.sync_interval = SECOND;
                settings.follow_interval = 100 * MILLI;
                settings.idle_release = 2 * SECOND;
            }
            Aim::Newborn
            | Aim::Fence
            | Aim::Account
            | Aim::Polite
            | Aim::Decision
            | Aim::Meeting
            | Aim::Stray
            | Aim::StrayFence
            | Aim::Unmerged => stage(self, profile),
            Aim::Told => {
                (profile.hosts, profile.applications, profile.workers) = (2, 1, 2);
                (profile.pointers, profile.deeds, profile.takeover) = (40, MERGING, 1);
                (profile.blows, profile.levels) = (RIVALS, (50, 45));
                profile.patience = 15;
                profile.blow_every = 10 * SECOND;
                weather.latency = 300 * MILLI;
                settings.sync_interval = 100 * MILLI;
                settings.heartbeat = 2 * SECOND;
                settings.holder_ttl = 2 * SECOND;
                settings.compaction_levels = vec![500 * MILLI, 2 * SECOND];
            }
            Aim::Vanish => {
                (profile.hosts, profile.applications, profile.workers) = (3, 2, 0);
                (profile.pointers, profile.volumes_max, profile.deeds) = (90, 60, VANISHING);
                profile.takeover = 3;
                profile.pause_max = 100 * MILLI;
                profile.length = 25 * SECOND;
                profile.blows = COLLECTORS;
                profile.blow_every = 20 * SECOND;
                profile.patience = 8;
                profile.levels = (20, 20);
                weather.latency = 60 * MILLI;
                settings.sync_interval = 100 * MILLI;
                settings.idle_release = SECOND;
                settings.holder_ttl = SECOND;
            }
            Aim::Outage => {
                profile.wrapped = true;
                profile.blows = &[(1, Blow::Partition)];
                profile.blow_every = 60 * SECOND;
                profile.patience = 2000;
                profile.pause_max = 2 * SECOND;
                profile.length = 240 * SECOND;
                (weather.latency, weather.lost_answer) = (200 * MILLI, 20);
                settings.sync_interval = SECOND;
                settings.sync_timeout = 3 * SECOND;
            }
            Aim::Flips => {
                profile.rough = true;
                profile.hosts = 2;
                profile.blows = &[(2, Blow::HostLoss), (2, Blow::CacheLoss), (2, Blow::Kill), (1, Blow::JournalRot)];
                profile.levels = (10, 10);
                weather.flipped = 8;
                settings.cache_bytes_max = 4 * u64::from(profile.page_size.get());
                settings.hydrate = false;
            }
        }
    }
}

const POWER: Blows = &[
    (6, Blow::PowerLoss),
    (3, Blow::Kill),
    (3, Blow::KillAtDisk),
    (3, Blow::SyncFailed),
    (1, Blow::DiskFull),
    (1, Blow::DiskRoom),
];
const RIVALS: Blows =
    &[(3, Blow::Partition), (3, Blow::Kill), (3, Blow::KillAtStore), (1, Blow::Sleep), (1, Blow::PowerLoss)];
const COLLECTORS: Blows = &[(4, Blow::Kill), (4, Blow::KillAtStore), (6, Blow::SleepAtStore), (2, Blow::HostLoss)];
const BREEDING: Deeds = &[
    (22, Deed::Checkpoint),
    (2, Deed::CheckpointAgain),
    (12, Deed::Forget),
    (10, Deed::LookBack),
    (6, Deed::Restore),
    (24, Deed::Fork),
    (5, Deed::Detach),
    (3, Deed::Remove),
    (2, Deed::Release),
    (14, Deed::Compact),
];
pub(crate) const ASIDE: Deeds = &[(1, Deed::Aside)];
const NAMING: Deeds = &[(50, Deed::Checkpoint), (25, Deed::Forget), (10, Deed::Compact)];
const MOVING: Deeds = &[(20, Deed::Token), (40, Deed::Carry), (20, Deed::Release), (10, Deed::TakeOver)];
const MERGING: Deeds = &[(1, Deed::Compact)];
const VANISHING: Deeds = &[(45, Deed::Fork), (45, Deed::Remove), (10, Deed::Checkpoint)];
const SLEEPERS: Blows = &[(6, Blow::SleepAtStore), (4, Blow::Sleep), (1, Blow::Kill), (1, Blow::Partition)];

/// A short run in which nothing goes wrong.
fn shorten(profile: &mut Profile) {
    profile.hosts = 1;
    profile.applications = 1;
    profile.workers = profile.workers.min(1);
    profile.page_size = PageSize::new(512).expect("BUG: not a page size");
    profile.pages_max = 12;
    profile.rough = false;
    profile.weather = Weather { latency: 20 * MILLI, page: profile.weather.page, ..Weather::default() };
    profile.request_timeout = 2 * SECOND;
    profile.pause_max = 200 * MILLI;
    profile.rest_max = 5 * SECOND;
    profile.blow_every = 3 * SECOND;
    (profile.back_min, profile.back_max) = (Duration::ZERO, 2 * SECOND);
    profile.sleep = (SECOND, 20 * SECOND);
    profile.length = 40 * SECOND;
    let settings = &mut profile.settings;
    settings.max_dirty_bytes = 256 << 20;
    settings.max_loss_window = 30 * SECOND;
    settings.sync_timeout = 30 * SECOND;
    settings.idle_release = Duration::ZERO;
    settings.close_timeout = SECOND;
    settings.heartbeat = SECOND;
    settings.holder_ttl = 5 * SECOND;
    (profile.pointers, profile.volumes_max) = (0, 1);
    profile.contract = Contract::Vouched;
}
