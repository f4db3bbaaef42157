//! Settings: the file, the environment, parameters.

use plimsoll_settings::{Environment, FileText, Input, KEYS, Override, Sourced};

use crate::Target;

pub(super) const FILE: Target = Target {
    name: "settings-file",
    feed: file,
    seeds: files,
    read: None,
    words: &[
        b"sync_interval_ms",
        b" = ",
        b"\n",
        b"9223372036854775807",
        b"-1",
        b"\"",
        b"[",
        b"'''",
        b"0x",
        b"1_0",
        b"nan",
    ],
    bytes_max: 1 << 10,
};
pub(super) const TEXT: Target = Target {
    name: "settings-text",
    feed: text,
    seeds: texts,
    read: None,
    words: &[b"=", b"18446744073709551615", b"18446744073709551616", b"-0", b"+1", b",", b"true", b"[::1]:1"],
    bytes_max: 200,
};

fn files() -> Vec<Vec<u8>> {
    [
        "sync_interval_ms = 2_500\nsync_backlog_bytes = 0x100000\non_load_line = 'write_through'\ntakeover = true\n",
        "compaction_levels_ms = [1000, 60000]\nmetrics_listen = \"[::1]:9090\"\ndurability = \"durable\"\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Every key with its default.
fn texts() -> Vec<Vec<u8>> {
    let input = Input { file: None, environment: home(), overrides: Vec::new() };
    let sourced = Sourced::load(&input).expect("BUG: the defaults are refused");
    sourced.rows().map(|row| format!("{}={}", row.key.name, row.value).into_bytes()).collect()
}

fn home() -> Environment {
    Environment::from_iter([("HOME".to_owned(), "/home/me".to_owned())])
}

fn file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let file = FileText { name: "plimsoll.toml".to_owned(), text: text.to_owned() };
    reload(Sourced::load(&Input { file: Some(file), environment: home(), overrides: Vec::new() }));
}

fn text(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Some((name, value)) = text.split_once('=') else { return };
    let overrides = vec![Override::new(name, value, "URL parameter")];
    reload(Sourced::load(&Input { file: None, environment: home(), overrides }));
    let mut environment = home();
    environment.insert(format!("PLIMSOLL_{}", name.to_ascii_uppercase()), value.to_owned());
    reload(Sourced::load(&Input { file: None, environment, overrides: Vec::new() }));
}

/// What is shown of settings gives the same settings.
fn reload(loaded: plimsoll_model::Result<Sourced>) {
    let Ok(sourced) = loaded else { return };
    assert_eq!(sourced.rows().count(), KEYS.len());
    let overrides = sourced.rows().map(|row| Override::new(row.key.name, row.value, "--set")).collect();
    let again = Sourced::load(&Input { file: None, environment: home(), overrides });
    let again = again.unwrap_or_else(|error| panic!("what is shown is refused: {error}"));
    assert_eq!(again.settings, sourced.settings);
}
