use std::time::Duration;

use plimsoll_durability::OnLoadLine;
use plimsoll_model::{ErrorKind, Level};
use proptest::prelude::*;

use super::{environment, from_file, input, refused, settings};
use crate::{Input, JournalSyncPolicy, KEYS, Override, Sourced};

#[test]
fn every_type_is_read_from_a_file() {
    let settings = settings(
        r#"
        journal_sync_policy = "immediate"
        sync_interval_ms = 2_500
        sync_backlog_bytes = 0x100000
        on_load_line = "write_through"
        takeover = true
        compaction_levels_ms = [1000, 60000]
        metrics_listen = "[::1]:9090"
        durability = "durable"
        state_dir = "/var/lib/plimsoll"
        region = "eu-west-1"
        "#,
    );
    assert_eq!(settings.journal_sync_policy, JournalSyncPolicy::Immediate);
    assert_eq!(settings.sync_interval, Duration::from_millis(2500));
    assert_eq!(settings.sync_backlog_bytes, 1 << 20);
    assert_eq!(settings.on_load_line, OnLoadLine::WriteThrough);
    assert!(settings.takeover);
    assert_eq!(settings.compaction_levels, [1, 60].map(Duration::from_secs));
    assert_eq!(settings.metrics_listen, Some("[::1]:9090".parse().unwrap()));
    assert_eq!(settings.durability, Some(Level::Durable));
    assert_eq!(settings.state_dir.to_str(), Some("/var/lib/plimsoll"));
    assert_eq!(settings.region.as_deref(), Some("eu-west-1"));
}

#[test]
fn an_empty_text_unsets_what_may_be_unset() {
    let settings = settings("durability = ''\nmetrics_listen = ''\nendpoint = ''\ncompaction_levels_ms = ''");
    assert_eq!((settings.durability, settings.metrics_listen, settings.endpoint), (None, None, None));
    assert!(settings.compaction_levels.is_empty());
}

#[test]
fn a_unit_suffix_is_an_error_that_names_key_source_and_form() {
    assert_eq!(
        refused("\nsync_interval_ms = 5ms"),
        "reading settings sync_interval_ms (plimsoll.toml:2): found 5ms, expected milliseconds as a plain whole number, \
         such as 1000 (leave the unit out; the name of the key says it)"
    );
    assert_eq!(
        refused("max_dirty_bytes = '2MiB'"),
        "reading settings max_dirty_bytes (plimsoll.toml:1): found the string \"2MiB\", expected bytes as a plain whole \
         number, such as 2097152 (leave the unit out; the name of the key says it)"
    );
    let error = Sourced::load(&input("", &[("PLIMSOLL_CLOSE_TIMEOUT_MS", "10s")], &[])).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "reading settings close_timeout_ms (environment PLIMSOLL_CLOSE_TIMEOUT_MS): found '10s', expected"
        ),
        "{error}"
    );
    let error = Sourced::load(&input("", &[], &[("cache_bytes_max", "1 GB")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().starts_with("reading settings cache_bytes_max (--set): found '1 GB', expected bytes"));
}

#[test]
fn outside_of_a_file_one_and_zero_are_true_and_false() {
    for (text, expected) in [("1", true), ("0", false), ("true", true), ("false", false)] {
        let input = input("", &[("PLIMSOLL_TAKEOVER", text)], &[]);
        assert_eq!(Sourced::load(&input).unwrap().settings.takeover, expected, "{text}");
    }
}

#[test]
fn a_wrong_type_is_an_error() {
    let table = [
        ("sync_interval_ms = '1000'", "found the string \"1000\", expected milliseconds"),
        ("sync_interval_ms = 1.5", "found 1.5, expected milliseconds"),
        ("sync_interval_ms = -1", "found -1, expected milliseconds"),
        ("sync_interval_ms = 99999999999999999999", "found 99999999999999999999, expected milliseconds"),
        ("sync_interval_ms = true", "found true, expected milliseconds"),
        ("hydrate = 1", "found 1, expected true or false"),
        ("hydrate = 'yes'", "found the string \"yes\", expected true or false"),
        ("hydrate = yes", "found yes, expected true or false"),
        ("on_load_line = 'panic'", "found the string \"panic\", expected block, fail or write_through"),
        ("journal_sync_policy = 'Interval'", "expected interval, immediate or manual"),
        ("durability = 'replicated'", "expected buffered, journaled or durable"),
        ("metrics_listen = 'localhost'", "expected an address and port"),
        ("metrics_listen = 9090", "found 9090, expected an address and port"),
        ("state_dir = 'state'", "expected an absolute path"),
        ("state_dir = ''", "expected an absolute path"),
        ("compaction_levels_ms = [1000, '60s']", "found an array, expected milliseconds"),
        ("compaction_levels_ms = '1000,,5000'", "expected milliseconds"),
        ("log = ''", "expected a text that is not empty"),
        ("log = 2026-11-20", "found a datetime, expected a text"),
        ("[hydrate]\non = true", "found a table, expected true or false"),
    ];
    for (text, expected) in table {
        let error = refused(text);
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.contains("(plimsoll.toml:1)"), "{text}: {error}");
    }
}

#[test]
fn an_unknown_key_is_an_error_that_guesses_what_was_meant() {
    let table = [
        (
            "\n\nsync_interval = 5",
            "sync_interval (plimsoll.toml:3): there is no setting of this name (did you mean sync_interval_ms?)",
        ),
        ("sync_intervall_ms = 5", "(did you mean sync_interval_ms?)"),
        ("max_dirty_byte = 5", "(did you mean max_dirty_bytes?)"),
        ("colour = 'red'", "(`plimsoll config` lists every setting)"),
        ("[sync]\ninterval_ms = 5", "sync (plimsoll.toml:1): there is no setting of this name"),
    ];
    for (text, expected) in table {
        assert!(refused(text).contains(expected), "{}", refused(text));
    }
}

#[test]
fn text_that_is_not_toml_is_an_error_with_its_line() {
    assert!(refused("sync_interval_ms = 5\n= 7").starts_with("reading settings plimsoll.toml:2: "));
    assert!(refused("hydrate = true\nhydrate = true").contains("plimsoll.toml:2: duplicate key"));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let table = [
        (
            "holder_ttl_ms = 10000",
            "holder_ttl_ms (plimsoll.toml:1): it is 10000, but a living writer is silent for heartbeat_ms = 10000",
        ),
        ("heartbeat_ms = 0", "heartbeat_ms (plimsoll.toml:1): it is 0"),
        ("follow_interval_ms = 0", "follow_interval_ms (plimsoll.toml:1): it is 0"),
        (
            "compaction_levels_ms = [3000, 3000]",
            "compaction_levels_ms (plimsoll.toml:1): it is 3000,3000; expected periods that grow",
        ),
        ("compaction_levels_ms = [0]", "expected periods that grow"),
        // The ninth would be merged into the level of the snapshots.
        ("compaction_levels_ms = [1, 2, 3, 4, 5, 6, 7, 8, 9]", "it has 9 periods; there are 8 levels to merge into"),
    ];
    for (text, expected) in table {
        assert!(refused(text).contains(expected), "{}", refused(text));
    }
}

#[test]
fn without_a_home_the_state_directory_has_to_be_said() {
    let mut input = Input::default();
    let error = Sourced::load(&input).unwrap_err().to_string();
    assert!(error.contains("state_dir (default): there is no default, since HOME is not set"), "{error}");
    input.overrides = vec![Override::new("state_dir", "/x", "--set")];
    assert_eq!(Sourced::load(&input).unwrap().settings.state_dir.to_str(), Some("/x"));
}

#[test]
fn what_is_shown_reads_back_as_the_same_settings() {
    let text = "compaction_levels_ms = [7, 8]\nmetrics_listen = '1.2.3.4:5'\ndurability = 'buffered'\nhydrate = false";
    let written = from_file(text).unwrap();
    let overrides = written.rows().map(|row| Override::new(row.key.name, row.value, "again")).collect();
    let again = Sourced::load(&Input { file: None, environment: environment(&[]), overrides }).unwrap();
    assert_eq!(again.settings, written.settings);
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "\\PC*") {
        let _ = from_file(&text);
    }

    #[test]
    fn no_value_makes_it_panic(key in 0..KEYS.len(), value in "\\PC{0,12}") {
        let _ = from_file(&format!("{} = {value}", KEYS[key].name));
        let _ = Sourced::load(&input("", &[(&KEYS[key].variable(), &value)], &[]));
    }
}
