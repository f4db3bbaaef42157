//! Reading an object from end to end, in memory that does not grow but by its page index.

use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};
use plimsoll_host::{WallMs, run_blocking};
use plimsoll_ltx::{
    FileId, HEADER_BYTES, Location,
    decode::{Decoded, Parts, TailRead, read_tail},
};
use plimsoll_model::{Error, Result};

use crate::Prover;

/// First guess at how much of an object's end holds its index.
const TAIL_BYTES: u64 = 256 << 10;
/// Bytes of frames per request.
const PART_BYTES: u64 = 4 << 20;
/// Parts that are in memory at a time.
const PARTS_MAX: usize = 2;

/// Checks everything of an object, and says when it was made; `None` if it is gone.
pub(crate) async fn survey(prover: &Prover, id: &FileId) -> Result<Option<(Decoded, WallMs)>> {
    let (store, tasks) = (prover.store(), &prover.host().tasks);
    let key = prover.layout().key(id);
    let named = |error: Error| error.object(prover.object(id));
    let mut wanted = TAIL_BYTES;
    let (tail, locations) = loop {
        let Some(tail) = store.get_tail(&key, wanted).await? else { return Ok(None) };
        match read_tail(&tail.bytes, tail.size).map_err(named)? {
            TailRead::Index { entries, .. } => break (tail, entries),
            TailRead::NeedMore(bytes) => wanted = bytes,
        }
    };
    tracing::info!(object = %prover.object(id), bytes = tail.size, "reading all of an object once, to prove it");
    let Some(header) = store.get_range(&key, 0..HEADER_BYTES as u64).await? else { return Ok(None) };
    let mut parts = Parts::begin(&header).map_err(named)?;
    let fetched = stream::iter(ranges(&locations)).map(|range| store.get_range(&key, range)).buffered(PARTS_MAX);
    let mut fetched = std::pin::pin!(fetched);
    while let Some(bytes) = fetched.try_next().await? {
        let Some(bytes) = bytes else { return Ok(None) };
        let checked = run_blocking(tasks, move || parts.frames(&bytes).map(|()| parts)).await;
        parts = checked.map_err(named)?;
    }
    let behind = tail.size.saturating_sub(parts.offset());
    // The tail holds the index and what comes before it, or its end would not have been found.
    let from = (tail.bytes.len() as u64).saturating_sub(behind);
    let end = tail.bytes.slice(usize::try_from(from).unwrap_or(usize::MAX).min(tail.bytes.len())..);
    let decoded = run_blocking(tasks, move || parts.finish(&end)).await.map_err(named)?;
    Ok(Some((decoded, tail.modified)))
}

/// Cuts the frames of an object into ranges worth one request each.
fn ranges(locations: &[Location]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for at in locations {
        match ranges.last_mut() {
            Some(range) if at.end() - range.start <= PART_BYTES => range.end = at.end(),
            _ => ranges.push(at.offset..at.end()),
        }
    }
    ranges
}
