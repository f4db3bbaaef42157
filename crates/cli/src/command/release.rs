//! `plimsoll release URL`: lets a volume go, so that another host opens it at once.

use std::io::{Write, stdout};

use plimsoll_model::{Error, ErrorKind};
use plimsoll_volume::{Released, Stranded, VolumeDir};
use serde_json::json;

use super::{
    copying::{PATIENCE, give_up},
    patience::patiently,
};
use crate::{
    exit::Result,
    opened::Opened,
    progress,
    setup::{Setup, no_volume_but},
    units,
};

pub(crate) fn run(setup: &Setup, typed: &str) -> Result<()> {
    let located = setup.locate(typed)?;
    let bar = progress::waiting(setup, "releasing");
    let kept_before = located.dir.stranded();
    let volume = setup.open(typed, PATIENCE)?;
    volume.say("what was not synced is in this host's journal; run it again to go on");
    let released = release(setup, volume, &located.dir, &kept_before)?;
    bar.finish_and_clear();
    tell(setup, located.store.url(), &released)
}

/// Lets a volume go and closes it. What was stranded on the way is an error: it is not durable.
///
/// # Errors
/// As [`plimsoll_volume::Volume::release`]; `NotFound` if there is no volume; `Fenced` if commits of this host were set aside, since
/// another writer went on without them or the volume is gone.
pub(crate) fn release(
    setup: &Setup,
    volume: Opened,
    dir: &VolumeDir,
    kept_before: &[Stranded],
) -> plimsoll_model::Result<Released> {
    let url = volume.status().url;
    if !volume.exists() && !volume.dir().has_journal()? {
        // Opening may have set aside what was here.
        let missing = match dir.stranded().into_iter().find(|kept| !kept_before.contains(kept)) {
            Some(kept) => Error::new(ErrorKind::Fenced, "releasing")
                .object(&url)
                .why(format!(
                    "the volume is not at its URL any more; the commits of this host that were in its journal are kept in {}",
                    kept.path.display()
                ))
                .hint(format!("plimsoll stranded ls {url} lists them, plimsoll stranded export {url} gets at them")),
            None => no_volume_but(setup, "releasing", &url, dir),
        };
        return Err(give_up(volume, missing));
    }
    let released = match patiently(setup, || volume.release()) {
        Ok(released) => released,
        Err(error) => return Err(give_up(volume, error)),
    };
    volume.close()?;
    match dir.stranded().into_iter().find(|kept| !kept_before.contains(kept)) {
        Some(kept) => Err(Error::new(ErrorKind::Fenced, "releasing")
            .object(url)
            .why(format!(
                "another writer went on without the last commits of this host; they are kept in {}",
                kept.path.display()
            ))
            .hint("plimsoll stranded ls <url> lists them")),
        None => Ok(released),
    }
}

fn tell(setup: &Setup, url: &str, released: &Released) -> Result<()> {
    let mut out = stdout();
    let Released { commits, bytes, txid, epoch } = released;
    if setup.json {
        let report = json!({ "url": url, "commits": commits, "bytes": bytes, "txid": txid, "epoch": epoch });
        return Ok(writeln!(out, "{report}")?);
    }
    if *commits > 0 {
        writeln!(out, "synced {} ({})", units::counted(*commits, "commit"), units::bytes(*bytes))?;
    }
    match epoch {
        Some(epoch) => writeln!(out, "released at TXID {txid}, epoch {epoch} is closed: any host may open it now")?,
        None => writeln!(out, "free at TXID {txid}: no process of this host holds it, and any host may open it")?,
    }
    Ok(())
}
