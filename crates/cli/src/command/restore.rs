//! `plimsoll restore URL@REFERENCE`: back to an earlier state, as a new commit.

use std::io::{Write, stdout};

use plimsoll_model::{Error, ErrorKind, Txid};
use plimsoll_volume::{Located, Reference, checkpoint, split_reference};
use serde_json::Value;

use super::{
    patience::patiently,
    sql::{close, connect},
};
use crate::{
    exit::Result,
    progress,
    setup::{Setup, context, no_volume},
    units,
};

/// Which state is asked for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) checkpoint: Option<String>,
    pub(crate) txid: Option<u64>,
    pub(crate) time: Option<String>,
    /// Whether the state before gets a name, so that it is kept.
    pub(crate) keep: bool,
}

pub(crate) fn run(setup: &Setup, typed: &str, wanted: Wanted) -> Result<()> {
    let (typed, in_url) = split_reference(typed);
    let Wanted { checkpoint: named, txid, time, keep } = wanted;
    if let Some(time) = &time {
        Reference::time(time, setup.process.host.clock.wall())?;
    }
    let mut named = [in_url, named, txid.map(|txid| txid.to_string()), time].into_iter().flatten();
    let (Some(reference), None) = (named.next(), named.next()) else {
        return Err(Error::new(ErrorKind::Invalid, "restoring")
            .object(typed)
            .why("it takes one earlier state to go back to")
            .hint("name a checkpoint, --txid, --time, or <url>@<one of them>")
            .into());
    };
    let located = setup.locate(&typed)?;
    let bar = progress::waiting(setup, "restoring");
    let connection = connect(setup, &located, false, &[("sync_timeout_ms", "0"), ("hydrate", "false")])?;
    // A function of SQLite's does not wait for its turn by itself, as statements do.
    let restored = patiently(setup, || {
        let restored = connection.query_row("SELECT plimsoll_restore(?1)", [&reference], |row| row.get::<_, String>(0));
        restored.map_err(|error| of_sqlite(&error))
    });
    let closed = close(connection);
    bar.finish_and_clear();
    let restored = restored?;
    closed?;
    let answer: Value = serde_json::from_str(&restored).map_err(|_| no_volume("restoring", located.store.url()))?;
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    let kept = (keep && number("pages") > 0).then(|| keep_before(setup, &located, Txid(number("from_txid"))));
    let kept = kept.flatten();
    let mut out = stdout();
    if setup.json {
        let mut answer = answer;
        answer["checkpoint"] = kept.into();
        return Ok(writeln!(out, "{answer}")?);
    }
    match number("pages") {
        0 => writeln!(out, "nothing to restore: the newest state is that of TXID {}", number("to_txid"))?,
        pages => writeln!(
            out,
            "restored the state of TXID {} as a new commit, {} differed; to undo it: plimsoll restore {typed}@{}",
            number("to_txid"),
            units::counted(pages, "page"),
            kept.unwrap_or_else(|| number("from_txid").to_string())
        )?,
    }
    Ok(())
}

/// The engine's error if it has one, else SQLite's.
fn of_sqlite(error: &rusqlite::Error) -> Error {
    plimsoll_sqlite::take_last_error().unwrap_or_else(|| Error::new(ErrorKind::Io, "restoring").why(error.to_string()))
}

/// Names the state before, so that the restore can be undone for as long as the name is there. The restore stands
/// without it, so a failure is said and no more.
fn keep_before(setup: &Setup, located: &Located, before: Txid) -> Option<String> {
    let name = format!("before-restore-{before}");
    let note = "the state before a restore";
    match setup.wait(checkpoint(&context(setup, located), &name, Some(note), Some(before))) {
        Err(error) if error.kind() != ErrorKind::Conflict => {
            eprintln!("plimsoll: the state before is kept only as long as any other of its age: {error}");
            None
        }
        // If there is one of that name, it names the same state.
        _ => Some(name),
    }
}
