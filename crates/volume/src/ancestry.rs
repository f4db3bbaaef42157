//! Whether syncs link to those before them. Where one does not, what is before it is a stray: a late request of a dead
//! writer can take the name of a sync that was merged and collected. Whoever reads the newest state never sees one,
//! since a merge covers it.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use plimsoll_commitlog::{
    is_pinned,
    lineage::{Link, trusted_from},
};
use plimsoll_ltx::{FileId, HEADER_BYTES, Header, Layout};
use plimsoll_model::{
    Error, ErrorKind, Result,
    step::{Step, taken},
};
use plimsoll_pages::{Listed, Listing};
use plimsoll_store::Store;

/// Objects up to this size are read whole: most syncs are smaller.
const WHOLE_BYTES_MAX: u64 = 64 << 10;
/// Requests at once.
const PARALLEL: usize = 64;
const DOING: &str = "looking for an earlier state of";

/// Checks that the syncs by which a plan reaches an earlier state are history: the newest one links back to them, or a
/// pin has kept them since they were, though their successors are gone. Costs a small read, or two, for each sync from
/// there on that is not collected yet; nothing if the plan is made of merges.
///
/// # Errors
/// `NotFound`: one of them is not linked to, or is gone meanwhile. Otherwise as the store says.
pub(crate) async fn vouch(store: &Arc<dyn Store>, layout: Layout, listing: &Listing, plan: &[Listed]) -> Result<()> {
    let Some(first) = plan.iter().find(|file| file.id.level == 0).map(|file| file.id) else { return Ok(()) };
    let later: Vec<FileId> = listing.level(0).map(|file| file.id).filter(|id| id.max >= first.max).collect();
    let links: Vec<Link> =
        stream::iter(later).map(|id| link(store, layout, id)).buffered(PARALLEL).try_collect().await?;
    let made_of: Vec<FileId> = plan.iter().map(|file| file.id).collect();
    if trusted_from(&links) == Some(first.max) || !taken(Step::LinkBack) || is_pinned(store, &made_of).await? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound, DOING)
        .object(format!("{}/{}", store.url(), layout.key(&first)))
        .why("the newest sync does not link back to it, so it may not be what was there before syncs were merged")
        .hint("choose a later state, or a checkpoint"))
}

async fn link(store: &Arc<dyn Store>, layout: Layout, id: FileId) -> Result<Link> {
    let key = layout.key(&id);
    let named = |error: Error| error.object(format!("{}/{key}", store.url()));
    let gone = || named(Error::new(ErrorKind::NotFound, DOING).why("a sync was collected meanwhile"));
    let tail = store.get_tail(&key, WHOLE_BYTES_MAX).await?.ok_or_else(gone)?;
    let header = if tail.bytes.len() as u64 == tail.size {
        Header::decode(&tail.bytes)
    } else {
        Header::decode(&store.get_range(&key, 0..HEADER_BYTES as u64).await?.ok_or_else(gone)?)
    };
    let header = header.map_err(named)?;
    let checksum = tail.bytes.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // What others write is not linked, and vouches by its number.
    Ok(Link { txid: id.max, checksum, link: header.stamp.map(|_| header.link) })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use plimsoll_host::{WallMs, os};
    use plimsoll_ltx::{Encoder, Frames, plan::Target};
    use plimsoll_model::{Epoch, Lsn, PageCount, PageNo, PageSize, Stamp, Txid, WriterId};
    use plimsoll_pages::list;
    use plimsoll_store::MemoryStore;

    use super::*;

    fn put(store: &Arc<dyn Store>, txid: u64, epoch: u32, link: u64) -> u64 {
        let header = Header {
            page_size: PageSize::new(512).unwrap(),
            commit: PageCount(1),
            min: Txid(txid),
            max: Txid(txid),
            timestamp: WallMs(5),
            stamp: Some(Stamp { writer: WriterId(1), epoch: Epoch(epoch), lsn: Lsn(txid) }),
            link,
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, header, Frames::Block).unwrap();
        encoder.page(PageNo::FIRST, &[txid as u8; 512]).unwrap();
        let checksum = encoder.finish().unwrap().checksum;
        let key = Layout::Other.key(&FileId::sync(Txid(txid)));
        store.create(&key, bytes.into()).now_or_never().unwrap().unwrap();
        checksum
    }

    fn vouched(store: &Arc<dyn Store>, txid: u64) -> Result<()> {
        let listing = list(store, Layout::Other).now_or_never().unwrap()?;
        let plan = listing.restore(Target::Txid(Txid(txid)))?;
        vouch(store, Layout::Other, &listing, &plan).now_or_never().unwrap()
    }

    #[test]
    fn a_late_request_of_a_dead_writer_is_not_taken_for_an_earlier_state() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::private(os::host().unwrap().clock));
        let first = put(&store, 1, 1, 0);
        let second = put(&store, 2, 2, first);
        put(&store, 3, 2, second);
        for txid in 1..=3 {
            vouched(&store, txid).unwrap();
        }
        // The first two are merged and collected; then what a dead writer had asked for arrives.
        let names = [1, 2].map(|txid| Layout::Other.key(&FileId::sync(Txid(txid))));
        store.delete(&names).now_or_never().unwrap().unwrap();
        put(&store, 1, 1, 0);
        put(&store, 2, 1, first);
        for txid in 1..=2 {
            assert_eq!(vouched(&store, txid).unwrap_err().kind(), ErrorKind::NotFound, "{txid}");
        }
    }

    /// Its successor was collected as well, so nothing contradicts it.
    #[test]
    fn a_late_request_whose_successor_is_gone_is_not_taken_for_an_earlier_state_either() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::private(os::host().unwrap().clock));
        let first = put(&store, 1, 1, 0);
        let second = put(&store, 2, 2, first);
        let third = put(&store, 3, 2, second);
        put(&store, 4, 2, third);
        let names = [2, 3].map(|txid| Layout::Other.key(&FileId::sync(Txid(txid))));
        store.delete(&names).now_or_never().unwrap().unwrap();
        put(&store, 2, 1, first);
        assert_eq!(vouched(&store, 2).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
