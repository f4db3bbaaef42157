//! PRAGMA statements that concern a volume. SQLite asks about each one before it looks at it itself.

use std::time::Duration;

use plimsoll_host::WallMs;
use plimsoll_model::{Error, ErrorKind, Level, Result};
use plimsoll_volume::Reference;

use crate::{
    database::Database,
    header,
    registry::{Shared, registry},
};

/// The answer to a PRAGMA. There is none without a row: SQLite would take its text for the name of a column as well,
/// and programs do not expect a column that has none.
pub(crate) enum Reply {
    /// Not, or not only, for us.
    Pass,
    /// Done, with one row.
    Text(String),
    /// Failed, with a message for the application.
    Fail(Error),
}

impl From<Result<String>> for Reply {
    fn from(result: Result<String>) -> Self {
        match result {
            Ok(text) => Reply::Text(text),
            Err(error) => Reply::Fail(error),
        }
    }
}

/// Answers one PRAGMA. `in_transaction`: whether `BEGIN` has opened one.
pub(crate) fn run(database: &mut Database, name: &str, value: Option<&str>, in_transaction: bool) -> Reply {
    let value = value.map(str::trim);
    match (name.to_ascii_lowercase().as_str(), value) {
        ("synchronous", Some(value)) => {
            // In a transaction SQLite goes on to refuse it, and what was promised stays.
            if !in_transaction {
                database.promise.synchronous = Some(synchronous_level(value));
            }
            Reply::Pass
        }
        // SQLite would keep its lock after reading, and with it one state for good, that nobody may write on any more.
        ("locking_mode", Some(value)) if value.eq_ignore_ascii_case("exclusive") => Reply::Text("normal".to_owned()),
        ("journal_mode", Some(value)) => journal_mode(database, value),
        ("plimsoll_status", None) => status(database.shared()).into(),
        ("plimsoll_error", None) => Reply::Text(database.last_error().unwrap_or_default()),
        ("plimsoll_sync", None) => wait_here(database, Level::Durable).into(),
        ("plimsoll_wait", value) => {
            level(value.unwrap_or(Level::Durable.name())).and_then(|level| wait_here(database, level)).into()
        }
        ("plimsoll_time", Some(value)) => look_at(database, value).into(),
        ("plimsoll_time", None) => Reply::Text(looked_at(database)),
        ("plimsoll_durability", Some(value)) => durability(database, value).into(),
        ("plimsoll_durability", None) => Reply::Text(database.level().name().to_owned()),
        _ => Reply::Pass,
    }
}

/// WAL is refused as SQLite refuses it where there is no shared memory: the mode stays what it is.
fn journal_mode(database: &mut Database, value: &str) -> Reply {
    const MODES: [&str; 5] = ["delete", "truncate", "persist", "memory", "off"];
    if value.eq_ignore_ascii_case("wal") {
        return Reply::Text(database.journal_mode.to_owned());
    }
    if let Some(mode) = MODES.into_iter().find(|mode| mode.eq_ignore_ascii_case(value)) {
        database.journal_mode = mode;
    }
    Reply::Pass
}

/// The level that a value of `PRAGMA synchronous` promises, read as SQLite reads it.
pub(crate) fn synchronous_level(value: &str) -> Level {
    match value.to_ascii_lowercase().as_str() {
        "full" => Level::Journaled,
        "extra" => Level::Durable,
        word => match word.bytes().take_while(u8::is_ascii_digit).last().map(|_| word.trim_start_matches('0')) {
            Some(digits) if digits.starts_with('2') => Level::Journaled,
            Some(digits) if digits.starts_with(|c: char| ('3'..='9').contains(&c)) => Level::Durable,
            // NORMAL writes the journal with each commit, as OFF does here, and leaves syncing it to its cadence.
            _ => Level::Buffered,
        },
    }
}

/// A level by name.
///
/// # Errors
/// `Invalid` if it is none.
pub(crate) fn level(word: &str) -> Result<Level> {
    word.trim().parse().map_err(|error| Error::new(ErrorKind::Invalid, "reading a durability level").caused_by(error))
}

/// Sets the level of the connection's commits; `default` leaves it to `PRAGMA synchronous`
/// and the setting `durability` again.
///
/// # Errors
/// `Invalid` if it is no level, `Unsupported` if no volume offers it.
pub(crate) fn durability(database: &mut Database, word: &str) -> Result<String> {
    database.promise.durability = if word.trim().eq_ignore_ascii_case("default") {
        None
    } else {
        match level(word)? {
            Level::Replicated => {
                return Err(Error::new(ErrorKind::Unsupported, "setting the durability of commits")
                    .why("no volume has standbys yet")
                    .hint("use journaled or durable"));
            }
            level => Some(level),
        }
    };
    Ok(database.level().name().to_owned())
}

/// Looks at an earlier state from the next transaction on; `latest` looks at the newest again.
///
/// # Errors
/// `Invalid` for what names no state or in a transaction; `NotFound` if it cannot be had any more.
fn look_at(database: &mut Database, words: &str) -> Result<String> {
    let words = words.trim();
    let reference = if is_newest(words) { None } else { Some(Reference::parse(words, now()?)?) };
    database.look_at(reference.as_ref())?;
    Ok(looked_at(database))
}

/// Whether words mean the newest state, as it changes.
pub(crate) fn is_newest(words: &str) -> bool {
    ["", "latest", "now"].contains(&words.trim().to_ascii_lowercase().as_str())
}

/// Which state a connection looks at: a TXID, or `latest`.
fn looked_at(database: &Database) -> String {
    database.past().map_or_else(|| "latest".to_owned(), |past| past.txid().to_string())
}

/// This host's wall clock.
///
/// # Errors
/// When the engine could not be started.
pub(crate) fn now() -> Result<WallMs> {
    Ok(registry().process()?.host.clock.wall())
}

/// Makes an earlier state the newest again, and says what that changed, as JSON. Every connection sees it from its next
/// transaction on.
///
/// # Errors
/// `Held` while a transaction of this process is writing. As [`Volume::restore`](plimsoll_volume::Volume::restore).
pub(crate) fn restore(shared: &Shared, words: &str) -> Result<String> {
    let reference = Reference::parse(words, now()?)?;
    json(&shared.volume.restore_to(&reference, false, header::renew)?.done)
}

fn json(answer: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(answer)
        .map_err(|error| Error::new(ErrorKind::Invalid, "writing the answer as JSON").caused_by(error))
}

/// A token of everything that transactions which begin now see.
///
/// # Errors
/// As [`plimsoll_volume::Volume::token`].
pub(crate) fn token(shared: &Shared) -> Result<String> {
    Ok(shared.volume.token()?.to_string())
}

/// Waits until transactions that begin later see what a token stands for, at most so many milliseconds, or
/// `sync_timeout_ms`. Returns the token.
///
/// # Errors
/// As [`plimsoll_volume::Volume::wait_token`].
pub(crate) fn wait_token(shared: &Shared, token: &str, timeout_ms: Option<&str>) -> Result<String> {
    let timeout = match timeout_ms {
        Some(text) => Duration::from_millis(text.trim().parse().map_err(|error| {
            Error::new(ErrorKind::Invalid, "waiting for a session token")
                .why(format!("{text:?} is no number of milliseconds"))
                .caused_by(error)
        })?),
        None => match shared.volume.settings().sync_timeout {
            Duration::ZERO => Duration::MAX,
            timeout => timeout,
        },
    };
    shared.volume.wait_token(&token.parse()?, timeout)?;
    Ok(token.to_owned())
}

/// Begins to copy what a fork reads from other volumes, and says how far that has come, as JSON.
///
/// # Errors
/// As [`plimsoll_volume::Volume::detach_in_background`].
pub(crate) fn detach(shared: &Shared) -> Result<String> {
    json(&shared.volume.detach_in_background()?)
}

/// How far behind the newest sync a reader is, as JSON.
///
/// # Errors
/// As [`plimsoll_volume::Volume::lag`].
pub(crate) fn lag(shared: &Shared) -> Result<String> {
    json(&shared.volume.lag()?)
}

/// Waits until the last commit of the volume has reached a level, and returns its LSN.
///
/// # Errors
/// As [`plimsoll_volume::Volume::wait`].
pub(crate) fn wait(shared: &Shared, level: Level) -> Result<String> {
    let lsn = shared.volume.head();
    shared.volume.wait(lsn, level)?;
    Ok(lsn.to_string())
}

/// The same, for a connection that is asked later what went wrong.
fn wait_here(database: &Database, level: Level) -> Result<String> {
    wait(database.shared(), level).inspect_err(|error| database.remember(&error.to_string()))
}

/// The volume's status as JSON.
///
/// # Errors
/// `Invalid` if it cannot be written as JSON.
pub(crate) fn status(shared: &Shared) -> Result<String> {
    json(&shared.volume.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synchronous_means_what_it_means_to_sqlite() {
        for (value, level) in [
            ("OFF", Level::Buffered),
            ("0", Level::Buffered),
            ("normal", Level::Buffered),
            ("1", Level::Buffered),
            ("Full", Level::Journaled),
            ("2", Level::Journaled),
            ("02", Level::Journaled),
            ("extra", Level::Durable),
            ("3", Level::Durable),
            ("nonsense", Level::Buffered),
        ] {
            assert_eq!(synchronous_level(value), level, "{value}");
        }
    }
}
