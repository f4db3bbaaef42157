//! `plimsoll compact URL`: merges, takes a snapshot, collects.

use std::io::{Write, stdout};

use plimsoll_ltx::SNAPSHOT_LEVEL;
use plimsoll_pages::list;
use plimsoll_volume::{Compacted, Located};
use serde_json::json;

use super::{
    checkpoint::used,
    copying::{PATIENCE, give_up},
    patience::patiently,
};
use crate::{
    exit::Result,
    progress,
    setup::{Setup, layout, no_volume},
    table::{number, render, table},
    units,
};

pub(crate) fn run(setup: &Setup, typed: &str, dry_run: bool) -> Result<()> {
    if dry_run {
        return foretell(setup, typed);
    }
    let located = setup.locate(typed)?;
    if is_done(setup, &located)? {
        return tell(setup, located.store.url(), &Compacted::default());
    }
    let bar = progress::waiting(setup, "compacting");
    let volume = setup.open(typed, PATIENCE)?;
    volume.say("what was merged stays; run it again to go on");
    let url = volume.status().url;
    if !volume.exists() && !volume.dir().has_journal()? {
        return Err(give_up(volume, no_volume("compacting", url)).into());
    }
    // What is only in the journal belongs into the merges, too.
    let done = match patiently(setup, || volume.sync().and_then(|_| volume.compact())) {
        Ok(done) => done,
        Err(error) => return Err(give_up(volume, error).into()),
    };
    let (asked, kept) = (volume.settings().l0_retention, volume.l0_retention());
    volume.close()?;
    bar.finish_and_clear();
    if asked < kept {
        let (asked, kept) = (asked.as_millis(), kept.as_millis());
        eprintln!(
            "plimsoll: l0_retention_ms = {asked} is less than the {kept} that the volume was made with, and is not used"
        );
    }
    tell(setup, &url, &done)
}

/// Whether the newest state is one snapshot, and there is no garbage. Taking the volume to find nothing to do would be
/// a sync by itself, and so something to merge.
fn is_done(setup: &Setup, located: &Located) -> Result<bool> {
    if located.dir.has_journal()? {
        return Ok(false);
    }
    let newest = setup.wait(list(&located.store, layout(located))).and_then(|listing| listing.newest())?;
    let merged = matches!(newest.as_slice(), [only] if only.id.level == SNAPSHOT_LEVEL);
    Ok(merged && setup.wait(used(setup, located))?.objects.is_empty())
}

/// What would be removed as things are.
fn foretell(setup: &Setup, typed: &str) -> Result<()> {
    let located = setup.locate(typed)?;
    let usage = setup.wait(used(setup, &located))?;
    let layout = layout(&located);
    let mut keys: Vec<String> = usage.objects.iter().map(|id| layout.key(id)).collect();
    keys.sort_unstable();
    let mut out = stdout().lock();
    if setup.json {
        let report = json!({ "url": located.store.url(), "garbage": keys, "bytes": usage.garbage });
        return Ok(writeln!(out, "{report}")?);
    }
    for key in &keys {
        writeln!(out, "{key}")?;
    }
    let objects = units::counted(keys.len() as u64, "object");
    Ok(writeln!(out, "would remove {objects} ({})", units::bytes(usage.garbage))?)
}

fn tell(setup: &Setup, url: &str, done: &Compacted) -> Result<()> {
    let mut out = stdout();
    if setup.json {
        let merged = |id: &plimsoll_ltx::FileId| json!({ "level": id.level, "min": id.min.0, "max": id.max.0 });
        let merged: Vec<_> = done.merged.iter().map(merged).collect();
        let report = json!({ "url": url, "merged": merged, "bytes": done.bytes, "removed": done.removed });
        return Ok(writeln!(out, "{report}")?);
    }
    if done.merged.is_empty() {
        writeln!(out, "nothing to merge")?;
    } else {
        let mut table = table(["level", "from TXID", "to TXID"], setup.color);
        for id in &done.merged {
            let level = if id.level == SNAPSHOT_LEVEL { "snapshot".to_owned() } else { id.level.to_string() };
            table.add_row([level.into(), number(id.min), number(id.max)]);
        }
        write!(out, "{}", render(&table))?;
    }
    let objects = units::counted(done.merged.len() as u64, "object");
    writeln!(out, "wrote {objects} ({}), removed {}", units::bytes(done.bytes), done.removed)?;
    Ok(())
}
