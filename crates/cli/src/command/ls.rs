//! `plimsoll ls PREFIX`: volumes below a prefix, or the objects of one volume.

use std::{
    collections::BTreeMap,
    io::{Write, stdout},
};

use futures::{StreamExt, TryStreamExt, stream};
use plimsoll_commitlog::{Context, Levels, look, tail, volume_key};
use plimsoll_host::WallMs;
use plimsoll_ltx::{FileId, Layout, SNAPSHOT_LEVEL};
use plimsoll_model::Result as EngineResult;
use plimsoll_pages::list;
use plimsoll_store::Entry;
use plimsoll_volume::Located;
use serde::Serialize;

use crate::{
    exit::Result,
    setup::{Setup, layout, no_volume},
    table::{number, render, table},
    units,
};

/// Volumes that are looked at together.
const LOOKS_MAX: usize = 16;

pub(crate) fn run(setup: &Setup, typed: &str, objects: bool) -> Result<()> {
    let located = setup.locate(typed)?;
    if objects { list_objects(setup, &located) } else { list_volumes(setup, &located) }
}

#[derive(Serialize)]
struct Object {
    key: String,
    level: u8,
    min: u64,
    max: u64,
    bytes: u64,
    modified_ms: u64,
}

fn list_objects(setup: &Setup, located: &Located) -> Result<()> {
    let layout = layout(located);
    let listing = setup.wait(list(&located.store, layout))?;
    if listing.files.is_empty() {
        return Err(no_volume("listing", located.store.url()).into());
    }
    let objects = listing.files.iter().map(|file| Object {
        key: layout.key(&file.id),
        level: file.id.level,
        min: file.id.min.0,
        max: file.id.max.0,
        bytes: file.size,
        modified_ms: file.modified.0,
    });
    let mut out = stdout().lock();
    if setup.json {
        for object in objects {
            writeln!(out, "{}", serde_json::json!(object))?;
        }
        return Ok(());
    }
    let now = setup.process.host.clock.wall().0;
    let mut table = table(["level", "from TXID", "to TXID", "size", "written", "key"], setup.color);
    for Object { key, level, min, max, bytes, modified_ms } in objects {
        let level = if level == SNAPSHOT_LEVEL { "snapshot".to_owned() } else { level.to_string() };
        let written = units::ago(now, modified_ms);
        table.add_row([
            level.into(),
            number(min),
            number(max),
            number(units::bytes(bytes)),
            written.into(),
            key.into(),
        ]);
    }
    Ok(write!(out, "{}", render(&table))?)
}

/// One volume in the list.
#[derive(Serialize)]
struct Volume {
    /// Below the prefix.
    name: String,
    /// Of the database.
    bytes: Option<u64>,
    /// Of its objects.
    stored_bytes: u64,
    objects: u64,
    txid: u64,
    /// When the newest sync was written, by the store's clock.
    synced_ms: u64,
    /// `process on host`, while an epoch is open.
    holder: Option<String>,
}

/// What a listing tells of a volume.
#[derive(Default)]
struct Found {
    objects: u64,
    stored_bytes: u64,
    newest: Option<(FileId, WallMs)>,
}

fn list_volumes(setup: &Setup, located: &Located) -> Result<()> {
    let entries = setup.wait(located.store.list("", None))?;
    let found = group(layout(located), &entries);
    if found.is_empty() {
        return Err(no_volume("listing", located.store.url()).into());
    }
    let looks = found.into_iter().map(|(name, found)| describe(setup, located, name, found));
    let volumes: Vec<Volume> = setup.wait(stream::iter(looks).buffered(LOOKS_MAX).try_collect())?;
    let mut out = stdout().lock();
    if setup.json {
        for volume in volumes {
            writeln!(out, "{}", serde_json::json!(volume))?;
        }
        return Ok(());
    }
    let now = setup.process.host.clock.wall().0;
    let mut table = table(["volume", "size", "stored", "objects", "TXID", "last sync", "held by"], setup.color);
    for volume in volumes {
        table.add_row([
            if volume.name.is_empty() { ".".to_owned() } else { volume.name }.into(),
            number(volume.bytes.map_or_else(|| "-".to_owned(), units::bytes)),
            number(units::bytes(volume.stored_bytes)),
            number(volume.objects),
            number(volume.txid),
            if volume.txid == 0 { "never".to_owned() } else { units::ago(now, volume.synced_ms) }.into(),
            volume.holder.unwrap_or_else(|| "-".to_owned()).into(),
        ]);
    }
    Ok(write!(out, "{}", render(&table))?)
}

/// Which volumes objects belong to, by the name below the prefix. What has neither an identity nor an
/// object of the layout is not a volume.
fn group(layout: Layout, entries: &[Entry]) -> BTreeMap<String, Found> {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for entry in entries {
        // The longest name first would find volumes inside of a volume's own folders; there are none.
        let places = entry.key.match_indices('/').map(|(at, _)| at + 1);
        let place = std::iter::once(0).chain(places).find_map(|at| {
            let rest = &entry.key[at..];
            (rest == volume_key() || layout.parse(rest).is_some()).then_some((at, layout.parse(rest)))
        });
        let Some((at, id)) = place else { continue };
        let volume = found.entry(entry.key[..at].trim_end_matches('/').to_owned()).or_default();
        if let Some(id) = id {
            volume.objects += 1;
            volume.stored_bytes += entry.size;
            if volume.newest.is_none_or(|(newest, _)| newest.max <= id.max) {
                volume.newest = Some((id, entry.modified));
            }
        }
    }
    found
}

async fn describe(setup: &Setup, located: &Located, name: String, found: Found) -> EngineResult<Volume> {
    let url = if name.is_empty() { located.url.clone() } else { located.url.below(&name)? };
    let store = setup.process.store(&url, &located.settings.settings)?;
    let context = Context::new(setup.process.host.clone(), store, located.settings.settings.l0_retention);
    let standing = look(&context).await?;
    let head = if found.newest.is_some() { tail(&context, Levels::Newest).await?.head } else { None };
    let open = standing.status.as_ref().is_some_and(|seen| !seen.record.closed);
    let holder = standing.holder.filter(|_| open).map(|holder| format!("process {} on {}", holder.pid, holder.host));
    Ok(Volume {
        name,
        bytes: head.map(|head| head.page_count.bytes(head.page_size)),
        stored_bytes: found.stored_bytes,
        objects: found.objects,
        txid: found.newest.map_or(0, |(id, _)| id.max.0),
        synced_ms: found.newest.map_or(0, |(_, modified)| modified.0),
        holder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str) -> Entry {
        Entry { key: key.to_owned(), size: 10, modified: WallMs(5) }
    }

    #[test]
    fn objects_are_grouped_by_the_volume_that_they_are_in() {
        let entries = [
            "a/volume.json",
            "a/ltx/0/0000000000000001-0000000000000001.ltx",
            "a/ltx/0/0000000000000002-0000000000000002.ltx",
            "deep/er/ltx/9/0000000000000001-0000000000000007.ltx",
            "empty/volume.json",
            "unrelated/file.txt",
        ]
        .map(entry);
        let found = group(Layout::Other, &entries);
        let told: Vec<_> = found
            .iter()
            .map(|(name, found)| (name.as_str(), found.objects, found.newest.map_or(0, |(id, _)| id.max.0)))
            .collect();
        assert_eq!(told, [("a", 2, 2), ("deep/er", 1, 7), ("empty", 0, 0)]);
    }
}
