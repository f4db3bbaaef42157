//! Removing garbage: settling what earlier collectors began, announcing, looking for pins, deciding, removing.

use super::{
    PINNED, PinStep, Protocol,
    request::{Key, Outcome, Request, Store},
};

/// What a collector does next, or once what it asked for is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Phase {
    /// Its epoch is not there yet.
    #[default]
    Before,
    /// Is about to look for what earlier ones announced.
    Listing,
    Settling(Vec<Key>),
    /// Has tried to decide against an announcement.
    Cancelled {
        keys: Vec<Key>,
        key: Key,
        objects: u8,
    },
    /// Has read that somebody decided for it.
    Confirming {
        keys: Vec<Key>,
        key: Key,
        objects: u8,
    },
    /// Carries an announcement out to the end.
    Ending(Vec<Key>, Key),
    Looking,
    Announced(u8),
    Deciding(u8),
    Decided(u8),
    Removing,
    Removed,
    TakenBack,
    Overtaken,
    /// Done, or dead.
    Ended,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Collector {
    phase: Phase,
    round: u8,
    /// What it waits for the answer of.
    pub(super) asked: Option<Request>,
    answer: Option<Outcome>,
}

impl Collector {
    pub(super) fn dead() -> Self {
        Collector { phase: Phase::Ended, ..Collector::default() }
    }

    pub(super) fn is_at_work(&self) -> bool {
        !matches!(self.phase, Phase::Before | Phase::Ended | Phase::Overtaken)
    }

    pub(super) fn is_overtaken(&self) -> bool {
        self.phase == Phase::Overtaken
    }

    /// The store has answered; what is left of the request is asked for next.
    pub(super) fn answer(&mut self, outcome: Outcome, rest: Option<Request>) {
        self.answer = rest.is_none().then_some(outcome);
        self.asked = rest;
    }

    fn ask(&mut self, request: Request, then: Phase) {
        (self.asked, self.phase) = (Some(request), then);
    }

    /// The next thing; nothing is on its way.
    pub(super) fn go_on(&mut self, epoch: u8, store: &mut Store, protocol: &Protocol) {
        let answer = self.answer.take();
        let own = (epoch, self.round);
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Before if store.epoch + 1 == epoch || !protocol.takes(PinStep::EpochFirst) => {
                if protocol.takes(PinStep::EpochFirst) {
                    store.epoch = epoch;
                }
                self.phase = Phase::Listing;
            }
            Phase::Before => self.phase = Phase::Before,
            Phase::Listing => self.phase = Phase::Settling(store.announced.iter().map(|(key, _)| *key).collect()),
            Phase::Settling(keys) => self.settle(keys, epoch, store, protocol),
            Phase::Cancelled { keys, key, objects } => {
                let carries_out = answer == Some(Outcome::Taken) && store.decision(key) == Some(true);
                if carries_out && protocol.takes(PinStep::CarryOut) {
                    self.phase = Phase::Confirming { keys, key, objects };
                } else {
                    self.ask(Request::Tidy { key, announcement: true, decision: true }, Phase::Settling(keys));
                }
            }
            Phase::Confirming { keys, key, .. }
                if store.announcement(key).is_none() && protocol.takes(PinStep::ReadAgain) =>
            {
                self.phase = Phase::Settling(keys);
            }
            Phase::Confirming { keys, key, objects } => {
                self.ask(Request::Remove { objects }, Phase::Ending(keys, key));
            }
            Phase::Ending(keys, key) => {
                self.ask(Request::Tidy { key, announcement: true, decision: true }, Phase::Settling(keys));
            }
            Phase::Looking => {
                let objects = unpinned(store.objects, store);
                if objects == 0 {
                    self.phase = Phase::Ended;
                } else if protocol.takes(PinStep::Announce) {
                    self.ask(Request::Announce { key: own, objects }, Phase::Announced(objects));
                } else {
                    self.phase = Phase::Announced(objects);
                }
            }
            Phase::Announced(objects) => {
                if unpinned(objects, store) == objects || !protocol.takes(PinStep::LookAgain) {
                    self.phase = Phase::Deciding(objects);
                } else {
                    self.ask(Request::Tidy { key: own, announcement: true, decision: false }, Phase::TakenBack);
                }
            }
            Phase::TakenBack => {
                self.round += 1;
                self.phase = if self.round < protocol.bounds.rounds { Phase::Looking } else { Phase::Ended };
            }
            Phase::Deciding(objects) if protocol.takes(PinStep::Decide) => {
                self.ask(Request::Decide { key: own, by: epoch, go: true }, Phase::Decided(objects));
            }
            Phase::Deciding(objects) => self.phase = Phase::Decided(objects),
            Phase::Decided(objects) => {
                store.epoch = store.epoch.max(if protocol.takes(PinStep::EpochFirst) { 0 } else { epoch });
                let newer = store.epoch > epoch && protocol.takes(PinStep::NewerEpoch);
                if newer || answer == Some(Outcome::Taken) {
                    self.phase = Phase::Overtaken;
                } else if protocol.takes(PinStep::TidyLast) {
                    self.ask(Request::Remove { objects }, Phase::Removed);
                } else {
                    self.phase = Phase::Removing;
                    self.ask(Request::Tidy { key: own, announcement: true, decision: true }, Phase::Removing);
                    self.round = objects;
                }
            }
            Phase::Removing => {
                let objects = self.round;
                self.ask(Request::Remove { objects }, Phase::Ended);
            }
            Phase::Removed => self.ask(Request::Tidy { key: own, announcement: true, decision: true }, Phase::Ended),
            ended @ (Phase::Overtaken | Phase::Ended) => self.phase = ended,
        }
    }

    /// Ends what earlier collectors have begun.
    fn settle(&mut self, mut keys: Vec<Key>, epoch: u8, store: &Store, protocol: &Protocol) {
        let Some(key) = keys.pop() else {
            self.phase = Phase::Looking;
            return;
        };
        match store.announcement(key) {
            None => self.phase = Phase::Settling(keys),
            Some(_) if key.0 > epoch => self.phase = Phase::Overtaken,
            Some(objects) if protocol.takes(PinStep::Cancel) => {
                let request = Request::Decide { key, by: epoch, go: false };
                self.ask(request, Phase::Cancelled { keys, key, objects });
            }
            Some(objects) => {
                self.answer = Some(Outcome::Taken);
                self.phase = Phase::Cancelled { keys, key, objects };
            }
        }
    }

    pub(super) fn words(&self) -> &'static str {
        match &self.phase {
            Phase::Before => "takes its epoch",
            Phase::Listing => "lists the announcements",
            Phase::Settling(keys) if keys.is_empty() => "has settled what others began",
            Phase::Settling(_) => "reads an announcement",
            Phase::Cancelled { .. } => "reads the decision",
            Phase::Confirming { .. } => "reads the announcement again",
            Phase::Ending(..) | Phase::Removed => "has removed what was announced",
            Phase::Looking => "looks for pins",
            Phase::Announced(_) => "looks for pins again",
            Phase::TakenBack => "starts again",
            Phase::Deciding(_) => "sees no pin of these",
            Phase::Decided(_) => "looks for a newer epoch",
            Phase::Removing => "has tidied up",
            Phase::Overtaken | Phase::Ended => "is done",
        }
    }
}

fn unpinned(objects: u8, store: &Store) -> u8 {
    objects & !if store.pinned { PINNED } else { 0 }
}
