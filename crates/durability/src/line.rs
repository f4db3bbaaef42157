//! How much load is allowed, and what happens at the limit.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use plimsoll_host::Mono;
use plimsoll_model::{Error, ErrorKind, Lsn};

use crate::ledger::{Ledger, Load};

/// What a volume does with a commit that would cross its load line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnLoadLine {
    /// The commit waits until a sync has made room.
    #[default]
    Block,
    /// The commit fails with [`ErrorKind::Full`].
    Fail,
    /// The commit goes on, and is acknowledged once it is durable.
    WriteThrough,
}

impl OnLoadLine {
    /// Every policy.
    pub const ALL: [OnLoadLine; 3] = [OnLoadLine::Block, OnLoadLine::Fail, OnLoadLine::WriteThrough];

    /// The name used in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OnLoadLine::Block => "block",
            OnLoadLine::Fail => "fail",
            OnLoadLine::WriteThrough => "write_through",
        }
    }
}

impl fmt::Display for OnLoadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for OnLoadLine {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        OnLoadLine::ALL.into_iter().find(|policy| policy.name() == word).ok_or(())
    }
}

/// The limit on the load, and what happens there. A limit of zero allows no load at all: every
/// commit is acknowledged only when durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLine {
    /// Most bytes that may be acknowledged and not durable.
    pub max_dirty_bytes: u64,
    /// No commit is let through while the load is this old.
    pub max_loss_window: Duration,
    /// What happens to a commit that would cross the line.
    pub policy: OnLoadLine,
}

/// Whether a commit may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Append and acknowledge it; note it as [`Promise::Acknowledged`](crate::Promise).
    Go,
    /// Append it, but acknowledge it only once durable; note it as [`Promise::Held`](crate::Promise).
    GoWaitDurable,
    /// Append nothing. Ask again after a sync, and trigger that sync
    /// ([`SyncPolicy::line_reached`](crate::SyncPolicy::line_reached)).
    WaitForSync,
    /// Append nothing, give the application the error.
    Refuse(Refusal),
}

/// Which part of the load line is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `max_dirty_bytes`.
    Bytes,
    /// `max_loss_window`.
    Age,
}

/// Why a commit was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is reached.
    pub limit: Limit,
    /// The load, without the commit.
    pub load: Load,
    /// The commit.
    pub bytes: u64,
    /// The line.
    pub line: LoadLine,
}

impl Refusal {
    /// The error for the application.
    #[must_use]
    pub fn error(&self) -> Error {
        let Refusal { load, bytes, line, .. } = self;
        let why = match self.limit {
            Limit::Bytes => format!(
                "the load line is reached: {} bytes are not durable yet, {bytes} more would pass max_dirty_bytes = {}",
                load.bytes, line.max_dirty_bytes
            ),
            Limit::Age => format!(
                "the load line is reached: commits that are not durable yet: {}, the oldest for {} ms, max_loss_window_ms = {}",
                load.commits,
                load.age.as_millis(),
                line.max_loss_window.as_millis()
            ),
        };
        Error::new(ErrorKind::Full, "committing")
            .why(why)
            .hint("nothing was written; retry once the object store has caught up, or set on_load_line to block")
    }
}

impl LoadLine {
    /// Decides on a commit of `bytes` in the journal.
    ///
    /// Commits noted as this says keep the acknowledged load within `max_dirty_bytes` always, provided that nothing was
    /// [acknowledged](Ledger::acknowledge) in between: see [`LoadLine::has_room`]. None is let through while the load is
    /// `max_loss_window` old; one whose journal is synced before it is acknowledged may be so by then. A commit that crosses the line
    /// by itself is not turned away for good: once nothing is pending it goes, acknowledged when durable.
    #[must_use]
    pub fn admit(&self, ledger: &Ledger, bytes: u64, now: Mono) -> Admission {
        let load = ledger.load(now);
        let Some(limit) = self.reached(&load, bytes) else { return Admission::Go };
        if ledger.is_empty() {
            // No sync can make more room than this.
            return Admission::GoWaitDurable;
        }
        match self.policy {
            OnLoadLine::Block => Admission::WaitForSync,
            OnLoadLine::Fail => Admission::Refuse(Refusal { limit, load, bytes, line: *self }),
            OnLoadLine::WriteThrough => Admission::GoWaitDurable,
        }
    }

    /// Whether a commit of `bytes` may be acknowledged before it is durable. Asked again where it is noted: what was held when
    /// it was admitted may be load by then.
    #[must_use]
    pub fn has_room(&self, ledger: &Ledger, bytes: u64, now: Mono) -> bool {
        self.reached(&ledger.load(now), bytes).is_none()
    }

    /// Whether less than `durable` may be promised for the commits in `lsns`: whether the load stays under the line
    /// with what is held of them. If so, [`acknowledge`](Ledger::acknowledge) them first; if not, they have to become
    /// durable.
    #[must_use]
    pub fn allows_less(&self, ledger: &Ledger, lsns: &RangeInclusive<Lsn>, now: Mono) -> bool {
        let Some(held) = ledger.held(lsns) else { return true };
        let load = ledger.load(now);
        let age = load.age.max(now.since(held.oldest));
        self.reached(&Load { age, ..load }, held.bytes).is_none()
    }

    fn reached(&self, load: &Load, bytes: u64) -> Option<Limit> {
        if load.bytes.saturating_add(bytes) > self.max_dirty_bytes {
            Some(Limit::Bytes)
        } else if load.age >= self.max_loss_window {
            Some(Limit::Age)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Promise;

    fn line(policy: OnLoadLine) -> LoadLine {
        LoadLine { max_dirty_bytes: 100, max_loss_window: Duration::from_secs(30), policy }
    }

    fn secs(n: u64) -> Mono {
        Mono(Duration::from_secs(n))
    }

    /// A ledger with one acknowledged commit of so many bytes, dirtied at second 0; empty for zero.
    fn loaded(bytes: u64) -> Ledger {
        let mut ledger = Ledger::default();
        if bytes > 0 {
            ledger.note(Lsn(1), bytes, secs(0), Promise::Acknowledged);
        }
        ledger
    }

    /// The admission's name, a refusal's limit.
    fn name(admission: Admission) -> &'static str {
        match admission {
            Admission::Go => "go",
            Admission::GoWaitDurable => "go, wait durable",
            Admission::WaitForSync => "wait",
            Admission::Refuse(Refusal { limit: Limit::Bytes, .. }) => "refuse, bytes",
            Admission::Refuse(Refusal { limit: Limit::Age, .. }) => "refuse, age",
        }
    }

    #[test]
    fn at_the_line_the_policy_decides() {
        // load, commit, second -> block, fail, write_through
        let table = [
            (0, 100, 0, ["go"; 3]),
            (60, 40, 29, ["go"; 3]),
            (60, 41, 29, ["wait", "refuse, bytes", "go, wait durable"]),
            (60, 1, 30, ["wait", "refuse, age", "go, wait durable"]),
            (60, u64::MAX, 0, ["wait", "refuse, bytes", "go, wait durable"]),
            (0, 101, 99, ["go, wait durable"; 3]),
        ];
        for (load, bytes, now, expected) in table {
            let got = OnLoadLine::ALL.map(|policy| name(line(policy).admit(&loaded(load), bytes, secs(now))));
            assert_eq!(got, expected, "load {load}, commit of {bytes}, second {now}");
        }
    }

    #[test]
    fn a_line_at_zero_makes_every_commit_synchronous() {
        for line in [
            LoadLine { max_dirty_bytes: 0, ..line(OnLoadLine::Block) },
            LoadLine { max_loss_window: Duration::ZERO, ..line(OnLoadLine::Block) },
        ] {
            assert_eq!(line.admit(&Ledger::default(), 1, secs(0)), Admission::GoWaitDurable);
        }
    }

    #[test]
    fn less_is_promised_for_a_held_commit_only_where_it_has_room_as_load() {
        let mut ledger = loaded(60);
        ledger.note(Lsn(2), 40, secs(3), Promise::Held);
        ledger.note(Lsn(3), 1, secs(4), Promise::Held);
        let line = line(OnLoadLine::Block);
        let allows = |lsns, now| line.allows_less(&ledger, &lsns, secs(now));
        assert!(allows(Lsn(2)..=Lsn(2), 5));
        assert!(!allows(Lsn::ZERO..=Lsn(3), 5), "one byte too many");
        assert!(!allows(Lsn(2)..=Lsn(2), 30), "too old");
        assert!(allows(Lsn(1)..=Lsn(1), 30), "it was acknowledged before");
    }

    #[test]
    fn an_oversized_commit_waits_for_those_before_it() {
        let mut ledger = Ledger::default();
        ledger.note(Lsn(1), 500, secs(0), Promise::Held);
        assert_eq!(line(OnLoadLine::Block).admit(&ledger, 500, secs(1)), Admission::WaitForSync);
        ledger.settle(Lsn(1));
        assert_eq!(line(OnLoadLine::Block).admit(&ledger, 500, secs(1)), Admission::GoWaitDurable);
    }

    #[test]
    fn a_refusal_names_the_load_the_line_and_the_way_out() {
        let Admission::Refuse(refusal) = line(OnLoadLine::Fail).admit(&loaded(60), 41, secs(1)) else {
            panic!("admitted")
        };
        let error = refusal.error();
        assert_eq!(error.kind(), ErrorKind::Full);
        let text = error.to_string();
        assert!(text.contains("60 bytes are not durable yet, 41 more would pass max_dirty_bytes = 100"), "{text}");
    }
}
