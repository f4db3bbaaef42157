//! A fork's store: its own objects, and those that it started with, which are in other volumes.
//!
//! Whoever lists levels or reads objects through this sees one volume. Objects have names of their own wherever they
//! are, since a fork goes on where the volume before it was left, so nothing else has to know where one is. After
//! each of these volumes comes a sync without pages, which exists only here: it makes the next TXID the fork's own,
//! and has no stamp, so that nothing of another volume's writers counts in the fork.
//!
//! Writes go to the volume itself.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, select, try_join, try_join_all};
use plimsoll_commitlog::{Origin, VolumeRecord, decode_volume, detached_key, volume_key};
use plimsoll_host::WallMs;
use plimsoll_ltx::{Encoder, FileId, Frames, Header, Layout, SNAPSHOT_LEVEL};
use plimsoll_model::{Error, ErrorKind, PageCount, PageSize, Result};
use plimsoll_store::{Body, Created, Entry, Folder, Object, Page, Store, Tail};

use crate::Elsewhere;

/// See the [module](self). For a volume that is no fork, the volume itself.
pub struct OriginStore {
    own: Arc<dyn Store>,
    elsewhere: Arc<dyn Elsewhere>,
    known: Mutex<Option<Arc<Known>>>,
    /// Held while the volume's identity is being read, so that many who begin together ask once.
    asking: tokio::sync::Mutex<()>,
    asked: AtomicU64,
}

/// What a volume started with.
#[derive(Default)]
struct Known {
    /// The volume's record, for those who ask while it is being read, or for the first after that; later ones want to
    /// know whether it is being removed by now.
    record: Mutex<Option<Object>>,
    /// Somebody has got it.
    given: AtomicBool,
    inherited: HashMap<FileId, Inherited>,
    /// Whether there is a record at all.
    recorded: bool,
    /// Whether other volumes keep objects for it, as far as is known here.
    fork: bool,
    /// By the volume's own store's clock: as old as the fork itself.
    modified: WallMs,
}

struct Inherited {
    size: u64,
    place: Place,
}

enum Place {
    /// In another volume.
    At(Arc<dyn Store>),
    /// Nowhere but here.
    Here(Bytes),
}

/// The sync without pages that follows what a fork has of another volume.
pub(crate) fn birth(origin: &Origin) -> FileId {
    FileId::sync(origin.txid.next())
}

fn birth_bytes(origin: &Origin) -> Result<Bytes> {
    let page_size = PageSize::new(origin.page_size).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "reading what the fork started with")
            .why(format!("{} is no page size", origin.page_size))
    })?;
    let id = birth(origin);
    let header = Header {
        page_size,
        commit: PageCount(origin.page_count),
        min: id.min,
        max: id.max,
        timestamp: WallMs(origin.at_ms),
        stamp: None,
        link: 0,
    };
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, header, Frames::Block)?.finish()?;
    Ok(bytes.into())
}

impl OriginStore {
    /// Asks for nothing yet.
    #[must_use]
    pub fn new(own: Arc<dyn Store>, elsewhere: Arc<dyn Elsewhere>) -> Self {
        OriginStore {
            own,
            elsewhere,
            known: Mutex::new(None),
            asking: tokio::sync::Mutex::new(()),
            asked: AtomicU64::new(0),
        }
    }

    /// The volume's own objects alone.
    #[must_use]
    pub fn own(&self) -> &Arc<dyn Store> {
        &self.own
    }

    /// The objects that are read from other volumes, as far as that is known by now.
    pub(crate) fn inherited(&self) -> HashSet<FileId> {
        self.cached().map(|known| known.inherited.keys().copied().collect()).unwrap_or_default()
    }

    /// Whether others may still keep objects for it, though it may read none of them any more.
    pub(crate) fn is_fork(&self) -> bool {
        self.cached().is_some_and(|known| known.fork)
    }

    /// From now on nothing is read but the volume itself. `kept`: others still keep objects for it.
    pub(crate) fn forget_origins(&self, kept: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() {
            *known = Some(Arc::new(Known { recorded: true, fork: kept, ..Known::default() }));
        }
    }

    /// Asks again whether the fork still reads from other volumes, since any process may have detached it; whether it
    /// was. One request, none for what is known to read from no other volume.
    pub(crate) async fn was_detached(&self) -> Result<bool> {
        let reads_elsewhere = self.cached().is_some_and(|known| !known.inherited.is_empty());
        if !reads_elsewhere || self.own.get(detached_key()).await?.is_none() {
            return Ok(false);
        }
        // Whoever did so may have died before the others were told.
        self.forget_origins(true);
        Ok(true)
    }

    /// What the answer of another volume means. That an object is not to be had there is no wonder once the fork was
    /// detached: then it is gone, and what stands for it is the fork's own.
    async fn unless_detached<T>(&self, answer: Result<Option<T>>) -> Result<Option<T>> {
        if matches!(answer, Ok(Some(_))) {
            return answer;
        }
        match self.was_detached().await {
            Ok(true) => Ok(None),
            Ok(false) => answer,
            Err(error) => answer.and(Err(error)),
        }
    }

    /// Whether the volume has a record. No request once that is known.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn is_recorded(&self) -> Result<bool> {
        Ok(self.known().await?.recorded)
    }

    fn cached(&self) -> Option<Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the volume started with. One request the first time, two round trips for a fork.
    async fn known(&self) -> Result<Arc<Known>> {
        if let Some(known) = self.cached() {
            return Ok(known);
        }
        let before = self.asked.load(Ordering::Acquire);
        let _asking = self.asking.lock().await;
        if let Some(known) = self.cached() {
            return Ok(known);
        }
        if self.asked.load(Ordering::Acquire) != before {
            // It was asked for meanwhile, and there was no volume.
            return Ok(Arc::default());
        }
        let found = self.own.get(volume_key()).await?;
        self.asked.fetch_add(1, Ordering::AcqRel);
        let Some(object) = found else { return Ok(Arc::default()) };
        let known = match decode_volume(&object.bytes) {
            Ok(volume) => self.follow(&volume, object).await?,
            // Whoever asks for the identity is told. Without what it started with, a fork has a gap, and is not read.
            Err(_) => Known { record: Mutex::new(Some(object)), recorded: true, ..Known::default() },
        };
        let known = Arc::new(known);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn follow(&self, volume: &VolumeRecord, object: Object) -> Result<Known> {
        let modified = object.modified;
        let fork = !volume.origins.is_empty() && !volume.removed;
        let record = Mutex::new(Some(object));
        let mut known = Known { record, inherited: HashMap::new(), recorded: true, fork, modified, ..Known::default() };
        if !fork {
            return Ok(known);
        }
        let stores = volume.origins.iter().map(|origin| async move {
            let store = self.elsewhere.store(&origin.url)?;
            let found = store.get(volume_key()).await?;
            let same = found.is_some_and(|found| decode_volume(&found.bytes).is_ok_and(|at| at.uuid == origin.uuid));
            Ok::<_, Error>((origin, same.then_some(store)))
        });
        // Of a detached fork the others are not needed: whether they answer does not matter then.
        let stores = match select(pin!(self.own.get(detached_key())), pin!(try_join_all(stores))).await {
            Either::Left((detached, _)) if detached.as_ref().is_ok_and(Option::is_some) => return Ok(known),
            Either::Left((detached, stores)) => {
                detached?;
                stores.await
            }
            Either::Right((stores, detached)) => {
                if detached.await?.is_some() {
                    return Ok(known);
                }
                stores
            }
        };
        for (origin, store) in stores? {
            let Some(store) = store else { return Err(lost(self.own.url(), origin)) };
            for object in &origin.objects {
                let place = Place::At(Arc::clone(&store));
                known.inherited.insert(object.id, Inherited { size: object.bytes, place });
            }
            let bytes = birth_bytes(origin)?;
            let size = bytes.len() as u64;
            known.inherited.insert(birth(origin), Inherited { size, place: Place::Here(bytes) });
        }
        Ok(known)
    }

    fn layout(&self) -> Layout {
        layout_of(&*self.own)
    }

    /// Where to read a key, and by which name.
    async fn locate(&self, key: &str) -> Result<Found> {
        let id = self.layout().parse(key).map(|id| (id, false));
        let Some((id, sidecar)) = id.or_else(|| FileId::parse_sidecar_key(key).map(|id| (id, true))) else {
            return Ok(Found::Own);
        };
        let known = self.known().await?;
        Ok(match known.inherited.get(&id).map(|inherited| &inherited.place) {
            None => Found::Own,
            Some(Place::Here(_)) if sidecar => Found::Nothing,
            Some(Place::Here(bytes)) => Found::Here(bytes.clone(), known.modified),
            Some(Place::At(store)) => {
                let key = if sidecar { id.sidecar_key() } else { layout_of(&**store).key(&id) };
                Found::At(Arc::clone(store), key, known.modified)
            }
        })
    }
}

impl OriginStore {
    /// Whether what is inherited is listed there, too.
    fn has_levels(&self, folder: &str) -> bool {
        let layout = self.layout();
        (0..=SNAPSHOT_LEVEL).map(|level| layout.folder(level)).any(|level| level.starts_with(folder))
    }

    /// Puts what is inherited among what was listed, as far as that goes.
    fn with_inherited(&self, known: &Known, (folder, after): (&str, Option<&str>), page: Page) -> Page {
        let Page { mut entries, more } = page;
        let layout = self.layout();
        let last = entries.last().filter(|_| more).map(|entry| entry.key.clone());
        let listed = |key: &str| {
            key.starts_with(folder)
                && after.is_none_or(|after| key > after)
                && last.as_ref().is_none_or(|last| key < last.as_str())
        };
        let inherited = known.inherited.iter().map(|(id, inherited)| Entry {
            key: layout.key(id),
            size: inherited.size,
            modified: known.modified,
        });
        let before = entries.len();
        entries.extend(inherited.filter(|entry| listed(&entry.key)));
        if entries.len() > before {
            entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        }
        Page { entries, more }
    }
}

enum Found {
    Own,
    At(Arc<dyn Store>, String, WallMs),
    Here(Bytes, WallMs),
    Nothing,
}

fn layout_of(store: &dyn Store) -> Layout {
    if store.s3_layout() { Layout::S3 } else { Layout::Other }
}

fn lost(url: &str, origin: &Origin) -> Error {
    Error::new(ErrorKind::Corrupt, "reading the fork")
        .object(url)
        .why(format!("it reads from {}, where another volume is now, or none", origin.url))
        .hint("the volume that it was forked from was removed by force")
}

#[async_trait]
impl Store for OriginStore {
    fn url(&self) -> &str {
        self.own.url()
    }

    async fn create(&self, key: &str, body: Body) -> Result<Created> {
        self.own.create(key, body).await
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        self.own.put(key, body).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        if key == volume_key() {
            // What it is stands there also if what it was made of is gone.
            let waited = self.cached().is_none();
            let first = match self.known().await {
                Ok(known) => {
                    let mut record = known.record.lock().unwrap_or_else(PoisonError::into_inner);
                    if waited {
                        known.given.store(true, Ordering::Release);
                        record.clone()
                    } else {
                        record.take().filter(|_| !known.given.load(Ordering::Acquire))
                    }
                }
                Err(_) => None,
            };
            return match first {
                Some(record) => Ok(Some(record)),
                None => self.own.get(key).await,
            };
        }
        match self.locate(key).await? {
            Found::Own => self.own.get(key).await,
            // Times are those of listings, which are by this volume's clock.
            Found::At(store, key, modified) => {
                let found = self.unless_detached(store.get(&key).await).await?;
                Ok(found.map(|object| Object { modified, ..object }))
            }
            Found::Here(bytes, modified) => Ok(Some(Object { bytes, modified })),
            Found::Nothing => Ok(None),
        }
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        match self.locate(key).await? {
            Found::Own => self.own.get_range(key, range).await,
            Found::At(store, key, _) => self.unless_detached(store.get_range(&key, range).await).await,
            Found::Here(bytes, _) if range.start <= range.end && range.end <= bytes.len() as u64 => {
                Ok(Some(bytes.slice(range.start as usize..range.end as usize)))
            }
            Found::Here(..) => Err(Error::new(ErrorKind::Corrupt, "reading")
                .object(key)
                .why("the range is beyond the end of the fork's first sync")),
            Found::Nothing => Ok(None),
        }
    }

    async fn get_tail(&self, key: &str, bytes: u64) -> Result<Option<Tail>> {
        match self.locate(key).await? {
            Found::Own => self.own.get_tail(key, bytes).await,
            Found::At(store, key, modified) => {
                let found = self.unless_detached(store.get_tail(&key, bytes).await).await?;
                Ok(found.map(|tail| Tail { modified, ..tail }))
            }
            Found::Here(all, modified) => {
                let size = all.len() as u64;
                Ok(Some(Tail { bytes: all.slice(size.saturating_sub(bytes) as usize..), size, modified }))
            }
            Found::Nothing => Ok(None),
        }
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Entry>> {
        if !self.has_levels(folder) {
            return self.own.list(folder, after).await;
        }
        let (entries, known) = try_join(self.own.list(folder, after), self.known()).await?;
        Ok(self.with_inherited(&known, (folder, after), Page { entries, more: false }).entries)
    }

    async fn list_page(&self, folder: &str, after: Option<&str>) -> Result<Page> {
        if !self.has_levels(folder) {
            return self.own.list_page(folder, after).await;
        }
        let (page, known) = try_join(self.own.list_page(folder, after), self.known()).await?;
        Ok(self.with_inherited(&known, (folder, after), page))
    }

    async fn list_folder(&self, folder: &str) -> Result<Folder> {
        self.own.list_folder(folder).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.own.delete(keys).await
    }

    async fn delete_once(&self, keys: &[String]) -> Result<()> {
        self.own.delete_once(keys).await
    }

    fn object_bytes_max(&self) -> u64 {
        self.own.object_bytes_max()
    }

    fn s3_layout(&self) -> bool {
        self.own.s3_layout()
    }
}

/// Whether an object of a restore plan is one of these.
pub(crate) fn is_of(origin: &Origin, id: FileId) -> bool {
    id == birth(origin) || origin.objects.iter().any(|object| object.id == id)
}
