//! `plimsoll sync URL`: makes what this host's journal holds durable.

use std::io::{Write, stdout};

use plimsoll_model::{Error, ErrorKind};
use serde_json::json;

use super::{
    copying::{PATIENCE, give_up},
    patience::patiently,
};
use crate::{
    exit::Result,
    journal_tail::{Newest, journal_tail},
    progress,
    setup::{Setup, no_volume_but},
    units,
};

pub(crate) fn run(setup: &Setup, typed: &str) -> Result<()> {
    let located = setup.locate(typed)?;
    let url = located.store.url().to_owned();
    let newest = Newest::ask(setup, &located)?;
    let before = newest.head.map(|head| head.txid.0);
    let pending = match journal_tail(setup, &located, &newest)? {
        None if before.is_none() => return Err(no_volume_but(setup, "syncing", &url, &located.dir).into()),
        // Also if another writer has taken over since: it found all of them.
        None => return tell(setup, &url, (0, 0), before),
        Some(pending) if pending.commits == 0 => return tell(setup, &url, (0, 0), before),
        // Opening it would make a volume.
        Some(pending) if !pending.is_pending() && newest.standing.volume.is_none() => {
            return Err(Error::new(ErrorKind::NotFound, "syncing")
                .object(&url)
                .why(format!("{}; they are in {}", pending.verdict(&url), located.dir.journal().display()))
                .into());
        }
        Some(pending) => pending,
    };
    let kept_before = located.dir.stranded();
    let bar = progress::waiting(setup, "syncing");
    let volume = setup.open(typed, PATIENCE)?;
    volume.say("what was not synced is in this host's journal; run it again to go on");
    // Opening has asked a process of this host that has the journal to let go.
    if let Err(error) = patiently(setup, || volume.sync()) {
        return Err(give_up(volume, error).into());
    }
    let status = volume.status();
    volume.close()?;
    bar.finish_and_clear();
    if let Some(kept) = located.dir.stranded().into_iter().find(|stranded| !kept_before.contains(stranded)) {
        return Err(Error::new(ErrorKind::Fenced, "syncing")
            .object(url)
            .why(format!(
                "another writer went on without the last commits of this host; they are kept in {}",
                kept.path.display()
            ))
            .hint("plimsoll stranded ls <url> lists them")
            .into());
    }
    tell(setup, &url, (pending.commits, pending.bytes), Some(status.txid))
}

fn tell(setup: &Setup, url: &str, (commits, bytes): (u64, u64), txid: Option<u64>) -> Result<()> {
    let mut out = stdout();
    if setup.json {
        writeln!(out, "{}", json!({ "url": url, "commits": commits, "bytes": bytes, "txid": txid }))?;
    } else if commits == 0 {
        writeln!(out, "nothing to sync: this host's journal holds no commit that is not durable")?;
    } else {
        let txid = txid.map_or_else(String::new, |txid| format!(", up to TXID {txid}"));
        writeln!(out, "synced {} ({}){txid}", units::counted(commits, "commit"), units::bytes(bytes))?;
    }
    Ok(())
}
