//! Removing, or going on with a removal.

use super::{Child, Newest, Protocol, RemovalStep, World, opener::Opener};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Remover {
    #[default]
    Start,
    /// Has seen no sign of life, and this epoch.
    Forks {
        found: Newest,
        seen: u8,
    },
    Settle {
        found: Newest,
        seen: u8,
    },
    Announce {
        seen: u8,
    },
    SignsAgain,
    ForksAgain,
    CallOff,
    Decide,
    /// Takes an epoch to go on with what was decided under another one.
    TakeUp {
        decided: u8,
        seen: u8,
    },
    /// Carries out what was decided under this epoch.
    Record {
        decided: u8,
    },
    RecordSent {
        decided: u8,
    },
    Objects {
        decided: u8,
    },
    ObjectsSent {
        decided: u8,
    },
    End {
        decided: u8,
    },
    Ended,
}

impl World {
    /// Whether the fork that the pin is for is there.
    fn is_forked(&self) -> bool {
        self.pinned && self.child == Some(Child::Fork)
    }

    /// Whether something is being removed just now. Nothing else here bounds how long that takes; it is taken to be less than
    /// an opening.
    pub(super) fn is_removing(&self) -> bool {
        let sent = |remover: &Remover| matches!(remover, Remover::RecordSent { .. } | Remover::ObjectsSent { .. });
        self.removers.iter().any(sent)
    }

    pub(super) fn remove(&mut self, at: usize, protocol: &Protocol) {
        let now = self.removers[at];
        self.removers[at] = match now {
            Remover::Start => match self.newest {
                found if self.decision(found).is_some_and(|other| self.decided[other] == Some(true)) => {
                    let decided = self.decision(found).map_or(0, |other| self.announced[other]);
                    Remover::TakeUp { decided, seen: self.epoch }
                }
                _ if self.record_gone => Remover::Ended,
                // Whoever holds it shows signs of life.
                Newest::Opener if self.introduced => Remover::Ended,
                found => Remover::Forks { found, seen: self.epoch },
            },
            Remover::Forks { .. } if self.is_forked() => Remover::Ended,
            Remover::Forks { found, seen } => Remover::Settle { found, seen },
            Remover::Settle { found, .. } if self.settle(found) => Remover::Ended,
            Remover::Settle { seen, .. } => Remover::Announce { seen },
            Remover::Announce { seen } if self.epoch != seen => Remover::Start,
            Remover::Announce { .. } => {
                self.epoch += 1;
                self.newest = Newest::Removal { epoch: self.epoch, carries_out: None };
                (self.announced[at], self.going[at]) = (self.epoch, self.epoch);
                Remover::SignsAgain
            }
            Remover::SignsAgain if self.introduced && protocol.takes(RemovalStep::SignsAgain) => Remover::CallOff,
            Remover::SignsAgain => Remover::ForksAgain,
            Remover::ForksAgain if self.is_forked() && protocol.takes(RemovalStep::ForksAgain) => Remover::CallOff,
            Remover::ForksAgain => Remover::Decide,
            Remover::CallOff => {
                self.decided[at].get_or_insert(false);
                Remover::Ended
            }
            Remover::Decide => {
                let goes = *self.decided[at].get_or_insert(true);
                let decided = self.announced[at];
                if goes || !protocol.takes(RemovalStep::Decide) { Remover::Record { decided } } else { Remover::Ended }
            }
            Remover::TakeUp { seen, .. } if self.epoch != seen => Remover::Start,
            Remover::TakeUp { decided, .. } => {
                self.epoch += 1;
                self.newest = Newest::Removal { epoch: self.epoch, carries_out: Some(decided) };
                self.going[at] = self.epoch;
                Remover::Record { decided }
            }
            Remover::Record { .. } | Remover::Objects { .. }
                if self.epoch > self.going[at] && protocol.takes(RemovalStep::RemovalLooks) =>
            {
                Remover::Ended
            }
            Remover::Record { decided } => Remover::RecordSent { decided },
            // It tells volumes apart.
            Remover::RecordSent { .. } if self.remade => Remover::Ended,
            Remover::RecordSent { decided } => {
                self.record_gone = true;
                Remover::Objects { decided }
            }
            Remover::Objects { decided } => Remover::ObjectsSent { decided },
            Remover::ObjectsSent { decided } => {
                self.robbed = self.remade && self.opener == Opener::Open;
                (self.objects_gone, self.pinned) = (true, false);
                // Of earlier removals nothing stays either.
                for (before, decision) in self.announced.iter().zip(&mut self.decided) {
                    decision.take_if(|_| *before != decided);
                }
                Remover::End { decided }
            }
            Remover::End { decided } => {
                for (under, decision) in self.announced.iter().zip(&mut self.decided) {
                    decision.take_if(|_| *under == decided);
                }
                Remover::Ended
            }
            Remover::Ended => Remover::Ended,
        };
    }
}
