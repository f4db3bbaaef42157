//! What there is to say about a volume.

use std::{collections::BTreeMap, path::Path, time::Duration};

use futures::future::{Either, select};
use plimsoll_commitlog::{Levels, Mark, Standing, Watermarks, held_for, look, losses, tail};
use plimsoll_host::WallMs;
use plimsoll_model::Result;
use plimsoll_pages::{Listed, Listing};
use plimsoll_volume::{Borrowed, Located, LossReport, borrowed};
use serde::Serialize;

use crate::{
    journal_tail::{JournalTail, Newest, journal_tail},
    setup::{Setup, context, no_volume_but},
};

/// A store that has not answered by then may not answer for long.
const SOON: Duration = Duration::from_secs(2);
/// Writers before the last one whose losses are looked for.
const STATUSES_MAX: usize = 16;

/// Everything, as JSON shows it. Times are milliseconds since 1970.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) url: String,
    pub(crate) now_ms: u64,
    pub(crate) role: Role,
    pub(crate) epoch: u32,
    /// The volume and state that it started as.
    pub(crate) fork_of: Option<String>,
    /// What it still reads from other volumes.
    pub(crate) borrowed: Option<Borrowed>,
    pub(crate) holder: Option<Holder>,
    pub(crate) txid: u64,
    pub(crate) page_size: Option<u32>,
    pub(crate) page_count: u32,
    pub(crate) bytes: u64,
    pub(crate) levels: BTreeMap<u8, Level>,
    /// As the holder said last.
    pub(crate) watermarks: Option<Marks>,
    pub(crate) load: Load,
    /// What does not succeed for the holder, as it said last.
    pub(crate) trouble: Option<String>,
    /// Commits of this host.
    pub(crate) journal: Option<JournalTail>,
    /// Why this host's journal could not be read.
    pub(crate) journal_trouble: Option<String>,
    pub(crate) stranded: Vec<String>,
    /// What writers took with them that others took over from.
    pub(crate) losses: Vec<LossReport>,
}

/// What the newest writer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Nobody holds the volume.
    Free,
    /// Its holder gives signs of life.
    Held,
    /// Its holder has been silent for longer than `holder_ttl_ms`.
    Silent,
}

#[derive(Serialize)]
pub(crate) struct Holder {
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) writer: String,
    pub(crate) since_ms: u64,
    /// By the store's clock.
    pub(crate) alive_ms: u64,
    pub(crate) this_host: bool,
    /// On this host: whether there is such a process now.
    pub(crate) running: Option<bool>,
}

#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Level {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

#[derive(Serialize)]
pub(crate) struct Marks {
    pub(crate) appended: At,
    pub(crate) journaled: At,
    pub(crate) durable: At,
}

#[derive(Serialize)]
pub(crate) struct At {
    pub(crate) lsn: u64,
    pub(crate) at_ms: u64,
}

/// What is at risk, and how much may be. The line is that of this host's settings.
#[derive(Serialize)]
pub(crate) struct Load {
    pub(crate) commits: u64,
    pub(crate) bytes: u64,
    pub(crate) age_ms: u64,
    pub(crate) max_dirty_bytes: u64,
    pub(crate) max_loss_window_ms: u64,
    /// When this was so.
    pub(crate) at_ms: u64,
}

impl Report {
    /// Looks. Requests: the records of the newest writer, a listing of each level, the head of the newest object.
    /// `meanwhile` is called if the store does not answer soon.
    ///
    /// # Errors
    /// `NotFound` if nothing was ever written there; otherwise as the store says.
    pub(crate) fn gather(setup: &Setup, located: &Located, meanwhile: impl Fn() + Sync) -> Result<Report> {
        let context = context(setup, located);
        let looks =
            async { futures::try_join!(look(&context), tail(&context, Levels::All), losses(&context, STATUSES_MAX)) };
        let clock = &setup.process.host.clock;
        let (standing, tail, losses) = setup.wait(async {
            match select(Box::pin(looks), clock.sleep(SOON)).await {
                Either::Left((looked, _)) => looked,
                Either::Right(((), looks)) => {
                    meanwhile();
                    looks.await
                }
            }
        })?;
        let url = located.store.url().to_owned();
        // Of a volume that was removed the epoch of that stays.
        let removed = standing.holder.as_ref().is_some_and(|holder| holder.removal);
        if standing.volume.is_none() && (standing.epoch.is_zero() || removed) && tail.files.is_empty() {
            return Err(no_volume_but(setup, "looking at", &url, &located.dir));
        }
        let now_ms = setup.process.host.clock.wall().0;
        let newest = Newest { standing, head: tail.head };
        let (journal, journal_trouble) = match journal_tail(setup, located, &newest) {
            Ok(journal) => (journal, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let Newest { standing, head } = newest;
        let mut levels: BTreeMap<u8, Level> = BTreeMap::new();
        for file in &tail.files {
            let level = levels.entry(file.id.level).or_default();
            level.objects += 1;
            level.bytes += file.size;
        }
        let files = tail.files.iter().map(|file| Listed { id: file.id, size: file.size, modified: file.modified });
        let listing = Listing { files: files.collect() };
        let status = standing.status.as_ref().map(|seen| &seen.record);
        Ok(Report {
            role: role(&standing, located, WallMs(now_ms)),
            epoch: standing.epoch.0,
            borrowed: standing.volume.as_ref().and_then(|volume| borrowed(volume, &listing)),
            fork_of: standing.volume.as_ref().and_then(|volume| volume.parent.clone()),
            holder: holder(setup, &standing),
            txid: head.map_or(0, |head| head.txid.0),
            page_size: head.map(|head| head.page_size.get()),
            page_count: head.map_or(0, |head| head.page_count.0),
            bytes: head.map_or(0, |head| head.page_count.bytes(head.page_size)),
            levels,
            watermarks: status.map(|status| status.watermarks.into()),
            load: load(&standing, journal.as_ref(), located, now_ms),
            trouble: status.and_then(|status| status.trouble.clone()),
            journal,
            journal_trouble,
            stranded: located.dir.stranded().iter().map(|kept| kept.path.display().to_string()).collect(),
            losses: losses.iter().map(LossReport::from).collect(),
            url,
            now_ms,
        })
    }
}

/// As whoever opens the volume judges it: by the store's clock, not by that of the holder.
fn role(standing: &Standing, located: &Located, now: WallMs) -> Role {
    let closed = standing.status.as_ref().is_some_and(|seen| seen.record.closed);
    let removal = standing.holder.as_ref().is_some_and(|holder| holder.removal);
    match held_for(standing, located.settings.settings.holder_ttl, now) {
        Some(_) => Role::Held,
        // Whoever removes a volume does not hold it.
        None if standing.epoch.is_zero() || closed || removal => Role::Free,
        None => Role::Silent,
    }
}

/// When the newest writer gave its last sign of life, by the store's clock.
fn last_sign(standing: &Standing) -> u64 {
    standing.status.as_ref().map_or(standing.epoch_made, |seen| seen.modified).0
}

fn holder(setup: &Setup, standing: &Standing) -> Option<Holder> {
    let holder = standing.holder.as_ref().filter(|holder| !holder.removal)?;
    let this_host = holder.host == setup.process.host_name;
    Some(Holder {
        host: holder.host.clone(),
        pid: holder.pid,
        writer: holder.writer.to_string(),
        since_ms: holder.since_ms,
        alive_ms: last_sign(standing),
        this_host,
        running: is_running(holder.pid).filter(|_| this_host),
    })
}

/// Whether there is a process of that number; `None` where nobody knows.
fn is_running(pid: u32) -> Option<bool> {
    let processes = Path::new("/proc");
    processes.join("self").exists().then(|| processes.join(pid.to_string()).exists())
}

/// This host's journal tells it now; of a holder elsewhere there is only what it said.
fn load(standing: &Standing, journal: Option<&JournalTail>, located: &Located, now_ms: u64) -> Load {
    let mut load = Load::none(located, now_ms);
    let said = standing.status.as_ref().map(|seen| &seen.record).filter(|record| !record.closed);
    match (journal, said) {
        (Some(journal), said) if journal.is_pending() && said.is_none_or(|said| said.writer == journal.writer) => {
            load = Load::of_journal(journal, located, now_ms);
        }
        (_, Some(said)) => {
            load.commits = said.load.commits;
            load.bytes = said.load.bytes;
            load.age_ms = said.load.age_ms;
            load.at_ms = last_sign(standing);
        }
        (_, None) => {}
    }
    load
}

impl Load {
    fn none(located: &Located, now_ms: u64) -> Load {
        let settings = &located.settings.settings;
        Load {
            commits: 0,
            bytes: 0,
            age_ms: 0,
            max_dirty_bytes: settings.max_dirty_bytes,
            max_loss_window_ms: u64::try_from(settings.max_loss_window.as_millis()).unwrap_or(u64::MAX),
            at_ms: now_ms,
        }
    }

    /// What a journal of this host puts at risk.
    pub(crate) fn of_journal(journal: &JournalTail, located: &Located, now_ms: u64) -> Load {
        Load {
            commits: journal.commits,
            bytes: journal.bytes,
            age_ms: if journal.commits == 0 { 0 } else { now_ms.saturating_sub(journal.since_ms) },
            ..Load::none(located, now_ms)
        }
    }
}

impl From<Watermarks> for Marks {
    fn from(marks: Watermarks) -> Self {
        Marks { appended: marks.appended.into(), journaled: marks.journaled.into(), durable: marks.durable.into() }
    }
}

impl From<Mark> for At {
    fn from(mark: Mark) -> Self {
        At { lsn: mark.lsn.0, at_ms: mark.ms }
    }
}
