//! `plimsoll fork URL[@STATE] NEW_URL`: a volume that starts as a state of another one.

use std::io::{Write, stdout};

use futures::future::join;
use plimsoll_commitlog::{EpochRecord, LoadRecord, look};
use plimsoll_model::ErrorKind;
use plimsoll_volume::{Located, Reference, fork_if, split_reference};
use serde_json::json;

use super::{
    copying::{PATIENCE, give_up},
    detach,
    patience::patiently,
    placement,
};
use crate::{
    exit::Result,
    setup::{Setup, context},
    units,
};

pub(crate) fn run(setup: &Setup, typed: &str, new: &str, detached: bool) -> Result<()> {
    let (typed, state) = split_reference(typed);
    let (parent, child) = (setup.locate(&typed)?, setup.locate(new)?);
    let host = &setup.process.host;
    let at = state.map(|state| Reference::parse(&state, host.clock.wall())).transpose()?;
    setup.process.check_new(&child.settings.settings)?;
    let journal = parent.dir.has_journal()?;
    if at.is_none() && journal {
        placement::check(setup, &child, "forking to")?;
        sync_first(setup, &typed)?;
    }
    let (from, to) = (parent.place(host), child.place(host));
    let holding = async {
        // What this host has was synced, and of an earlier state nothing is left out.
        if at.is_some() || journal { None } else { holder(setup, &parent).await }
    };
    let allowed = placement::looked_at(setup, &child, "forking to");
    let (forked, holding) = setup.wait(join(fork_if(&from, at.as_ref(), &to, &*parent.elsewhere, allowed), holding));
    let forked = forked?;
    let (from, to) = (parent.store.url(), child.store.url());
    let mut out = stdout();
    if setup.json {
        let holder = holding.as_ref().map(|(holder, load)| {
            json!({ "host": holder.host, "pid": holder.pid, "commits": load.map(|load| load.commits) })
        });
        let report = json!({
            "url": to, "parent": from, "txid": forked.txid.0, "bytes": forked.bytes,
            "synced_ms": forked.synced.map(|synced| synced.0), "held_by": holder,
        });
        writeln!(out, "{report}")?;
    } else {
        let now = host.clock.wall().0;
        let synced = forked.synced.map_or_else(String::new, |at| format!(", synced {}", units::ago(now, at.0)));
        writeln!(out, "forked {from} at TXID {}{synced} ({}) as {to}", forked.txid, units::bytes(forked.bytes))?;
        if let Some((holder, load)) = holding {
            eprintln!("plimsoll: {}", left_out(&holder, load));
        }
    }
    if detached { detach::run(setup, new) } else { Ok(()) }
}

/// Makes durable what this host has acknowledged. A process of this host that holds the volume is asked to let go; if
/// it does not, the fork is made all the same, and what it leaves out is said.
fn sync_first(setup: &Setup, typed: &str) -> Result<()> {
    let volume = setup.open(typed, PATIENCE)?;
    volume.say("there is no fork yet; run it again");
    match patiently(setup, || volume.sync()) {
        Ok(_) => Ok(volume.close()?),
        Err(error) if error.kind() == ErrorKind::Held => {
            eprintln!("plimsoll: {}; the fork is of what is synced", give_up(volume, error));
            Ok(())
        }
        Err(error) => Err(give_up(volume, error).into()),
    }
}

/// Who holds the volume elsewhere, and what they last said was not synced. Not worth failing for.
async fn holder(setup: &Setup, located: &Located) -> Option<(EpochRecord, Option<LoadRecord>)> {
    let standing = look(&context(setup, located)).await.ok()?;
    let status = standing.status.map(|seen| seen.record);
    let closed = status.as_ref().is_some_and(|record| record.closed);
    Some((standing.holder.filter(|holder| !closed && !holder.removal)?, status.map(|record| record.load)))
}

fn left_out(holder: &EpochRecord, load: Option<LoadRecord>) -> String {
    let last = load.filter(|load| load.commits > 0).map_or_else(String::new, |load| {
        format!(", {} ({}) when it last said so", units::counted(load.commits, "commit"), units::bytes(load.bytes))
    });
    format!(
        "process {} on {} holds it for writing: what it has acknowledged and not synced is not part of the fork{last}",
        holder.pid, holder.host
    )
}
