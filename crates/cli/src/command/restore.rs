//! `plimsoll restore URL@REFERENCE`: back to an earlier state, as a new commit.

use std::io::{Write, stdout};

use plimsoll_model::{Error, ErrorKind};
use plimsoll_sqlite::renew;
use plimsoll_volume::{Reference, split_reference};

use super::{
    copying::{PATIENCE, give_up},
    patience::patiently,
};
use crate::{exit::Result, progress, setup::Setup, units};

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
    let now = setup.process.host.clock.wall();
    let named = [
        in_url.map(|state| Reference::parse(&state, now)),
        named.map(|name| Reference::checkpoint(&name)),
        txid.map(|txid| Reference::txid(&txid.to_string())),
        time.map(|time| Reference::time(&time, now)),
    ];
    let mut named = named.into_iter().flatten().collect::<Result<Vec<_>, _>>()?.into_iter();
    let (Some(reference), None) = (named.next(), named.next()) else {
        return Err(Error::new(ErrorKind::Invalid, "restoring")
            .object(typed)
            .why("it takes one earlier state to go back to")
            .hint("name a checkpoint, --txid, --time, or <url>@<one of them>")
            .into());
    };
    let bar = progress::waiting(setup, "restoring");
    let volume = setup.open_unread(&typed, PATIENCE)?;
    volume.say("either all of the state was brought back or nothing; plimsoll status tells");
    let restored = match patiently(setup, || volume.restore_to(&reference, keep, renew)) {
        Ok(restored) => restored,
        Err(error) => return Err(give_up(volume, error).into()),
    };
    let done = restored.done;
    let closed = volume.close();
    // The restore stands without it, so a failure is said and no more.
    let kept = restored.kept().unwrap_or_else(|error| {
        eprintln!("plimsoll: the state before is kept only as long as any other of its age: {error}");
        None
    });
    bar.finish_and_clear();
    closed?;
    let mut out = stdout();
    if setup.json {
        let mut answer = serde_json::to_value(done).unwrap_or_default();
        answer["url"] = typed.into();
        answer["checkpoint"] = kept.into();
        return Ok(writeln!(out, "{answer}")?);
    }
    match done.pages {
        0 => writeln!(out, "nothing to restore: the newest state is that of TXID {}", done.to_txid)?,
        pages => writeln!(
            out,
            "restored the state of TXID {} as a new commit, {} differed; to undo it: plimsoll restore {typed}@{}",
            done.to_txid,
            units::counted(pages, "page"),
            kept.unwrap_or_else(|| done.from_txid.to_string())
        )?,
    }
    Ok(())
}
