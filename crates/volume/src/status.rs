//! What a volume says about itself.

use plimsoll_durability::Mark;
use plimsoll_model::Level;
use serde::Serialize;

use crate::{Detaching, losses::Losses, shared::Shared};

/// What this process is to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Holds it for writing.
    Writer,
    /// Reads what the writer syncs.
    Follower,
    /// Was the writer until another one took over.
    Fenced,
    /// Closed.
    Closed,
}

/// How far one level has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LevelStatus {
    /// The highest commit that has reached it.
    pub lsn: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl From<Mark> for LevelStatus {
    fn from(mark: Mark) -> Self {
        LevelStatus { lsn: mark.lsn.0, at_ms: mark.at.0 }
    }
}

/// What is acknowledged and not yet durable, and how much of it is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadStatus {
    /// Commits.
    pub commits: u64,
    /// Their bytes in the journal.
    pub bytes: u64,
    /// Distinct pages.
    pub pages: u64,
    /// Age of the oldest commit, milliseconds.
    pub age_ms: u64,
    /// The line: bytes.
    pub max_dirty_bytes: u64,
    /// The line: milliseconds.
    pub max_loss_window_ms: u64,
}

/// Everything that a volume says about itself. No field holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The volume.
    pub url: String,
    /// What this process is to it.
    pub role: Role,
    /// The epoch that this process holds.
    pub epoch: Option<u32>,
    /// The newest sync that this process knows.
    pub txid: u64,
    /// The newest commit that readers of this process see.
    pub lsn: u64,
    /// Pages of the volume.
    pub page_count: u32,
    /// Bytes per page.
    pub page_size: Option<u32>,
    /// The last commit acknowledged at any level.
    pub appended: LevelStatus,
    /// The last commit in the journal on disk.
    pub journaled: LevelStatus,
    /// The last commit in the object store.
    pub durable: LevelStatus,
    /// What is at risk.
    pub load: LoadStatus,
    /// Milliseconds since the store last answered a look for newer syncs; for the writer, since its last sync.
    pub looked_ms: Option<u64>,
    /// Pages in the local cache.
    pub cached_pages: u64,
    /// Pages that hydration has gone through.
    pub hydrated_pages: u64,
    /// The volume's folder on this host.
    pub dir: String,
    /// Journals kept aside since another writer went on without them.
    pub stranded: Vec<String>,
    /// What the writers took with them that this process pushed aside.
    #[serde(flatten)]
    pub losses: Losses,
    /// How far detaching in the background has come, if it was begun.
    pub detaching: Option<Detaching>,
    /// The last thing that went wrong, until the next sync or look at the store succeeds; that commits were stranded, for good.
    pub trouble: Option<String>,
    /// Why a merge, a snapshot, or collecting did not succeed last, until it does. It is tried again by itself; until then
    /// openings and space grow.
    pub upkeep_trouble: Option<String>,
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Status {
    pub(crate) fn of(shared: &Shared) -> Status {
        let now = shared.now();
        let (tip, view, writer, role, looked, trouble, losses) = {
            let state = shared.state();
            let role = match &state.writer {
                _ if state.closed => Role::Closed,
                Some(_) => Role::Writer,
                None if state.fenced => Role::Fenced,
                None => Role::Follower,
            };
            let (trouble, losses) = (state.trouble.as_ref().map(ToString::to_string), state.losses.clone());
            (state.tip, state.view.clone(), state.writer.clone(), role, state.looked, trouble, losses)
        };
        let settings = &shared.settings();
        let mut load = LoadStatus {
            max_dirty_bytes: settings.max_dirty_bytes,
            max_loss_window_ms: millis(settings.max_loss_window),
            ..LoadStatus::default()
        };
        let read = LevelStatus { lsn: view.lsn.0, at_ms: 0 };
        let mut levels = [read; 3];
        let upkeep_trouble = writer.as_ref().and_then(|writer| writer.setbacks().told().1.map(str::to_owned));
        if let Some(writer) = &writer {
            let accounts = writer.accounts();
            let marks = accounts.progress.marks();
            levels = [Level::Buffered, Level::Journaled, Level::Durable].map(|level| marks.mark(level).into());
            let at_risk = accounts.ledger.load(now);
            load.commits = at_risk.commits;
            load.bytes = at_risk.bytes;
            load.pages = if at_risk.commits == 0 { 0 } else { at_risk.pages };
            load.age_ms = millis(at_risk.age);
            load.max_dirty_bytes = accounts.line.max_dirty_bytes;
            load.max_loss_window_ms = millis(accounts.line.max_loss_window);
        }
        let [appended, journaled, durable] = levels;
        Status {
            url: shared.url().to_owned(),
            role,
            epoch: writer.map(|writer| writer.epoch.0),
            txid: view.txid.0,
            lsn: tip.lsn.0,
            page_count: tip.count.0,
            page_size: tip.page_size.map(plimsoll_model::PageSize::get),
            appended,
            journaled,
            durable,
            load,
            looked_ms: looked.map(|looked| millis(now.since(looked))),
            cached_pages: shared.cache().map_or(0, |cache| cache.stats().pages),
            hydrated_pages: shared.fetcher.hydration().0,
            dir: shared.dir.path().display().to_string(),
            stranded: shared.dir.stranded().iter().map(|stranded| stranded.path.display().to_string()).collect(),
            losses,
            detaching: shared.detaching().clone(),
            trouble,
            upkeep_trouble,
        }
    }
}
