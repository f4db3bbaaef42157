use std::time::Duration;

use super::{environment, input};
use crate::{Input, KEYS, Source, Sourced, is_reserved};

#[test]
fn defaults_give_way_to_the_file_the_file_to_the_environment_and_that_to_overrides() {
    let file = "sync_interval_ms = 1\nheartbeat_ms = 2\nholder_ttl_ms = 30";
    let variables = [("PLIMSOLL_HEARTBEAT_MS", "3"), ("PLIMSOLL_HOLDER_TTL_MS", "40")];
    let sourced = Sourced::load(&input(file, &variables, &[("holder_ttl_ms", "50")])).unwrap();
    let settings = &sourced.settings;
    assert_eq!(settings.close_timeout, Duration::from_millis(10_000));
    assert_eq!(settings.sync_interval, Duration::from_millis(1));
    assert_eq!(settings.heartbeat, Duration::from_millis(3));
    assert_eq!(settings.holder_ttl, Duration::from_millis(50));

    let said = ["close_timeout_ms", "sync_interval_ms", "heartbeat_ms", "holder_ttl_ms"]
        .map(|name| sourced.source(name).unwrap().to_string());
    assert_eq!(said, ["default", "plimsoll.toml:1", "environment PLIMSOLL_HEARTBEAT_MS", "--set"]);
    assert_eq!(sourced.source("colour"), None);
}

#[test]
fn of_two_overrides_the_later_one_holds() {
    let sourced = Sourced::load(&input("", &[], &[("log", "warn"), ("log", "info")])).unwrap();
    assert_eq!(sourced.settings.log, "info");
}

#[test]
fn every_key_can_be_set_by_its_environment_variable() {
    let defaults = Sourced::load(&input("", &[], &[])).unwrap();
    for row in defaults.rows() {
        let variable = row.key.variable();
        let sourced = Sourced::load(&input("", &[(&variable, &row.value)], &[])).unwrap();
        assert_eq!(sourced.source(row.key.name), Some(&Source::Environment(variable)));
        assert_eq!(sourced.settings, defaults.settings);
    }
}

#[test]
fn an_unknown_variable_of_ours_is_an_error_and_reserved_and_foreign_ones_are_not() {
    let error = Sourced::load(&input("", &[("PLIMSOLL_SYNC_INTERVAL", "5")], &[])).unwrap_err().to_string();
    assert_eq!(
        error,
        "reading settings sync_interval (environment PLIMSOLL_SYNC_INTERVAL): there is no setting of this name \
         (did you mean sync_interval_ms?)"
    );
    for variable in ["PLIMSOLL_CONFIG", "PLIMSOLL_TEST_SEED", "PLIMSOL", "PATH", "plimsoll_log"] {
        Sourced::load(&input("", &[(variable, "5")], &[])).expect(variable);
    }
    assert!(Sourced::load(&input("", &[("PLIMSOLL_CONFIGS", "5")], &[])).is_err());
    assert!(Sourced::load(&input("", &[("PLIMSOLL_log", "warn")], &[])).is_err(), "variables are upper case");
    assert!(KEYS.iter().all(|key| !is_reserved(&key.variable())));
}

#[test]
fn the_state_directory_follows_the_base_directories() {
    let state_dir = |variables: &[(&str, &str)]| {
        let input = Input { environment: environment(variables), ..Input::default() };
        Sourced::load(&input).unwrap().settings.state_dir.display().to_string()
    };
    assert_eq!(state_dir(&[]), "/home/ann/.local/state/plimsoll");
    assert_eq!(state_dir(&[("XDG_STATE_HOME", "/s")]), "/s/plimsoll");
    assert_eq!(state_dir(&[("XDG_STATE_HOME", "relative")]), "/home/ann/.local/state/plimsoll");
    assert_eq!(state_dir(&[("PLIMSOLL_STATE_DIR", "/mine")]), "/mine");
}
