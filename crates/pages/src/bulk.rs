//! Bringing many pages of one state at once, for who wants just these.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use plimsoll_ltx::{
    FileId,
    decode::{decode_frame, verify_whole},
    page_hash,
};
use plimsoll_model::{Error, ErrorKind, PageNo, PageSize, Result, limits::REQUESTS_MAX};
use plimsoll_proof::WHOLE_BYTES_MAX;

use crate::{
    Fetcher, Slot, View,
    fetch::{GAP_BYTES_MAX, gone},
    load::frame,
};

/// Bytes of frames per request.
const RUN_BYTES_MAX: u64 = 4 << 20;

/// Pages by number.
pub type Pages = HashMap<PageNo, Vec<u8>>;

impl Fetcher {
    /// The content of some pages of a view, but for those that were never written. What is not in the cache costs a
    /// request for each run of frames that are near to each other, many at a time, and does not go there: it may well
    /// be older than what the cache is to hold. All of it is in memory, so who wants much asks for a part at a time.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`].
    pub async fn fetch_many(&self, view: &View, pages: &[PageNo]) -> Result<Pages> {
        let Some(size) = view.page_size else { return Ok(Pages::new()) };
        let mut found = Pages::with_capacity(pages.len());
        let mut missing: BTreeMap<FileId, Vec<(PageNo, Slot)>> = BTreeMap::new();
        for page in pages {
            let Some(slot) = view.slot(*page) else { continue };
            let mut data = vec![0; size.bytes()];
            if self.cached(view, *page, slot, &mut data) {
                found.insert(*page, data);
            } else {
                missing.entry(slot.object().id).or_default().push((*page, slot.clone()));
            }
        }
        let runs: Vec<_> = missing.into_values().flat_map(runs).collect();
        let fetched: Vec<Pages> = stream::iter(runs)
            .map(|run| async move {
                match self.fetch_run(&run, size).await {
                    // It may have been damaged on its way only.
                    Err(error) if error.kind() == ErrorKind::Corrupt => self.fetch_run(&run, size).await,
                    fetched => fetched,
                }
            })
            .buffer_unordered(REQUESTS_MAX)
            .try_collect()
            .await?;
        found.extend(fetched.into_iter().flatten());
        Ok(found)
    }

    async fn fetch_run(&self, run: &[(PageNo, Slot)], size: PageSize) -> Result<Pages> {
        let (Some((_, first)), Some((_, last))) = (run.first(), run.last()) else { return Ok(Pages::new()) };
        let key = self.key(&first.object().id);
        let (store, start) = (self.store(), first.offset());
        let named = |error: Error| error.object(format!("{}/{key}", store.url()));
        let (bytes, start) = if first.object().size <= WHOLE_BYTES_MAX {
            let whole = store.get(&key).await?.ok_or_else(|| gone(&key))?.bytes;
            verify_whole(&whole).map_err(named)?;
            (whole, 0)
        } else {
            (store.get_range(&key, start..last.end()).await?.ok_or_else(|| gone(&key))?, start)
        };
        let mut pages = Pages::with_capacity(run.len());
        for (page, slot) in run {
            let mut data = vec![0; size.bytes()];
            decode_frame(frame(&bytes, start, slot.offset(), slot.len()), *page, size, &mut data).map_err(named)?;
            if slot.hash().is_some_and(|expected| expected != page_hash(&data)) {
                return Err(named(
                    Error::new(ErrorKind::Corrupt, "reading a page of")
                        .why(format!("page {page} is not what its index says"))
                        .hint("keep the object; `plimsoll verify` checks the whole volume"),
                ));
            }
            pages.insert(*page, data);
        }
        Ok(pages)
    }
}

/// Groups frames of one object into runs worth one request each; all of a small object is one.
fn runs(mut frames: Vec<(PageNo, Slot)>) -> Vec<Vec<(PageNo, Slot)>> {
    frames.sort_unstable_by_key(|(_, slot)| slot.offset());
    let mut runs: Vec<Vec<(PageNo, Slot)>> = Vec::new();
    for (page, slot) in frames {
        let near = |run: &[(PageNo, Slot)]| {
            let ends = run.first().zip(run.last()).map(|((_, first), (_, last))| (first.offset(), last.end()));
            ends.is_some_and(|(start, end)| slot.offset() <= end + GAP_BYTES_MAX && slot.end() - start <= RUN_BYTES_MAX)
        };
        match runs.last_mut() {
            Some(run) if slot.object().size <= WHOLE_BYTES_MAX || near(run) => run.push((page, slot)),
            _ => runs.push(vec![(page, slot)]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_model::Txid;

    use super::*;
    use crate::Object;

    #[test]
    fn frames_near_to_each_other_are_one_request_and_a_small_object_is_one_in_any_case() {
        let ranges = |size: u64, offsets: &[u64]| {
            let object = Arc::new(Object { id: FileId::sync(Txid(1)), size });
            let slots: Vec<Slot> =
                offsets.iter().map(|offset| Slot::new(Arc::clone(&object), *offset, 100, 1).unwrap()).collect();
            let frames = slots.iter().zip(1..).map(|(slot, page)| (PageNo::new(page).unwrap(), slot.clone())).collect();
            runs(frames).iter().map(Vec::len).collect::<Vec<_>>()
        };
        let (near, far) = (100 + GAP_BYTES_MAX, 101 + GAP_BYTES_MAX);
        assert_eq!(ranges(1 << 30, &[0, 100, 200]), [3]);
        assert_eq!(ranges(1 << 30, &[near, 0]), [2]);
        assert_eq!(ranges(1 << 30, &[0, far]), [1, 1]);
        assert_eq!(ranges(WHOLE_BYTES_MAX, &[0, far]), [2]);
        let dense: Vec<u64> = (0..RUN_BYTES_MAX / 50_000 + 2).map(|at| at * 50_000).collect();
        assert_eq!(ranges(1 << 30, &dense).len(), 2);
    }
}
