//! Pure decisions of a writable open.

use std::time::Duration;

use plimsoll_host::WallMs;
use plimsoll_model::{
    Epoch, Stamp, Txid, WriterId,
    step::{self, taken},
};

use crate::{Head, Standing};

/// Who asks, and how insistently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) writer: WriterId,
    /// The user says: also from a holder that looks alive.
    pub(crate) takeover: bool,
    /// A local lock proves that no other process of this writer lives.
    pub(crate) alone: bool,
    pub(crate) holder_ttl: Duration,
}

/// Whether the next epoch may be taken. This is politeness; the fence is what makes it safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    Free,
    /// The holder gave its last sign of life this long ago.
    Held(Duration),
}

pub(crate) fn may_take(standing: &Standing, asker: &Asker, now: WallMs) -> Take {
    let ours = standing.holder.as_ref().is_some_and(|holder| holder.writer == asker.writer);
    if asker.takeover || (asker.alone && ours && taken(step::Step::SameHost)) || !taken(step::Step::RefuseLiving) {
        return Take::Free;
    }
    held_for(standing, asker.holder_ttl, now).map_or(Take::Free, Take::Held)
}

/// Pure: whether somebody looks as if he held the volume, and how long ago he gave his last sign of life. Whoever is
/// removing it does not hold it: see [`settle`](crate::settle()).
#[must_use]
pub fn held_for(standing: &Standing, holder_ttl: Duration, now: WallMs) -> Option<Duration> {
    if standing.epoch.is_zero() || standing.holder.as_ref().is_some_and(|holder| holder.removal) {
        return None;
    }
    let last_sign = match &standing.status {
        Some(status) if status.record.closed => return None,
        Some(status) => status.modified,
        // It may be opening the volume just now.
        None => standing.epoch_made,
    };
    let age = Duration::from_millis(now.0.saturating_sub(last_sign.0));
    (age < holder_ttl || !taken(step::Step::TakeSilent)).then_some(age)
}

/// A fence of ours that the store has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its TXID.
    pub txid: Txid,
    /// Its stamp.
    pub stamp: Stamp,
}

/// What a newly taken epoch does next, given the newest sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to fence: the first sync will be the fence.
    Begin,
    /// Our fence is the newest sync: the volume is ours.
    Hold,
    /// Somebody with a newer epoch was here: it is theirs.
    GiveUp(Epoch),
    /// Publish a fence with this TXID and stamp.
    Fence(Txid, Stamp),
}

/// Pure: see [`Step`].
#[must_use]
pub fn next_step(head: Option<&Head>, writer: WriterId, epoch: Epoch, placed: Option<Placed>) -> Step {
    let Some(head) = head else { return Step::Begin };
    match head.stamp {
        Some(stamp) if stamp.epoch > epoch => Step::GiveUp(stamp.epoch),
        Some(stamp) if placed == Some(Placed { txid: head.txid, stamp }) => Step::Hold,
        stamp => {
            let lsn = stamp.map(|stamp| stamp.lsn).unwrap_or_default();
            Step::Fence(head.txid.next(), Stamp { writer, epoch, lsn })
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::Mono;
    use plimsoll_model::{Lsn, PageCount, PageSize};

    use super::*;
    use crate::{EpochRecord, LoadRecord, Seen, StatusRecord, Watermarks};

    const OLD: WriterId = WriterId(1);
    const NEW: WriterId = WriterId(2);
    const NOW: WallMs = WallMs(100_000);

    fn standing(epoch: u32, made: u64, status: Option<(u64, bool)>) -> Standing {
        let status = status.map(|(modified, closed)| Seen {
            record: StatusRecord {
                alive_ms: u64::MAX,
                epoch: Epoch(epoch),
                writer: OLD,
                host: "old".into(),
                watermarks: Watermarks::default(),
                load: LoadRecord::default(),
                line: None,
                inherited: None,
                replayed: None,
                took_from: None,
                trouble: None,
                closed,
            },
            modified: WallMs(modified),
        });
        let record = EpochRecord {
            epoch: Epoch(epoch),
            writer: OLD,
            host: "old".into(),
            pid: 1,
            since_ms: made,
            nonce: 0,
            removal: false,
            carries_out: None,
        };
        Standing {
            volume: None,
            epoch: Epoch(epoch),
            epoch_made: WallMs(made),
            holder: (epoch > 0).then_some(record),
            status,
            sent: Mono::default(),
        }
    }

    #[test]
    fn a_live_holder_is_respected_unless_the_user_insists() {
        let held = |ms| Take::Held(Duration::from_millis(ms));
        let stranger = Asker { writer: NEW, takeover: false, alone: true, holder_ttl: Duration::from_secs(30) };
        let pushy = Asker { takeover: true, ..stranger };
        let restarted = Asker { writer: OLD, ..stranger };
        let unsure = Asker { alone: false, ..restarted };
        let cases = [
            ("never opened", standing(0, 0, None), stranger, Take::Free),
            ("alive", standing(3, 0, Some((95_000, false))), stranger, held(5000)),
            ("alive, but told to", standing(3, 0, Some((95_000, false))), pushy, Take::Free),
            ("closed", standing(3, 0, Some((95_000, true))), stranger, Take::Free),
            ("silent for the whole time", standing(3, 0, Some((70_000, false))), stranger, Take::Free),
            ("silent for a little less", standing(3, 0, Some((70_001, false))), stranger, held(29_999)),
            ("a clock ahead of ours", standing(3, 0, Some((200_000, false))), stranger, held(0)),
            ("opening just now", standing(3, 99_000, None), stranger, held(1000)),
            ("died while opening", standing(3, 60_000, None), stranger, Take::Free),
            ("our own dead process", standing(3, 0, Some((95_000, false))), restarted, Take::Free),
            ("our own process, maybe alive", standing(3, 0, Some((95_000, false))), unsure, held(5000)),
        ];
        let mut removal = standing(3, 99_000, None);
        removal.holder.as_mut().unwrap().removal = true;
        assert_eq!(may_take(&removal, &stranger, NOW), Take::Free, "being removed");
        for (name, standing, asker, expected) in cases {
            assert_eq!(may_take(&standing, &asker, NOW), expected, "{name}");
        }
    }

    #[test]
    fn what_is_next_follows_from_the_newest_sync() {
        let stamp = |writer, epoch, lsn| Stamp { writer, epoch: Epoch(epoch), lsn: Lsn(lsn) };
        let head = |txid, stamp| {
            Some(Head { txid: Txid(txid), stamp, checksum: 1, page_count: PageCount(1), page_size: PageSize::DEFAULT })
        };
        let fence = |txid, lsn| Step::Fence(Txid(txid), stamp(NEW, 5, lsn));
        let placed = Some(Placed { txid: Txid(8), stamp: stamp(NEW, 5, 70) });
        let cases = [
            ("no sync at all", None, None, Step::Begin),
            ("an older epoch", head(7, Some(stamp(OLD, 4, 70))), None, fence(8, 70)),
            ("not written by us", head(7, None), None, fence(8, 0)),
            ("a newer epoch", head(7, Some(stamp(OLD, 6, 70))), None, Step::GiveUp(Epoch(6))),
            ("our fence", head(8, Some(stamp(NEW, 5, 70))), placed, Step::Hold),
            ("our fence is a stray", head(9, Some(stamp(OLD, 4, 90))), placed, fence(10, 90)),
            ("our fence is under a newer epoch", head(9, Some(stamp(OLD, 6, 70))), placed, Step::GiveUp(Epoch(6))),
        ];
        for (name, head, placed, expected) in cases {
            assert_eq!(next_step(head.as_ref(), NEW, Epoch(5), placed), expected, "{name}");
        }
    }
}
