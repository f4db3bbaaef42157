//! `plimsoll ls PREFIX`: volumes below a prefix, or the objects of one volume.

use std::{
    io::{Write, stdout},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream, try_join};
use plimsoll_commitlog::{Context, Levels, look, tail, volume_key};
use plimsoll_ltx::{Layout, SNAPSHOT_LEVEL};
use plimsoll_model::Result as EngineResult;
use plimsoll_pages::list;
use plimsoll_store::{Folder, Store, VolumeUrl};
use plimsoll_volume::{Elsewhere, Located, OriginStore};
use serde::Serialize;

use crate::{
    exit::Result,
    setup::{Setup, layout, no_volume},
    table::{number, render, table},
    units,
};

/// Requests, or volumes, that are under way together.
const LOOKS_MAX: usize = 16;

pub(crate) fn run(setup: &Setup, typed: &str, objects: bool) -> Result<()> {
    if objects {
        return list_objects(setup, &setup.locate(typed)?);
    }
    let (parent, any) = setup.parent(typed)?;
    list_volumes(setup, &parent, &any)
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
    let begun = || setup.wait(look(&located.context(&setup.process.host))).map(|standing| standing.volume.is_some());
    if listing.files.is_empty() && begun()? {
        eprintln!("plimsoll: {} is a volume to which nothing was synced yet", located.store.url());
    } else if listing.files.is_empty() {
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
    /// Below the prefix; empty for the prefix itself.
    name: String,
    /// Of the database.
    bytes: Option<u64>,
    txid: u64,
    /// When the newest sync was written, by the store's clock.
    synced_ms: Option<u64>,
    /// `process on host`, while an epoch is open.
    holder: Option<String>,
}

fn list_volumes(setup: &Setup, parent: &VolumeUrl, any: &Located) -> Result<()> {
    let store = setup.process.store(parent, &any.settings.settings)?;
    let names = setup.wait(find(&store))?;
    if names.is_empty() {
        return Err(no_volume("listing", store.url()).into());
    }
    let looks = names.into_iter().map(|name| async move { (name.clone(), describe(setup, parent, any, name).await) });
    let looked: Vec<(String, EngineResult<Volume>)> = setup.wait(stream::iter(looks).buffered(LOOKS_MAX).collect());
    let mut failed = None;
    let mut volumes = Vec::with_capacity(looked.len());
    for (name, volume) in looked {
        match volume {
            Ok(volume) => volumes.push(volume),
            // One that cannot be read does not hide the others, nor that it is there.
            Err(error) => {
                eprintln!("plimsoll: {}: {error}", if name.is_empty() { "." } else { &name });
                failed.get_or_insert(error);
            }
        }
    }
    show(setup, volumes)?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn show(setup: &Setup, volumes: Vec<Volume>) -> Result<()> {
    let mut out = stdout().lock();
    if setup.json {
        for volume in volumes {
            writeln!(out, "{}", serde_json::json!(volume))?;
        }
        return Ok(());
    }
    let now = setup.process.host.clock.wall().0;
    let mut table = table(["volume", "size", "TXID", "last sync", "held by"], setup.color);
    for volume in volumes {
        table.add_row([
            if volume.name.is_empty() { ".".to_owned() } else { volume.name }.into(),
            number(volume.bytes.map_or_else(|| "-".to_owned(), units::bytes)),
            number(volume.txid),
            volume.synced_ms.map_or_else(|| "never".to_owned(), |synced| units::ago(now, synced)).into(),
            volume.holder.unwrap_or_else(|| "-".to_owned()).into(),
        ]);
    }
    Ok(write!(out, "{}", render(&table))?)
}

/// Names of the volumes below a prefix, in order. Looks into every folder that is no volume, and into none that is.
async fn find(store: &Arc<dyn Store>) -> EngineResult<Vec<String>> {
    let layout = if store.s3_layout() { Layout::S3 } else { Layout::Other };
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while !folders.is_empty() {
        let looks = folders.drain(..).map(|folder| async move {
            let inside = store.list_folder(&folder).await?;
            Ok::<_, plimsoll_model::Error>((folder, inside))
        });
        let looked: Vec<_> = stream::iter(looks).buffered(LOOKS_MAX).try_collect().await?;
        for (folder, inside) in looked {
            if is_volume(layout, &folder, &inside) {
                found.push(folder.trim_end_matches('/').to_owned());
            } else {
                folders.extend(inside.folders);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether a folder is a volume: it has an identity, or, if only Litestream writes there, a level.
fn is_volume(layout: Layout, folder: &str, inside: &Folder) -> bool {
    let named = |key: &str, name: &str| key.strip_prefix(folder) == Some(name);
    let level = |level| {
        let top = layout.folder(level);
        top.split_inclusive('/').next().is_some_and(|top| inside.folders.iter().any(|key| named(key, top)))
    };
    inside.entries.iter().any(|entry| named(&entry.key, volume_key())) || level(0) || level(SNAPSHOT_LEVEL)
}

async fn describe(setup: &Setup, parent: &VolumeUrl, any: &Located, name: String) -> EngineResult<Volume> {
    let url = if name.is_empty() { parent.clone() } else { parent.below(&name)? };
    let settings = &any.settings.settings;
    let own = setup.process.store(&url, settings)?;
    // What a fork has not replaced is in other volumes.
    let store = Arc::new(OriginStore::new(own, Arc::clone(&any.elsewhere) as Arc<dyn Elsewhere>));
    let context = Context::new(setup.process.host.clone(), store, settings.l0_retention);
    let (standing, tail) = try_join!(look(&context), tail(&context, Levels::Newest))?;
    let open = standing.status.as_ref().is_some_and(|seen| !seen.record.closed);
    let holder = standing.holder.filter(|_| open).map(|holder| format!("process {} on {}", holder.pid, holder.host));
    let newest = tail.files.iter().max_by_key(|file| file.id.max);
    Ok(Volume {
        name,
        bytes: tail.head.map(|head| head.page_count.bytes(head.page_size)),
        txid: tail.head.map_or(0, |head| head.txid.0),
        synced_ms: newest.map(|file| file.modified.0),
        holder,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use plimsoll_host::WallMs;
    use plimsoll_store::{Body, Created, Entry, MemoryStore, Object, Tail};

    use super::*;

    fn folder(folders: &[&str], keys: &[&str]) -> Folder {
        let entry = |key: &&str| Entry { key: (*key).to_owned(), size: 1, modified: WallMs(0) };
        Folder {
            folders: folders.iter().map(|key| (*key).to_owned()).collect(),
            entries: keys.iter().map(entry).collect(),
        }
    }

    #[test]
    fn an_identity_or_a_level_makes_a_volume() {
        assert!(is_volume(Layout::S3, "a/", &folder(&["a/epoch/"], &["a/volume.json"])));
        assert!(is_volume(Layout::S3, "a/", &folder(&["a/0000/"], &[])));
        assert!(is_volume(Layout::S3, "", &folder(&["0009/"], &[])));
        assert!(is_volume(Layout::Other, "a/", &folder(&["a/ltx/"], &[])));
        assert!(!is_volume(Layout::Other, "a/", &folder(&["a/0000/", "a/b/"], &["a/file"])));
        assert!(!is_volume(Layout::S3, "a/", &folder(&["a/ltx/"], &["a/x/volume.json"])));
    }

    /// Counts listings.
    struct Counting {
        inner: MemoryStore,
        folders: AtomicUsize,
        deep: AtomicUsize,
    }

    #[async_trait]
    impl Store for Counting {
        fn url(&self) -> &str {
            self.inner.url()
        }

        async fn create(&self, key: &str, body: Body) -> EngineResult<Created> {
            self.inner.create(key, body).await
        }

        async fn put(&self, key: &str, body: Body) -> EngineResult<()> {
            self.inner.put(key, body).await
        }

        async fn get(&self, key: &str) -> EngineResult<Option<Object>> {
            self.inner.get(key).await
        }

        async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> EngineResult<Option<bytes::Bytes>> {
            self.inner.get_range(key, range).await
        }

        async fn get_tail(&self, key: &str, bytes: u64) -> EngineResult<Option<Tail>> {
            self.inner.get_tail(key, bytes).await
        }

        async fn list(&self, folder: &str, after: Option<&str>) -> EngineResult<Vec<Entry>> {
            self.deep.fetch_add(1, Ordering::Relaxed);
            self.inner.list(folder, after).await
        }

        async fn list_folder(&self, folder: &str) -> EngineResult<Folder> {
            self.folders.fetch_add(1, Ordering::Relaxed);
            self.inner.list_folder(folder).await
        }

        async fn delete(&self, keys: &[String]) -> EngineResult<()> {
            self.inner.delete(keys).await
        }

        fn s3_layout(&self) -> bool {
            self.inner.s3_layout()
        }
    }

    #[test]
    fn ten_thousand_volumes_are_found_by_looking_into_each_folder_once_and_below_none() {
        const VOLUMES: usize = 10_000;
        let host = plimsoll_host::os::host().unwrap();
        let inner = MemoryStore::private(Arc::clone(&host.clock));
        let store = Arc::new(Counting { inner, folders: AtomicUsize::new(0), deep: AtomicUsize::new(0) });
        let counted: Arc<dyn Store> = store.clone();
        let names = host.tasks.wait(async {
            for number in 0..VOLUMES {
                // Some are a folder further down.
                let name = if number % 100 == 0 { format!("deep/{number}") } else { number.to_string() };
                store.put(&format!("{name}/volume.json"), Body::default()).await.unwrap();
                store.put(&format!("{name}/ltx/0/a.ltx"), Body::default()).await.unwrap();
            }
            find(&counted).await.unwrap()
        });
        assert_eq!(names.len(), VOLUMES);
        // The prefix, `deep`, and each volume.
        assert_eq!(store.folders.load(Ordering::Relaxed), VOLUMES + 2);
        assert_eq!(store.deep.load(Ordering::Relaxed), 0);
    }
}
