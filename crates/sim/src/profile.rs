//! What a run is like: drawn from the seed.

use std::{path::Path, time::Duration};

use plimsoll_durability::OnLoadLine;
use plimsoll_ltx::Layout;
use plimsoll_model::PageSize;
use plimsoll_settings::{Input, JournalSyncPolicy, Settings, Sourced};

use crate::{
    aim::Aim,
    bucket::Contract,
    deed::{self, Deeds},
    dice::Dice,
    fate::{Blows, EVERYTHING},
    network::Weather,
    scene::Scene,
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) hosts: usize,
    /// Applications per host.
    pub(crate) applications: usize,
    /// Further workers per application.
    pub(crate) workers: usize,
    pub(crate) page_size: PageSize,
    pub(crate) pages_max: u32,
    /// One commit in so many writes all pages that there may be; 0: none has to.
    pub(crate) whole: u64,
    pub(crate) layout: Layout,
    /// What the store does with creates.
    pub(crate) contract: Contract,
    /// Whether hosts retry and break as they do in earnest, or see every single failure.
    pub(crate) wrapped: bool,
    /// Whether bits are turned over in answers and journals.
    pub(crate) rough: bool,
    pub(crate) settings: Settings,
    pub(crate) weather: Weather,
    pub(crate) request_timeout: Duration,
    /// Longest pause between two actions of a worker.
    pub(crate) pause_max: Duration,
    /// Longest time that a snapshot is held, or nothing is done.
    pub(crate) rest_max: Duration,
    /// Mean time between two blows of fate.
    pub(crate) blow_every: Duration,
    /// How likely each of them is.
    pub(crate) blows: Blows,
    /// Shortest and longest sleep of a host.
    pub(crate) sleep: (Duration, Duration),
    /// One action in so many is the last before an application closes the volume.
    pub(crate) patience: u64,
    /// Shortest time until a host that died is back.
    pub(crate) back_min: Duration,
    /// Longest time on top of that.
    pub(crate) back_max: Duration,
    /// One open in so many takes the volume by force.
    pub(crate) takeover: u64,
    /// Whether each host's wall clock shows what the store's does.
    pub(crate) punctual: bool,
    /// How many in a hundred commits are asked for at each level: `buffered`, `journaled`; the rest `durable`.
    pub(crate) levels: (u64, u64),
    /// How many in a hundred actions are something with a pointer to a state.
    pub(crate) pointers: u64,
    /// How likely each of these is.
    pub(crate) deeds: Deeds,
    /// What hosts do first.
    pub(crate) scene: Scene,
    /// Volumes of one world, with those that were removed.
    pub(crate) volumes_max: usize,
    /// How long fate strikes. Then everything gets well.
    pub(crate) length: Duration,
}

impl Profile {
    /// `further` decides whether there are forks, and all that comes with them.
    pub(crate) fn draw(dice: &Dice, further: &Dice, aim: Aim) -> Profile {
        let hosts = usize::try_from(dice.between(1, 3)).unwrap_or(1);
        let calm = dice.once_in(6);
        let rate = |usual: u64| if calm { 0 } else { usual };
        let large = dice.once_in(15);
        let page_size = if large { 65_536 } else { *dice.pick(&[512, 512, 1024, 4096]) };
        let rough = dice.once_in(5);
        let weather = Weather {
            latency: *dice.pick(&[5 * MILLI, 50 * MILLI, 200 * MILLI, SECOND]),
            lost_request: rate(*dice.pick(&[200, 50, 15])),
            lost_answer: rate(*dice.pick(&[200, 50, 15])),
            throttled: rate(*dice.pick(&[0, 100, 20])),
            late: rate(*dice.pick(&[0, 400, 100, 30])),
            flipped: if rough { 100 } else { 0 },
            late_max: *dice.pick(&[10 * SECOND, MINUTE, 5 * MINUTE, 60 * MINUTE]),
            page: usize::try_from(*dice.pick(&[1000, 1000, 20, 3])).unwrap_or(1000),
            ..Weather::default()
        };
        let mut profile = Profile {
            hosts,
            applications: usize::try_from(dice.between(1, 2)).unwrap_or(1),
            workers: usize::try_from(dice.between(0, 2)).unwrap_or(0),
            page_size: PageSize::new(page_size).expect("BUG: not a page size"),
            pages_max: if large { 160 } else { *dice.pick(&[4, 12, 40]) },
            whole: 0,
            layout: if dice.once_in(2) { Layout::S3 } else { Layout::Other },
            contract: Contract::Vouched,
            wrapped: !dice.once_in(3),
            rough,
            settings: settings(dice, page_size),
            weather,
            request_timeout: *dice.pick(&[2 * SECOND, 5 * SECOND, 20 * SECOND]),
            pause_max: *dice.pick(&[50 * MILLI, 500 * MILLI, 5 * SECOND]),
            rest_max: *dice.pick(&[5 * SECOND, MINUTE, 5 * MINUTE]),
            blow_every: *dice.pick(&[3 * SECOND, 10 * SECOND, 40 * SECOND]),
            blows: EVERYTHING,
            sleep: (Duration::ZERO, 180 * MINUTE),
            patience: 60,
            back_min: Duration::ZERO,
            back_max: MINUTE,
            takeover: 4,
            punctual: false,
            levels: (40, 40),
            pointers: 0,
            deeds: deed::ALL,
            scene: &[],
            volumes_max: 1,
            length: *dice.pick(&[MINUTE, 2 * MINUTE, 5 * MINUTE, 12 * MINUTE]),
        };
        if large {
            // Much to move.
            profile.length = MINUTE;
        }
        profile.weather.late_create = rate(*dice.pick(&[0, 100, 8]));
        if dice.once_in(4) {
            // Names of level 0 become free soon enough for what is late to find them so.
            profile.settings.l0_retention = 30 * SECOND;
            profile.settings.compaction_levels = vec![3 * SECOND, 12 * SECOND, 36 * SECOND];
            profile.weather.late_max = 5 * MINUTE;
            profile.weather.late_create = 8;
        }
        if further.once_in(3) {
            profile.pointers = *further.pick(&[10, 30]);
            profile.volumes_max = usize::try_from(further.between(1, 6)).unwrap_or(1);
        }
        if further.once_in(4) {
            profile.contract = Contract::Kept;
        }
        aim.bend(&mut profile, dice);
        profile
    }
}

fn settings(dice: &Dice, page_size: u32) -> Settings {
    let environment = [("PLIMSOLL_STATE_DIR".to_owned(), "/state".to_owned())].into();
    let input = Input { file: None, environment, overrides: Vec::new() };
    let defaults = Sourced::load(&input).expect("BUG: the defaults are not valid").settings;
    let retention = *dice.pick(&[30 * SECOND, MINUTE, 3 * MINUTE]);
    let merge = *dice.pick(&[3 * SECOND, 10 * SECOND, 30 * SECOND]);
    let page = u64::from(page_size);
    Settings {
        journal_sync_policy: *dice.pick(&[
            JournalSyncPolicy::Interval,
            JournalSyncPolicy::Interval,
            JournalSyncPolicy::Immediate,
            JournalSyncPolicy::Manual,
        ]),
        journal_sync_interval: *dice.pick(&[5 * MILLI, 50 * MILLI]),
        journal_sync_backlog_bytes: *dice.pick(&[0, 4 * page, 2 << 20]),
        sync_interval: *dice.pick(&[100 * MILLI, SECOND, 3 * SECOND]),
        sync_backlog_bytes: *dice.pick(&[0, 20 * page, 16 << 20]),
        sync_timeout: *dice.pick(&[3 * SECOND, 30 * SECOND]),
        max_dirty_bytes: *dice.pick(&[10 * page, 60 * page, 256 << 20]),
        max_loss_window: *dice.pick(&[2 * SECOND, 8 * SECOND, 30 * SECOND]),
        on_load_line: *dice.pick(&OnLoadLine::ALL),
        state_dir: Path::new("/state").to_owned(),
        heartbeat: *dice.pick(&[SECOND, 5 * SECOND]),
        holder_ttl: *dice.pick(&[5 * SECOND, 15 * SECOND]),
        idle_release: *dice.pick(&[Duration::ZERO, 2 * SECOND, 20 * SECOND]),
        close_timeout: *dice.pick(&[SECOND, 10 * SECOND]),
        follow_interval: *dice.pick(&[100 * MILLI, SECOND]),
        cache_bytes_max: *dice.pick(&[10 << 30, 20 * page]),
        hydrate: dice.once_in(2),
        read_ahead_bytes: *dice.pick(&[0, 1 << 20]),
        l0_retention: retention,
        compaction_levels: vec![merge, merge * 4, merge * 12],
        snapshot_interval: *dice.pick(&[MINUTE, 5 * MINUTE]),
        retention: *dice.pick(&[MINUTE, 10 * MINUTE]),
        ltx_frames: dice.once_in(4),
        ..defaults
    }
}
