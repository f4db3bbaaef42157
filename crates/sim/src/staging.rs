//! Runs that begin with a scene, in which nothing else happens.

use std::time::Duration;

use plimsoll_ltx::Layout;

use crate::{
    aim::{ASIDE, Aim},
    fate::Blow,
    profile::Profile,
    scene::{ACCOUNT, LATE_DECISION, LATE_FENCE, MEETING, NEWBORN, POLITE, STRAY, STRAY_FENCE, Scene, UNMERGED},
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Makes a short run serve an aim that has a scene.
///
/// # Panics
/// For any other aim.
pub(crate) fn stage(aim: Aim, profile: &mut Profile) {
    match aim {
        Aim::Newborn => {
            staged(profile, NEWBORN);
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.l0_retention) = (4 * SECOND, 10 * SECOND);
        }
        Aim::Fence => {
            staged(profile, LATE_FENCE);
            profile.request_timeout = 30 * SECOND;
            profile.weather.slow = vec![(1, "create ltx/0/", 5_800 * MILLI, 7 * SECOND)];
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.l0_retention) = (60 * SECOND, 2 * SECOND);
        }
        Aim::Meeting => {
            staged(profile, MEETING);
            profile.request_timeout = 30 * SECOND;
            let (announced, looked) = ((1_900 * MILLI, 2_200 * MILLI), (2_500 * MILLI, 3 * SECOND));
            profile.weather.slow =
                vec![(0, "create gc/", announced.0, announced.1), (2, "list gc/", looked.0, looked.1)];
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.l0_retention) = (60 * SECOND, 2 * SECOND);
        }
        Aim::Decision => {
            staged(profile, LATE_DECISION);
            profile.request_timeout = 30 * SECOND;
            let (decision, pins) = ((5 * SECOND, 6 * SECOND), (3 * SECOND, 3_500 * MILLI));
            profile.weather.slow = vec![(0, ".go", decision.0, decision.1), (1, "list pins/", pins.0, pins.1)];
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.l0_retention) = (60 * SECOND, 2 * SECOND);
        }
        Aim::Account => {
            staged(profile, ACCOUNT);
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.sync_interval) = (500 * MILLI, 20 * SECOND);
            settings.sync_backlog_bytes = 16 << 20;
        }
        Aim::Stray => {
            staged(profile, STRAY);
            profile.request_timeout = 30 * SECOND;
            profile.weather.slow = vec![(0, "create ltx/0/0000000000000003", 7 * SECOND, 8 * SECOND)];
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.l0_retention) = (60 * SECOND, 2 * SECOND);
        }
        Aim::StrayFence => {
            staged(profile, STRAY_FENCE);
            (profile.request_timeout, profile.back_min) = (30 * SECOND, 11 * SECOND);
            (profile.pointers, profile.deeds) = (40, ASIDE);
            profile.weather.slow = vec![(1, "create ltx/0/", 9 * SECOND, 10 * SECOND)];
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.l0_retention) = (60 * SECOND, 4 * SECOND);
        }
        Aim::Unmerged => {
            staged(profile, UNMERGED);
            profile.rough = true;
            profile.weather.spoilt = vec![(1, "ltx/0/", 5 * SECOND, 6 * SECOND)];
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.l0_retention) = (60 * SECOND, 2 * SECOND);
        }
        Aim::Polite => {
            staged(profile, POLITE);
            (profile.takeover, profile.punctual) = (0, true);
            let settings = &mut profile.settings;
            (settings.heartbeat, settings.holder_ttl) = (SECOND, 4 * SECOND);
            // Whoever holds it falls asleep for longer than he is respected.
            (profile.blows, profile.blow_every) = (&[(1, Blow::Sleep), (1, Blow::Kill)], 4 * SECOND);
            profile.sleep = (5 * SECOND, 9 * SECOND);
        }
        other => panic!("BUG: {} has no scene", other.name()),
    }
}

/// Three hosts that begin with a scene, in which nothing else happens.
fn staged(profile: &mut Profile, scene: Scene) {
    (profile.hosts, profile.applications, profile.workers) = (3, 1, 0);
    (profile.scene, profile.layout, profile.wrapped, profile.takeover) = (scene, Layout::Other, false, 1);
    // Nobody dies in the middle of it.
    (profile.blows, profile.blow_every) = (&[(1, Blow::CacheLoss)], 20 * SECOND);
    profile.length = 25 * SECOND;
    profile.weather.latency = 10 * MILLI;
    let settings = &mut profile.settings;
    (settings.sync_interval, settings.sync_timeout) = (100 * MILLI, 30 * SECOND);
    settings.compaction_levels = vec![60 * SECOND];
    (settings.retention, settings.snapshot_interval) = (settings.retention.max(60 * SECOND), 600 * SECOND);
}
