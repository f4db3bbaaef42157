//! Pins: states that stay restorable, and for whom.
//!
//! A pin names the objects that its state is made of, and a collector keeps what a pin names. The two need no
//! clock to agree: whoever makes a pin creates it first and then looks for announcements of collectors, and a
//! collector announces first and then looks for pins. So one of them sees the other, see [`sweep`](crate::sweep()).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use plimsoll_host::{
    Mono, WallMs,
    crash::{self, Point},
};
use plimsoll_ltx::FileId;
use plimsoll_model::{
    Error, ErrorKind, Result, Txid,
    step::{Step, taken},
};
use plimsoll_store::{Entry, Store};

use crate::{
    Context, PinRecord,
    create::{create_record, delete_record, insist},
    key::{PINS, SWEEPS, checkpoint_key, parse_pin_key, pin_key},
    record::{self, SweepRecord, check_note},
};

/// Records that are read at once.
const PARALLEL: usize = 32;
/// A record that was seen unchanged for so long is not read again: one that replaced it would have another time.
const SETTLED: Duration = Duration::from_secs(2);

/// A pin and its name.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Its name.
    pub name: String,
    /// What it says.
    pub record: Arc<PinRecord>,
    /// When it was written, by the store's clock.
    pub modified: WallMs,
}

/// What became of an attempt to pin a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pinned {
    /// The state is kept.
    Kept,
    /// Some of its objects are being collected, or are gone. There is no pin.
    Collected,
}

/// Pins a state, by the objects that `record` names. `listed` says when an object had been written, as far as that was
/// listed before: what has taken its name since is another one. Three round trips.
///
/// After an error the pin may be there or not; it may then be one that does not hold, which [`unpin`] removes.
/// Dropping the future does the same.
///
/// # Errors
/// `Invalid` for a name that no checkpoint can have; `Exists`-like conflicts as [`Conflict`](ErrorKind::Conflict);
/// those of the store.
pub async fn pin(
    context: &Context,
    name: &str,
    record: &PinRecord,
    listed: &HashMap<FileId, WallMs>,
) -> Result<Pinned> {
    let key = if record.fork.is_some() { pin_key(name)? } else { checkpoint_key(name)? };
    check_note(record.note.as_deref())?;
    let bytes = record::encode(record);
    if bytes.len() > plimsoll_model::limits::RECORD_BYTES_MAX {
        return Err(Error::new(ErrorKind::Invalid, "pinning a state of")
            .object(context.store.url())
            .why(format!("it is made of {} objects, more than a pin can name", record.objects.len()))
            .hint("merge them first: plimsoll compact <url>"));
    }
    if !insist(context, || create_record(context, &key, &bytes).boxed()).await? {
        return Err(Error::new(ErrorKind::Conflict, "making the checkpoint")
            .object(context.object(&key))
            .why("there is one of this name")
            .hint("choose another name, or remove that one: plimsoll checkpoint rm <url> <name>"));
    }
    crash::here(Point::PinCreated);
    // In this order: what was announced and carried out before is found missing.
    let announced = is_announced(context, record).await? && taken(Step::HeedAnnouncements);
    let holds = !announced && (is_there(context, record, listed).await? || !taken(Step::PinnedIsThere));
    if holds {
        crash::here(Point::PinKept);
        return Ok(Pinned::Kept);
    }
    crash::here(Point::PinGivenUp);
    delete_record(context, &key, &bytes, false).await?;
    Ok(Pinned::Collected)
}

/// Whether a collector is about to remove what the pin names.
async fn is_announced(context: &Context, record: &PinRecord) -> Result<bool> {
    let named: HashSet<FileId> = record.objects.iter().map(|object| object.id).collect();
    let entries = context.store.list(SWEEPS, None).await?;
    let keys = entries.iter().filter(|entry| entry.key.ends_with(".json")).map(|entry| entry.key.as_str());
    let sweeps = try_join_all(keys.map(|key| record::read::<SweepRecord>(context, key))).await?;
    Ok(sweeps.iter().flatten().flat_map(|sweep| &sweep.objects).any(|object| named.contains(&object.id)))
}

/// Whether everything that the pin names exists, and is what was listed: a late request of a dead writer may have taken
/// the name of a sync that was merged and collected meanwhile. One round trip.
async fn is_there(context: &Context, record: &PinRecord, listed: &HashMap<FileId, WallMs>) -> Result<bool> {
    let layout = context.layout();
    let mut firsts: BTreeMap<u8, Txid> = BTreeMap::new();
    for FileId { level, min, .. } in record.objects.iter().map(|object| object.id) {
        let first = firsts.entry(level).or_insert(min);
        *first = min.min(*first);
    }
    let lists = try_join_all(firsts.into_iter().map(|(level, first)| {
        let before = layout.key(&FileId { level, min: first.prev(), max: Txid(u64::MAX) });
        async move { context.store.list(&layout.folder(level), Some(&before)).await }
    }))
    .await?;
    let there: HashMap<FileId, &Entry> =
        lists.iter().flatten().filter_map(|entry| Some((layout.parse(&entry.key)?, entry))).collect();
    Ok(record.objects.iter().all(|object| {
        there.get(&object.id).is_some_and(|entry| {
            // Merges of one range have one content, whoever made them.
            let younger = object.id.level == 0 && listed.get(&object.id).is_some_and(|listed| entry.modified > *listed);
            entry.size == object.bytes && !younger
        })
    }))
}

/// Reads one pin; `None` if there is none of that name. One request.
///
/// # Errors
/// `Invalid` for what is no name; `Corrupt` for a damaged record; those of the store.
pub async fn read_pin(store: &dyn Store, name: &str) -> Result<Option<PinRecord>> {
    let key = pin_key(name)?;
    let Some(object) = store.get(&key).await? else { return Ok(None) };
    record::decode(&object.bytes).map(Some).map_err(|error| error.object(format!("{}/{key}", store.url())))
}

/// Removes a pin; whether there was one. What only it needed is garbage from now on. Two requests.
///
/// # Errors
/// `Invalid` for what is no name; those of the store.
pub async fn unpin(context: &Context, name: &str) -> Result<bool> {
    let key = pin_key(name)?;
    let Some(found) = context.store.get(&key).await? else { return Ok(false) };
    delete_record(context, &key, &found.bytes, true).await?;
    Ok(true)
}

/// Every pin by name, each as far as it can be read. One list, and a request for each.
///
/// # Errors
/// Those of the list.
pub async fn pins(context: &Context) -> Result<Vec<(String, Result<PinRecord>)>> {
    let entries = context.store.list(PINS, None).await?;
    let names = entries.into_iter().filter_map(|entry| parse_pin_key(&entry.key).map(str::to_owned));
    let reads = names.map(|name| async move {
        let read = read_pin(&*context.store, &name).await;
        read.transpose().map(|read| (name, read))
    });
    Ok(stream::iter(reads).buffered(PARALLEL).filter_map(futures::future::ready).collect().await)
}

/// Whether a pin is made of just these objects, and so has kept them ever since they were the state that it names. A
/// list, and a request for each pin.
///
/// # Errors
/// Those of the store; `Corrupt` for a damaged record.
pub async fn is_pinned(store: &Arc<dyn Store>, objects: &[FileId]) -> Result<bool> {
    let entries = store.list(PINS, None).await?;
    let names: Vec<String> = entries.iter().filter_map(|entry| parse_pin_key(&entry.key).map(str::to_owned)).collect();
    let mut reads = stream::iter(names).map(|name| async move { read_pin(&**store, &name).await }).buffered(PARALLEL);
    while let Some(record) = reads.try_next().await? {
        let made_of = record.iter().flat_map(|record| &record.objects).map(|object| &object.id);
        if record.is_some() && made_of.eq(objects) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The pins of a volume, for who asks again and again: each record is read about once.
#[derive(Default)]
pub struct Pins(Mutex<HashMap<String, Known>>);

#[derive(Clone)]
struct Known {
    modified: WallMs,
    size: u64,
    first_seen: Mono,
    /// Nothing that was created after it was read can look the same in a list.
    settled: bool,
    record: Arc<PinRecord>,
}

impl Pins {
    /// Every pin by name. One list, and a request for each that is new.
    ///
    /// # Errors
    /// Those of the store; `Corrupt` for a damaged record, since nobody knows then what it holds.
    pub async fn all(&self, context: &Context) -> Result<Vec<Pin>> {
        let sent = context.now();
        let entries = context.store.list(PINS, None).await?;
        let entries = entries.into_iter().filter(|entry| parse_pin_key(&entry.key).is_some());
        let reads = entries.map(|entry| async move {
            let known = self.known().get(&entry.key).cloned();
            let known = known.filter(|known| (known.modified, known.size) == (entry.modified, entry.size));
            if let Some(known) = known.as_ref().filter(|known| known.settled) {
                return Ok(Some((entry.key, known.clone())));
            }
            let Some(record) = record::read::<PinRecord>(context, &entry.key).await? else { return Ok(None) };
            let first_seen = known.map_or(sent, |known| known.first_seen);
            let settled = sent.since(first_seen) >= SETTLED;
            let known =
                Known { modified: entry.modified, size: entry.size, first_seen, settled, record: Arc::new(record) };
            Ok::<_, Error>(Some((entry.key, known)))
        });
        let found: Vec<Option<(String, Known)>> = stream::iter(reads).buffered(PARALLEL).try_collect().await?;
        let found: HashMap<String, Known> = found.into_iter().flatten().collect();
        let mut pins: Vec<Pin> = found
            .iter()
            .filter_map(|(key, known)| {
                let name = parse_pin_key(key)?.to_owned();
                Some(Pin { name, record: Arc::clone(&known.record), modified: known.modified })
            })
            .collect();
        pins.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        *self.known() = found;
        Ok(pins)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
