use std::{collections::BTreeSet, time::Duration};

use plimsoll_durability::{JournalCadence, OnLoadLine};

use super::settings;
use crate::{Adopted, KEYS, key, markdown};

#[test]
fn the_defaults_are_those_of_the_design() {
    let expected = [
        ("journal_sync_policy", "interval"),
        ("journal_sync_interval_ms", "5"),
        ("journal_sync_backlog_bytes", "2097152"),
        ("sync_interval_ms", "1000"),
        ("sync_backlog_bytes", "16777216"),
        ("max_dirty_bytes", "268435456"),
        ("max_loss_window_ms", "30000"),
        ("on_load_line", "block"),
        ("heartbeat_ms", "10000"),
        ("holder_ttl_ms", "30000"),
        ("idle_release_ms", "60000"),
        ("takeover", "false"),
        ("cache_bytes_max", "10737418240"),
        ("hydrate", "true"),
        ("l0_retention_ms", "300000"),
        ("compaction_levels_ms", "30000,300000,3600000"),
        ("snapshot_interval_ms", "86400000"),
        ("retention_ms", "86400000"),
        ("stranded_retention_ms", "604800000"),
        ("follow_interval_ms", "1000"),
        ("close_timeout_ms", "10000"),
        ("log", "error"),
        ("durability", ""),
        ("metrics_listen", ""),
    ];
    let settings = settings("");
    for (name, value) in expected {
        assert_eq!(settings.show(key(name).expect(name)), value, "{name}");
    }
}

#[test]
fn names_are_unique_and_say_their_unit() {
    let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), KEYS.len());
    for key in KEYS {
        if key.form.starts_with("milliseconds") {
            assert!(key.name.ends_with("_ms"), "{}", key.name);
        }
        if key.form.starts_with("bytes") {
            assert!(key.name.contains("bytes"), "{}", key.name);
        }
    }
}

#[test]
fn every_key_is_described_and_in_the_documentation() {
    for key in KEYS {
        assert!(key.meaning.len() > 20, "{}", key.name);
        assert!(markdown().contains(&format!("| `{}` |", key.name)));
    }
}

#[test]
fn what_may_change_while_running_does_and_the_rest_waits_for_the_next_open() {
    let mut running = settings("");
    let new = settings("sync_interval_ms = 50\nstate_dir = '/elsewhere'\non_load_line = 'fail'");
    let adopted = running.adopt(&new);
    assert_eq!(adopted, Adopted { taken: vec!["sync_interval_ms", "on_load_line"], kept: vec!["state_dir"] });
    assert_eq!(running.sync_interval, Duration::from_millis(50));
    assert_eq!(running.state_dir.to_str(), Some("/home/ann/.local/state/plimsoll"));
}

#[test]
fn the_parts_that_decide_get_their_settings() {
    let settings = settings("max_loss_window_ms = 7\nmax_dirty_bytes = 8\non_load_line = 'fail'\nsync_interval_ms = 9");
    let line = settings.load_line();
    assert_eq!((line.max_loss_window, line.max_dirty_bytes), (Duration::from_millis(7), 8));
    assert_eq!(line.policy, OnLoadLine::Fail);
    assert_eq!(settings.sync_cadence().interval, Duration::from_millis(9));
    assert_eq!(settings.sync_cadence().max_loss_window, line.max_loss_window);
    let cadence = JournalCadence::Interval { interval: Duration::from_millis(5), backlog_bytes: 2 << 20 };
    assert_eq!(settings.journal_cadence(), cadence);
}
