//! What the history holds of a fenced or dead writer.

use futures::{StreamExt as _, TryStreamExt as _, future::try_join, stream};
use plimsoll_model::{Epoch, Error, ErrorKind, Lsn, Result, Stamp, WriterId};

use crate::{
    Context, EpochRecord, Inherited, Lease, LineRecord, LoadRecord, StatusRecord, Watermarks,
    bygone::is_bygone,
    key::{STATUSES, epoch_key, parse_status_key, status_key},
    record::{self, lenient},
    standing::{is_greeting, last_word, newest_epoch, read_status},
    tail::written_at,
};

/// Statuses that are read at once.
const READS_MAX: usize = 16;

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
async fn inherited_after(context: &Context, epoch: Epoch) -> Result<Option<Inherited>> {
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
fn went_on(writer: WriterId, lsn: Lsn, later: &StatusRecord) -> Option<Sequel> {
    match later.replayed {
        _ if later.writer != writer => Some(Sequel::Lost),
        None => None,
        Some(replayed) if replayed >= lsn => Some(Sequel::Goes(later.epoch)),
        Some(_) => Some(Sequel::Lost),
    }
}

/// What a dead writer took with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its journal: on its host, if that still exists, are the commits.
    pub writer: WriterId,
    /// The name of its host.
    pub host: String,
    /// How far it said its commits were, at its last sign of life. Later commits are not counted.
    pub advertised: Watermarks,
    /// What it said was acknowledged and not durable.
    pub load: LoadRecord,
    /// How much of that there could be, and so of what it acknowledged later, as it said.
    pub line: Option<LineRecord>,
    /// When it wrote its newest sync that the history holds, by its own clock, in milliseconds since 1970. What it
    /// acknowledged before is durable. `None` if another writer's is the newest, or it was not looked at.
    pub synced_ms: Option<u64>,
    /// When it gave its last sign of life, by its own clock, in milliseconds since 1970.
    pub alive_ms: u64,
    /// The history holds its commits up to here, and no further if `settled`.
    pub held: Lsn,
    /// Whether `held` is known exactly.
    pub settled: bool,
}

impl Loss {
    /// Commits that were acknowledged and are not in the history, as far as the writer had said.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.advertised.appended.lsn.0.saturating_sub(self.held.0)
    }

    /// Their bytes in its journal, at most.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        if self.commits() == 0 { 0 } else { self.load.bytes }
    }

    /// From the oldest of them to the newest, at most, in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        if self.commits() == 0 {
            return 0;
        }
        self.advertised.appended.ms.saturating_sub(self.alive_ms.saturating_sub(self.load.age_ms))
    }
}

/// What the holder of `epoch` took with it, given who answers for that now. If it never gave a sign of life it had
/// acknowledged nothing, but then nobody has answered for who held the volume before. `None`: nobody has left anything to
/// answer for. One request, or three, and one more if its newest sync is not known here; two more if others have taken
/// the volume in between.
///
/// # Errors
/// Those of the store.
pub async fn loss(context: &Context, epoch: Epoch, heir: &Lease) -> Result<Option<Loss>> {
    let Some(last) = last_word(context, epoch).await? else { return Ok(None) };
    let mut inherited = heir.inherited();
    if epoch.next() < heir.epoch() {
        // What we found may be of those in between: commits of theirs bear the numbers that the lost ones had.
        inherited = inherited_after(context, epoch).await?.or(inherited);
    }
    let own = inherited.filter(|found| found.stamp.is_some_and(|stamp| stamp.epoch == last.epoch));
    let synced_ms = match own {
        // Only for people: without it the report is as true.
        Some(found) => written_at(context, found.txid).await.ok().flatten(),
        None => None,
    };
    Ok(Some(Loss { synced_ms, ..judge(&last, inherited.as_ref()) }))
}

/// What the last `statuses_max` writers took with them when another took over: one entry per writer that had
/// acknowledged more than the history holds, oldest first. The newest writer is not judged: it may be alive.
///
/// # Errors
/// Those of the store.
pub async fn losses(context: &Context, statuses_max: usize) -> Result<Vec<Loss>> {
    let entries = context.store.list(STATUSES, None).await?;
    let epochs: Vec<Epoch> = entries.iter().filter_map(|entry| parse_status_key(&entry.key)).collect();
    let older = epochs.len().saturating_sub(statuses_max);
    let reads = epochs.into_iter().skip(older).map(|epoch| async move { lenient(read_status(context, epoch).await) });
    let seen: Vec<_> = stream::iter(reads).buffered(READS_MAX).try_collect().await?;
    let records: Vec<StatusRecord> = seen.into_iter().flatten().map(|seen| seen.record).collect();
    Ok(losses_among(&records))
}

/// Pure: the losses that statuses show, in ascending order of epoch.
fn losses_among(records: &[StatusRecord]) -> Vec<Loss> {
    let judged = |(at, dead): (usize, &StatusRecord)| {
        let later = &records[at + 1..];
        let heir = later.iter().find(|later| !is_greeting(later));
        if heir.is_some_and(|heir| heir.writer == dead.writer && heir.replayed.is_none()) {
            // It has repeated what this one had said, and answers for it.
            return None;
        }
        let next = later.iter().find(|later| later.inherited.is_some())?;
        // Otherwise its own journal has them, or had, and whoever came to that answers for them.
        if went_on(dead.writer, dead.watermarks.appended.lsn, next) != Some(Sequel::Lost) {
            return None;
        }
        let loss = judge(dead, next.inherited.as_ref());
        (loss.commits() > 0).then_some(loss)
    };
    records.iter().enumerate().filter_map(judged).collect()
}

/// Pure: what a writer took with it, given what the first writer after it found.
fn judge(dead: &StatusRecord, next: Option<&Inherited>) -> Loss {
    let floor = dead.watermarks.durable.lsn;
    let late = Late { epoch: dead.epoch, floor, in_history: dead.inherited.is_some() };
    let (held, settled) = survivors(&late, next);
    Loss {
        epoch: dead.epoch,
        writer: dead.writer,
        host: dead.host.clone(),
        advertised: dead.watermarks,
        load: dead.load,
        line: dead.line,
        synced_ms: None,
        alive_ms: dead.alive_ms,
        held,
        settled,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::Txid;

    use super::*;
    use crate::Mark;

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

    #[test]
    fn a_loss_is_what_was_advertised_beyond_what_was_inherited() {
        let status = |epoch, appended, durable, inherited| StatusRecord {
            alive_ms: 0,
            epoch: Epoch(epoch),
            writer: WriterId(u64::from(epoch)),
            host: format!("h{epoch}"),
            watermarks: Watermarks {
                appended: Mark { lsn: Lsn(appended), ms: 0 },
                durable: Mark { lsn: Lsn(durable), ms: 0 },
                ..Watermarks::default()
            },
            load: LoadRecord::default(),
            line: None,
            inherited,
            replayed: None,
            took_from: None,
            closed: false,
        };
        let records = [
            status(1, 20, 8, Some(inherited(0, None))),
            status(2, 12, 12, Some(inherited(3, Some((1, 12))))),
            status(3, 40, 12, Some(inherited(4, Some((2, 12))))),
        ];
        let losses = losses_among(&records);
        assert_eq!(losses.len(), 1, "the second lost nothing, the third may live");
        assert_eq!((losses[0].epoch, losses[0].held, losses[0].commits()), (Epoch(1), Lsn(12), 8));
        // The next process of the same host went on from the journal.
        let mut again = StatusRecord { writer: WriterId(1), ..records[1].clone() };
        for (replayed, lost) in [(None, 0), (Some(20), 0), (Some(19), 1)] {
            again.replayed = replayed.map(Lsn);
            assert_eq!(losses_among(&[records[0].clone(), again.clone()]).len(), lost, "{replayed:?}");
        }
    }

    #[test]
    fn a_loss_has_bytes_and_a_span_only_if_commits_are_lost() {
        let mark = |lsn, ms| Mark { lsn: Lsn(lsn), ms };
        let dead = StatusRecord {
            alive_ms: 10_000,
            epoch: Epoch(1),
            writer: WriterId(1),
            host: "h".into(),
            watermarks: Watermarks { appended: mark(20, 9_500), journaled: mark(20, 9_500), durable: mark(8, 7_000) },
            load: LoadRecord { commits: 12, bytes: 4096, age_ms: 1_500 },
            line: None,
            inherited: Some(inherited(0, None)),
            replayed: None,
            took_from: None,
            closed: false,
        };
        let lost = judge(&dead, Some(&inherited(3, Some((1, 12)))));
        assert_eq!((lost.commits(), lost.bytes(), lost.window_ms()), (8, 4096, 1_000));
        let nothing = judge(&dead, Some(&inherited(3, Some((1, 20)))));
        assert_eq!((nothing.commits(), nothing.bytes(), nothing.window_ms()), (0, 0, 0));
    }
}
