//! Earlier states of a volume: finding and reading them.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use futures::future::try_join;
use plimsoll_commitlog::{PinnedObject, read_pin};
use plimsoll_host::WallMs;
use plimsoll_ltx::{HEADER_BYTES, Header, Layout, plan::Target};
use plimsoll_model::{Error, ErrorKind, Result, Txid};
use plimsoll_pages::{Listed, Listing, Reading, View, list, load};
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
        let (store, layout) = (&self.config.store, self.config.layout());
        for attempt in 1.. {
            let named = |error: Error| error.object(self.url().to_owned());
            let found = async { objects(store, layout, reference).await.map_err(named) };
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
            self.open_cache(page_size, self.state().uuid);
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
/// `NotFound`: the state cannot be reproduced. Otherwise as the store says.
pub async fn objects(store: &Arc<dyn Store>, layout: Layout, reference: &Reference) -> Result<Vec<Listed>> {
    match reference {
        Reference::Txid(txid) => earlier(store, layout, &list(store, layout).await?, *txid).await,
        Reference::Time(time) => {
            for _ in 0..LISTINGS_MAX {
                let listing = list(store, layout).await?;
                if let Some(txid) = newest_until(store, layout, &listing, *time).await? {
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
async fn newest_until(store: &Arc<dyn Store>, layout: Layout, listing: &Listing, time: WallMs) -> Result<Option<Txid>> {
    let mut ends: Vec<Listed> = listing.files.clone();
    // A file's header has the time of its last sync. Of files that end alike the smallest will do.
    ends.sort_unstable_by_key(|file| (file.id.max, file.size));
    ends.dedup_by_key(|file| file.id.max);
    // From the newest end on, in strides that grow: where the clocks of two writers disagree, the later one's counts,
    // at least for what is not long ago.
    let (mut low, mut high) = (0, ends.len());
    let mut stride = Some(1);
    let mut oldest = None;
    while low < high {
        let at = stride.map_or_else(|| low.midpoint(high), |stride| high.saturating_sub(stride));
        let key = layout.key(&ends[at].id);
        let Some(bytes) = store.get_range(&key, 0..HEADER_BYTES as u64).await? else { return Ok(None) };
        let header = Header::decode(&bytes).map_err(|error| error.object(format!("{}/{key}", store.url())))?;
        if header.timestamp <= time {
            low = at + 1;
            stride = None;
        } else {
            oldest = Some((header.timestamp, ends[at].id.max));
            high = at;
            stride = stride.map(|stride| 2 * stride);
        }
    }
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

    fn put(store: &Arc<dyn Store>, txid: u64, minute: u64) {
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
        store.create(&key, bytes.into()).now_or_never().unwrap().unwrap();
    }

    #[test]
    fn a_time_is_by_the_clock_of_the_writer_that_came_last() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::private(os::host().unwrap().clock));
        // The first writer's clock was ahead.
        let minutes = (100..110).chain([102, 105, 108, 111]);
        for (txid, minute) in (1..).zip(minutes) {
            put(&store, txid, minute);
        }
        let listing = list(&store, Layout::Other).now_or_never().unwrap().unwrap();
        let until = |minute| {
            let time = WallMs(minute * MINUTE);
            newest_until(&store, Layout::Other, &listing, time).now_or_never().unwrap().map(|txid| txid.unwrap().0)
        };
        for (minute, txid) in [(200, 14), (111, 14), (110, 13), (106, 12), (101, 2), (100, 1)] {
            assert_eq!(until(minute).unwrap(), txid, "minute {minute}");
        }
        let refused = until(99).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert!(refused.to_string().contains("TXID 1, of 1970-01-01T01:40:00.000Z"), "{refused}");
    }
}
