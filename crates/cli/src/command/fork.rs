//! `plimsoll fork URL[@STATE] NEW_URL`: a volume that starts as a state of another one.

use std::io::{Write, stdout};

use plimsoll_volume::{Reference, fork, split_reference};
use serde_json::json;

use super::detach;
use crate::{exit::Result, setup::Setup, units};

pub(crate) fn run(setup: &Setup, typed: &str, new: &str, detached: bool) -> Result<()> {
    let (parent, state) = split_reference(typed);
    let (parent, child) = (setup.locate(&parent)?, setup.locate(new)?);
    let host = &setup.process.host;
    let at = state.map(|state| Reference::parse(&state, host.clock.wall())).transpose()?;
    let forked = setup.wait(fork(&parent.place(host), at.as_ref(), &child.place(host), &*parent.elsewhere))?;
    let mut out = stdout();
    if setup.json {
        let report = json!({
            "url": child.store.url(), "parent": parent.store.url(), "txid": forked.txid.0, "bytes": forked.bytes,
        });
        writeln!(out, "{report}")?;
    } else {
        let (from, to, bytes) = (parent.store.url(), child.store.url(), units::bytes(forked.bytes));
        writeln!(out, "forked {from} at TXID {} ({bytes}) as {to}", forked.txid)?;
    }
    if detached { detach::run(setup, new) } else { Ok(()) }
}
