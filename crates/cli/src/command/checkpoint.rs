//! `plimsoll checkpoint create|ls|rm URL`: names for states, which are kept until the names are removed.

use std::io::{Write, stdout};

use plimsoll_commitlog::PinRecord;
use plimsoll_model::ErrorKind;
use plimsoll_volume::{Holding, Located, checkpoint, checkpoint_name, remove_checkpoint, usage};
use serde_json::json;

use super::{
    copying::{PATIENCE, give_up},
    patience::patiently,
};
use crate::{
    args::CheckpointCommand,
    exit::Result,
    setup::{Setup, context},
    table::{number, render, table},
    units,
};

pub(crate) fn run(setup: &Setup, command: CheckpointCommand) -> Result<()> {
    match command {
        CheckpointCommand::Create { url, name, note } => create(setup, &url, name, note.as_deref()),
        CheckpointCommand::Ls { url } => list(setup, &url),
        CheckpointCommand::Rm { url, name, force } => remove(setup, &url, &name, force),
    }
}

fn create(setup: &Setup, typed: &str, name: Option<String>, note: Option<&str>) -> Result<()> {
    let located = setup.locate(typed)?;
    let context = context(setup, &located);
    let name = name.unwrap_or_else(|| checkpoint_name(&context));
    let synced = if located.dir.has_journal()? { through_this_host(setup, typed, &name, note)? } else { None };
    let record = match synced {
        Some(record) => record,
        None => setup.wait(checkpoint(&context, &name, note, None))?,
    };
    let mut out = stdout();
    if setup.json {
        writeln!(out, "{}", pin_json(&name, &record))?;
    } else {
        writeln!(out, "checkpoint {name} at TXID {} ({})", record.txid, units::bytes(record.bytes))?;
    }
    Ok(())
}

/// This host has commits that the store may not have: they are synced first. `None` if a process of this host that
/// has the volume does not let go of it.
fn through_this_host(setup: &Setup, typed: &str, name: &str, note: Option<&str>) -> Result<Option<PinRecord>> {
    let volume = setup.open(typed, PATIENCE)?;
    volume.say("plimsoll checkpoint ls tells whether there is a checkpoint");
    match patiently(setup, || volume.sync()).and_then(|_| volume.checkpoint(name, note)) {
        Ok(record) => {
            volume.close()?;
            Ok(Some(record))
        }
        Err(error) if error.kind() == ErrorKind::Held => {
            eprintln!("plimsoll: {}; the checkpoint is of what is synced", give_up(volume, error));
            Ok(None)
        }
        Err(error) => Err(give_up(volume, error).into()),
    }
}

fn list(setup: &Setup, typed: &str) -> Result<()> {
    let located = setup.locate(typed)?;
    let mut usage = setup.wait(used(setup, &located))?;
    usage.pins.sort_by_key(|pin| pin.record.as_ref().map_or(u64::MAX, |record| record.created_ms));
    let mut out = stdout().lock();
    if setup.json {
        for holding in &usage.pins {
            writeln!(out, "{}", holding_json(holding))?;
        }
        return Ok(());
    }
    let now = setup.process.host.clock.wall().0;
    let mut table = table(["name", "made", "TXID", "size", "holds back", "what"], setup.color);
    for holding in &usage.pins {
        let record = holding.record.as_ref().ok();
        table.add_row([
            holding.name.clone().into(),
            record.map_or_else(|| "-".to_owned(), |record| units::ago(now, record.created_ms)).into(),
            number(record.map_or_else(|| "-".to_owned(), |record| record.txid.to_string())),
            number(record.map_or_else(|| "-".to_owned(), |record| units::bytes(record.bytes))),
            number(units::bytes(holding.holds)),
            what(holding).into(),
        ]);
    }
    Ok(write!(out, "{}", render(&table))?)
}

pub(super) async fn used(setup: &Setup, located: &Located) -> plimsoll_model::Result<plimsoll_volume::Usage> {
    usage(&context(setup, located), located.retention(), &*located.elsewhere).await
}

/// What a pin is for, in words.
pub(super) fn what(holding: &Holding) -> String {
    match &holding.record {
        Err(error) => format!("unreadable: {error}"),
        Ok(_) if !holding.complete => "never finished: its state was collected".to_owned(),
        Ok(PinRecord { fork: Some(fork), .. }) => match holding.alive {
            Some(true) => format!("fork {}", fork.url),
            Some(false) => format!("unfinished or removed fork {}", fork.url),
            None => format!("fork {}, which does not answer", fork.url),
        },
        Ok(record) => record.note.clone().unwrap_or_default(),
    }
}

fn pin_json(name: &str, record: &PinRecord) -> serde_json::Value {
    json!({
        "name": name, "txid": record.txid.0, "created_ms": record.created_ms, "bytes": record.bytes,
        "note": record.note, "fork": record.fork.as_ref().map(|fork| &fork.url),
    })
}

pub(super) fn holding_json(holding: &Holding) -> serde_json::Value {
    let mut line = match &holding.record {
        Ok(record) => pin_json(&holding.name, record),
        Err(error) => json!({ "name": holding.name, "error": error.to_string() }),
    };
    line["holds"] = holding.holds.into();
    line["alone"] = holding.alone.into();
    line["complete"] = holding.complete.into();
    line["alive"] = holding.alive.into();
    line
}

fn remove(setup: &Setup, typed: &str, name: &str, force: bool) -> Result<()> {
    let located = setup.locate(typed)?;
    setup.wait(remove_checkpoint(&context(setup, &located), name, force, &*located.elsewhere))?;
    let mut out = stdout();
    if setup.json {
        return Ok(writeln!(out, "{}", json!({ "url": located.store.url(), "removed": name }))?);
    }
    Ok(writeln!(out, "removed {name}")?)
}
