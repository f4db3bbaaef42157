//! Sources in order: defaults < file < environment < overrides.

use std::path::PathBuf;

use plimsoll_model::{Error, ErrorKind, Result, limits::MERGE_LEVELS_MAX};

use crate::{
    Environment, file,
    locate::{FileText, state_home},
    source::Source,
    table::{KEYS, Key, Settings, key},
    value::Raw,
};

/// Environment variables that begin like settings and are none. A `*` stands for any ending.
pub const RESERVED: &[&str] = &["PLIMSOLL_CONFIG", "PLIMSOLL_TEST_*"];

/// Whether an environment variable is one of [`RESERVED`].
#[must_use]
pub fn is_reserved(variable: &str) -> bool {
    RESERVED.iter().any(|reserved| match reserved.strip_suffix('*') {
        Some(start) => variable.starts_with(start),
        None => variable == *reserved,
    })
}

/// A value that goes before file and environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The key.
    pub name: String,
    /// The value, as text.
    pub value: String,
    /// Where it came from, for people: "URL parameter", "--set".
    pub source: String,
}

impl Override {
    /// A value that goes before file and environment.
    pub fn new(name: impl Into<String>, value: impl Into<String>, source: impl Into<String>) -> Self {
        Override { name: name.into(), value: value.into(), source: source.into() }
    }
}

/// Everything that settings are made from. Not `Debug`: the environment may hold credentials.
#[derive(Clone, Default)]
pub struct Input {
    /// The file, if there is one.
    pub file: Option<FileText>,
    /// The environment.
    pub environment: Environment,
    /// In order: of two for one key, the later one holds.
    pub overrides: Vec<Override>,
}

/// Settings, and where each came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced {
    /// The values.
    pub settings: Settings,
    sources: Vec<Source>,
}

/// One setting with its source, as `plimsoll config` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key.
    pub key: &'static Key,
    /// Its value; empty is unset.
    pub value: String,
    /// Where the value came from.
    pub source: &'a Source,
}

impl Sourced {
    /// Lays the sources over each other.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] naming key, source and expected form, for the first value that cannot be used.
    pub fn load(input: &Input) -> Result<Sourced> {
        let state_dir = state_home(&input.environment).map(|dir| dir.join("plimsoll"));
        let mut sourced = Sourced {
            // An empty path is no absolute one, so nobody can have set it.
            settings: Settings::defaults(state_dir.unwrap_or_default()),
            sources: vec![Source::Default; KEYS.len()],
        };
        if let Some(file) = &input.file {
            file::each(file, |key, raw, source| sourced.set(key, raw, source))?;
        }
        for (variable, value) in &input.environment {
            let Some(word) = variable.strip_prefix("PLIMSOLL_") else { continue };
            if is_reserved(variable) {
                continue;
            }
            let source = Source::Environment(variable.clone());
            let known = KEYS.iter().find(|key| key.variable() == *variable);
            let known = known.ok_or_else(|| unknown_key(&word.to_ascii_lowercase(), &source))?;
            sourced.set(known, Raw::Text(value), source)?;
        }
        for Override { name, value, source } in &input.overrides {
            let source = Source::Override(source.clone());
            let known = key(name).ok_or_else(|| unknown_key(name, &source))?;
            sourced.set(known, Raw::Text(value), source)?;
        }
        sourced.check()?;
        Ok(sourced)
    }

    /// Every key with its value and source, in the order of the documentation.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        KEYS.iter().zip(&self.sources).map(|(key, source)| Row { key, value: self.settings.show(key), source })
    }

    /// Where the value of a key came from; `None` if there is no such key.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Source> {
        KEYS.iter().position(|key| key.name == name).map(|place| &self.sources[place])
    }

    fn set(&mut self, key: &'static Key, raw: Raw<'_>, source: Source) -> Result<()> {
        if !self.settings.set(key, raw) {
            return Err(wrong_form(key, &raw.shown(), &source));
        }
        let place = KEYS.iter().position(|other| other.name == key.name).expect("BUG: a key is not in its table");
        self.sources[place] = source;
        Ok(())
    }

    /// What one value alone cannot tell.
    fn check(&self) -> Result<()> {
        let settings = &self.settings;
        if settings.state_dir == PathBuf::new() {
            return Err(self
                .refuse("state_dir", "there is no default, since HOME is not set")
                .hint("set state_dir to an absolute path"));
        }
        let periods = [
            ("heartbeat_ms", settings.heartbeat),
            ("follow_interval_ms", settings.follow_interval),
            ("snapshot_interval_ms", settings.snapshot_interval),
            ("l0_retention_ms", settings.l0_retention),
        ];
        if let Some((name, _)) = periods.into_iter().find(|(_, period)| period.is_zero()) {
            return Err(self.refuse(name, "it is 0, which is no period; expected 1 or more"));
        }
        if settings.holder_ttl <= settings.heartbeat {
            let (ttl, beat) = (settings.holder_ttl.as_millis(), settings.heartbeat.as_millis());
            let why = format!("it is {ttl}, but a living writer is silent for heartbeat_ms = {beat} at a time");
            return Err(self.refuse("holder_ttl_ms", why).hint("set it to some times heartbeat_ms"));
        }
        let levels = &settings.compaction_levels;
        if levels.first().is_some_and(|first| first.is_zero()) || !levels.is_sorted_by(|a, b| a < b) {
            let why =
                format!("it is {}; expected periods that grow from level to level", show(self, "compaction_levels_ms"));
            return Err(self.refuse("compaction_levels_ms", why));
        }
        if levels.len() > MERGE_LEVELS_MAX {
            let why = format!("it has {} periods; there are {MERGE_LEVELS_MAX} levels to merge into", levels.len());
            return Err(self.refuse("compaction_levels_ms", why).hint("leave the last ones out"));
        }
        Ok(())
    }

    fn refuse(&self, name: &'static str, why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        let source = self.source(name).expect("BUG: a checked key is not in the table");
        Error::new(ErrorKind::Invalid, "reading settings").object(format!("{name} ({source})")).why(why)
    }
}

fn show(sourced: &Sourced, name: &str) -> String {
    key(name).map(|key| sourced.settings.show(key)).unwrap_or_default()
}

pub(crate) fn wrong_form(key: &Key, found: &str, source: &Source) -> Error {
    let error = Error::new(ErrorKind::Invalid, "reading settings")
        .object(format!("{} ({source})", key.name))
        .why(format!("found {found}, expected {}", key.form));
    if has_unit(found) && (key.form.starts_with("bytes") || key.form.starts_with("milliseconds")) {
        return error.hint("leave the unit out; the name of the key says it");
    }
    error
}

/// A number with letters behind it: `5ms`, `'2 MiB'`, `1.5s`.
fn has_unit(found: &str) -> bool {
    let bare = found.trim_start_matches("the string ").trim_matches(['\'', '"']).trim();
    bare.starts_with(|c: char| c.is_ascii_digit()) && bare.ends_with(|c: char| c.is_alphabetic())
}

pub(crate) fn unknown_key(word: &str, source: &Source) -> Error {
    let error = Error::new(ErrorKind::Invalid, "reading settings")
        .object(format!("{word} ({source})"))
        .why("there is no setting of this name");
    match nearest(word) {
        Some(name) => error.hint(format!("did you mean {name}?")),
        None => error.hint("`plimsoll config` lists every setting"),
    }
}

/// The key that was probably meant: the rest of a shortened one, or a few letters away.
fn nearest(word: &str) -> Option<&'static str> {
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let begun = KEYS.iter().map(|key| key.name).find(|name| name.starts_with(word) && word.len() >= 4);
    let close = || {
        let distances = KEYS.iter().map(|key| (distance(word, key.name), key.name));
        distances.min().filter(|(far, name)| *far <= name.len() / 4).map(|(_, name)| name)
    };
    begun.or_else(close)
}

/// Levenshtein's distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
