//! What the history holds of a fenced writer.

use futures::future::try_join;
use plimsoll_model::{Epoch, Error, ErrorKind, Lsn, Result, Stamp, WriterId};

use crate::{
    Context, EpochRecord, Inherited, StatusRecord,
    bygone::is_bygone,
    key::{STATUSES, epoch_key, parse_status_key, status_key},
    record::{self, lenient},
    standing::{newest_epoch, read_status},
};

/// Why a writer writes no more, and which of its commits the history holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceInfo {
    /// The newest epoch there is. Not above the fenced one if something else than a newer writer took the name
    /// of its next sync.
    pub epoch: Epoch,
    /// The record of its own epoch is gone, or is another writer's: the volume was removed.
    pub gone: bool,
    /// Who has it, if its record can be read.
    pub holder: Option<EpochRecord>,
    /// The stamp on the object that had the name of the next sync, if that is how it was noticed and it has one.
    pub winner: Option<Stamp>,
    /// The history holds the fenced writer's commits up to here at least.
    pub held: Lsn,
    /// Whether it holds none beyond. If not, the new writer has not said yet what it found: ask
    /// [`aftermath`] again.
    pub settled: bool,
    /// The newest sync that the first writer after it found, if that one has said so.
    pub inherited: Option<Inherited>,
}

impl FenceInfo {
    /// The error of everything that a fenced writer is asked to do.
    #[must_use]
    pub(crate) fn error(&self, context: &Context, doing: &'static str, mine: Epoch) -> Error {
        let by = match (&self.holder, self.winner) {
            _ if self.gone => "its own record is gone, so the volume was removed".to_owned(),
            (Some(holder), _) if holder.removal => "the volume was removed, or somebody was about to".to_owned(),
            (Some(holder), _) if holder.epoch > mine => {
                format!("process {} on host {} (epoch {}) has taken over", holder.pid, holder.host, holder.epoch)
            }
            (_, Some(winner)) => format!("{winner} has the name of the next sync"),
            _ if self.epoch > mine => format!("epoch {} has taken over", self.epoch),
            _ => {
                "something that is not Plimsoll has the name of the next sync; is Litestream running there?".to_owned()
            }
        };
        Error::new(ErrorKind::Fenced, doing)
            .object(context.store.url())
            .why(format!("epoch {mine} is fenced: {by}"))
            .hint(format!("commits up to {} are in the history; later ones are in this host's journal", self.held))
    }
}

/// The fenced or dead writer that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// Its epoch.
    pub epoch: Epoch,
    /// The history is known to hold its commits up to here.
    pub floor: Lsn,
    /// Whether its fence or any sync of its was in the history.
    pub in_history: bool,
}

/// Pure: up to which commit the history holds a writer's commits, given what the first writer after it inherited,
/// and whether that is all.
#[must_use]
pub fn survivors(late: &Late, inherited: Option<&Inherited>) -> (Lsn, bool) {
    let Some(inherited) = inherited else { return (late.floor, false) };
    match inherited.stamp {
        None => (late.floor, inherited.txid.is_zero()),
        Some(stamp) if stamp.epoch < late.epoch => (late.floor, true),
        // A newer epoch between that left no status acknowledged nothing: its fence carries on our number,
        // provided that its fence was on top of ours.
        Some(stamp) if stamp.epoch > late.epoch && !late.in_history => (late.floor, false),
        Some(stamp) => (late.floor.max(stamp.lsn), true),
    }
}

/// What became of the commits of a writer that was fenced or died: for a handle that was told so, or for a host that
/// finds an old journal.
///
/// `floor` is the last commit of it that is known to be durable. Three requests in two round trips, or one more.
///
/// # Errors
/// Those of the store.
pub async fn aftermath(context: &Context, epoch: Epoch, floor: Lsn, in_history: bool) -> Result<FenceInfo> {
    let (newest, inherited) = try_join(newest_epoch(context, Some(epoch)), inherited_after(context, epoch)).await?;
    let holder = match newest.0 {
        Epoch::ZERO => None,
        newest => lenient(record::read::<EpochRecord>(context, &epoch_key(newest)).await)?,
    };
    // Writers in between may be forgotten, and what others found may be of their making.
    let inherited = inherited.filter(|_| !is_bygone(epoch, newest.0));
    let (held, settled) = survivors(&Late { epoch, floor, in_history }, inherited.as_ref());
    Ok(FenceInfo { epoch: newest.0.max(epoch), gone: false, holder, winner: None, held, settled, inherited })
}

/// What the first writer after an epoch found that has said so.
pub(crate) async fn inherited_after(context: &Context, epoch: Epoch) -> Result<Option<Inherited>> {
    let mut later = Later::than(context, epoch).await?;
    Ok(later.next(context).await?.and_then(|status| status.inherited))
}

/// The statuses after an epoch that say what their writers found, oldest first, as far as each is known.
struct Later(std::vec::IntoIter<Epoch>);

impl Later {
    async fn than(context: &Context, epoch: Epoch) -> Result<Later> {
        let entries = context.store.list(STATUSES, Some(&status_key(epoch))).await?;
        let epochs: Vec<Epoch> = entries.iter().filter_map(|entry| parse_status_key(&entry.key)).collect();
        Ok(Later(epochs.into_iter()))
    }

    async fn next(&mut self, context: &Context) -> Result<Option<StatusRecord>> {
        for later in self.0.by_ref() {
            // What those after it found is of its making, if it is not known what it found itself.
            let Some(status) = lenient(read_status(context, later).await)? else { break };
            if status.record.inherited.is_some() {
                return Ok(Some(status.record));
            }
        }
        self.0 = Vec::new().into_iter();
        Ok(None)
    }
}

/// What became of a commit that the first later writer did not find in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequel {
    /// The next process of the same journal replayed it: it is a commit of that epoch now, with the same number.
    Goes(Epoch),
    /// No process of that journal has said yet what it replayed, and nobody else has gone on.
    NotYet,
    /// Nobody replayed it: it is lost to the history.
    Lost,
}

/// What became of commit `lsn` of an epoch that the first later writer did not find in the history. Three requests in
/// two round trips, or more where writers have left no status.
///
/// # Errors
/// Those of the store.
pub async fn sequel(context: &Context, epoch: Epoch, lsn: Lsn) -> Result<Sequel> {
    let made = async { lenient(record::read::<EpochRecord>(context, &epoch_key(epoch)).await) };
    let (made, mut later) = try_join(made, Later::than(context, epoch)).await?;
    while let Some(later) = later.next(context).await? {
        // Whose journal it was is not known any more.
        let Some(made) = &made else { return Ok(Sequel::Lost) };
        if let Some(sequel) = went_on(made.writer, lsn, &later) {
            return Ok(sequel);
        }
    }
    Ok(Sequel::NotYet)
}

/// Pure: the same, by what a later writer says. `None`: it is of the same journal, and died before it had looked at that, or
/// is just looking. Before it has said what it replayed it syncs nothing, so what counts is who comes after it.
pub(crate) fn went_on(writer: WriterId, lsn: Lsn, later: &StatusRecord) -> Option<Sequel> {
    match later.replayed {
        _ if later.writer != writer => Some(Sequel::Lost),
        None => None,
        Some(replayed) if replayed >= lsn => Some(Sequel::Goes(later.epoch)),
        Some(_) => Some(Sequel::Lost),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::Txid;

    use super::*;

    fn inherited(txid: u64, stamp: Option<(u32, u64)>) -> Inherited {
        let stamp = stamp.map(|(epoch, lsn)| Stamp { writer: WriterId(1), epoch: Epoch(epoch), lsn: Lsn(lsn) });
        Inherited { txid: Txid(txid), stamp }
    }

    #[test]
    fn the_inherited_stamp_says_what_survived() {
        let late = |in_history| Late { epoch: Epoch(4), floor: Lsn(10), in_history };
        let cases = [
            ("nobody has said yet", true, None, (10, false)),
            ("our last sync", true, Some(inherited(9, Some((4, 15)))), (15, true)),
            ("our fence", true, Some(inherited(9, Some((4, 10)))), (10, true)),
            ("the fence of one who died at once", true, Some(inherited(9, Some((5, 15)))), (15, true)),
            ("a history that may have begun without us", false, Some(inherited(9, Some((5, 15)))), (10, false)),
            ("an older writer began the history", false, Some(inherited(1, Some((3, 99)))), (10, true)),
            ("no history at all", false, Some(inherited(0, None)), (10, true)),
            ("somebody else's file on top", true, Some(inherited(9, None)), (10, false)),
        ];
        for (name, in_history, inherited, (held, settled)) in cases {
            assert_eq!(survivors(&late(in_history), inherited.as_ref()), (Lsn(held), settled), "{name}");
        }
    }
}
