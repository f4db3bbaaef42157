//! What becomes of a journal that was left behind, by what the store says of it.

use plimsoll_commitlog::{Context, Head, Inherited, Standing, aftermath, alone_since};
use plimsoll_journal::Replay;
use plimsoll_model::{Epoch, Lsn, Result, WriterId};

use crate::{
    local::VolumeDir,
    replay::{Fate, Found, Later, fate, marked_epoch, parted_from},
    stranded::{Base, base_of},
};

/// A journal, and what is known besides.
pub(crate) struct Case<'a> {
    pub(crate) context: &'a Context,
    pub(crate) replay: &'a Replay,
    /// This host's identity.
    pub(crate) writer: Option<WriterId>,
    /// The identity of the volume that is at the URL.
    pub(crate) volume: Option<[u8; 16]>,
    /// The last epoch under which the journal was written.
    pub(crate) epoch: Option<Epoch>,
    /// The newest sync, without a fence of whoever judges.
    pub(crate) inherited: Option<Inherited>,
    /// The newest epoch.
    pub(crate) last: Epoch,
}

impl Case<'_> {
    fn same_volume(&self) -> bool {
        Some(self.replay.volume) == self.volume && Some(self.replay.writer) == self.writer
    }
}

/// The last epoch under which a journal was written.
///
/// # Errors
/// `Io` if what is beside it cannot be read: by an older epoch it would be judged wrongly.
pub(crate) fn written_under(replay: &Replay, dir: &VolumeDir) -> Result<Option<Epoch>> {
    Ok(marked_epoch(replay).max(dir.epoch()?))
}

/// What becomes of a journal, and what its commits stand on if that is known.
pub(crate) async fn judge(case: Case<'_>) -> Result<(Fate, Option<Base>)> {
    let Case { context, replay, epoch, inherited, last, .. } = case;
    let commits = replay.commits.first().zip(replay.commits.last()).map(|(first, last)| (first.lsn, last.lsn));
    let head = inherited.and_then(|inherited| inherited.stamp);
    let found = Found {
        writer: replay.writer,
        same_volume: case.same_volume(),
        synced: inherited.is_some(),
        head,
        epoch,
        commits,
        parted: head.and_then(|stamp| parted_from(replay, stamp.epoch)),
        later: None,
    };
    let (first, epoch) = match (fate(found), commits, epoch) {
        (Fate::Strand, Some((first, _)), Some(epoch)) if found.same_volume => (first, epoch),
        (fate, ..) => return Ok((fate, None)),
    };
    // Somebody was here since. Who was it, and what did they find of ours?
    let alone = alone_since(context, replay.writer, epoch, last).await?;
    let floor = Lsn(first.0.saturating_sub(1));
    let info = aftermath(context, epoch, floor, alone || floor > Lsn::ZERO).await?;
    let later = info.settled.then_some(Later { held: info.held, alone });
    Ok((fate(Found { later, ..found }), base_of(info.settled, info.inherited.as_ref(), epoch)))
}

/// What is to be expected for a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// Whoever opens the volume on this host for writing goes on from it.
    Pending,
    /// Another writer went on without some of its commits.
    Fenced,
    /// It is of a volume that is not at the URL any more.
    Removed,
}

/// What is to become of a journal of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// What will be done with it.
    pub prospect: Prospect,
    /// The history holds its commits up to here; at least, if that is not known exactly.
    pub held: Lsn,
    /// Whether that is known exactly.
    pub settled: bool,
}

/// Finds out what would become of a journal if this host opened the volume for writing now, without doing so. No
/// request if it just continues the newest sync, a few otherwise.
///
/// # Errors
/// Those of the store.
pub async fn outlook(
    context: &Context,
    dir: &VolumeDir,
    (standing, head): (&Standing, Option<&Head>),
    replay: &Replay,
) -> Result<Outlook> {
    let case = Case {
        context,
        replay,
        writer: dir.known_writer(),
        volume: standing.volume.as_ref().map(|volume| volume.uuid),
        epoch: written_under(replay, dir)?,
        inherited: head.map(|head| Inherited { txid: head.txid, stamp: head.stamp }),
        last: standing.epoch,
    };
    let same_volume = case.same_volume();
    let last = replay.commits.last().map_or(Lsn::ZERO, |commit| commit.lsn);
    Ok(match judge(case).await? {
        (Fate::Replay(held), _) => Outlook { prospect: Prospect::Pending, held, settled: true },
        (Fate::Finished, _) => Outlook { prospect: Prospect::Pending, held: last, settled: true },
        (Fate::Strand, _) if !same_volume => Outlook { prospect: Prospect::Removed, held: Lsn::ZERO, settled: true },
        (Fate::Strand, base) => {
            let held = base.map_or(Lsn::ZERO, |base| Lsn(base.lsn));
            Outlook { prospect: Prospect::Fenced, held, settled: base.is_some() }
        }
    })
}
