//! What a process of this host has left in its journal.

use plimsoll_commitlog::{Lease, identity};
use plimsoll_host::crash::{self, Point};
use plimsoll_journal::{Config as JournalConfig, Journal, Replay, ReplayedCommit};
use plimsoll_model::{
    Epoch, Error, ErrorKind, Result, Txid, WriterId,
    step::{Step, taken},
};

use crate::{
    judgement::{Case, judge, written_under},
    replay::Fate,
    shared::Shared,
    stranded::Circumstances,
};

/// Bounds of a journal segment. The smallest has room for the largest page.
const SEGMENT_BYTES_MIN: u64 = 128 << 10;
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

impl Shared {
    /// The volume that the journal is of, if that is at the URL. Otherwise nobody is to be bothered because of it: what is
    /// in it is kept aside, and without a commit it goes. The caller has the local lock. One request.
    pub(crate) async fn volume_of_journal(&self) -> Result<Option<[u8; 16]>> {
        let Some(replay) = self.inspect_journal()? else {
            self.dir.drop_journal()?;
            return Ok(None);
        };
        let there = identity(&self.context()).await?.map(|volume| volume.uuid);
        if there == Some(replay.volume) {
            let read = self.state().uuid;
            if read.is_some_and(|read| read != replay.volume) {
                return Err(self.another_volume("opening for writing"));
            }
            return Ok(there);
        }
        if replay.commits.is_empty() {
            self.dir.drop_journal()?;
        } else {
            let epoch = written_under(&replay, &self.dir)?.map(|epoch| epoch.0);
            let commits = replay.commits.len() as u64;
            self.set_aside(
                commits,
                Circumstances { epoch, ..Circumstances::default() },
                "the volume was removed that had",
            )?;
        }
        Ok(None)
    }

    fn inspect_journal(&self) -> Result<Option<Replay>> {
        match Journal::inspect(&*self.config.host.files, &self.dir.journal()) {
            Ok((_, replay)) => Ok(Some(replay)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the journal aside, and says so.
    fn set_aside(&self, commits: u64, circumstances: Circumstances, what: &str) -> Result<()> {
        let stranded = self.dir.strand(&self.config.host, circumstances)?;
        self.config.metrics.stranded(commits);
        let path = stranded.path.display();
        let error = Error::new(ErrorKind::Fenced, "opening for writing")
            .object(self.url().to_owned())
            .why(format!("{what} the last commits of this host; they are kept in {path}"));
        tracing::error!(%error, "stranded");
        self.note_trouble(&error);
        Ok(())
    }

    /// Opens this host's journal: what is to be replayed of it, or a new one after setting the old one aside.
    pub(crate) async fn open_journal(
        &self,
        id: WriterId,
        uuid: [u8; 16],
        lease: &Lease,
    ) -> Result<(Journal, Vec<ReplayedCommit>)> {
        let host = &self.config.host;
        let dir = self.dir.journal();
        // What may be pending at once fits into a few segments, so that they are given up as it becomes durable.
        let segment_bytes = (self.settings().max_dirty_bytes / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let config = JournalConfig { segment_bytes, ..JournalConfig::new(uuid, id) };
        if self.dir.has_journal()? {
            let replay = self.inspect_journal()?;
            let epoch = replay.as_ref().map(|replay| written_under(replay, &self.dir)).transpose()?.flatten();
            let (fate, base) = match &replay {
                Some(replay) => {
                    judge(Case {
                        context: &self.context(),
                        replay,
                        writer: Some(id),
                        volume: Some(uuid),
                        epoch,
                        inherited: lease.inherited(),
                        last: lease.epoch(),
                    })
                    .await?
                }
                None => (Fate::Finished, None),
            };
            let fate = match (fate, lease.durable()) {
                (Fate::Strand, durable) if !taken(Step::JudgeJournal) => Fate::Replay(durable),
                (fate, _) => fate,
            };
            match fate {
                Fate::Replay(durable) => {
                    let (journal, replay) = Journal::open(host, &dir, config)?;
                    let mut tail: Vec<_> = replay.commits.into_iter().filter(|commit| commit.lsn > durable).collect();
                    if !taken(Step::Replay) {
                        tail.clear();
                    }
                    if !taken(Step::WholePrefix) && replay.cut.is_some() {
                        tail.pop();
                    }
                    return Ok((journal, tail));
                }
                Fate::Finished => self.dir.drop_journal()?,
                Fate::Strand => {
                    let epoch = epoch.map(|epoch| epoch.0);
                    let commits = replay.map_or(0, |replay| replay.commits.len() as u64);
                    // In this order: once the journal is aside, nobody comes here again.
                    if let Some((epoch, base)) = epoch.zip(base) {
                        self.keep_base(id, Epoch(epoch), Txid(base.txid)).await;
                        crash::here(Point::BaseKept);
                    }
                    self.set_aside(
                        commits,
                        Circumstances { epoch, base, in_history: None },
                        "another writer went on without",
                    )?;
                }
            }
        }
        let (journal, replay) = Journal::open(host, &dir, config)?;
        if replay.commits.is_empty() {
            return Ok((journal, Vec::new()));
        }
        // Nobody has judged them, and whoever goes on as if they were not there gives their numbers out again.
        Err(Error::new(ErrorKind::Io, "beginning a journal in")
            .object(dir.display().to_string())
            .why(format!("it has {} commits, where none were found a moment ago", replay.commits.len()))
            .hint("open the volume again"))
    }
}
