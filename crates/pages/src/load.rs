//! From a listing to a view: which objects make up the state, and what their indexes say.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use plimsoll_cache::Cache;
use plimsoll_host::WallMs;
use plimsoll_ltx::{
    FileId, HEADER_BYTES, Header, IndexEntry, Layout,
    decode::{Decoded, TailRead, decode_frame, read_tail, verify_whole},
    plan::{Target, plan},
    sidecar::Sidecar,
};
use plimsoll_model::{Error, ErrorKind, Lsn, PageCount, PageSize, Result, Txid};
use plimsoll_store::{Entry, Store};

use crate::{Object, Placed, View};

/// Levels that the layout knows: 0 for syncs, 9 for snapshots, merges between them.
pub(crate) const LEVELS: std::ops::RangeInclusive<u8> = 0..=9;
/// Objects up to this size are read whole, which verifies them and fills the cache.
const WHOLE_BYTES_MAX: u64 = 512 << 10;
/// Objects of ours up to this size that have no usable sidecar are fetched and verified whole: a page of them has
/// no check of its own. Larger ones, and those of other writers, are read by page with no check but their format's.
const UNDESCRIBED_BYTES_MAX: u64 = 64 << 20;
/// First guess at how much of an object's end holds its index.
const TAIL_BYTES: u64 = 256 << 10;
/// Indexes that are read at once.
const PARALLEL: usize = 32;

/// Every LTX object of a volume.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Sorted by level, then TXID.
    pub files: Vec<Listed>,
}

/// One LTX object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Level and range.
    pub id: FileId,
    /// Bytes.
    pub size: u64,
    /// By the store's clock.
    pub modified: WallMs,
}

impl Listing {
    /// The objects of one level, oldest first.
    pub fn level(&self, level: u8) -> impl DoubleEndedIterator<Item = &Listed> + Clone {
        self.files.iter().filter(move |file| file.id.level == level)
    }

    /// The newest sync, wherever it is.
    #[must_use]
    pub fn head(&self) -> Txid {
        self.files.iter().map(|file| file.id.max).max().unwrap_or(Txid::ZERO)
    }

    /// The objects that make up the newest state, oldest first.
    ///
    /// # Errors
    /// `Corrupt`: syncs are missing in between.
    pub fn newest(&self) -> Result<Vec<Listed>> {
        self.restore(Target::Latest)
    }

    /// The objects that make up the state at a TXID, oldest first.
    ///
    /// # Errors
    /// `Corrupt`: syncs are missing in between.
    pub fn restore(&self, target: Target) -> Result<Vec<Listed>> {
        let ids: Vec<FileId> = self.files.iter().map(|file| file.id).collect();
        let chosen = plan(&ids, target)?;
        Ok(chosen.iter().filter_map(|id| self.files.iter().find(|file| file.id == *id)).copied().collect())
    }
}

/// Lists every level at once: one round trip unless a level has more than a thousand objects.
///
/// # Errors
/// As the store says.
pub async fn list(store: &Arc<dyn Store>, layout: Layout) -> Result<Listing> {
    let folders: Vec<String> = LEVELS.map(|level| layout.folder(level)).collect();
    let levels = try_join_all(folders.iter().map(|folder| store.list(folder, None))).await?;
    let mut files: Vec<Listed> = levels.iter().flatten().filter_map(|entry| listed(layout, entry)).collect();
    files.sort_unstable_by_key(|file| (file.id.level, file.id.min, file.id.max));
    Ok(Listing { files })
}

/// Lists one level.
///
/// # Errors
/// As the store says.
pub async fn list_level(store: &Arc<dyn Store>, layout: Layout, level: u8) -> Result<Vec<Listed>> {
    let entries = store.list(&layout.folder(level), None).await?;
    let mut files: Vec<Listed> = entries.iter().filter_map(|entry| listed(layout, entry)).collect();
    files.sort_unstable_by_key(|file| (file.id.min, file.id.max));
    Ok(files)
}

fn listed(layout: Layout, entry: &Entry) -> Option<Listed> {
    // Names of other shapes are somebody else's and ignored.
    let id = layout.parse(&entry.key)?;
    Some(Listed { id, size: entry.size, modified: entry.modified })
}

/// What an object says of itself.
pub struct Index {
    /// The object.
    pub object: Arc<Object>,
    /// Pages in the volume after it.
    pub count: PageCount,
    /// Bytes per page.
    pub page_size: PageSize,
    /// The commit it goes up to, if a stamp says so.
    pub lsn: Option<Lsn>,
    /// Its pages, ascending.
    pub pages: Vec<Placed>,
}

/// Reads the index of one object: whole if small, from its sidecar if it has one, from its end otherwise.
///
/// # Errors
/// `NotFound`: the object was collected meanwhile. `Corrupt`, or as the store says.
pub async fn index(
    store: &Arc<dyn Store>,
    layout: Layout,
    file: Listed,
    sidecars: bool,
    cache: Option<&Arc<Cache>>,
) -> Result<Index> {
    let key = layout.key(&file.id);
    let object = Arc::new(Object { id: file.id, size: file.size });
    let named = |error: Error| error.object(format!("{}/{key}", store.url()));
    if file.size <= WHOLE_BYTES_MAX {
        let bytes = store.get(&key).await?.ok_or_else(|| gone(&key))?.bytes;
        return whole(object, &bytes, cache).map_err(named);
    }
    if sidecars && let Some(found) = store.get(&file.id.sidecar_key()).await? {
        // A sidecar is a copy of what the object itself says: a bad or foreign one is passed over.
        match Sidecar::decode(&found.bytes) {
            Ok(sidecar) if sidecar.file_bytes == file.size => {
                let lsn = if file.id.level == 0 { stamped(store, &key, &file.id).await? } else { None };
                return Ok(Index { lsn, ..from_sidecar(object, &sidecar) });
            }
            Ok(_) => tracing::warn!(object = %key, "its sidecar belongs to another object of the same name"),
            Err(error) => tracing::warn!(object = %key, %error, "its sidecar is unusable"),
        }
    }
    if sidecars && file.size <= UNDESCRIBED_BYTES_MAX {
        // Its writer died before it could describe it, or the description is damaged.
        let bytes = store.get(&key).await?.ok_or_else(|| gone(&key))?.bytes;
        return whole(object, &bytes, cache).map_err(named);
    }
    let (head, tail) =
        futures::try_join!(store.get_range(&key, 0..HEADER_BYTES as u64), store.get_tail(&key, TAIL_BYTES))?;
    let (head, mut tail) = (head.ok_or_else(|| gone(&key))?, tail.ok_or_else(|| gone(&key))?);
    let header = Header::decode(&head).map_err(named)?;
    let locations = loop {
        match read_tail(&tail.bytes, tail.size).map_err(named)? {
            TailRead::Index { entries, .. } => break entries,
            TailRead::NeedMore(bytes) => tail = store.get_tail(&key, bytes).await?.ok_or_else(|| gone(&key))?,
        }
    };
    let pages = locations
        .iter()
        .map(|at| Placed { page: at.page, offset: at.offset, len: u64::from(at.len), hash: 0 })
        .collect();
    described(object, &header, pages).map_err(named)
}

/// Reads the index of the sync after `txid`, if there is one. One request, unless it is large.
///
/// # Errors
/// As [`index`].
pub async fn next(
    store: &Arc<dyn Store>,
    layout: Layout,
    txid: Txid,
    sidecars: bool,
    cache: Option<&Arc<Cache>>,
) -> Result<Option<Index>> {
    let id = FileId::sync(txid.next());
    let key = layout.key(&id);
    let Some(tail) = store.get_tail(&key, WHOLE_BYTES_MAX).await? else { return Ok(None) };
    if tail.size <= WHOLE_BYTES_MAX {
        let object = Arc::new(Object { id, size: tail.size });
        let named = |error: Error| error.object(format!("{}/{key}", store.url()));
        return whole(object, &tail.bytes, cache).map(Some).map_err(named);
    }
    index(store, layout, Listed { id, size: tail.size, modified: WallMs(0) }, sidecars, cache).await.map(Some)
}

fn whole(object: Arc<Object>, bytes: &[u8], cache: Option<&Arc<Cache>>) -> Result<Index> {
    let decoded = verify_whole(bytes)?;
    if let Some(cache) = cache {
        keep_all(bytes, &decoded, cache)?;
    }
    let pages = decoded.index.iter().map(placed).collect();
    described(object, &decoded.header, pages)
}

fn described(object: Arc<Object>, header: &Header, pages: Vec<Placed>) -> Result<Index> {
    if (header.min, header.max) != (object.id.min, object.id.max) {
        return Err(Error::new(ErrorKind::Corrupt, "reading the index of").why(format!(
            "its header says TXIDs {} to {}, its name {} to {}",
            header.min, header.max, object.id.min, object.id.max
        )));
    }
    Ok(Index {
        object,
        count: header.commit,
        page_size: header.page_size,
        lsn: header.stamp.map(|stamp| stamp.lsn),
        pages,
    })
}

/// Up to which commit a sync goes: a sidecar does not say.
async fn stamped(store: &Arc<dyn Store>, key: &str, id: &FileId) -> Result<Option<Lsn>> {
    let named = |error: Error| error.object(format!("{}/{key}", store.url()));
    let head = store.get_range(key, 0..HEADER_BYTES as u64).await?.ok_or_else(|| gone(key))?;
    let header = Header::decode(&head).map_err(named)?;
    if (header.min, header.max) != (id.min, id.max) {
        return Err(named(Error::new(ErrorKind::Corrupt, "reading the header of"))
            .why(format!("it says TXIDs {} to {}", header.min, header.max)));
    }
    Ok(header.stamp.map(|stamp| stamp.lsn))
}

fn from_sidecar(object: Arc<Object>, sidecar: &Sidecar) -> Index {
    let pages = sidecar.entries.iter().map(placed).collect();
    Index { object, count: sidecar.commit, page_size: sidecar.page_size, lsn: None, pages }
}

pub(crate) fn placed(entry: &IndexEntry) -> Placed {
    Placed { page: entry.page, offset: entry.offset, len: u64::from(entry.len), hash: entry.hash }
}

/// Puts every page of a verified object into the cache.
fn keep_all(bytes: &[u8], decoded: &Decoded, cache: &Cache) -> Result<()> {
    let size = decoded.header.page_size;
    let mut data = vec![0; size.bytes()];
    for entry in &decoded.index {
        decode_frame(frame(bytes, 0, entry.offset, u64::from(entry.len)), entry.page, size, &mut data)?;
        cache.put(entry.page, &data, entry.hash, decoded.header.max);
    }
    Ok(())
}

/// The bytes of a frame in a part of an object that begins at `start`; empty if they are not in it.
pub(crate) fn frame(part: &[u8], start: u64, offset: u64, len: u64) -> &[u8] {
    let from = offset.checked_sub(start).and_then(|from| usize::try_from(from).ok());
    let to = (offset + len).checked_sub(start).and_then(|to| usize::try_from(to).ok());
    from.zip(to).and_then(|(from, to)| part.get(from..to)).unwrap_or_default()
}

/// The state after `files` (oldest first, as a restore plan gives them) on top of `base`.
///
/// `lsn` is what the stamp of the head says. `sidecars`: whether the volume may have them.
///
/// # Errors
/// `NotFound`: an object was collected since the listing; list again. `Corrupt`, or as the store says.
pub async fn load(
    store: &Arc<dyn Store>,
    layout: Layout,
    base: &View,
    files: Vec<Listed>,
    sidecars: bool,
    cache: Option<&Arc<Cache>>,
) -> Result<View> {
    let indexes: Vec<Index> = stream::iter(files)
        .map(|file| index(store, layout, file, sidecars, cache))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut view = base.clone();
    for index in &indexes {
        view = after(&view, index, store.url())?;
    }
    Ok(view)
}

/// The state after one more object.
///
/// # Errors
/// `Corrupt`: its pages have another size than the volume's.
pub fn after(view: &View, index: &Index, url: &str) -> Result<View> {
    if view.page_size.is_some_and(|size| size != index.page_size) {
        return Err(Error::new(ErrorKind::Corrupt, "reading the volume").object(url.to_owned()).why(format!(
            "TXID {} has pages of {} bytes, those before it of {}",
            index.object.id.max,
            index.page_size,
            view.page_size.map_or(0, PageSize::get)
        )));
    }
    Ok(view.after(&index.object, index.lsn.unwrap_or(view.lsn), index.count, index.page_size, &index.pages))
}

fn gone(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, "reading the index of")
        .object(key.to_owned())
        .why("the object was merged and collected since it was listed")
}
