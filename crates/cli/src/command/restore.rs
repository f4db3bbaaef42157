//! `plimsoll restore URL@REFERENCE`: back to an earlier state, as a new commit.

use std::io::{Write, stdout};

use plimsoll_model::{Error, ErrorKind};
use plimsoll_volume::Reference;
use serde_json::Value;

use super::sql::{close, connect, failure};
use crate::{
    exit::Result,
    progress,
    setup::{Setup, no_volume},
    units,
};

/// Which state is asked for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) checkpoint: Option<String>,
    pub(crate) txid: Option<u64>,
    pub(crate) time: Option<String>,
}

pub(crate) fn run(setup: &Setup, typed: &str, wanted: Wanted) -> Result<()> {
    let (typed, in_url) = plimsoll_volume::split_reference(typed);
    let Wanted { checkpoint, txid, time } = wanted;
    if let Some(time) = &time {
        Reference::time(time, setup.process.host.clock.wall())?;
    }
    let mut named = [in_url, checkpoint, txid.map(|txid| txid.to_string()), time].into_iter().flatten();
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
    let restored = connection
        .query_row("SELECT plimsoll_restore(?1)", [&reference], |row| row.get::<_, String>(0))
        .map_err(|error| failure(&error));
    let closed = close(connection);
    bar.finish_and_clear();
    let restored = restored?;
    closed?;
    let answer: Value = serde_json::from_str(&restored).map_err(|_| no_volume("restoring", located.store.url()))?;
    let mut out = stdout();
    if setup.json {
        return Ok(writeln!(out, "{answer}")?);
    }
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    match number("pages") {
        0 => writeln!(out, "nothing to restore: the newest state is that of TXID {}", number("to_txid"))?,
        pages => writeln!(
            out,
            "restored the state of TXID {} as a new commit, {} differed; to undo it: plimsoll restore {typed}@{}",
            number("to_txid"),
            units::counted(pages, "page"),
            number("from_txid")
        )?,
    }
    Ok(())
}
