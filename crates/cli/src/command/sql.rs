//! `plimsoll sql URL [STATEMENT]`.

mod rows; // results, printed
mod shell; // the interactive one
mod statements; // running text that holds statements
mod stream; // statements as they arrive

use std::{
    io::{IsTerminal, stdin},
    time::Duration,
};

use plimsoll_model::Level;
use plimsoll_settings::{Source, key};
use plimsoll_volume::{Located, Losses, Reference, split_reference};
use rusqlite::{Connection, OpenFlags};

use crate::{
    exit::{Exit, Failure, Result},
    interrupt,
    setup::{Setup, no_volume_but},
};

/// How long a statement waits for another writer of this host, which lets go once its commits are synced.
const BUSY: Duration = Duration::from_secs(5);

pub(crate) fn run(
    setup: &Setup,
    typed: &str,
    statement: Option<&str>,
    durability: Option<Level>,
    read_only: bool,
) -> Result<()> {
    let (typed, past) = split_reference(typed);
    if let Some(past) = &past {
        Reference::parse(past, setup.process.host.clock.wall())?;
    }
    let located = setup.locate(&typed)?;
    let held = interrupt::connections()?;
    let connection = connect(setup, &located, read_only || past.is_some(), &[])?;
    let ready = set_durability(&connection, durability).and_then(|()| look_at(&connection, past.as_deref()));
    let outcome = ready.and_then(|()| match statement {
        Some(sql) => statements::run(setup, &connection, sql),
        None if stdin().is_terminal() => shell::run(setup, &located, &connection),
        None => stream::run(stdin().lock(), |sql| statements::run(setup, &connection, sql)),
    });
    tell_losses(setup, &connection);
    let closed = close(connection);
    // What was interrupted has failed for that.
    interrupt::give_way();
    drop(held);
    outcome.and(closed)
}

/// Opens a connection whose volumes are opened with the settings of the command line. `adjust` says which
/// settings suit the command unless the user has set them.
pub(crate) fn connect(
    setup: &Setup,
    located: &Located,
    read_only: bool,
    adjust: &[(&str, &str)],
) -> Result<Connection> {
    let mut process = setup.process.clone();
    let adjusted = adjust.iter().filter_map(|(name, value)| Some((key(name)?.variable(), (*value).to_owned())));
    process.environment.extend(adjusted);
    // The settings were read, and checked, from all their sources; the VFS gets what is not default.
    let named = located.settings.rows().filter(|row| *row.source != Source::Default);
    process.environment.extend(named.map(|row| (row.key.variable(), row.value)));
    plimsoll_sqlite::register_with(process)?;
    let access = if read_only { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    let flags = access | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags_and_vfs(name(located), flags, c"plimsoll");
    let connection = match opened.map_err(|error| failure(&error)) {
        Err(failure) if failure.exit() == Exit::NotFound && failure.to_string().contains("no volume") => {
            return Err(no_volume_but(setup, "opening", located.store.url(), &located.dir).into());
        }
        opened => opened?,
    };
    connection.busy_timeout(BUSY).map_err(|error| failure(&error))?;
    Ok(connection)
}

/// The volume as a name for SQLite.
fn name(located: &Located) -> String {
    let url = located.url.canonical();
    let before = if url.contains('?') { '&' } else { '?' };
    located.url.param("account").map_or_else(|| url.clone(), |account| format!("{url}{before}account={account}"))
}

/// Closes a connection, and with it the volume.
///
/// # Errors
/// When what was committed could not be made durable in time.
pub(crate) fn close(connection: Connection) -> Result<()> {
    // An error from before has been reported.
    drop(plimsoll_sqlite::take_last_error());
    let closed = connection.close().map_err(|(_, error)| failure(&error));
    // SQLite does not pass on what closing the volume answered.
    match plimsoll_sqlite::take_last_error() {
        Some(error) => Err(error.into()),
        None => closed,
    }
}

/// Says if the volume was taken from writers that had advertised commits which the history does not hold, or may have.
fn tell_losses(setup: &Setup, connection: &Connection) {
    let status = connection.query_row("SELECT plimsoll_status()", [], |row| row.get::<_, String>(0));
    // Whatever is wrong with the connection was said where it mattered.
    let losses = status.ok().and_then(|text| serde_json::from_str::<Losses>(&text).ok());
    let Some(mut losses) = losses else { return };
    losses.known.retain(|loss| loss.commits > 0);
    if !losses.is_empty() {
        eprint!("plimsoll: {}", super::takeover::all_words(&losses, setup.process.host.clock.wall().0));
    }
}

/// Has the connection look at an earlier state.
fn look_at(connection: &Connection, past: Option<&str>) -> Result<()> {
    let Some(past) = past else { return Ok(()) };
    let statement = format!("PRAGMA plimsoll_time='{}'", past.replace('\'', "''"));
    connection.query_row(&statement, [], |_| Ok(())).map_err(|error| failure(&error))
}

fn set_durability(connection: &Connection, durability: Option<Level>) -> Result<()> {
    let Some(level) = durability else { return Ok(()) };
    let statement = format!("PRAGMA plimsoll_durability={level}");
    connection.query_row(&statement, [], |_| Ok(())).map_err(|error| failure(&error))
}

/// A failure in the words of whoever failed: the engine if it did, else SQLite.
pub(crate) fn failure(error: &rusqlite::Error) -> Failure {
    if let Some(engine) = plimsoll_sqlite::take_last_error() {
        return engine.into();
    }
    let exit = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Exit::Held,
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => Exit::Corrupt,
        _ => Exit::Failed,
    };
    Failure::new(exit, words(error))
}

fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => {
            let at = usize::try_from(*offset).unwrap_or(0);
            let near: String = sql.get(at..).unwrap_or_default().trim().chars().take(40).collect();
            if near.is_empty() { msg.clone() } else { format!("{msg}, at: {near}") }
        }
        other => other.to_string(),
    }
}
