//! The newest sync.

use futures::future::{join, try_join, try_join_all};
use plimsoll_host::{Mono, WallMs};
use plimsoll_ltx::{FileId, HEADER_BYTES, Header, SNAPSHOT_LEVEL};
use plimsoll_model::{Error, ErrorKind, PageCount, PageSize, Result, Stamp, Txid};
use plimsoll_proof::Proved;

use crate::Context;

/// How often a listing is repeated when what it names has vanished meanwhile. A collector never
/// removes the newest object, so once is plenty, unless syncs and merges outrun us.
const LISTINGS_MAX: usize = 5;
/// A file checksum, at the very end of an object.
const CHECKSUM_BYTES: u64 = 8;

/// The newest object: what the next sync continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest sync.
    pub txid: Txid,
    /// Who wrote it and up to which commit it goes; `None` if it was not Plimsoll.
    pub stamp: Option<Stamp>,
    /// Its file checksum: the link of the next sync.
    pub checksum: u64,
    /// Pages of the volume.
    pub page_count: PageCount,
    /// Bytes per page.
    pub page_size: PageSize,
}

/// An LTX object of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LtxObject {
    /// Level and TXIDs.
    pub id: FileId,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: WallMs,
}

/// Which levels to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levels {
    /// Level 0 alone, which has the newest sync; the others only if it is empty.
    Newest,
    /// All that there are.
    All,
}

/// What a listing showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The newest object; `None` if there never was a sync.
    pub head: Option<Head>,
    /// The objects of the levels that were listed, by level and TXID; of level 0 those from an expected one on.
    pub files: Vec<LtxObject>,
    /// When it was asked for.
    pub sent: Mono,
}

/// Lists the objects of a volume and reads the head of the newest. Two round trips, the lists in parallel.
///
/// # Errors
/// Those of the store; `Corrupt` when the newest object is not an LTX file.
pub async fn tail(context: &Context, levels: Levels) -> Result<Tail> {
    tail_expecting(context, levels, None).await
}

/// As [`tail`], but one round trip if the newest sync is the one that is expected: it is read beside the listing, which
/// begins with it, however many there are before it.
///
/// Which of the two requests comes first does not matter. While a sync is the newest nobody removes it, so what was
/// read under its name is what the listing shows.
///
/// # Errors
/// As [`tail`].
pub(crate) async fn tail_expecting(context: &Context, levels: Levels, expected: Option<Txid>) -> Result<Tail> {
    let mut expected = expected.filter(|txid| !txid.is_zero()).map(FileId::sync);
    for _ in 0..LISTINGS_MAX {
        let sent = context.now();
        let from = expected.filter(|_| levels == Levels::Newest).map(|id| FileId::sync(id.min.prev()));
        let ahead = async {
            match expected {
                Some(id) => read_head(context, &id).await,
                None => Ok(None),
            }
        };
        let listed = list(context, if levels == Levels::All { &ALL } else { &NEWEST }, from);
        let (files, ahead) = join(listed, ahead).await;
        let mut files = files?;
        if files.is_empty() && from.is_some() {
            // It was the newest: another volume is here by now, or none.
            files = list(context, &NEWEST, None).await?;
        }
        if files.is_empty() && levels == Levels::Newest {
            files = list(context, &OTHERS, None).await?;
        }
        let Some(newest) = newest(&files) else { return Ok(Tail { head: None, files, sent }) };
        // Level 0 may have been listed before the first sync, and the others once that was merged. Only what is at level 0
        // has a stamp and the checksum that is to be linked to.
        if newest.level > 0 && list(context, &NEWEST, None).await?.iter().any(|file| file.id.max >= newest.max) {
            continue;
        }
        // Whatever was read of another one does not matter.
        let head = if expected.take() == Some(newest) { ahead? } else { read_head(context, &newest).await? };
        if head.is_some() {
            return Ok(Tail { head, files, sent });
        }
    }
    Err(Error::new(ErrorKind::Unavailable, "finding the newest sync of")
        .object(context.store.url())
        .why(format!("the newest object vanished after each of {LISTINGS_MAX} listings"))
        .hint("something deletes objects there, or the store's listings are not consistent with its reads"))
}

const NEWEST: [u8; 1] = [0];
const OTHERS: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, SNAPSHOT_LEVEL];
const ALL: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, SNAPSHOT_LEVEL];

async fn list(context: &Context, levels: &[u8], after: Option<FileId>) -> Result<Vec<LtxObject>> {
    let layout = context.layout();
    let after = after.map(|id| layout.key(&id));
    let lists = try_join_all(levels.iter().map(|level| {
        let (folder, after) = (layout.folder(*level), after.as_deref());
        async move { context.store.list(&folder, after).await }
    }));
    let object = |entry: plimsoll_store::Entry| {
        let id = layout.parse(&entry.key)?;
        Some(sound(context, id).map(|id| LtxObject { id, size: entry.size, modified: entry.modified }))
    };
    lists.await?.into_iter().flatten().filter_map(object).collect()
}

/// Refuses a TXID that could not be counted on from.
fn sound(context: &Context, id: FileId) -> Result<FileId> {
    if id.max.is_sound() {
        return Ok(id);
    }
    Err(Error::new(ErrorKind::Corrupt, "listing")
        .object(context.object(&context.layout().key(&id)))
        .why("its name has a TXID beyond what any volume reaches")
        .hint("nothing of ours writes that; remove the object if it is not needed"))
}

/// The object that ends the history, by TXID; of several the one of the lowest level, which has the stamp.
fn newest(files: &[LtxObject]) -> Option<FileId> {
    files.iter().map(|file| file.id).max_by_key(|id| (id.max, std::cmp::Reverse(id.level)))
}

/// The head that a volume would have if this object were its newest; `None` if it is gone. As [`Tail::head`].
///
/// # Errors
/// Those of the store; `Corrupt` when the object is no LTX file.
pub async fn head_of(context: &Context, id: &FileId) -> Result<Option<Head>> {
    read_head(context, id).await
}

/// Reads what the next sync must know of an object; `None` if it is gone. What it says is right: a writer goes on from
/// it. One request unless it is large; of a large one that nobody has described all is read.
///
/// # Errors
/// Those of the store; `Corrupt` when the object is damaged.
pub(crate) async fn read_head(context: &Context, id: &FileId) -> Result<Option<Head>> {
    let proved = context.prover.prove(id, None, true).await?;
    Ok(proved.map(|Proved { header, checksum, .. }| head(id, &header, checksum)))
}

/// When a sync was written, by its writer's clock, in milliseconds since 1970; `None` if it is gone. No request if it is
/// known already.
pub(crate) async fn written_at(context: &Context, txid: Txid) -> Result<Option<u64>> {
    let proved = context.prover.prove(&FileId::sync(txid), None, true).await?;
    Ok(proved.map(|proved| proved.header.timestamp.0))
}

/// Whether an object is the one with this stamp and checksum, as far as its ends tell. `false` means nothing: the
/// object may be damaged.
pub(crate) async fn looks_like(context: &Context, id: &FileId, stamp: Stamp, checksum: u64) -> Result<bool> {
    let key = context.layout().key(id);
    let ends =
        try_join(context.store.get_range(&key, 0..HEADER_BYTES as u64), context.store.get_tail(&key, CHECKSUM_BYTES));
    let (Some(header), Some(end)) = ends.await? else { return Ok(false) };
    let stamped = Header::decode(&header).is_ok_and(|header| header.stamp == Some(stamp));
    Ok(stamped && end.bytes[..] == checksum.to_be_bytes()[..])
}

fn head(id: &FileId, header: &Header, checksum: u64) -> Head {
    let (page_count, page_size) = (header.commit, header.page_size);
    Head { txid: id.max, stamp: header.stamp, checksum, page_count, page_size }
}

/// The newest TXID at level 0 from `from` on; `None` if there is none.
pub(crate) async fn newest_since(context: &Context, from: Txid) -> Result<Option<Txid>> {
    let layout = context.layout();
    let before = layout.key(&FileId::sync(from.prev()));
    let entries = context.store.list(&layout.folder(0), Some(&before)).await?;
    let ids = entries.iter().filter_map(|entry| layout.parse(&entry.key)).map(|id| sound(context, id));
    Ok(ids.collect::<Result<Vec<FileId>>>()?.iter().map(|id| id.max).max())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(level: u8, min: u64, max: u64) -> LtxObject {
        LtxObject { id: FileId { level, min: Txid(min), max: Txid(max) }, size: 1, modified: WallMs(0) }
    }

    #[test]
    fn the_newest_is_the_one_with_the_highest_txid_and_then_the_lowest_level() {
        let files = [object(0, 8, 8), object(0, 9, 9), object(1, 1, 9), object(9, 1, 4)];
        assert_eq!(newest(&files), Some(files[1].id));
        assert_eq!(newest(&files[2..]), Some(files[2].id));
        assert_eq!(newest(&[]), None);
    }
}
