//! The text of `plimsoll.toml`: keys and values, with their lines.

use plimsoll_model::{Error, ErrorKind, Result};
use toml::de::DeTable;

use crate::{
    layers::{unknown_key, wrong_form},
    locate::FileText,
    source::Source,
    table::{Key, key},
    value::Raw,
};

/// Calls `set` with each key of a file, its value and its place.
///
/// # Errors
/// [`ErrorKind::Invalid`] naming file, line and key: not TOML, an unknown key, or what `set` returns.
pub(crate) fn each(
    FileText { name, text }: &FileText,
    mut set: impl FnMut(&'static Key, Raw<'_>, Source) -> Result<()>,
) -> Result<()> {
    let table = DeTable::parse(text).map_err(|error| not_toml(name, text, &error))?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_unstable_by_key(|(word, _)| word.span().start);
    for (word, value) in entries {
        let source = Source::File { name: name.clone(), line: line(text, word.span().start) };
        match key(word.get_ref()) {
            Some(known) => set(known, Raw::Toml(value.get_ref()), source)?,
            None => return Err(unknown_key(word.get_ref(), &source)),
        }
    }
    Ok(())
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// `sync_interval_ms = 5s` is not TOML at all, but the line says what was meant.
fn not_toml(name: &str, text: &str, error: &toml::de::Error) -> Error {
    let Some(span) = error.span() else {
        return Error::new(ErrorKind::Invalid, "reading settings").object(name).why(error.message().to_owned());
    };
    let number = line(text, span.start);
    let source = Source::File { name: name.to_owned(), line: number };
    let written = text.lines().nth(number - 1).unwrap_or_default();
    if let Some((word, value)) = written.split_once('=')
        && let Some(known) = key(word.trim())
        && !value.trim().is_empty()
        && DeTable::parse(written).is_err()
    {
        return wrong_form(known, value.trim(), &source);
    }
    Error::new(ErrorKind::Invalid, "reading settings").object(source.to_string()).why(error.message().to_owned())
}
