//! `plimsoll detach URL`: a fork gets everything itself.

use std::io::{Write, stdout};

use serde_json::json;

use super::{
    copying::{PATIENCE, give_up},
    patience::patiently,
};
use crate::{
    exit::Result,
    progress,
    setup::{Setup, no_volume},
    units,
};

pub(crate) fn run(setup: &Setup, typed: &str) -> Result<()> {
    let bar = progress::bytes(setup, 0, "copying");
    let volume = setup.open(typed, PATIENCE)?;
    volume.say("it may still read from the other volume; run it again to go on");
    let url = volume.status().url;
    if !volume.exists() && !volume.dir().has_journal()? {
        return Err(give_up(volume, no_volume("detaching", url)).into());
    }
    let watch = |progress: plimsoll_pages::compact::Progress| {
        bar.set_length(progress.of);
        bar.set_position(progress.bytes);
        if setup.json {
            eprintln!("{}", json!({ "gathered": progress.bytes, "of": progress.of }));
        }
        if progress.bytes == progress.of {
            bar.set_message("uploading");
        }
    };
    let done = match patiently(setup, || volume.sync().and_then(|_| volume.detach_watched(&watch))) {
        Ok(done) => done,
        Err(error) => return Err(give_up(volume, error).into()),
    };
    volume.close()?;
    bar.finish_and_clear();
    let mut out = stdout();
    if setup.json {
        writeln!(out, "{}", json!({ "url": url, "txid": done.txid.map(|txid| txid.0), "bytes": done.bytes }))?;
    } else if let Some(txid) = done.txid {
        writeln!(out, "{url} stands by itself at TXID {txid}, copied {}", units::bytes(done.bytes))?;
    } else {
        writeln!(out, "{url} reads from no other volume")?;
    }
    Ok(())
}
