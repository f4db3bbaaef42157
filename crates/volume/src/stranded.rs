//! Journals that were kept aside: what they hold, and what it stands on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use plimsoll_commitlog::{Context, aftermath, identity, look, read_pin, unpin};
use plimsoll_host::{
    Files, Host, OpenMode,
    crash::{self, Point},
};
use plimsoll_journal::{Journal, Place, Reader, Replay, ReplayedCommit};
use plimsoll_model::{
    Epoch, Error, ErrorKind, Lsn, PageCount, PageNo, PageSize, Result, ResultExt, Txid, WriterId,
    step::{Step, taken},
};
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::checkpoint,
    local::VolumeDir,
    replay::marked_epoch,
    shared::{Shared, Writer},
};

/// Acknowledged commits that could not be appended to the history any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranded {
    /// Where the journal is kept.
    pub path: PathBuf,
}

/// The state that stranded commits were made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its newest sync.
    pub txid: u64,
    /// Its last commit. Those after it are stranded.
    pub lsn: u64,
}

/// What was known when a journal was kept aside, in a file beside it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Circumstances {
    /// The last epoch under which it was written.
    pub(crate) epoch: Option<u32>,
    pub(crate) base: Option<Base>,
    /// Whether a sync or fence of its writer was in the history under that epoch; `None` if nobody knows.
    pub(crate) in_history: Option<bool>,
}

impl Stranded {
    /// A short name: when it was kept aside, and a number.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn beside(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    /// Records what is known of it, before or after it is there.
    pub(crate) fn note(&self, files: &dyn Files, circumstances: Circumstances) -> Result<()> {
        let bytes = serde_json::to_vec(&circumstances).expect("BUG: circumstances are not JSON");
        let path = self.beside();
        files.replace(&path, &bytes).doing("writing", path.display())
    }
}

/// One stranded commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StrandedCommit {
    /// Its number. The history may have given the same one to another commit since.
    pub lsn: u64,
    /// When it was made, in milliseconds since 1970.
    pub at_ms: u64,
    /// Pages that it changed.
    pub pages: u64,
    /// Pages of the volume after it.
    pub page_count: u32,
    /// Its bytes in the journal.
    pub bytes: u64,
}

/// A journal that was kept aside, read.
pub struct StrandedJournal {
    reader: Reader,
    commits: Vec<ReplayedCommit>,
    writer: WriterId,
    /// The volume that its commits are of.
    volume: [u8; 16],
    /// Whether that is still at the URL, as far as the store was asked.
    removed: bool,
    epoch: Option<Epoch>,
    base: Option<Base>,
    /// Whether its writer is known to have been in the history.
    in_history: bool,
}

impl StrandedJournal {
    /// Reads one. Of what it stands on, as much is known as was when it was kept aside; see [`StrandedJournal::settle`].
    ///
    /// # Errors
    /// `NotFound`: it was discarded. `Corrupt`: it is damaged.
    pub fn open(files: &dyn Files, kept: &Stranded) -> Result<StrandedJournal> {
        let (reader, replay) = Journal::inspect(files, &kept.path)?;
        let noted = files.read(&kept.beside()).ok();
        let noted: Circumstances = noted.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let epoch = noted.epoch.map(Epoch).or_else(|| marked_epoch(&replay));
        let Replay { writer, volume, commits, .. } = replay;
        // A journal gives up only what is in the history.
        let given_up = commits.first().is_some_and(|first| first.lsn.0 > 1);
        let in_history = noted.in_history.unwrap_or(given_up);
        Ok(StrandedJournal { reader, commits, writer, volume, removed: false, epoch, base: noted.base, in_history })
    }

    /// Finds out whether its volume is still there, and what it stands on if that was not known when it was kept aside.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn settle(&mut self, context: &Context) -> Result<()> {
        self.removed = match identity(context).await {
            Ok(there) => there.is_none_or(|there| there.uuid != self.volume),
            // On its way.
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if self.removed {
            // Numbers of another volume mean nothing for it.
            return Ok(());
        }
        let (None, Some(epoch)) = (self.base, self.epoch) else { return Ok(()) };
        let info = aftermath(context, epoch, Lsn::ZERO, self.in_history).await?;
        self.base = base_of(info.settled, info.inherited.as_ref(), epoch);
        Ok(())
    }

    /// Its volume was removed: what is at the URL now, if anything, is another one. Only known once it is settled.
    #[must_use]
    pub fn is_of_removed(&self) -> bool {
        self.removed
    }

    /// The last epoch under which it was written, if that is known.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        self.epoch.map(|epoch| epoch.0)
    }

    /// The name of the checkpoint that keeps what it stands on, if one was made.
    #[must_use]
    pub fn checkpoint(&self) -> Option<String> {
        self.epoch.map(|epoch| stranded_checkpoint(self.writer, epoch))
    }

    /// The state that its commits were made on, if that is known.
    #[must_use]
    pub fn base(&self) -> Option<Base> {
        self.base
    }

    /// Whether its writer is known to have been in the history. What others found says nothing of one that may not have been.
    #[must_use]
    pub fn was_in_history(&self) -> bool {
        self.in_history
    }

    /// The commits that the history does not hold, oldest first; all that are there if that is not known.
    pub fn commits(&self) -> impl Iterator<Item = StrandedCommit> {
        self.stranded().map(|commit| StrandedCommit {
            lsn: commit.lsn.0,
            at_ms: commit.wall.0,
            pages: commit.pages.len() as u64,
            page_count: commit.page_count.0,
            bytes: commit.bytes,
        })
    }

    fn stranded(&self) -> impl Iterator<Item = &ReplayedCommit> {
        let held = self.base.map_or(0, |base| base.lsn);
        self.commits.iter().filter(move |commit| commit.lsn.0 > held)
    }

    /// The state that its commits would have led to has so many pages of this size; `None` without commits.
    #[must_use]
    pub fn outcome(&self) -> Option<(PageCount, PageSize)> {
        self.stranded().last().map(|commit| (commit.page_count, commit.page_size))
    }

    /// Pages that its commits changed, each once, in order.
    #[must_use]
    pub fn pages(&self) -> Vec<PageNo> {
        let all: BTreeMap<PageNo, ()> =
            self.stranded().flat_map(|commit| commit.pages.iter().map(|(page, _)| (*page, ()))).collect();
        let count = self.outcome().map_or(PageCount(0), |(count, _)| count);
        all.into_keys().filter(|page| count.contains(*page)).collect()
    }

    /// Hands out what has to be done to the state that it stands on, in order: for each commit its pages, and then how
    /// many pages the volume had.
    ///
    /// # Errors
    /// `NotFound`: its volume was removed, what it stands on is not known, or commits in between are missing. `Corrupt`: it is damaged. What
    /// `page` and `count` answer.
    pub fn apply(
        &self,
        mut page: impl FnMut(PageNo, &[u8]) -> Result<()>,
        mut count: impl FnMut(PageCount, PageSize) -> Result<()>,
    ) -> Result<()> {
        self.continues()?;
        let mut data = Vec::new();
        for commit in self.stranded() {
            data.resize(commit.page_size.bytes(), 0);
            for (number, place) in &commit.pages {
                let place: &Place = place;
                self.reader.read(*place, *number, &mut data)?;
                page(*number, &data)?;
            }
            count(commit.page_count, commit.page_size)?;
        }
        Ok(())
    }

    fn continues(&self) -> Result<()> {
        let missing = |why: String| {
            Err(Error::new(ErrorKind::NotFound, "making the state of a stranded journal")
                .why(why)
                .hint("its commits are still listed by `plimsoll stranded show`"))
        };
        if self.removed {
            return missing("these commits are of a volume that was removed".to_owned());
        }
        let Some(base) = self.base else {
            return missing("which state its commits were made on is not known".to_owned());
        };
        match self.stranded().next() {
            Some(first) if first.lsn.0 != base.lsn + 1 => {
                missing(format!("it begins with commit {}, the history ends with {}", first.lsn, base.lsn))
            }
            _ => Ok(()),
        }
    }
}

/// The checkpoint that keeps what stranded commits of a writer stand on.
#[must_use]
pub fn stranded_checkpoint(writer: WriterId, epoch: Epoch) -> String {
    format!("stranded-{writer}-{epoch}")
}

/// Whether a checkpoint is one that keeps what stranded commits stand on.
fn is_stranded_checkpoint(name: &str) -> bool {
    let parts = name.strip_prefix("stranded-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(writer, epoch)| {
        writer.len() == 16
            && writer.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !epoch.is_empty()
            && epoch.bytes().all(|byte| byte.is_ascii_digit())
    })
}

impl Shared {
    /// Removes what was kept for stranded commits of hosts that have not come back for long. One list, and if there is any of
    /// that, a look who holds the volume and two requests for each that is old.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn forget_stranded(&self, writer: &Writer) -> Result<()> {
        let context = self.context();
        let mut pins = writer.pins.all(&context).await?;
        pins.retain(|pin| is_stranded_checkpoint(&pin.name) && pin.record.fork.is_none());
        if pins.is_empty() {
            return Ok(());
        }
        // By the store's clock only: the last sign of life, which is this writer's, is about as new as anything.
        let standing = look(&context).await?;
        let now = standing.status.map_or(standing.epoch_made, |seen| seen.modified);
        let old = self.settings().stranded_retention.as_millis();
        for pin in pins.iter().filter(|pin| u128::from(now.0.saturating_sub(pin.modified.0)) >= old) {
            unpin(&context, &pin.name).await?;
            let name = &pin.name;
            tracing::warn!(url = self.url(), name, "what stranded commits stand on is kept no longer");
        }
        Ok(())
    }

    /// Keeps the state that stranded commits stand on, so that a database can be made of them later. Both sides try:
    /// the writer that takes over, while the state is certainly there, and the host that keeps the commits.
    pub(crate) async fn keep_base(&self, writer: WriterId, epoch: Epoch, txid: Txid) {
        if txid.is_zero() {
            return;
        }
        let name = stranded_checkpoint(writer, epoch);
        let note = format!("commits of epoch {epoch} that were not synced when another writer took over stand on this");
        let context = self.context();
        let made = match checkpoint(&context, &name, Some(&note), Some(txid)).await {
            // The other side was faster.
            Err(error) if error.kind() == ErrorKind::Conflict => match read_pin(&**context.store(), &name).await {
                Ok(Some(other)) if other.txid == txid => return,
                Ok(Some(other)) => Err(error.why(format!("there is one of this name, of sync {}", other.txid))),
                Ok(None) => Err(error),
                Err(error) => Err(error),
            },
            made => made,
        };
        match made {
            Ok(_) => tracing::info!(url = self.url(), name, "what stranded commits stand on is kept"),
            Err(error) => tracing::warn!(%error, %txid, "what stranded commits stand on could not be kept"),
        }
    }
}

/// Pure: what the commits of a writer of `epoch` stand on that the history does not hold, by what the next writer found.
///
/// That is of this epoch or of a later fence. Before the first sync of a volume nobody is fenced: then it may be of an
/// earlier writer, who was faster, and these commits do not stand on his.
pub(crate) fn base_of(settled: bool, inherited: Option<&plimsoll_commitlog::Inherited>, epoch: Epoch) -> Option<Base> {
    let follows = |found: &&plimsoll_commitlog::Inherited| found.stamp.is_none_or(|stamp| stamp.epoch >= epoch);
    let inherited = inherited.filter(follows).filter(|_| settled)?;
    let lsn = inherited.stamp.map_or(Lsn::ZERO, |stamp| stamp.lsn);
    Some(Base { txid: inherited.txid.0, lsn: lsn.0 })
}

impl VolumeDir {
    fn stranded_dir(&self) -> PathBuf {
        self.path().join("stranded")
    }

    /// Makes what is in the journal survive power loss. After a crash some of it may be in the system's memory only.
    fn settle_journal(&self) {
        let dir = self.journal();
        for name in self.files().list(&dir).unwrap_or_default() {
            let synced = self.files().open(&dir.join(&name), OpenMode::Write).and_then(|file| file.sync());
            if let Err(error) = synced {
                // It is kept aside all the same: what is there now may well be there later.
                tracing::warn!(%error, name, "a segment of a journal that is kept aside could not be synced");
            }
        }
    }

    /// Keeps a journal that cannot be replayed aside, synced.
    pub(crate) fn strand(&self, host: &Host, circumstances: Circumstances) -> Result<Stranded> {
        let (dir, at) = (self.stranded_dir(), host.clock.wall());
        let files = self.files();
        files.create_dir_all(&dir).doing("creating", dir.display())?;
        let path = (0..)
            .map(|number| dir.join(format!("{at}-{number}")))
            .find(|path| files.list(path).is_err())
            .expect("BUG: numbers ran out");
        let stranded = Stranded { path };
        if taken(Step::SettleStranded) {
            self.settle_journal();
        }
        if let Err(error) = stranded.note(&**files, circumstances) {
            // The commits are what counts.
            tracing::warn!(%error, "what a journal stands on that is kept aside could not be recorded");
        }
        crash::here(Point::StrandJournal);
        let path = &stranded.path;
        files.rename(&self.journal(), path).doing("keeping the stranded journal as", path.display())?;
        crash::here(Point::StrandMoved);
        // It is there now, and has to be told of. Only power loss may put it back where it was, and then it is kept aside again.
        for dir in [&*dir, self.path()] {
            if let Err(error) = files.sync_dir(dir).doing("syncing", dir.display()) {
                tracing::warn!(%error, "that a journal is kept aside may be undone by a loss of power");
            }
        }
        Ok(stranded)
    }

    /// Journals that were kept aside, oldest first.
    #[must_use]
    pub fn stranded(&self) -> Vec<Stranded> {
        let dir = self.stranded_dir();
        let mut names = self.files().list(&dir).unwrap_or_default();
        names.retain(|name| Path::new(name).extension().is_none());
        names.sort_unstable();
        names.into_iter().map(|name| Stranded { path: dir.join(name) }).collect()
    }

    /// Removes a journal that was kept aside, for ever.
    ///
    /// # Errors
    /// As the disk says.
    pub fn discard(&self, kept: &Stranded) -> Result<()> {
        let files: &Arc<dyn Files> = self.files();
        files.remove_dir_all(&kept.path).doing("removing the stranded journal", kept.path.display())?;
        crash::here(Point::DiscardDropped);
        // Not there if the journal was kept aside by an older version.
        let _ = files.remove(&kept.beside());
        let dir = self.stranded_dir();
        files.sync_dir(&dir).doing("syncing", dir.display())
    }
}

/// The newest sync of a view, or nothing, if that is all that the history holds of a writer.
pub(crate) fn base_at(txid: Txid, lsn: Lsn, held: Lsn) -> Option<Base> {
    (lsn == held).then_some(Base { txid: txid.0, lsn: lsn.0 })
}

#[cfg(test)]
mod tests {
    use plimsoll_commitlog::Inherited;
    use plimsoll_model::Stamp;

    use super::*;

    #[test]
    fn a_checkpoint_for_stranded_commits_is_told_from_one_that_somebody_named_so() {
        assert!(is_stranded_checkpoint(&stranded_checkpoint(WriterId(7), Epoch(12))));
        for name in ["stranded-", "stranded-ship", "stranded-0000000000000007-", "stranded-0000000000000007-x", "kept"]
        {
            assert!(!is_stranded_checkpoint(name), "{name}");
        }
    }

    #[test]
    fn stranded_commits_stand_on_what_the_next_writer_found() {
        let stamp = Some(Stamp { writer: WriterId(1), epoch: Epoch(2), lsn: Lsn(5) });
        let found = Inherited { txid: Txid(9), stamp };
        let base = Some(Base { txid: 9, lsn: 5 });
        assert_eq!(base_of(true, Some(&found), Epoch(2)), base);
        assert_eq!(base_of(true, Some(&found), Epoch(1)), base, "a fence that followed it");
        assert_eq!(base_of(true, Some(&found), Epoch(3)), None, "an earlier writer, who was not fenced");
        assert_eq!(base_of(false, Some(&found), Epoch(2)), None);
        assert_eq!(base_of(true, None, Epoch(2)), None);
        assert_eq!(base_at(Txid(4), Lsn(5), Lsn(5)), Some(Base { txid: 4, lsn: 5 }));
        assert_eq!(base_at(Txid(4), Lsn(5), Lsn(6)), None);
        let nothing = Base { txid: 0, lsn: 0 };
        assert_eq!(base_at(Txid::ZERO, Lsn::ZERO, Lsn::ZERO), Some(nothing), "nothing of it ever got into the history");
    }
}
