//! From objects to a view: what their indexes say.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future::join, stream, try_join};
use plimsoll_cache::Cache;
use plimsoll_host::WallMs;
use plimsoll_ltx::{
    FileId, HEADER_BYTES, Header, IndexEntry, Location, PageTable,
    decode::{TailRead, decode_frame, read_tail},
    page_hash,
};
use plimsoll_model::{Error, ErrorKind, Lsn, PageCount, PageSize, Result};
use plimsoll_proof::{Proved, Prover, WHOLE_BYTES_MAX};

use crate::{Bases, Listed, Object, Placed, View, base::Base};

/// First guess at how much of an object's end holds its index.
const TAIL_BYTES: u64 = 256 << 10;
/// How much of the beginning of a large object is read beside its description. Whoever opens a database soon wants the
/// roots of its first tables, which are among the first pages, and cannot ask for anything below them before.
const BEGINNING_BYTES: u64 = 16 << 10;
/// Indexes that are read at once: all of them, unless nothing was merged for long.
const PARALLEL: usize = 64;

/// Says where pages go that are here anyway.
pub trait Keep: Send + Sync {
    /// The cache for pages of so many bytes, if there is one.
    fn cache(&self, page_size: PageSize) -> Option<Arc<Cache>>;
}

/// How objects are read.
#[derive(Clone, Copy, Default)]
pub struct Reading<'a> {
    /// Whether the volume may have sidecars.
    pub sidecars: bool,
    /// Pages of large objects that nobody has described are read without a check but their format's, rather than
    /// all of the object first. For reading only: what is merged is always proved.
    pub unproved: bool,
    /// Gets the pages of small objects.
    pub keep: Option<&'a dyn Keep>,
    /// Whether that gets the first pages of the oldest object, too, if it is large and new to this host: for a request,
    /// but no round trip.
    pub beginning: bool,
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
    /// Its file checksum.
    pub checksum: u64,
    /// File checksum of the sync that it was put on, if its writer says so.
    pub link: Option<u64>,
    /// When it was made, by its writer's clock.
    pub timestamp: WallMs,
    /// Its pages, ascending; with hash 0 where that is not known.
    pub entries: Arc<PageTable>,
}

impl Index {
    /// Its pages, ascending.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = Placed> {
        self.entries.iter().map(|entry| placed(&entry))
    }
}

/// Reads the index of one object, which is right: see [`Prover::prove`]. Unless it is `unproved`.
///
/// # Errors
/// `NotFound`: the object was collected meanwhile. `Corrupt`, or as the store says.
pub async fn index(prover: &Prover, file: Listed, reading: Reading<'_>) -> Result<Index> {
    let key = prover.layout().key(&file.id);
    if reading.unproved && file.size > WHOLE_BYTES_MAX {
        return unproved(prover, &key, file).await;
    }
    let proved = prover.prove(&file.id, Some(file.size), reading.sidecars).await?.ok_or_else(|| gone(&key))?;
    if !is_listed(&file, proved.size, proved.modified) {
        return Err(gone(&key));
    }
    described(prover, file.id, &proved, reading.keep)
}

/// Whether what a name stands for is still what a listing showed. When the newest sync is listed, it may be old
/// already: as soon as there is a newer one it can be merged and collected, and a late request of a dead writer may
/// take its name before it is read. Such a stray is younger, by the retention of level 0 at least.
pub(crate) fn is_listed(file: &Listed, size: u64, modified: WallMs) -> bool {
    /// Some stores tell the time of an object to the second when it is read, and to the millisecond in listings.
    const SAME_MS: u64 = 1000;
    // Of what a pin names it is not known when it was written.
    let listed = file.modified != WallMs(0);
    let younger = modified.0 > file.modified.0.saturating_add(SAME_MS);
    // Merges of one range have one content, whoever made them.
    file.id.level > 0 || (size == file.size && !(listed && younger))
}

/// Reads the index of an object from its end. Nothing vouches for it, nor for the pages that it leads to.
async fn unproved(prover: &Prover, key: &str, file: Listed) -> Result<Index> {
    let store = prover.store();
    let named = |error: Error| error.object(format!("{}/{key}", store.url()));
    let (head, tail) =
        futures::try_join!(store.get_range(key, 0..HEADER_BYTES as u64), store.get_tail(key, TAIL_BYTES))?;
    let (head, mut tail) = (head.ok_or_else(|| gone(key))?, tail.ok_or_else(|| gone(key))?);
    let header = Header::decode(&head).map_err(named)?;
    let (locations, checksum) = loop {
        match read_tail(&tail.bytes, tail.size).map_err(named)? {
            TailRead::Index { entries, checksum } => break (entries, checksum),
            TailRead::NeedMore(bytes) => tail = store.get_tail(key, bytes).await?.ok_or_else(|| gone(key))?,
        }
    };
    if (header.min, header.max) != (file.id.min, file.id.max) {
        return Err(named(
            Error::new(ErrorKind::Corrupt, "reading the index of")
                .why(format!("its header says TXIDs {} to {}", header.min, header.max)),
        ));
    }
    let entry = |at: &Location| IndexEntry { page: at.page, offset: at.offset, len: at.len, hash: 0 };
    Ok(of(file.id, tail.size, &header, checksum, Arc::new(locations.iter().map(entry).collect::<Vec<_>>().into())))
}

/// Reads the index of the sync after that of a view, if there is one. One request, unless it is large. Its pages go to
/// the cache only if it was put on that state: the name alone says nothing of a volume that was removed and made again.
///
/// # Errors
/// As [`index`].
pub async fn next(prover: &Prover, view: &View, reading: Reading<'_>) -> Result<Option<Index>> {
    let id = FileId::sync(view.txid.next());
    if reading.unproved {
        let Some(end) = prover.store().get_tail(&prover.layout().key(&id), 1).await? else { return Ok(None) };
        return index(prover, Listed { id, size: end.size, modified: WallMs(0) }, reading).await.map(Some);
    }
    let Some(proved) = prover.prove(&id, None, reading.sidecars).await? else { return Ok(None) };
    let index = described(prover, id, &proved, None)?;
    let goes_on = continues(view, &index) && view.page_size.is_none_or(|size| size == index.page_size);
    if goes_on {
        keep_all(prover, id, &proved, reading.keep)?;
    }
    Ok(Some(index))
}

/// The index of a proved object. If all of it is here, its pages go to the cache.
pub(crate) fn described(prover: &Prover, id: FileId, proved: &Proved, keep: Option<&dyn Keep>) -> Result<Index> {
    keep_all(prover, id, proved, keep)?;
    Ok(of(id, proved.size, &proved.header, proved.checksum, Arc::clone(&proved.entries)))
}

/// The index that a header and places make.
pub(crate) fn of(id: FileId, size: u64, header: &Header, checksum: u64, entries: Arc<PageTable>) -> Index {
    Index {
        object: Arc::new(Object { id, size }),
        count: header.commit,
        page_size: header.page_size,
        lsn: header.stamp.map(|stamp| stamp.lsn),
        checksum,
        link: header.stamp.map(|_| header.link),
        timestamp: header.timestamp,
        entries,
    }
}

pub(crate) fn placed(entry: &IndexEntry) -> Placed {
    Placed { page: entry.page, offset: entry.offset, len: u64::from(entry.len), hash: entry.hash }
}

/// Puts every page of a verified object into the cache, if all of it is here.
fn keep_all(prover: &Prover, id: FileId, proved: &Proved, keep: Option<&dyn Keep>) -> Result<()> {
    let (Some(keep), Some(bytes)) = (keep, &proved.bytes) else { return Ok(()) };
    let size = proved.header.page_size;
    let Some(cache) = keep.cache(size) else { return Ok(()) };
    let mut data = vec![0; size.bytes()];
    for entry in proved.entries.iter() {
        decode_frame(frame(bytes, 0, entry.offset, u64::from(entry.len)), entry.page, size, &mut data)
            .map_err(|error| error.object(format!("{}/{}", prover.store().url(), prover.layout().key(&id))))?;
        cache.put(entry.page, &data, entry.hash, proved.header.max);
    }
    Ok(())
}

/// The bytes of a frame in a part of an object that begins at `start`; empty if they are not in it.
pub(crate) fn frame(part: &[u8], start: u64, offset: u64, len: u64) -> &[u8] {
    let from = offset.checked_sub(start).and_then(|from| usize::try_from(from).ok());
    let to = offset.checked_add(len).and_then(|end| end.checked_sub(start)).and_then(|to| usize::try_from(to).ok());
    from.zip(to).and_then(|(from, to)| part.get(from..to)).unwrap_or_default()
}

/// The state after `files` (oldest first, as a restore plan gives them), and the commit that the last of them goes up to,
/// if its stamp says so. The large ones that it begins with become a base in `bases`; of a base that is there only that
/// it still stands is asked for, and the state shares what it has in common with others that are built on it.
///
/// # Errors
/// `NotFound`: an object was collected since the listing; list again. `Corrupt`, or as the store says.
pub async fn load(
    prover: &Prover,
    bases: &Bases,
    files: Vec<Listed>,
    reading: Reading<'_>,
) -> Result<(View, Option<Lsn>)> {
    let mut base = if reading.unproved { None } else { bases.of(&files) };
    let known = base.as_ref().map_or(0, |base| base.objects());
    let large = |file: &&Listed| reading.beginning && file.size > WHOLE_BYTES_MAX;
    let oldest = if known > 0 { None } else { files.first().filter(large).copied() };
    let beginning = async {
        let id = oldest?.id;
        // What was wanted of it before is in the cache.
        if prover.remembers(&id).await {
            return None;
        }
        let key = prover.layout().key(&id);
        // Only a speed-up: who wants a page that is not here asks for it.
        prover.store().get_range(&key, 0..BEGINNING_BYTES).await.ok().flatten()
    };
    let read = |files: &[Listed]| {
        let files = files.to_vec();
        stream::iter(files).map(|file| index(prover, file, reading)).buffered(PARALLEL).try_collect::<Vec<Index>>()
    };
    let stands = async {
        match &base {
            Some(base) => base.stands(prover, &files).await,
            None => Ok(true),
        }
    };
    let known = async { try_join!(stands, read(&files[known..])) };
    let (known, beginning) = join(known, beginning).await;
    let (stands, mut indexes) = known?;
    if !stands {
        base = None;
        indexes = read(&files).await?;
    }
    let url = prover.store().url();
    let mut rest = indexes.iter().peekable();
    while let Some(index) = rest.next_if(|index| index.object.size > WHOLE_BYTES_MAX && !reading.unproved) {
        base = Some(bases.on(base.as_ref(), index, url)?);
    }
    let mut view = base.as_ref().map_or_else(View::empty, Base::state);
    for index in rest {
        view = after(&view, index, url)?;
    }
    if let (Some(oldest), Some(bytes), Some(keep)) = (indexes.first(), beginning, reading.keep) {
        keep_beginning(oldest, &view, &bytes, keep);
    }
    let last = base.and_then(|base| base.lsn);
    Ok((view, indexes.last().map_or(last, |index| index.lsn)))
}

/// Puts the first pages of an object into the cache, as far as they are those of the view and right.
fn keep_beginning(index: &Index, view: &View, bytes: &[u8], keep: &dyn Keep) {
    let Some(cache) = keep.cache(index.page_size) else { return };
    let mut data = vec![0; index.page_size.bytes()];
    for Placed { page, offset, len, hash } in index.pages() {
        let part = frame(bytes, 0, offset, len);
        if part.is_empty() {
            break;
        }
        let newest = view.slot(page).is_some_and(|slot| slot.object() == &index.object);
        if newest && decode_frame(part, page, index.page_size, &mut data).is_ok() && page_hash(&data) == hash {
            cache.put(page, &data, hash, index.object.id.max);
        }
    }
}

/// Whether a sync was put on the state of a view, as far as both say.
#[must_use]
pub fn continues(view: &View, index: &Index) -> bool {
    view.checksum == 0 || index.link.is_none_or(|link| link == view.checksum)
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
    let lsn = index.lsn.unwrap_or(view.lsn);
    let mut next = if index.object.size > WHOLE_BYTES_MAX {
        view.onto(&index.object, lsn, index.count, index.page_size, &index.entries)
    } else {
        let pages: Vec<Placed> = index.pages().collect();
        view.after(&index.object, lsn, index.count, index.page_size, &pages)
    };
    if index.object.id.level == 0 {
        next.checksum = index.checksum;
    }
    Ok(next)
}

pub(crate) fn gone(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, "reading the index of")
        .object(key.to_owned())
        .why("the object was merged and collected since it was listed")
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use futures::{FutureExt as _, future::BoxFuture};
    use plimsoll_host::{Clock, Mono};
    use plimsoll_ltx::{Encoder, Frames, Layout, sidecar::Sidecar};
    use plimsoll_model::{Epoch, PageNo, Stamp, Txid, WriterId};
    use plimsoll_store::{MemoryStore, Store};

    use super::*;
    use crate::list_level;

    struct Hands(Mutex<u64>);

    impl Clock for Hands {
        fn now(&self) -> Mono {
            Mono(Duration::from_millis(self.wall().0))
        }
        fn wall(&self) -> WallMs {
            WallMs(*self.0.lock().unwrap())
        }
        fn sleep_until(&self, _: Mono) -> BoxFuture<'static, ()> {
            futures::future::pending().boxed()
        }
    }

    /// A sync and its description.
    fn sync(epoch: u32, pages: u32) -> (Vec<u8>, Vec<u8>) {
        let stamp = Stamp { writer: WriterId(1), epoch: Epoch(epoch), lsn: Lsn(1) };
        let header = Header {
            page_size: PageSize::new(512).unwrap(),
            commit: PageCount(pages),
            min: Txid(1),
            max: Txid(1),
            timestamp: WallMs(5),
            stamp: Some(stamp),
            link: 0,
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
        for page in 1..=pages {
            // Nothing to compress.
            let word = |at: u32| page_hash(&(page << 8 | at).to_le_bytes()).to_le_bytes();
            encoder.page(PageNo::new(page).unwrap(), &(0..64).flat_map(word).collect::<Vec<u8>>()).unwrap();
        }
        let finished = encoder.finish().unwrap();
        (bytes, Sidecar::of(&header, finished).encode())
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("memory answers at once")
    }

    /// Between a listing and the reading of what it names, the name of an old sync can become free and be taken by a
    /// late request of a dead writer. Readers once took such a stray for the history.
    #[test]
    fn what_took_the_name_of_a_listed_sync_is_not_taken_for_it_also_if_it_is_large() {
        for pages in [1, 1100] {
            let clock = Arc::new(Hands(Mutex::new(1_000_000)));
            let store: Arc<dyn Store> = Arc::new(MemoryStore::private(Arc::clone(&clock) as Arc<dyn Clock>));
            let id = FileId::sync(Txid(1));
            let key = Layout::Other.key(&id);
            let make = |epoch| {
                let (bytes, sidecar) = sync(epoch, pages);
                now(store.create(&key, bytes.into())).unwrap();
                now(store.put(&id.sidecar_key(), sidecar.into())).unwrap();
            };
            make(2);
            let file = now(list_level(&store, Layout::Other, 0)).unwrap()[0];
            assert_eq!(file.size > WHOLE_BYTES_MAX, pages > 1);
            let prover = Prover::new(Arc::clone(&store), plimsoll_host::os::host().unwrap(), None);
            let reading = || Reading { sidecars: true, ..Reading::default() };
            let read = || now(index(&prover, file, reading())).map(|index| index.lsn);
            assert_eq!(read().unwrap(), Some(Lsn(1)));
            *clock.0.lock().unwrap() += 300_000;
            now(store.delete(std::slice::from_ref(&key))).unwrap();
            make(1);
            assert_eq!(read().unwrap_err().kind(), ErrorKind::NotFound, "{pages}");
        }
    }
}
