//! What a volume's objects are kept for.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt as _, stream, try_join};
use plimsoll_commitlog::{Context, L0_RETENTION_UNRECORDED, Origin, PinRecord, VolumeRecord, identity, pins};
use plimsoll_ltx::FileId;
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_pages::{
    Listed, Listing,
    compact::{Retention, garbage},
    list,
};
use serde::Serialize;

use crate::{Elsewhere, checkpoint::is_alive, origins::is_of};

/// Forks that are asked at once whether they are there.
pub(crate) const PARALLEL: usize = 32;

/// Bytes by what they are kept for. Sidecars and records are not counted.
#[derive(Debug)]
pub struct Usage {
    /// What the newest state is made of, without what is in other volumes.
    pub live: u64,
    /// What a fork reads from other volumes.
    pub inherited: u64,
    /// What earlier states within the retention window need besides.
    pub window: u64,
    /// What nothing needs but pins.
    pub pinned: u64,
    /// What nothing needs: the next collection removes it.
    pub garbage: u64,
    /// Objects that are garbage.
    pub objects: Vec<FileId>,
    /// Each pin, by name.
    pub pins: Vec<Holding>,
}

/// A pin, and what it keeps.
#[derive(Debug)]
pub struct Holding {
    /// Its name.
    pub name: String,
    /// What it says, if that can be read.
    pub record: Result<PinRecord>,
    /// Bytes that would be garbage without any pin, and that this one names.
    pub holds: u64,
    /// Bytes that would be garbage without this pin alone.
    pub alone: u64,
    /// Whether everything that it names is there.
    pub complete: bool,
    /// For a fork's: whether the fork is there. `None` if nobody knows.
    pub alive: Option<bool>,
}

/// Finds out what is kept for whom, by `keep` or the volume's own record, whichever keeps longer. A list of each level, one of the pins, and a request or two for each pin.
///
/// # Errors
/// `NotFound` if there is no volume. As the store says.
pub async fn usage(context: &Context, keep: Retention, elsewhere: &dyn Elsewhere) -> Result<Usage> {
    let (volume, listing, pins) = try_join!(identity(context), list(context.store(), context.layout()), pins(context))?;
    let recorded = volume.as_ref().map_or(L0_RETENTION_UNRECORDED, VolumeRecord::l0_retention);
    let keep = Retention { level0: keep.level0.max(recorded), ..keep };
    if volume.is_none() && listing.files.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "looking at")
            .object(context.store().url())
            .why("there is no volume at this URL")
            .hint("check the URL, or make one: plimsoll create <url>"));
    }
    let origins = volume.map(|volume| volume.origins).unwrap_or_default();
    let elsewhere_is = |id: FileId| origins.iter().any(|origin| is_of(origin, id));
    let sizes: HashMap<FileId, u64> = listing.files.iter().map(|file| (file.id, file.size)).collect();
    let live: HashSet<FileId> = listing.newest()?.iter().map(|file| file.id).collect();
    let loose: HashSet<FileId> = garbage(&listing, listing.now(), keep, |id| elsewhere_is(*id)).into_iter().collect();
    let mut holders: HashMap<FileId, u32> = HashMap::new();
    for (_, record) in &pins {
        for object in record.iter().flat_map(|record| &record.objects) {
            *holders.entry(object.id).or_default() += 1;
        }
    }
    let asked = pins.into_iter().map(|(name, record)| async move {
        let alive = match &record {
            Ok(record) if record.fork.is_some() => is_alive(record, elsewhere).await.ok(),
            _ => None,
        };
        (name, record, alive)
    });
    let asked: Vec<_> = stream::iter(asked).buffered(PARALLEL).collect().await;
    let mut holdings = Vec::with_capacity(asked.len());
    for (name, record, alive) in asked {
        let named: Vec<FileId> = record.iter().flat_map(|record| &record.objects).map(|object| object.id).collect();
        let held = |only: bool| {
            let counts = |id: &&FileId| loose.contains(*id) && (!only || holders.get(*id) == Some(&1));
            named.iter().filter(counts).filter_map(|id| sizes.get(id)).sum()
        };
        let complete = record.is_ok() && named.iter().all(|id| sizes.contains_key(id));
        holdings.push(Holding { holds: held(false), alone: held(true), complete, alive, name, record });
    }
    let total = |counts: &dyn Fn(&Listed) -> bool| -> u64 {
        listing.files.iter().filter(|file| !elsewhere_is(file.id) && counts(file)).map(|file| file.size).sum()
    };
    let objects: Vec<FileId> = loose.iter().filter(|id| !holders.contains_key(*id)).copied().collect();
    Ok(Usage {
        live: total(&|file| live.contains(&file.id)),
        inherited: listing.files.iter().filter(|file| elsewhere_is(file.id)).map(|file| file.size).sum(),
        window: total(&|file| !live.contains(&file.id) && !loose.contains(&file.id)),
        pinned: total(&|file| loose.contains(&file.id) && holders.contains_key(&file.id)),
        garbage: objects.iter().filter_map(|id| sizes.get(id)).sum(),
        objects,
        pins: holdings,
    })
}

/// What a fork still has from other volumes. Bytes are those of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Borrowed {
    /// Volumes that keep something for it.
    pub volumes: u64,
    /// Objects that are read there.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that the newest state is made of. The others are for earlier states.
    pub live_objects: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// Bytes of all that the newest state is made of.
    pub live_of_bytes: u64,
}

/// Pure: what a volume of this record still has from others, by a listing of what it is made of. `None` if that is nothing.
#[must_use]
pub fn borrowed(volume: &VolumeRecord, listing: &Listing) -> Option<Borrowed> {
    let theirs: HashSet<FileId> =
        volume.origins.iter().flat_map(|origin| &origin.objects).map(|object| object.id).collect();
    let there = |file: &&Listed| theirs.contains(&file.id);
    let read: Vec<&Listed> = listing.files.iter().filter(there).collect();
    if read.is_empty() {
        return None;
    }
    // Without a newest state there is none that needs any of it.
    let newest = listing.newest().unwrap_or_default();
    let live: Vec<&Listed> = newest.iter().filter(there).collect();
    let listed: HashSet<FileId> = read.iter().map(|file| file.id).collect();
    let keeps = |origin: &&Origin| origin.objects.iter().any(|object| listed.contains(&object.id));
    Some(Borrowed {
        volumes: volume.origins.iter().filter(keeps).count() as u64,
        objects: read.len() as u64,
        bytes: read.iter().map(|file| file.size).sum(),
        live_objects: live.len() as u64,
        live_bytes: live.iter().map(|file| file.size).sum(),
        live_of_bytes: newest.iter().map(|file| file.size).sum(),
    })
}
