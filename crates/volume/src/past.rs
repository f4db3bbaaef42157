//! Earlier states of a volume: finding and reading them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, SecondsFormat};
use futures::future::try_join;
use plimsoll_commitlog::{PinnedObject, read_pin};
use plimsoll_host::{Host, WallMs};
use plimsoll_ltx::{HEADER_BYTES, Header, Layout, plan::Target};
use plimsoll_model::{Error, ErrorKind, Result, Txid};
use plimsoll_pages::{Listed, Listing, Reading, View, list, load};
use plimsoll_proof::Prover;
use plimsoll_store::Store;

use crate::{
    Reference, Snapshot, Volume,
    ancestry::vouch,
    shared::{Shared, Tip},
};

/// Set in the versions of earlier states, so that none is that of a state which is the newest once.
const PAST: u64 = 1 << 63;
/// Listings in a row that may be outrun by merging and collecting.
const LISTINGS_MAX: usize = 5;
const LOOKING: &str = "looking for an earlier state of";

impl Volume {
    /// Pins an earlier state, which can be read as any other and never written to.
    ///
    /// Costs a listing and the indexes of the objects that it is made of; a time costs a few small reads more.
    ///
    /// # Errors
    /// `NotFound`: it cannot be reproduced any more, or there never was one. Otherwise as the store says.
    pub fn at(&self, reference: &Reference) -> Result<Snapshot> {
        let shared = self.shared();
        let view = shared.config.host.tasks.wait(shared.past(reference))?;
        Ok(shared.pin_past(Arc::new(view)))
    }
}

impl Shared {
    /// An earlier state, from what is left of it. Within the retention of level 0 that is its own objects, and what they
    /// were put on, which may have been merged since.
    /// May be asked for while the newest state is being read for the first time.
    pub(crate) async fn past(self: &Arc<Self>, reference: &Reference) -> Result<View> {
        for attempt in 1.. {
            let named = |error: Error| error.object(self.url().to_owned());
            let found = async { objects_by(&self.prover, reference).await.map_err(named) };
            let (files, recorded) = try_join(found, self.origins.is_recorded()).await?;
            let ours = self.state().ours || recorded;
            match load(&self.prover, &self.bases, files, Reading { keep: None, ..self.reading(ours) }).await {
                Err(error) if error.kind() == ErrorKind::NotFound && attempt < LISTINGS_MAX => {}
                other => return other.map(|(view, _)| view),
            }
        }
        Ok(View::empty())
    }

    pub(crate) fn pin_past(self: &Arc<Self>, view: Arc<View>) -> Snapshot {
        let tip = Tip { lsn: view.lsn, count: view.count, page_size: view.page_size, version: PAST | view.txid.0 };
        if let Some(page_size) = view.page_size {
            // Opening a cache takes its time, for which nobody else is kept from the state.
            let uuid = self.state().uuid;
            self.open_cache(page_size, uuid);
        }
        self.keep_in_use(&view);
        Snapshot::of_past(self, view, tip)
    }
}

/// The objects by which a listing reaches an earlier state, once it is known that they are history.
pub(crate) async fn earlier(
    store: &Arc<dyn Store>,
    layout: Layout,
    listing: &Listing,
    txid: Txid,
) -> Result<Vec<Listed>> {
    let plan = listing.restore(Target::Txid(txid))?;
    vouch(store, layout, listing, &plan).await?;
    Ok(plan)
}

/// The objects that make up an earlier state, oldest first.
///
/// # Errors
/// `NotFound`: the state cannot be reproduced. `Corrupt`: an object is damaged by which a time is told. Otherwise as the
/// store says.
pub async fn objects(store: &Arc<dyn Store>, host: &Host, reference: &Reference) -> Result<Vec<Listed>> {
    objects_by(&Prover::new(Arc::clone(store), host.clone(), None), reference).await
}

/// The same, where something is known of the objects already.
async fn objects_by(prover: &Prover, reference: &Reference) -> Result<Vec<Listed>> {
    let (store, layout) = (prover.store(), prover.layout());
    match reference {
        Reference::Txid(txid) => earlier(store, layout, &list(store, layout).await?, *txid).await,
        Reference::Time(time) => {
            for _ in 0..LISTINGS_MAX {
                let listing = list(store, layout).await?;
                if let Some(txid) = newest_until(prover, &listing, *time).await? {
                    return earlier(store, layout, &listing, txid).await;
                }
            }
            Err(Error::new(ErrorKind::Unavailable, LOOKING)
                .why("its objects are merged and collected faster than they can be looked at")
                .hint("try again"))
        }
        Reference::Checkpoint(name) => match read_pin(&**store, name).await? {
            Some(pin) => Ok(pin.objects.iter().map(listed).collect()),
            None => Err(Error::new(ErrorKind::NotFound, LOOKING)
                .why(format!("there is no checkpoint named {name}"))
                .hint("plimsoll checkpoint ls <url> lists them; a time is written as 2026-05-01T12:00:00Z or '5 minutes ago'")),
        },
    }
}

fn listed(object: &PinnedObject) -> Listed {
    Listed { id: object.id, size: object.bytes, modified: WallMs(0) }
}

/// The newest state that can be reproduced and is not younger than `time`; `None` if an object is gone meanwhile.
/// Times are those in the headers: they do not change when objects are merged, copied or listed by another store.
async fn newest_until(prover: &Prover, listing: &Listing, time: WallMs) -> Result<Option<Txid>> {
    let mut ends: Vec<Listed> = listing.files.clone();
    // A file's header has the time of its last sync. Of files that end alike the smallest will do.
    ends.sort_unstable_by_key(|file| (file.id.max, file.size));
    ends.dedup_by_key(|file| file.id.max);
    let mut times = Times { prover, ends: &ends, read: BTreeMap::new(), proved: BTreeSet::new() };
    let (low, oldest) = loop {
        // From the newest end on, in strides that grow: where the clocks of two writers disagree, the later one's counts,
        // at least for what is not long ago.
        let (mut low, mut high) = (0, ends.len());
        let mut stride = Some(1);
        let mut oldest = None;
        while low < high {
            let at = stride.map_or_else(|| low.midpoint(high), |stride| high.saturating_sub(stride));
            let Some(of) = times.read(at).await? else { return Ok(None) };
            if of <= time {
                low = at + 1;
                stride = None;
            } else {
                oldest = Some((of, ends[at].id.max));
                high = at;
                stride = stride.map(|stride| 2 * stride);
            }
        }
        // A time that was read wrong ends up on one side or the other of where it has led.
        let sides = [low.checked_sub(1), Some(low).filter(|at| *at < ends.len())];
        match times.prove(sides.into_iter().flatten()).await? {
            Some(true) => break (low, oldest),
            Some(false) => {}
            None => return Ok(None),
        }
    };
    let reproducible = |file: &&Listed| listing.restore(Target::Txid(file.id.max)).is_ok();
    match ends[..low].iter().rev().find(reproducible) {
        Some(found) => Ok(Some(found.id.max)),
        None => Err(Error::new(ErrorKind::NotFound, LOOKING)
            .why(match oldest {
                Some((oldest, txid)) => {
                    format!("no state that old can be reproduced: the oldest is TXID {txid}, of {}", in_words(oldest))
                }
                None => "nothing was ever synced".to_owned(),
            })
            .hint("older states are merged after a while; a checkpoint keeps one")),
    }
}

/// When ends of states were made, as far as that was asked.
struct Times<'a> {
    prover: &'a Prover,
    ends: &'a [Listed],
    read: BTreeMap<usize, WallMs>,
    /// Those that were not only read: the whole object is right.
    proved: BTreeSet<usize>,
}

impl Times<'_> {
    /// What a header says; `None` if the object is gone. A small request, once for each.
    async fn read(&mut self, at: usize) -> Result<Option<WallMs>> {
        if let Some(known) = self.read.get(&at) {
            return Ok(Some(*known));
        }
        let (store, key) = (self.prover.store(), self.prover.layout().key(&self.ends[at].id));
        let Some(bytes) = store.get_range(&key, 0..HEADER_BYTES as u64).await? else { return Ok(None) };
        let header = Header::decode(&bytes).map_err(|error| error.object(format!("{}/{key}", store.url())))?;
        self.read.insert(at, header.timestamp);
        Ok(Some(header.timestamp))
    }

    /// Whether these were read right; `None` if one is gone. From now on they are.
    async fn prove(&mut self, ends: impl Iterator<Item = usize>) -> Result<Option<bool>> {
        let mut right = true;
        for at in ends.filter(|at| self.proved.insert(*at)).collect::<Vec<_>>() {
            let Listed { id, size, .. } = self.ends[at];
            let Some(proved) = self.prover.prove(&id, Some(size), true).await? else { return Ok(None) };
            let of = proved.header.timestamp;
            right &= self.read.insert(at, of) == Some(of);
        }
        Ok(Some(right))
    }
}

fn in_words(time: WallMs) -> String {
    let time = i64::try_from(time.0).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| "an unknown time".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use plimsoll_host::os;
    use plimsoll_ltx::{Encoder, FileId, Frames};
    use plimsoll_model::{PageCount, PageNo, PageSize};
    use plimsoll_store::MemoryStore;

    use super::*;

    const MINUTE: u64 = 60_000;

    fn put(store: &MemoryStore, txid: u64, minute: u64) -> Vec<u8> {
        let header = Header {
            page_size: PageSize::new(512).unwrap(),
            commit: PageCount(1),
            min: Txid(txid),
            max: Txid(txid),
            timestamp: WallMs(minute * MINUTE),
            stamp: None,
            link: 0,
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
        encoder.page(PageNo::FIRST, &[1; 512]).unwrap();
        encoder.finish().unwrap();
        let key = Layout::Other.key(&FileId::sync(Txid(txid)));
        store.create(&key, bytes.clone().into()).now_or_never().unwrap().unwrap();
        bytes
    }

    /// The newest state of so many minutes.
    fn until(store: &MemoryStore, minute: u64) -> Result<u64> {
        let host = os::host().unwrap();
        let prover = Prover::new(Arc::new(store.clone()), host.clone(), None);
        host.tasks.wait(async move {
            let listing = list(prover.store(), prover.layout()).await?;
            newest_until(&prover, &listing, WallMs(minute * MINUTE)).await.map(|txid| txid.unwrap().0)
        })
    }

    /// They lead to other states, which are as right as any.
    #[test]
    fn a_time_that_is_damaged_in_an_object_is_told_of_and_leads_to_no_other_state() {
        for (txid, at) in (1..=8_u64).flat_map(|txid| [36, 37].map(|at| (txid, at))) {
            let store = MemoryStore::private(os::host().unwrap().clock);
            for other in 1..=8 {
                let mut bytes = put(&store, other, 100 + other);
                if other == txid {
                    bytes[at] = !bytes[at] & 1;
                    let key = Layout::Other.key(&FileId::sync(Txid(txid)));
                    store.put(&key, bytes.into()).now_or_never().unwrap().unwrap();
                }
            }
            for minute in 101..=109 {
                match until(&store, minute) {
                    Ok(found) => assert_eq!(found, (minute - 100).min(8), "byte {at} of {txid}, minute {minute}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at} of {txid}: {error}"),
                }
            }
        }
    }

    #[test]
    fn a_time_whose_state_cannot_be_reproduced_is_answered_by_the_one_before_it() {
        let store = MemoryStore::private(os::host().unwrap().clock);
        for txid in [1, 2, 4, 5] {
            put(&store, txid, 100 + txid);
        }
        for (minute, txid) in [(101, 1), (102, 2), (103, 2), (104, 2), (105, 2)] {
            assert_eq!(until(&store, minute).unwrap(), txid, "minute {minute}");
        }
    }

    #[test]
    fn a_time_is_by_the_clock_of_the_writer_that_came_last() {
        let store = MemoryStore::private(os::host().unwrap().clock);
        // The first writer's clock was ahead.
        let minutes = (100..110).chain([102, 105, 108, 111]);
        for (txid, minute) in (1..).zip(minutes) {
            put(&store, txid, minute);
        }
        for (minute, txid) in [(200, 14), (111, 14), (110, 13), (106, 12), (101, 2), (100, 1)] {
            assert_eq!(until(&store, minute).unwrap(), txid, "minute {minute}");
        }
        let refused = until(&store, 99).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert!(refused.to_string().contains("TXID 1, of 1970-01-01T01:40:00.000Z"), "{refused}");
    }
}
