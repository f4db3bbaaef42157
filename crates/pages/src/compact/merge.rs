//! Making one object out of several.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use futures::{StreamExt, TryStreamExt, stream};
use plimsoll_cache::{Cache, Want};
use plimsoll_host::{
    Host,
    crash::{self, Point},
    run_blocking,
};
use plimsoll_ltx::{
    Encoder, FileId, Finished, Frames, HEADER_BYTES, Header, decode::decode_frame, page_hash, sidecar::Sidecar,
};
use plimsoll_model::{
    Error, ErrorKind, PageNo, PageSize, Result,
    step::{Step, taken},
};
use plimsoll_proof::{Proved, Prover, WHOLE_BYTES_MAX};
use plimsoll_store::{Body, Created, Piece};

use super::Known;
use crate::{
    Listed, Object, Placed,
    load::{Index, Reading, frame, index, of},
    sink::Sink,
};

/// Source bytes that are held at a time.
const BATCH_BYTES: u64 = 8 << 20;
/// Bytes between two wanted frames that are fetched rather than skipped by a second request.
const GAP_BYTES_MAX: u64 = 64 << 10;
/// Requests under way for one merge.
const PARALLEL: usize = 8;

/// Merges objects of one volume. Reads pages from the cache where that has them.
pub struct Merger {
    /// Where the objects are. What is merged is proved: a merge vouches for all it holds.
    pub prover: Prover,
    /// Clock, files and tasks.
    pub host: Host,
    /// Pages by content hash, once there is one: a new volume has none before its first sync.
    pub cache: OnceLock<Arc<Cache>>,
    /// How pages are framed.
    pub frames: Frames,
    /// Directory for large merges under construction.
    pub scratch: PathBuf,
    /// Indexes that need not be read, since this process made the objects.
    pub known: Mutex<Known>,
}

/// How far a merge has come: bytes of pages, as they are stored, that it has gathered, of those that it will hold.
/// What is gathered is uploaded at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Gathered so far.
    pub bytes: u64,
    /// All.
    pub of: u64,
}

/// Is told how far a merge has come.
pub type Watcher<'a> = dyn Fn(Progress) + Send + Sync + 'a;

/// A merge that is in the store.
pub struct Merged {
    /// The new object.
    pub object: Arc<Object>,
    /// Where its pages are.
    pub pages: Vec<Placed>,
    /// Bytes uploaded.
    pub bytes: u64,
}

/// A page and the source that has its newest content.
#[derive(Clone, Copy)]
struct Pick {
    source: usize,
    placed: Placed,
}

/// Frames of one source, each with its place in the batch.
type Wanted = Vec<(usize, Placed)>;
/// What is in them.
type Contents = Vec<(usize, Vec<u8>)>;

impl Merger {
    /// Remembers the index of an object, so that merging it costs no request for that. In bounded memory, also if
    /// nothing is ever merged.
    pub fn learn(&self, index: Arc<Index>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(index);
    }

    /// Forgets the indexes of objects that are gone.
    pub fn forget(&self, gone: &[FileId]) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(gone);
    }

    /// Writes the merge of `inputs` (oldest first) as `id`, and its sidecar if it is large.
    ///
    /// If the object is there already, from a merge that was interrupted or that somebody else made, it is used once
    /// all of it was read and checked: merges of the same range have the same content.
    ///
    /// Gathering them may take long. Before anything is written, `allowed` says whether it still may be.
    ///
    /// # Errors
    /// `NotFound`: an input was collected meanwhile. `Corrupt`: an input fails its check, nothing is
    /// written. `Full`: no room for the scratch file. `Unsupported`: it would be larger than an object can be. Otherwise as the store says.
    pub async fn merge(
        &self,
        id: FileId,
        inputs: &[Listed],
        watcher: &Watcher<'_>,
        allowed: impl Future<Output = Result<()>> + Send,
    ) -> Result<Merged> {
        let indexes: Vec<Arc<Index>> =
            stream::iter(inputs.iter().copied()).map(|file| self.index(file)).buffered(PARALLEL).try_collect().await?;
        let Some(newest) = indexes.last() else {
            return Err(Error::new(ErrorKind::Invalid, "merging").why("there is nothing to merge"));
        };
        let timestamp = newest.timestamp;
        let header = Header {
            page_size: newest.page_size,
            commit: newest.count,
            min: id.min,
            max: id.max,
            timestamp,
            stamp: None,
            link: 0,
        };
        let sources = indexes.clone();
        let picks = run_blocking(&self.host.tasks, move || picks(&sources)).await;
        let expected: u64 = picks.iter().map(|pick| pick.placed.len).sum();

        let (store, least) = (self.prover.store(), HEADER_BYTES as u64 + expected);
        if least > store.object_bytes_max() {
            return Err(Error::new(ErrorKind::Unsupported, "merging")
                .object(format!("{}/{}", store.url(), self.key(&id)))
                .why(format!(
                    "it would have {least} bytes and more; the largest object that can be made there has {}",
                    store.object_bytes_max()
                ))
                .hint("what it is made of is kept instead, so space and openings grow: spread the data over several volumes"));
        }
        let name = format!("merge-{}-{:016x}-{:016x}", id.level, id.min.0, id.max.0);
        let sink = Sink::new(&self.host, expected, &self.scratch, &name)?;
        let watcher = |bytes| watcher(Progress { bytes, of: expected });
        let (finished, pieces) = self.build(header, sink, &indexes, &picks, &watcher).await?;
        allowed.await?;
        let (made, bytes) = self.publish(id, &header, finished, pieces).await?;
        let index = Arc::new(of(id, made.file_bytes, &made.header, made.file_checksum, Arc::new(made.entries)));
        let merged = Merged { object: Arc::clone(&index.object), pages: index.pages().collect(), bytes };
        // The next level is made of it.
        self.learn(index);
        Ok(merged)
    }

    /// Creates a merge; what describes it, and the bytes of it that were uploaded.
    async fn publish(
        &self,
        id: FileId,
        header: &Header,
        finished: Finished,
        pieces: Vec<Piece>,
    ) -> Result<(Sidecar, u64)> {
        let (store, key) = (self.prover.store(), self.key(&id));
        crash::here(Point::MergeCreate);
        let created = store.create(&key, Body { pieces, timestamp: Some(header.timestamp) }).await?;
        crash::here(Point::MergeCreated);
        let (sidecar, bytes) = if created == Created::Exists {
            // Its inputs go because of it, so nobody's word is taken for what is in it.
            let proved = self.prover.prove_anew(&id).await?.ok_or_else(|| gone(&key))?;
            let Proved { header, checksum, size, entries, .. } = proved;
            let entries = Arc::unwrap_or_clone(entries);
            (Sidecar { header, file_bytes: size, file_checksum: checksum, entries }, 0)
        } else {
            let bytes = finished.size;
            (Sidecar::of(header, finished), bytes)
        };
        // What is read whole needs no description. Who made a large one first may not have come to this.
        if sidecar.file_bytes > WHOLE_BYTES_MAX {
            store.put(&id.sidecar_key(), sidecar.encode().into()).await?;
        }
        Ok((sidecar, bytes))
    }

    async fn index(&self, file: Listed) -> Result<Arc<Index>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&file.id).cloned();
        match known {
            Some(index) => Ok(index),
            None => {
                let reading = Reading { sidecars: true, ..Reading::default() };
                Ok(Arc::new(index(&self.prover, file, reading).await?))
            }
        }
    }

    fn key(&self, id: &FileId) -> String {
        self.prover.layout().key(id)
    }

    async fn build(
        &self,
        header: Header,
        sink: Sink,
        indexes: &[Arc<Index>],
        picks: &[Pick],
        gathered: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(Finished, Vec<Piece>)> {
        let size = header.page_size;
        let mut bytes = 0;
        gathered(bytes);
        let mut encoder = Encoder::new(sink.clone(), header, self.frames)?;
        for batch in batches(picks) {
            let pages = self.read(indexes, batch, size).await?;
            encoder = run_blocking(&self.host.tasks, move || {
                for (page, data) in &pages {
                    encoder.page(*page, data)?;
                }
                Ok::<_, Error>(encoder)
            })
            .await?;
            bytes += batch.iter().map(|pick| pick.placed.len).sum::<u64>();
            gathered(bytes);
        }
        run_blocking(&self.host.tasks, move || {
            let finished = encoder.finish()?;
            Ok((finished, sink.into_pieces()?))
        })
        .await
    }

    /// The contents of a batch, in page order.
    async fn read(&self, indexes: &[Arc<Index>], batch: &[Pick], size: PageSize) -> Result<Vec<(PageNo, Vec<u8>)>> {
        let mut pages: Vec<(PageNo, Vec<u8>)> = Vec::with_capacity(batch.len());
        let mut missing: Vec<Wanted> = vec![Vec::new(); indexes.len()];
        for (at, pick) in batch.iter().enumerate() {
            let mut data = vec![0; size.bytes()];
            let max = indexes[pick.source].object.id.max;
            let hash = Some(pick.placed.hash);
            // Only by content: what the cache holds may be newer than the state that is being merged.
            let cached = self.cache.get().is_some_and(|cache| {
                cache.get(pick.placed.page, &Want { hash, changed: max, view: max }, &mut data).is_some()
            });
            if !cached {
                missing[pick.source].push((at, pick.placed));
            }
            pages.push((pick.placed.page, data));
        }
        let runs = missing
            .into_iter()
            .enumerate()
            .flat_map(|(source, frames)| runs(frames).into_iter().map(move |run| (source, run)).collect::<Vec<_>>());
        let fetched: Vec<Contents> = stream::iter(runs)
            .map(|(source, run)| async move {
                let key = self.key(&indexes[source].object.id);
                match self.contents(&key, &run, size).await {
                    // It may have been damaged on its way only.
                    Err(error) if error.kind() == ErrorKind::Corrupt => self.contents(&key, &run, size).await,
                    other => other,
                }
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        for (at, data) in fetched.into_iter().flatten() {
            pages[at].1 = data;
        }
        Ok(pages)
    }

    /// What is in a run of frames of one object.
    async fn contents(&self, key: &str, run: &Wanted, size: PageSize) -> Result<Contents> {
        let store = self.prover.store();
        let named = |error: Error| error.object(format!("{}/{key}", store.url()));
        let start = run.first().map_or(0, |(_, placed)| placed.offset);
        let end = run.last().map_or(0, |(_, placed)| placed.offset + placed.len);
        let bytes = store.get_range(key, start..end).await?.ok_or_else(|| gone(key))?;
        let mut contents = Contents::with_capacity(run.len());
        for (at, placed) in run {
            let mut data = vec![0; size.bytes()];
            decode_frame(frame(&bytes, start, placed.offset, placed.len), placed.page, size, &mut data)
                .map_err(named)?;
            if placed.hash != page_hash(&data) && taken(Step::PageHash) {
                return Err(named(
                    Error::new(ErrorKind::Corrupt, "merging")
                        .why(format!("page {} does not have the content that its index names", placed.page)),
                ));
            }
            contents.push((*at, data));
        }
        Ok(contents)
    }
}

/// For each page the newest content, without pages beyond the end, in page order.
fn picks(indexes: &[Arc<Index>]) -> Vec<Pick> {
    let Some(count) = indexes.last().map(|index| index.count) else { return Vec::new() };
    // A page that was cut off and came back without being written must not show what it held before.
    let mut lowest = vec![count; indexes.len()];
    for at in (0..indexes.len().saturating_sub(1)).rev() {
        lowest[at] = lowest[at + 1].min(indexes[at].count);
    }
    let sources = indexes.iter().zip(lowest);
    let mut sources: Vec<_> = sources
        .map(|(index, lowest)| index.pages().filter(move |placed| lowest.contains(placed.page)).peekable())
        .collect();
    // The next page of each source, the lowest first; of two that have the same one, the newer source.
    let mut heads: BinaryHeap<(Reverse<PageNo>, usize)> = BinaryHeap::with_capacity(sources.len());
    for (source, pages) in sources.iter_mut().enumerate() {
        heads.extend(pages.peek().map(|placed| (Reverse(placed.page), source)));
    }
    let mut picks: Vec<Pick> = Vec::new();
    while let Some((Reverse(page), source)) = heads.pop() {
        let newer_has_it = picks.last().is_some_and(|pick| pick.placed.page >= page);
        picks.extend(sources[source].next().filter(|_| !newer_has_it).map(|placed| Pick { source, placed }));
        heads.extend(sources[source].peek().map(|placed| (Reverse(placed.page), source)));
    }
    picks
}

/// Cuts the work so that one batch of pages fits into memory.
fn batches(picks: &[Pick]) -> impl Iterator<Item = &[Pick]> {
    let mut rest = picks;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let end = rest.iter().take_while(|pick| {
            bytes += pick.placed.len;
            bytes <= BATCH_BYTES
        });
        let end = end.count().max(1).min(rest.len());
        let (batch, after) = rest.split_at(end);
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Groups frames of one object (ascending) into ranges worth one request each.
fn runs(frames: Wanted) -> Vec<Wanted> {
    let mut runs: Vec<Wanted> = Vec::new();
    for (at, placed) in frames {
        match runs.last_mut() {
            Some(run)
                if run.last().is_some_and(|(_, last)| {
                    (last.offset + last.len..=last.offset + last.len + GAP_BYTES_MAX).contains(&placed.offset)
                }) =>
            {
                run.push((at, placed));
            }
            _ => runs.push(vec![(at, placed)]),
        }
    }
    runs
}

fn gone(key: &str) -> Error {
    Error::new(ErrorKind::NotFound, "merging").object(key.to_owned()).why("the object was collected meanwhile")
}

#[cfg(test)]
mod tests {
    use plimsoll_host::WallMs;
    use plimsoll_ltx::IndexEntry;
    use plimsoll_model::{PageCount, Txid};

    use super::*;

    fn index(txid: u64, count: u32, pages: &[u32]) -> Arc<Index> {
        let entry = |page: &u32| IndexEntry { page: PageNo::new(*page).unwrap(), offset: 0, len: 1, hash: txid };
        Arc::new(Index {
            object: Arc::new(Object { id: FileId::sync(Txid(txid)), size: 1 }),
            count: PageCount(count),
            page_size: PageSize::DEFAULT,
            lsn: None,
            checksum: 0,
            link: None,
            timestamp: WallMs(0),
            entries: Arc::new(pages.iter().map(entry).collect::<Vec<_>>().into()),
        })
    }

    /// Our own syncs carry such a page as zeros. Whatever else writes there may not.
    #[test]
    fn a_page_that_was_cut_off_and_came_back_without_being_written_is_not_what_it_was_before() {
        let picked = |indexes: &[Arc<Index>]| -> Vec<(u32, usize)> {
            picks(indexes).iter().map(|pick| (pick.placed.page.get(), pick.source)).collect()
        };
        let first = index(1, 5, &[1, 2, 3, 4, 5]);
        assert_eq!(picked(&[first.clone(), index(2, 2, &[1]), index(3, 5, &[4])]), [(1, 1), (2, 0), (4, 2)]);
        assert_eq!(picked(&[first.clone(), index(2, 5, &[1]), index(3, 3, &[2])]), [(1, 1), (2, 2), (3, 0)]);
        assert_eq!(picked(&[index(0, 2, &[1]), first]), [1, 2, 3, 4, 5].map(|page| (page, 1)));
    }
}
