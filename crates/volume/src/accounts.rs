//! Levels, load and cadences of a volume that is held for writing.

use std::ops::RangeInclusive;

use plimsoll_durability::{
    Admission, FlushReason, JournalCadence, JournalPolicy, Ledger, LoadLine, Mark, Next, Progress, Promise, SyncPolicy,
};
use plimsoll_host::{Mono, WallMs};
use plimsoll_model::{
    Level, Lsn,
    step::{Step, taken},
    way::{Way, went},
};
use plimsoll_settings::Settings;

/// One lock's worth of decisions. Told what happened, says what to do.
pub(crate) struct Accounts {
    pub(crate) ledger: Ledger,
    pub(crate) line: LoadLine,
    pub(crate) sync: SyncPolicy,
    pub(crate) flush: JournalPolicy,
    pub(crate) progress: Progress,
    /// A flush that was called for and has not begun.
    pub(crate) flush_now: Option<FlushReason>,
    /// When the flusher looks again by itself; `None`: when it is woken.
    flusher_looks: Option<Mono>,
    /// Syncs that failed since the last that succeeded.
    pub(crate) failures: u32,
    /// When a commit was last appended.
    pub(crate) written: Mono,
    /// `sync_backlog_bytes`.
    backlog: u64,
    /// Bytes that one sync can carry.
    most: u64,
}

/// The load line, but not above what a sync can carry: it takes all that is pending.
fn within(line: LoadLine, most: u64) -> LoadLine {
    LoadLine { max_dirty_bytes: line.max_dirty_bytes.min(most), ..line }
}

/// Which tasks a commit has to wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wake {
    pub(crate) flusher: bool,
    pub(crate) syncer: bool,
}

/// What becomes of a commit that is in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) wake: Wake,
    /// The line had no room for it any more: it is acknowledged only once durable.
    pub(crate) held: bool,
}

impl Accounts {
    /// Everything up to `durable` is durable. `most`: bytes that one sync can carry.
    pub(crate) fn new(settings: &Settings, most: u64, durable: Lsn, at: WallMs, now: Mono) -> Self {
        Accounts {
            ledger: Ledger::starting(durable),
            line: within(settings.load_line(), most),
            most,
            sync: SyncPolicy::new(settings.sync_cadence(), durable),
            flush: JournalPolicy::new(settings.journal_cadence()),
            progress: Progress::starting(Mark { lsn: durable, at }),
            flush_now: None,
            flusher_looks: None,
            failures: 0,
            written: now,
            backlog: settings.sync_backlog_bytes,
        }
    }

    /// Takes up changed settings.
    pub(crate) fn adopt(&mut self, settings: &Settings) {
        self.line = within(settings.load_line(), self.most);
        self.sync.set_cadence(settings.sync_cadence());
        // Commits that were to be synced at once are not pending by any timer. Whoever is about to wait for one may do so by
        // the new settings, and leave it to the flusher.
        if self.flush.each_commit_syncs() && settings.journal_cadence() != JournalCadence::Immediate {
            self.flush_now.get_or_insert(FlushReason::Manual);
        }
        self.flush.set_cadence(settings.journal_cadence());
        self.backlog = settings.sync_backlog_bytes;
    }

    /// Decides on a commit; if it has to wait, the sync that makes room is asked for. Commits that nobody was promised
    /// anything for are no load, but the next sync has to carry them, too.
    pub(crate) fn admit(&mut self, bytes: u64, now: Mono) -> Admission {
        if !taken(Step::LoadLine) {
            return Admission::Go;
        }
        let carried = self.ledger.pending().is_none_or(|pending| pending.bytes.saturating_add(bytes) <= self.most);
        let admission = if carried { self.line.admit(&self.ledger, bytes, now) } else { Admission::WaitForSync };
        if admission == Admission::WaitForSync
            && let Some(pending) = self.ledger.pending()
        {
            self.sync.line_reached(&pending);
        }
        self.note_way(&admission, now);
        admission
    }

    fn note_way(&self, admission: &Admission, now: Mono) {
        match admission {
            Admission::Go => return,
            Admission::GoWaitDurable if self.ledger.is_empty() => return went(Way::LineOversized),
            Admission::GoWaitDurable => went(Way::LineHeld),
            Admission::Refuse(_) => went(Way::LineRefused),
            Admission::WaitForSync => {}
        }
        let too_old = self.ledger.load(now).age >= self.line.max_loss_window;
        went(if too_old { Way::LineAge } else { Way::LineBytes });
    }

    /// Notes a commit that is in the journal. `held`: it is acknowledged only once durable, so its sync is asked for. So is that
    /// of one for which there is no room any more: since it was admitted, less may have been promised for those before it.
    pub(crate) fn committed(&mut self, lsn: Lsn, bytes: u64, held: bool, now: Mono, at: WallMs) -> Noted {
        let looks = taken(Step::LoadLine) && taken(Step::HeldCommits);
        let crossed = !held && looks && !self.line.has_room(&self.ledger, bytes, now);
        Noted { wake: self.note(lsn, bytes, held || crossed, now, now, at), held: crossed }
    }

    /// Notes a commit that an earlier process has made and acknowledged, first dirtied at `dirtied`.
    pub(crate) fn replayed(&mut self, lsn: Lsn, bytes: u64, dirtied: Mono, now: Mono, at: WallMs) {
        self.note(lsn, bytes, false, dirtied, now, at);
    }

    fn note(&mut self, lsn: Lsn, bytes: u64, held: bool, dirtied: Mono, now: Mono, at: WallMs) -> Wake {
        let before = self.ledger.pending();
        let backlog = self.backlog;
        self.ledger.note(lsn, bytes, dirtied, if held { Promise::Held } else { Promise::Acknowledged });
        if held {
            self.sync.request(lsn);
        }
        self.progress.advance(Level::Buffered, lsn, at);
        self.written = now;
        if let Some(reason) = self.flush.on_append(bytes, now) {
            self.flush_now = Some(reason);
        }
        let pending = before.map_or(0, |pending| pending.bytes);
        let looks_in_time =
            self.flush.deadline().is_none_or(|deadline| self.flusher_looks.is_some_and(|looks| looks <= deadline));
        Wake {
            flusher: self.flush_now.is_some() || !looks_in_time,
            syncer: before.is_none() || held || (backlog > 0 && pending < backlog && pending + bytes >= backlog),
        }
    }

    /// Somebody asks for less than `durable` for the commits in `lsns`. Whether that may be promised: what was held
    /// of them is load from now on. Otherwise only `durable` will do.
    pub(crate) fn promise_less(&mut self, lsns: &RangeInclusive<Lsn>, now: Mono) -> bool {
        let allowed = self.line.allows_less(&self.ledger, lsns, now);
        if allowed {
            self.ledger.acknowledge(lsns);
        }
        allowed
    }

    /// What the syncer does now.
    pub(crate) fn next_sync(&self, now: Mono) -> Next {
        self.sync.next(self.ledger.pending(), now)
    }

    /// What the flusher does now: a reason to flush, or until when to sleep.
    pub(crate) fn next_flush(&mut self, now: Mono) -> Result<FlushReason, Option<Mono>> {
        if let Some(reason) = self.flush_now.take().or_else(|| self.flush.on_timer(now)) {
            self.flusher_looks = Some(now);
            return Ok(reason);
        }
        // Commits that are flushed by whoever waits for them leave nothing to do, and come again at once. Looking once
        // more is cheaper than being woken by each of them.
        let quiet_at = self.flush.interval().map(|interval| self.written + interval);
        self.flusher_looks = self.flush.deadline().or(quiet_at.filter(|at| *at > now));
        Err(self.flusher_looks)
    }

    /// Everything up to `lsn` is in the object store.
    pub(crate) fn durable(&mut self, lsn: Lsn, at: WallMs) {
        self.ledger.settle(lsn);
        self.progress.advance(Level::Durable, lsn, at);
        self.sync.on_sync_done(lsn);
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_durability::OnLoadLine;
    use plimsoll_settings::{Input, Override, Sourced};

    use super::*;

    fn ms(n: u64) -> Mono {
        Mono(Duration::from_millis(n))
    }

    fn settings(policy: &str) -> Settings {
        let environment = [("HOME".to_owned(), "/nowhere".to_owned())].into();
        let overrides = vec![Override::new("journal_sync_policy", policy, "the test")];
        Sourced::load(&Input { file: None, environment, overrides }).unwrap().settings
    }

    fn accounts() -> Accounts {
        // The flusher has looked once and sleeps.
        let mut accounts = Accounts::new(&settings("interval"), u64::MAX, Lsn::ZERO, WallMs(0), ms(0));
        assert_eq!(accounts.next_flush(ms(100)), Err(None));
        accounts
    }

    fn commit(accounts: &mut Accounts, lsn: u64, now: Mono) -> bool {
        accounts.committed(Lsn(lsn), 1000, false, now, WallMs(0)).wake.flusher
    }

    #[test]
    fn commits_that_are_flushed_by_whoever_waits_for_them_do_not_wake_the_flusher_each() {
        let mut accounts = accounts();
        let mut woken = 0;
        for lsn in 1..=50 {
            let now = ms(200 + lsn);
            woken += u64::from(commit(&mut accounts, lsn, now));
            let position = accounts.flush.position();
            accounts.flush.on_flushed(true, position, now);
            let looks = accounts.flusher_looks;
            if looks.is_none_or(|at| at <= now) {
                assert!(accounts.next_flush(now).is_err());
            }
        }
        assert_eq!(woken, 1);
        assert_eq!(accounts.next_flush(ms(254)), Err(Some(ms(255))), "looks once more");
        assert_eq!(accounts.next_flush(ms(255)), Err(None), "then sleeps");
    }

    #[test]
    fn a_commit_that_nobody_waits_for_is_flushed_within_the_interval() {
        let mut accounts = accounts();
        assert!(commit(&mut accounts, 1, ms(200)));
        assert_eq!(accounts.next_flush(ms(200)), Err(Some(ms(205))));
        assert!(!commit(&mut accounts, 2, ms(203)), "it looks in time");
        assert_eq!(accounts.next_flush(ms(205)), Ok(FlushReason::Interval));
        let position = accounts.flush.position();
        assert!(!commit(&mut accounts, 3, ms(206)), "it looks again when it is done");
        accounts.flush.on_flushed(true, position, ms(207));
        assert_eq!(accounts.next_flush(ms(207)), Err(Some(ms(211))));
    }

    /// The load line lets them through, since nothing is promised for them. All of them were one object, which the store never
    /// took, and nothing was synced any more.
    #[test]
    fn commits_wait_for_a_sync_before_they_are_more_than_one_can_carry_whatever_the_policy_and_whatever_was_promised() {
        for policy in OnLoadLine::ALL {
            let mut accounts = Accounts::new(&settings("interval"), 3000, Lsn::ZERO, WallMs(0), ms(0));
            accounts.line = LoadLine { max_dirty_bytes: 500, policy, ..accounts.line };
            assert_eq!(accounts.admit(3000, ms(1)), Admission::GoWaitDurable, "{policy}");
            accounts.committed(Lsn(1), 2000, true, ms(1), WallMs(0));
            assert_eq!(accounts.admit(400, ms(2)), Admission::Go, "{policy}");
            assert_eq!(accounts.admit(1001, ms(2)), Admission::WaitForSync, "{policy}");
            accounts.durable(Lsn(1), WallMs(0));
            assert_eq!(accounts.admit(3000, ms(3)), Admission::GoWaitDurable, "{policy}");
        }
    }

    /// Both were acknowledged, and twice as much was at risk as there may be.
    #[test]
    fn a_commit_is_held_where_less_was_promised_for_those_before_it_after_it_was_admitted() {
        for policy in OnLoadLine::ALL {
            let mut accounts = Accounts::new(&settings("interval"), u64::MAX, Lsn::ZERO, WallMs(0), ms(0));
            accounts.line = LoadLine { max_dirty_bytes: 100, policy, ..accounts.line };
            accounts.committed(Lsn(1), 60, true, ms(1), WallMs(0));
            assert_eq!(accounts.admit(60, ms(2)), Admission::Go, "{policy}");
            assert!(accounts.promise_less(&(Lsn(1)..=Lsn(1)), ms(3)));
            let noted = accounts.committed(Lsn(2), 60, false, ms(4), WallMs(0));
            assert!(noted.held && noted.wake.syncer, "{policy}");
            assert_eq!(accounts.ledger.load(ms(5)).bytes, 60, "{policy}");
            accounts.durable(Lsn(2), WallMs(0));
            let noted = accounts.committed(Lsn(3), 60, false, ms(6), WallMs(0));
            assert!(!noted.held && accounts.ledger.load(ms(7)).bytes == 60, "{policy}");
        }
    }

    /// It once stayed unsynced for as long as no other commit came.
    #[test]
    fn a_commit_that_was_to_be_synced_at_once_is_flushed_when_the_policy_changes_before_somebody_waits_for_it() {
        let mut accounts = Accounts::new(&settings("immediate"), u64::MAX, Lsn::ZERO, WallMs(0), ms(0));
        commit(&mut accounts, 1, ms(1));
        assert_eq!(accounts.next_flush(ms(1)), Err(None));
        accounts.adopt(&settings("interval"));
        assert_eq!(accounts.next_flush(ms(2)), Ok(FlushReason::Manual));
        assert!(accounts.next_flush(ms(2)).is_err());
    }
}
