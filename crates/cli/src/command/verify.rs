//! `plimsoll verify URL`: every object, how they fit together, and the database in them.

mod database; // what SQLite says of the newest state
mod findings; // what was found
mod history; // pure: how objects fit together
mod objects; // LTX objects and their sidecars
mod records; // the JSON objects

use std::io::{Write, stdout};

use plimsoll_commitlog::identity;
use plimsoll_ltx::FileId;
use plimsoll_model::Txid;
use plimsoll_pages::{Listed, Listing};
use plimsoll_volume::Located;

use self::findings::{Finding, Findings};
use crate::{
    exit::{Exit, Failure, Result},
    progress,
    setup::{Setup, context, layout, no_volume},
    units,
};

pub(crate) fn run(setup: &Setup, typed: &str) -> Result<()> {
    let located = setup.locate(typed)?;
    let mut found = Findings::default();
    let (listing, sidecars, records) = take_stock(setup, &located, &mut found)?;
    records::check(setup, &located, &records, &mut found)?;

    let plan = match listing.newest() {
        Ok(plan) => plan.iter().map(|file| file.id).collect(),
        Err(error) => {
            found.problem(located.store.url(), error.to_string(), "the newest state cannot be put together");
            Vec::new()
        }
    };
    let total = listing.files.iter().map(|file| file.size).sum();
    let bar = progress::bytes(setup, total, "verifying");
    let checked = objects::check(setup, &located, &listing, &sidecars, &plan, &bar, &mut found)?;
    bar.finish_and_clear();
    // What a fork started with has epochs of its own. A record that cannot be read was reported above.
    let volume = setup.wait(identity(&context(setup, &located))).ok().flatten();
    let base = volume.and_then(|volume| volume.origins.last().map(|origin| origin.txid)).unwrap_or(Txid::ZERO);
    history::check(layout(&located), &listing, &checked, base, &mut found);
    if !plan.is_empty() && found.problems() == 0 {
        let bar = progress::waiting(setup, "checking the database");
        database::check(setup, &located, &mut found)?;
        bar.finish_and_clear();
    }
    tell(setup, &located, &listing, total, &found)
}

/// Sorts everything below the prefix by what it is.
fn take_stock(setup: &Setup, located: &Located, found: &mut Findings) -> Result<(Listing, Vec<FileId>, Vec<String>)> {
    let entries = setup.wait(located.store.list("", None))?;
    let (mut listing, mut sidecars, mut records) = (Listing::default(), Vec::new(), Vec::new());
    for entry in entries {
        if let Some(id) = layout(located).parse(&entry.key) {
            listing.files.push(Listed { id, size: entry.size, modified: entry.modified });
        } else if let Some(id) = FileId::parse_sidecar_key(&entry.key) {
            sidecars.push(id);
        } else if records::is_record(&entry.key) {
            records.push(entry.key);
        } else {
            found.note(&entry.key, "nothing of a volume has such a name", "it is ignored");
        }
    }
    if listing.files.is_empty() && records.is_empty() {
        return Err(no_volume("verifying", located.store.url()).into());
    }
    listing.files.sort_unstable_by_key(|file| (file.id.level, file.id.min, file.id.max));
    Ok((listing, sidecars, records))
}

fn tell(setup: &Setup, located: &Located, listing: &Listing, bytes: u64, found: &Findings) -> Result<()> {
    let (url, objects) = (located.store.url(), listing.files.len());
    let mut out = stdout().lock();
    if setup.json {
        let report = serde_json::json!({
            "url": url, "txid": listing.head().0, "objects": objects, "bytes": bytes, "problems": found.problems(), "findings": found.all(),
        });
        writeln!(out, "{report}")?;
    } else {
        for Finding { severity, object, what, consequence } in found.all() {
            writeln!(out, "{}: {object}: {what}; {consequence}", severity.word())?;
        }
        let (objects, bytes) = (units::counted(objects as u64, "object"), units::bytes(bytes));
        match found.problems() {
            0 => writeln!(out, "{url} is sound: {objects}, {bytes}, at TXID {}", listing.head())?,
            problems => writeln!(out, "{url}: {} in {objects}, {bytes}", units::counted(problems as u64, "problem"))?,
        }
    }
    if found.problems() > 0 { Err(Failure::silent(Exit::Corrupt)) } else { Ok(()) }
}
