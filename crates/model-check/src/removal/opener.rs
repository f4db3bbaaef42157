//! Opening for writing, also where a volume was removed.

use super::{Newest, Protocol, RemovalStep, World};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Opener {
    #[default]
    Start,
    Settle {
        found: Newest,
        seen: u8,
    },
    /// Makes a volume where one was removed.
    Make {
        seen: u8,
    },
    TakeEpoch {
        seen: u8,
    },
    Greet,
    LookAgain,
    /// Waits for the fence, which does not wait for anything of this.
    Fencing,
    Open,
    Failed,
}

impl World {
    pub(super) fn open(&mut self, protocol: &Protocol) {
        let now = self.opener;
        self.opener = match now {
            Opener::Start if protocol.takes(RemovalStep::OpenSettles) => {
                Opener::Settle { found: self.newest, seen: self.epoch }
            }
            Opener::Start => Opener::TakeEpoch { seen: self.epoch },
            Opener::Settle { found, .. } if self.settle(found) => Opener::Failed,
            Opener::Settle { seen, .. } if self.record_gone => Opener::Make { seen },
            Opener::Settle { seen, .. } => Opener::TakeEpoch { seen },
            Opener::Make { seen } => {
                self.remade = true;
                Opener::TakeEpoch { seen }
            }
            Opener::TakeEpoch { seen } if self.epoch != seen => Opener::Start,
            Opener::TakeEpoch { .. } => {
                self.epoch += 1;
                self.newest = Newest::Opener;
                if protocol.takes(RemovalStep::GreetFirst) { Opener::Greet } else { Opener::LookAgain }
            }
            Opener::Greet => {
                self.introduced = true;
                if protocol.takes(RemovalStep::GreetFirst) { Opener::LookAgain } else { Opener::Fencing }
            }
            Opener::LookAgain
                if protocol.takes(RemovalStep::OpenLooks)
                    && ((self.record_gone && !self.remade) || self.newest != Newest::Opener) =>
            {
                Opener::Failed
            }
            Opener::LookAgain if protocol.takes(RemovalStep::GreetFirst) => Opener::Fencing,
            Opener::LookAgain => Opener::Greet,
            Opener::Fencing if self.fenced && !self.is_removing() => Opener::Open,
            waiting @ (Opener::Fencing | Opener::Open | Opener::Failed) => waiting,
        };
    }

    /// From when there is an epoch. Whether it succeeds is the matter of another world.
    pub(super) fn fence(&mut self) {
        self.fenced |= matches!(self.opener, Opener::Greet | Opener::LookAgain | Opener::Fencing);
    }
}
