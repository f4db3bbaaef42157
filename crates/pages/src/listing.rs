//! What there is: every LTX object of a volume, or those that make up its newest state.

use std::sync::Arc;

use futures::{future::try_join_all, try_join};
use plimsoll_host::WallMs;
use plimsoll_ltx::{
    FileId, Layout, SNAPSHOT_LEVEL,
    plan::{Target, plan},
};
use plimsoll_model::{Error, ErrorKind, Result, Txid};
use plimsoll_store::{Entry, Page, Store};

/// Levels that the layout knows: 0 for syncs, 9 for snapshots, merges between them.
const LEVELS: std::ops::RangeInclusive<u8> = 0..=SNAPSHOT_LEVEL;

/// Every LTX object of a volume.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Sorted by level, then TXID.
    pub files: Vec<Listed>,
}

/// One LTX object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Level and range.
    pub id: FileId,
    /// Bytes.
    pub size: u64,
    /// By the store's clock.
    pub modified: WallMs,
}

impl Listing {
    /// The objects of one level, oldest first.
    pub fn level(&self, level: u8) -> impl DoubleEndedIterator<Item = &Listed> + Clone {
        self.files.iter().filter(move |file| file.id.level == level)
    }

    /// The snapshots, oldest first. What else lies at their level stands for nothing.
    pub fn snapshots(&self) -> impl DoubleEndedIterator<Item = &Listed> + Clone {
        self.level(SNAPSHOT_LEVEL).filter(|file| file.id.is_snapshot())
    }

    /// The newest sync, wherever it is.
    #[must_use]
    pub fn head(&self) -> Txid {
        self.files.iter().map(|file| file.id.max).max().unwrap_or(Txid::ZERO)
    }

    /// The time by the store's clock, or somewhat before that: when the newest of the objects was made.
    #[must_use]
    pub fn now(&self) -> WallMs {
        self.files.iter().map(|file| file.modified).max().unwrap_or_default()
    }

    /// The objects that make up the newest state, oldest first.
    ///
    /// # Errors
    /// `Corrupt`: syncs are missing in between.
    pub fn newest(&self) -> Result<Vec<Listed>> {
        self.restore(Target::Latest)
    }

    /// The objects that make up the state at a TXID, oldest first.
    ///
    /// # Errors
    /// `Corrupt`: syncs are missing in between.
    pub fn restore(&self, target: Target) -> Result<Vec<Listed>> {
        let ids: Vec<FileId> = self.files.iter().map(|file| file.id).collect();
        let chosen = plan(&ids, target)?;
        Ok(chosen.iter().filter_map(|id| self.files.iter().find(|file| file.id == *id)).copied().collect())
    }
}

/// Lists every level at once: one round trip unless a level has more than a thousand objects.
///
/// # Errors
/// As the store says.
pub async fn list(store: &Arc<dyn Store>, layout: Layout) -> Result<Listing> {
    let folders: Vec<String> = LEVELS.map(|level| layout.folder(level)).collect();
    let levels = try_join_all(folders.iter().map(|folder| store.list(folder, None))).await?;
    let files = levels.iter().map(|entries| listed(store, layout, entries)).collect::<Result<Vec<_>>>()?.concat();
    Ok(sorted(files))
}

/// Lists what the newest state is made of, and other objects beside it: a round trip, or two where a level has more than a
/// thousand objects, however many it has. Whether that is all there is.
///
/// Of such a level the beginning is left out, since what is above stands for it. Where that has a gap there, or stands
/// for less than it seems to, as where merges of two writers overlap, the plan of a restore will miss something that
/// [`list`] shows.
///
/// # Errors
/// As the store says.
pub async fn list_newest(store: &Arc<dyn Store>, layout: Layout) -> Result<(Listing, bool)> {
    let (low, high) = try_join!(firsts(store, layout, 0..=1), high(store, layout))?;
    let mut files = Vec::new();
    let mut long = Vec::new();
    for (level, page) in low.into_iter().chain(high) {
        files.extend(listed(store, layout, &page.entries)?);
        if let Some(last) = page.entries.last().filter(|_| page.more) {
            long.push((level, last.key.clone()));
        }
    }
    let whole = long.is_empty();
    let rest = try_join_all(long.into_iter().map(|(level, last)| {
        let covered = files.iter().filter(|file| file.id.level > level).map(|file| file.id.max).max();
        // With what was covered last, since the newest sync has to be known in any case.
        let before = FileId { level, min: covered.unwrap_or(Txid::ZERO).prev(), max: Txid(u64::MAX) };
        let after = layout.key(&before).max(last);
        async move { store.list(&layout.folder(level), Some(&after)).await }
    }));
    for entries in rest.await? {
        files.extend(listed(store, layout, &entries)?);
    }
    Ok((sorted(files), whole))
}

type Pages = Vec<(u8, Page)>;

/// The first page of each of these levels.
async fn firsts(store: &Arc<dyn Store>, layout: Layout, levels: std::ops::RangeInclusive<u8>) -> Result<Pages> {
    try_join_all(levels.map(|level| async move {
        let page = store.list_page(&layout.folder(level), None).await?;
        Ok((level, page))
    }))
    .await
}

/// The first page of each level above the first: hardly ever too much for one page of all of them. What else begins there
/// is as little.
async fn high(store: &Arc<dyn Store>, layout: Layout) -> Result<Pages> {
    let Layout::S3 = layout else { return firsts(store, layout, 2..=SNAPSHOT_LEVEL).await };
    // Level 2 is the first after this, and behind the snapshots there are names that begin with letters.
    let page = store.list_page("", Some(&after_all_of(layout, 1))).await?;
    let end = after_all_of(layout, SNAPSHOT_LEVEL);
    if page.more && page.entries.last().is_none_or(|last| last.key < end) {
        return firsts(store, layout, 2..=SNAPSHOT_LEVEL).await;
    }
    Ok(vec![(SNAPSHOT_LEVEL, Page { more: false, ..page })])
}

/// A key behind all of a level, whose names begin with hexadecimal digits, and before those of the next.
fn after_all_of(layout: Layout, level: u8) -> String {
    layout.folder(level) + "g"
}

/// Lists one level.
///
/// # Errors
/// As the store says.
pub async fn list_level(store: &Arc<dyn Store>, layout: Layout, level: u8) -> Result<Vec<Listed>> {
    list_from(store, layout, level, None).await
}

/// As [`list_level`], but only those whose names come after that of `after`, which need not be there.
///
/// # Errors
/// As the store says.
pub async fn list_level_after(store: &Arc<dyn Store>, layout: Layout, after: &FileId) -> Result<Vec<Listed>> {
    list_from(store, layout, after.level, Some(&layout.key(after))).await
}

async fn list_from(store: &Arc<dyn Store>, layout: Layout, level: u8, after: Option<&str>) -> Result<Vec<Listed>> {
    let entries = store.list(&layout.folder(level), after).await?;
    Ok(sorted(listed(store, layout, &entries)?).files)
}

fn sorted(mut files: Vec<Listed>) -> Listing {
    files.sort_unstable_by_key(|file| (file.id.level, file.id.min, file.id.max));
    Listing { files }
}

fn listed(store: &Arc<dyn Store>, layout: Layout, entries: &[Entry]) -> Result<Vec<Listed>> {
    // Names of other shapes are somebody else's and ignored.
    let named = entries.iter().filter_map(|entry| Some((layout.parse(&entry.key)?, entry)));
    named
        .map(|(id, entry)| {
            if !id.max.is_sound() {
                return Err(Error::new(ErrorKind::Corrupt, "listing")
                    .object(format!("{}/{}", store.url(), entry.key))
                    .why("its name has a TXID beyond what any volume reaches")
                    .hint("nothing of ours writes that; remove the object if it is not needed"));
            }
            Ok(Listed { id, size: entry.size, modified: entry.modified })
        })
        .collect()
}

#[cfg(test)]
mod tests;
