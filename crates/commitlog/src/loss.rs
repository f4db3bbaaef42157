//! What dead writers took with them.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use plimsoll_model::{Epoch, Error, Lsn, Result, WriterId};

use crate::{
    Context, Inherited, Lease, LineRecord, LoadRecord, StatusRecord, Watermarks,
    aftermath::{Late, Sequel, inherited_after, survivors, went_on},
    key::{STATUSES, parse_status_key},
    record::lenient,
    standing::{is_greeting, last_word, read_status},
    tail::written_at,
};

/// Statuses that are read at once.
const READS_MAX: usize = 16;

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
    /// acknowledged before is durable. `None` if it has made none, another writer's is the newest, or it was not looked at.
    pub synced_ms: Option<u64>,
    /// When it gave its last sign of life, by its own clock, in milliseconds since 1970.
    pub alive_ms: u64,
    /// The history holds its commits up to here, and no further if `settled`.
    pub held: Lsn,
    /// Whether `held` is known exactly.
    pub settled: bool,
    /// What that is judged by: what the first writer after it found. Its commits stand on this.
    pub found: Option<Inherited>,
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

/// What writers took with them that were pushed aside.
#[derive(Debug, Default)]
pub struct Toll {
    /// One entry for each that has left anything to answer for, oldest first.
    pub losses: Vec<Loss>,
    /// Why there may be more: of one of them, and of those before it, it could not be found out. `Corrupt`: nor will it ever be.
    pub missing: Option<Error>,
}

/// What the holder of `epoch` took with it, and those before it that nobody had accounted for when it took the volume, given
/// who answers for that now. A writer that never gave a sign of life had acknowledged nothing, but then nobody has answered
/// for who held the volume before. For each of them one request, or three, and one more if its newest sync is not known
/// here; two more if others have taken the volume in between.
pub async fn toll(context: &Context, epoch: Epoch, heir: &Lease) -> Toll {
    let mut toll = Toll::default();
    let mut next = Some(epoch);
    while let Some(epoch) = next {
        match fate(context, epoch, heir).await {
            Ok(Some(Fate { of, loss, before })) => {
                // Ever older ones, whatever records say.
                next = before.filter(|before| *before < of);
                toll.losses.extend(loss);
            }
            Ok(None) => next = None,
            Err(error) => {
                toll.missing = Some(error);
                next = None;
            }
        }
    }
    toll.losses.reverse();
    toll
}

/// What became of a writer, and of whoever it had not accounted for.
struct Fate {
    of: Epoch,
    /// `None` if it had let go.
    loss: Option<Loss>,
    before: Option<Epoch>,
}

/// The fate of the holder of `epoch`, or of who held the volume before if it never said anything. `None`: nobody has left
/// anything to answer for.
async fn fate(context: &Context, epoch: Epoch, heir: &Lease) -> Result<Option<Fate>> {
    let Some(last) = last_word(context, epoch).await? else { return Ok(None) };
    let (of, before) = (last.epoch, last.took_from);
    if last.closed {
        return Ok(Some(Fate { of, loss: None, before }));
    }
    let mut inherited = heir.inherited();
    if epoch.next() < heir.epoch() {
        // What we found may be of those in between: commits of theirs bear the numbers that the lost ones had.
        inherited = inherited_after(context, epoch).await?.or(inherited);
    }
    let own = inherited.filter(|found| is_sync_of(&last, found));
    let synced_ms = match own {
        // Only for people: without it the report is as true.
        Some(found) => written_at(context, found.txid).await.ok().flatten(),
        None => None,
    };
    let loss = Loss { synced_ms, ..judge(&last, inherited.as_ref()) };
    Ok(Some(Fate { of, loss: Some(loss), before }))
}

/// Pure: whether what was found is a sync of a writer, and not just its fence: that is younger than commits which an
/// earlier process of the same journal had acknowledged, and holds none of them.
fn is_sync_of(writer: &StatusRecord, found: &Inherited) -> bool {
    // What begins a history is no fence.
    let fenced = writer.inherited.filter(|before| !before.txid.is_zero());
    let is_fence = fenced.is_some_and(|before| before.txid.next() == found.txid);
    found.stamp.is_some_and(|stamp| stamp.epoch == writer.epoch) && !is_fence
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
    let records: Vec<Option<StatusRecord>> = seen.into_iter().map(|seen| Some(seen?.record)).collect();
    Ok(losses_among(&records))
}

/// Pure: the losses that statuses show, in ascending order of epoch. `None`: one that is damaged, or was removed meanwhile.
/// What others found after its writer may be of its making, so what was lost before is not known exactly.
fn losses_among(records: &[Option<StatusRecord>]) -> Vec<Loss> {
    let judged = |(at, dead): (usize, &Option<StatusRecord>)| {
        let dead = dead.as_ref()?;
        let (later, known) = (&records[at + 1..], || records[at + 1..].iter().map_while(Option::as_ref));
        let heir = known().find(|later| !is_greeting(later));
        if heir.is_some_and(|heir| heir.writer == dead.writer && heir.replayed.is_none()) {
            // It has repeated what this one had said, and answers for it.
            return None;
        }
        let next = known().find(|later| later.inherited.is_some());
        // Otherwise its own journal has them, or had, and whoever came to that answers for them.
        if next.is_some_and(|next| went_on(dead.writer, dead.watermarks.appended.lsn, next) != Some(Sequel::Lost)) {
            return None;
        }
        if next.is_none() && known().count() == later.len() {
            return None;
        }
        let loss = judge(dead, next.and_then(|next| next.inherited.as_ref()));
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
        found: next.copied(),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_model::{Stamp, Txid};

    use super::*;
    use crate::Mark;

    fn inherited(txid: u64, stamp: Option<(u32, u64)>) -> Inherited {
        let stamp = stamp.map(|(epoch, lsn)| Stamp { writer: WriterId(1), epoch: Epoch(epoch), lsn: Lsn(lsn) });
        Inherited { txid: Txid(txid), stamp }
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
            trouble: None,
            closed: false,
        };
        let records = [
            status(1, 20, 8, Some(inherited(0, None))),
            status(2, 12, 12, Some(inherited(3, Some((1, 12))))),
            status(3, 40, 12, Some(inherited(4, Some((2, 12))))),
        ];
        let losses = losses_among(&records.clone().map(Some));
        assert_eq!(losses.len(), 1, "the second lost nothing, the third may live");
        assert_eq!((losses[0].epoch, losses[0].held, losses[0].commits()), (Epoch(1), Lsn(12), 8));
        // What the third found is of the second's making, and nobody knows what that one found.
        let damaged = losses_among(&[Some(records[0].clone()), None, Some(records[2].clone())]);
        let [loss] = damaged.as_slice() else { panic!("{damaged:?}") };
        assert_eq!((loss.epoch, loss.held, loss.commits(), loss.settled), (Epoch(1), Lsn(8), 12, false));
        assert_eq!(losses_among(&[Some(records[0].clone())]), [], "it may live");
        // The next process of the same host went on from the journal.
        let mut again = StatusRecord { writer: WriterId(1), ..records[1].clone() };
        for (replayed, lost) in [(None, 0), (Some(20), 0), (Some(19), 1)] {
            again.replayed = replayed.map(Lsn);
            assert_eq!(
                losses_among(&[&records[0], &again].map(|status| Some(status.clone()))).len(),
                lost,
                "{replayed:?}"
            );
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
            trouble: None,
            closed: false,
        };
        let lost = judge(&dead, Some(&inherited(3, Some((1, 12)))));
        assert_eq!((lost.commits(), lost.bytes(), lost.window_ms()), (8, 4096, 1_000));
        let nothing = judge(&dead, Some(&inherited(3, Some((1, 20)))));
        assert_eq!((nothing.commits(), nothing.bytes(), nothing.window_ms()), (0, 0, 0));
    }
}
