//! Being the writer: taking the volume, syncing, being fenced.

use std::time::Duration;

use plimsoll_commitlog::{
    Inherited as Recorded,
    rules::{Late, Placed, Step as Decision, Whose, holds, is_late, next_step, survivors, whose},
};
use plimsoll_host::Mono;
use plimsoll_model::{Epoch, Lsn, Txid, WriterId};
use plimsoll_volume::rules::{Fate, Found, Later, fate};

use crate::{
    Step,
    bucket::Inherited,
    object::{COMMITS_MAX, Commit, Object, mix},
    process::{Answer, Attempt, Life, Phase, Stage},
    promise::Promise,
    world::{Protocol, Request, Told, World},
};

/// Whether an answer came late, so many ticks of half the retention after what it rests on was asked for.
fn late(ticks: u8) -> bool {
    is_late(Mono::default(), Mono(Duration::from_secs(ticks.into())), Duration::from_secs(1))
}

impl Life {
    pub(crate) fn answer(&mut self, was: Answer) {
        if let Phase::Fencing { answer, .. } = &mut self.phase {
            *answer = Some(was);
        } else if let Some(attempt) = &mut self.attempt {
            attempt.stage = Stage::Answered(was);
        }
    }

    fn list(&mut self) {
        (self.phase, self.sent) = (Phase::Listing, 0);
    }
}

impl World {
    /// The process is gone; what is on disk stays.
    pub(crate) fn close(&mut self, at: usize) {
        self.hosts[at].life = Life::default();
    }

    pub(crate) fn open(&mut self, at: usize) {
        self.hosts[at].life.phase = Phase::Looked { seen: self.bucket.epoch() };
    }

    pub(crate) fn step(&mut self, at: usize, protocol: &Protocol) {
        let writer = self.hosts[at].writer;
        match self.hosts[at].life.phase {
            Phase::Closed => {}
            Phase::Looked { seen } if seen != self.bucket.epoch() => self.close(at),
            Phase::Looked { seen } => {
                self.bucket.epochs.push(writer);
                self.bucket.statuses.push(None);
                self.hosts[at].life.epoch = seen + 1;
                if protocol.bounds.greetings {
                    // Its answer did not come in time, and it was asked for again.
                    self.bucket.greet(seen + 1, true);
                    self.send(Request::Greet { epoch: seen + 1 });
                }
                self.hosts[at].life.list();
            }
            Phase::Listing => match self.bucket.newest_sync() {
                None => self.enter(at, None, None),
                Some(txid) => self.hosts[at].life.phase = Phase::Reading { txid },
            },
            Phase::Reading { txid } => match self.bucket.sync(txid) {
                None => self.hosts[at].life.list(),
                Some(head) => self.continue_from(at, head, protocol),
            },
            Phase::Fencing { fence, on, answer } => {
                let ours = answer == Some(Answer::Created) || self.is_ours(&fence, protocol) == Whose::Ours;
                let life = &mut self.hosts[at].life;
                if !ours {
                    life.list();
                } else if protocol.takes(Step::ReadTailAgain) && late(life.sent) {
                    life.placed = Some((fence, on));
                    life.list();
                } else {
                    self.enter(at, Some(fence), Some(Inherited::On(on)));
                }
            }
            Phase::Introducing => {
                let life = &mut self.hosts[at].life;
                self.bucket.statuses[usize::from(life.epoch) - 1] = Some(life.inherited);
                life.phase = Phase::Settling;
            }
            Phase::Settling => self.settle(at, protocol),
            Phase::Holding => self.take_answer(at, protocol),
        }
    }

    /// Decides what to do about the newest sync.
    fn continue_from(&mut self, at: usize, head: Object, protocol: &Protocol) {
        let writer = self.hosts[at].writer;
        let life = &mut self.hosts[at].life;
        let epoch = life.epoch;
        let placed = life.placed.map(|(fence, _)| Placed { txid: Txid(fence.txid.into()), stamp: fence.stamp() });
        let decide = |epoch, placed| next_step(Some(&head.head()), WriterId(writer.into()), Epoch(epoch), placed);
        let decision = match decide(epoch.into(), placed) {
            Decision::GiveUp(_) if !protocol.takes(Step::GiveUp) => decide(u32::MAX, None),
            decision => decision,
        };
        match decision {
            Decision::Begin | Decision::GiveUp(_) => self.close(at),
            Decision::Hold => {
                let on = life.placed.map(|(_, on)| Inherited::On(on));
                self.enter(at, Some(head), on);
            }
            Decision::Fence(..) if !protocol.takes(Step::Fence) => {
                self.enter(at, Some(head), Some(Inherited::On(head)));
            }
            Decision::Fence(..) => {
                let fence = head.fence(writer, epoch);
                life.phase = Phase::Fencing { fence, on: head, answer: None };
                self.send(Request::Create(fence));
            }
        }
    }

    /// The volume is taken.
    fn enter(&mut self, at: usize, head: Option<Object>, inherited: Option<Inherited>) {
        let life = &mut self.hosts[at].life;
        (life.phase, life.sent, life.placed) = (Phase::Introducing, 0, None);
        (life.head, life.inherited) = (head, inherited);
        if head.is_some() {
            self.holding = self.holding.max(life.epoch);
        }
    }

    /// Looks into the journal that was left behind on this host.
    fn settle(&mut self, at: usize, protocol: &Protocol) {
        let host = &self.hosts[at];
        let (life, mark) = (&host.life, host.mark);
        let head = match life.inherited {
            Some(Inherited::On(object)) => Some(object.stamp()),
            Some(Inherited::Nothing) | None => None,
        };
        let lsn = |commit: &Commit| Lsn(commit.lsn.into());
        let later = |commit: &&Commit| head.is_some_and(|head| Epoch(commit.epoch.into()) > head.epoch);
        let parted = host.journal.iter().find(later).map(|commit| Lsn(u64::from(commit.lsn) - 1));
        let found = Found {
            parted: parted.filter(|_| protocol.takes(Step::Parted)),
            writer: WriterId(host.writer.into()),
            same_volume: true,
            synced: life.inherited.is_some(),
            head,
            epoch: (mark > 0).then_some(Epoch(mark.into())),
            commits: host.journal.first().map(lsn).zip(host.journal.last().map(lsn)),
            later: None,
        };
        let mut decided = fate(found);
        if let (Fate::Strand, Some((first, _)), true) = (decided, found.commits, mark > 0) {
            let between = usize::from(mark)..usize::from(life.epoch);
            let alone = self.bucket.epochs[between].iter().all(|writer| *writer == host.writer);
            let floor = first.0 as u8 - 1;
            let (held, settled) = self.aftermath(mark, floor, alone || floor > 0);
            let later = settled.then_some(Later { held: Lsn(held.into()), alone });
            decided = fate(Found { later, ..found });
        }
        if decided == Fate::Strand && !protocol.takes(Step::Strand) {
            decided = Fate::Replay(Lsn(life.durable().into()));
        }
        match decided {
            Fate::Replay(durable) => self.hosts[at].journal.retain(|commit| u64::from(commit.lsn) > durable.0),
            Fate::Finished => self.drop_journal(at),
            Fate::Strand => self.hosts[at].journal.clear(),
        }
        let host = &mut self.hosts[at];
        (host.mark, host.life.phase) = (host.life.epoch, Phase::Holding);
    }

    /// The journal is said to be in the history, and is given up.
    fn drop_journal(&mut self, at: usize) {
        let held = |commit: &Commit| self.history.iter().any(|object| object.states.contains(&commit.state));
        if !self.hosts[at].journal.iter().all(held) {
            self.broken.get_or_insert(Promise::NoSilentLoss);
        }
        self.hosts[at].journal.clear();
    }

    pub(crate) fn commit(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let before = host.journal.last().map(|commit| (commit.lsn, commit.state));
        let durable = (host.life.durable(), host.life.head.map_or(0, |head| head.state()));
        let (lsn, on) = before.unwrap_or(durable);
        let lsn = lsn + 1;
        let state = [host.writer, host.life.epoch, lsn].into_iter().map(u32::from).fold(on, mix);
        host.journal.push(Commit { lsn, epoch: host.life.epoch, state, on });
    }

    pub(crate) fn sync(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let (Some(first), Some(last)) = (host.journal.first(), host.journal.last()) else { return };
        let mut states = [0; COMMITS_MAX];
        for (state, commit) in states.iter_mut().zip(&host.journal) {
            *state = commit.state;
        }
        let object = Object {
            txid: host.life.head.map_or(0, |head| head.txid) + 1,
            writer: host.writer,
            epoch: host.life.epoch,
            lsn: last.lsn,
            link: host.life.head.map_or(0, |head| head.checksum()),
            on: first.on,
            states,
        };
        host.life.attempt = Some(Attempt { object, stage: Stage::Asked });
        self.send(Request::Create(object));
    }

    fn is_ours(&self, object: &Object, protocol: &Protocol) -> Whose {
        if !protocol.takes(Step::Compare) {
            return Whose::Ours;
        }
        let found = self.bucket.sync(object.txid).map(|found| found.head());
        whose(found.as_ref(), object.stamp(), object.checksum().into())
    }

    /// What follows from the answer to a sync, or from the look after it.
    fn take_answer(&mut self, at: usize, protocol: &Protocol) {
        let Some(Attempt { object, stage }) = self.hosts[at].life.attempt else { return };
        let whose = match stage {
            Stage::Asked => return,
            Stage::Answered(Answer::Created) => Whose::Ours,
            Stage::Answered(Answer::Exists) => self.is_ours(&object, protocol),
            Stage::Looking { gone, sent, newer, newest } => {
                let seen = (newer.unwrap_or(true), newest.flatten());
                return self.take_look(at, object, (gone, sent), seen, protocol.left_out);
            }
        };
        let gone = match whose {
            Whose::Ours => false,
            Whose::Gone => true,
            Whose::Theirs(winner) => {
                let older = winner.is_none_or(|winner| winner.epoch < Epoch(object.epoch.into()));
                return self.fenced(at, older, protocol.left_out);
            }
        };
        if (gone || late(self.hosts[at].life.looked)) && protocol.takes(Step::Look) {
            let stage = Stage::Looking { gone, sent: 0, newer: None, newest: None };
            self.hosts[at].life.attempt = Some(Attempt { object, stage });
        } else if gone {
            self.ask_again(at, object);
        } else {
            self.durable(at, object);
        }
    }

    fn take_look(
        &mut self,
        at: usize,
        object: Object,
        (gone, sent): (bool, u8),
        (newer, newest): (bool, Option<u8>),
        left_out: Option<Step>,
    ) {
        let life = &mut self.hosts[at].life;
        if !newer && life.head.is_some() {
            life.looked = life.looked.min(sent);
        }
        let newest_epoch = Epoch(if newer { u32::from(object.epoch) + 1 } else { 0 });
        let ours = (Epoch(object.epoch.into()), Txid(object.txid.into()));
        if !holds(ours, newest_epoch, newest.map(|txid| Txid(txid.into()))) {
            self.fenced(at, false, left_out);
        } else if gone {
            self.ask_again(at, object);
        } else {
            self.durable(at, object);
        }
    }

    fn ask_again(&mut self, at: usize, object: Object) {
        self.hosts[at].life.attempt = Some(Attempt { object, stage: Stage::Asked });
        self.send(Request::Create(object));
    }

    pub(crate) fn look_for_epochs(&mut self, at: usize) {
        let epochs = self.bucket.epoch();
        let life = &mut self.hosts[at].life;
        if let Some(Attempt { stage: Stage::Looking { newer, .. }, .. }) = &mut life.attempt {
            *newer = Some(epochs > life.epoch);
        }
    }

    pub(crate) fn look_for_syncs(&mut self, at: usize) {
        let last = self.bucket.newest_sync();
        if let Some(Attempt { object, stage: Stage::Looking { newest, .. } }) = &mut self.hosts[at].life.attempt {
            *newest = Some(last.filter(|last| *last >= object.txid));
        }
    }

    /// The writer takes its sync for durable, and its journal forgets it.
    fn durable(&mut self, at: usize, object: Object) {
        if self.history.get(usize::from(object.txid) - 1) != Some(&object) {
            self.broken.get_or_insert(Promise::HonestDurable);
        }
        let host = &mut self.hosts[at];
        host.journal.retain(|commit| commit.lsn > object.lsn);
        host.life.attempt = None;
        host.life.head = Some(object);
        host.life.inherited.get_or_insert(Inherited::Nothing);
    }

    /// The answer to a sign of life.
    pub(crate) fn beaten(&mut self, at: usize, left_out: Option<Step>) {
        let newest = self.bucket.epoch();
        let life = &mut self.hosts[at].life;
        self.bucket.statuses[usize::from(life.epoch) - 1] = Some(life.inherited);
        let Some(sent) = life.beat.take() else { return };
        if newest > life.epoch {
            self.fenced(at, false, left_out);
        } else if life.head.is_some() || left_out == Some(Step::Silence) {
            life.looked = life.looked.min(sent);
        }
    }

    /// The writer is told that it is none any more. `settled`: somebody not newer has the name of its next sync.
    fn fenced(&mut self, at: usize, settled: bool, left_out: Option<Step>) {
        let host = &self.hosts[at];
        let (epoch, durable) = (host.life.epoch, host.life.durable());
        let found = self.aftermath(epoch, durable, host.life.head.is_some());
        let (held, settled) = match () {
            () if left_out == Some(Step::Aftermath) => (durable, true),
            () if settled && !found.1 => (durable, true),
            () => found,
        };
        let appended = host.journal.last().map_or(durable, |commit| commit.lsn);
        let floor = match host.life.inherited {
            Some(Inherited::On(object)) => object.lsn,
            Some(Inherited::Nothing) | None => 0,
        };
        self.told.push(Told { epoch, floor, held, settled });
        self.told.sort_unstable_by_key(|told| told.epoch);
        self.judge_told();
        if appended <= held && settled {
            self.drop_journal(at);
        } else {
            self.hosts[at].journal.clear();
        }
        self.close(at);
    }

    /// What the first writer after an epoch found that has said so.
    fn aftermath(&self, epoch: u8, floor: u8, in_history: bool) -> (u8, bool) {
        let later = self.bucket.statuses.iter().skip(epoch.into()).flatten();
        let inherited = later.flatten().next().map(|inherited| match inherited {
            Inherited::Nothing => Recorded { txid: Txid::ZERO, stamp: None },
            Inherited::On(object) => Recorded { txid: Txid(object.txid.into()), stamp: Some(object.stamp()) },
        });
        let late = Late { epoch: Epoch(epoch.into()), floor: Lsn(floor.into()), in_history };
        let (held, settled) = survivors(&late, inherited.as_ref());
        (held.0 as u8, settled)
    }
}
