//! Removing a volume beside forking it, opening it, and tidying up after a fork: a world of its own, request by request
//! as in `volume/{fork,remove,checkpoint}.rs`. Everybody may be slow or die, and two may remove it at once.

use clap::ValueEnum;

use crate::{
    check::{Outcome, look},
    explore::{Event, Model, Way},
};

/// A step of removing, forking or opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RemovalStep {
    /// Look again for forks once the removal is announced.
    ForksAgain,
    /// Look again for signs of life once the removal is announced.
    SignsAgain,
    /// Remove nothing if the decision says no.
    Decide,
    /// A fork settles a removal once it is there.
    ForkSettles,
    /// A fork looks for its pin once it is there.
    PinStays,
    /// Who opens settles a removal that it finds before it takes the next epoch.
    OpenSettles,
    /// Who opens looks for a newer epoch once it has given a sign of life.
    OpenLooks,
    /// Who removes the pin of a fork that is not there takes its place meanwhile.
    TakePlace,
}

/// Whose the newest epoch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Newest {
    #[default]
    Old,
    Opener,
    Removal(usize),
}

/// What lies at the fork's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Child {
    Fork,
    /// Its place is taken, so that it is not made.
    Mark,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Forker {
    #[default]
    Start,
    Pin,
    Create,
    Look,
    Settle {
        found: Newest,
    },
    LookForPin,
    Forked,
    Undo,
    Unpin,
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Opener {
    #[default]
    Start,
    Settle {
        found: Newest,
        seen: u8,
    },
    TakeEpoch {
        seen: u8,
    },
    Introduce,
    LookAgain,
    Open,
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Remover {
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
    /// Carries out what this removal, or another one that died, has decided.
    Record,
    Objects,
    Ended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Tidier {
    #[default]
    Start,
    TakePlace,
    Unpin,
    GiveBack,
    IsAlive,
    UnpinAlone,
    Ended,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    record_gone: bool,
    objects_gone: bool,
    pinned: bool,
    child: Option<Child>,
    epoch: u8,
    newest: Newest,
    /// Who opens has given a sign of life.
    introduced: bool,
    /// Whether each removal is carried out, as far as that is decided.
    decided: [Option<bool>; 2],
    forker: Forker,
    opener: Opener,
    removers: [Remover; 2],
    tidier: Tidier,
}

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Forker,
    Opener,
    Remover(usize),
    Tidier,
}

/// The next thing that somebody does, or that they die.
type Action = (Who, bool);

struct Protocol {
    left_out: Option<RemovalStep>,
}

impl Protocol {
    fn takes(&self, step: RemovalStep) -> bool {
        self.left_out != Some(step)
    }
}

impl Model for Protocol {
    type World = World;
    type Action = Action;

    fn first(&self) -> World {
        World::default()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let everybody = [Who::Forker, Who::Opener, Who::Remover(0), Who::Remover(1), Who::Tidier];
        actions.extend(everybody.map(|who| (who, true)));
        for (at, remover) in world.removers.iter().enumerate() {
            if !matches!(remover, Remover::Start | Remover::Ended) {
                actions.push((Who::Remover(at), false));
            }
        }
        if !matches!(world.forker, Forker::Start | Forker::Forked | Forker::Failed) {
            actions.push((Who::Forker, false));
        }
        if !matches!(world.tidier, Tidier::Start | Tidier::Ended) {
            actions.push((Who::Tidier, false));
        }
    }

    fn after(&self, last: &World, (who, lives): Action) -> Option<World> {
        let mut world = last.clone();
        match (who, lives) {
            (Who::Forker, true) => world.fork(self),
            (Who::Opener, _) => world.open(self),
            (Who::Remover(at), true) => world.remove(at, self),
            (Who::Tidier, true) => world.tidy(self),
            (Who::Forker, false) => world.forker = Forker::Failed,
            (Who::Remover(at), false) => world.removers[at] = Remover::Ended,
            (Who::Tidier, false) => world.tidier = Tidier::Ended,
        }
        (world != *last).then_some(world)
    }

    fn is_broken(&self, world: &World) -> bool {
        let lost = world.objects_gone || !world.pinned || world.child != Some(Child::Fork);
        (world.forker == Forker::Forked && lost) || (world.opener == Opener::Open && world.objects_gone)
    }
}

impl World {
    /// Calls off a removal that is announced; whether it goes on all the same.
    fn settle(&mut self, found: Newest) -> bool {
        let Newest::Removal(at) = found else { return false };
        *self.decided[at].get_or_insert(false)
    }

    fn fork(&mut self, protocol: &Protocol) {
        let now = self.forker;
        self.forker = match now {
            Forker::Start if self.record_gone => Forker::Failed,
            Forker::Start => Forker::Pin,
            // That its objects are not being collected is another world.
            Forker::Pin => {
                self.pinned = true;
                Forker::Create
            }
            Forker::Create if self.child.is_some() => Forker::Unpin,
            Forker::Create => {
                self.child = Some(Child::Fork);
                Forker::Look
            }
            Forker::Look if self.record_gone => Forker::Undo,
            Forker::Look if protocol.takes(RemovalStep::ForkSettles) => Forker::Settle { found: self.newest },
            Forker::Look => Forker::LookForPin,
            Forker::Settle { found } if self.settle(found) => Forker::Undo,
            Forker::Settle { .. } => Forker::LookForPin,
            Forker::LookForPin if self.pinned || !protocol.takes(RemovalStep::PinStays) => Forker::Forked,
            Forker::LookForPin => Forker::Undo,
            Forker::Undo => {
                self.child = None;
                Forker::Unpin
            }
            Forker::Unpin => {
                self.pinned = false;
                Forker::Failed
            }
            ended @ (Forker::Forked | Forker::Failed) => ended,
        };
    }

    fn open(&mut self, protocol: &Protocol) {
        let now = self.opener;
        self.opener = match now {
            Opener::Start if self.record_gone => Opener::Failed,
            Opener::Start if protocol.takes(RemovalStep::OpenSettles) => {
                Opener::Settle { found: self.newest, seen: self.epoch }
            }
            Opener::Start => Opener::TakeEpoch { seen: self.epoch },
            Opener::Settle { found, .. } if self.settle(found) => Opener::Failed,
            Opener::Settle { seen, .. } => Opener::TakeEpoch { seen },
            Opener::TakeEpoch { seen } if self.epoch != seen => Opener::Start,
            Opener::TakeEpoch { .. } => {
                self.epoch += 1;
                self.newest = Newest::Opener;
                Opener::Introduce
            }
            Opener::Introduce => {
                self.introduced = true;
                Opener::LookAgain
            }
            Opener::LookAgain
                if protocol.takes(RemovalStep::OpenLooks) && (self.record_gone || self.newest != Newest::Opener) =>
            {
                Opener::Failed
            }
            Opener::LookAgain => Opener::Open,
            ended @ (Opener::Open | Opener::Failed) => ended,
        };
    }

    /// Whether the fork that the pin is for is there.
    fn is_forked(&self) -> bool {
        self.pinned && self.child == Some(Child::Fork)
    }

    fn remove(&mut self, at: usize, protocol: &Protocol) {
        let now = self.removers[at];
        self.removers[at] = match now {
            Remover::Start => match self.newest {
                Newest::Removal(other) if self.decided[other] == Some(true) => Remover::Record,
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
                self.newest = Newest::Removal(at);
                Remover::SignsAgain
            }
            Remover::SignsAgain if self.introduced && protocol.takes(RemovalStep::SignsAgain) => Remover::CallOff,
            Remover::SignsAgain => Remover::ForksAgain,
            Remover::ForksAgain if self.is_forked() && protocol.takes(RemovalStep::ForksAgain) => Remover::CallOff,
            Remover::ForksAgain => Remover::Decide,
            Remover::CallOff => {
                self.settle(Newest::Removal(at));
                Remover::Ended
            }
            Remover::Decide => {
                let goes = *self.decided[at].get_or_insert(true);
                if goes || !protocol.takes(RemovalStep::Decide) { Remover::Record } else { Remover::Ended }
            }
            Remover::Record => {
                self.record_gone = true;
                Remover::Objects
            }
            Remover::Objects => {
                (self.objects_gone, self.pinned) = (true, false);
                Remover::Ended
            }
            Remover::Ended => Remover::Ended,
        };
    }

    /// Removes the pin of a fork that was never finished.
    fn tidy(&mut self, protocol: &Protocol) {
        self.tidier = match self.tidier {
            Tidier::Start if !self.pinned => Tidier::Start,
            Tidier::Start if protocol.takes(RemovalStep::TakePlace) => Tidier::TakePlace,
            Tidier::Start => Tidier::IsAlive,
            Tidier::TakePlace if self.child.is_some() => Tidier::IsAlive,
            Tidier::TakePlace => {
                self.child = Some(Child::Mark);
                Tidier::Unpin
            }
            Tidier::Unpin => {
                self.pinned = false;
                Tidier::GiveBack
            }
            Tidier::GiveBack => {
                self.child = None;
                Tidier::Ended
            }
            Tidier::IsAlive if self.child == Some(Child::Fork) => Tidier::Ended,
            Tidier::IsAlive => Tidier::UnpinAlone,
            Tidier::UnpinAlone => {
                self.pinned = false;
                Tidier::Ended
            }
            Tidier::Ended => Tidier::Ended,
        };
    }
}

/// What happens somewhere in a world with the whole protocol.
const EVENTS: [(&str, Event<Protocol>); 6] = [
    ("a removal is called off", |world| world.decided[0] == Some(false)),
    ("a removal is ended by another one", |world| {
        world.objects_gone && world.decided[0] == Some(true) && world.removers[1] == Remover::Ended
    }),
    ("a fork is made", |world| world.forker == Forker::Forked),
    ("a volume is opened", |world| world.opener == Opener::Open),
    ("a volume is removed", |world| world.objects_gone && world.record_gone),
    ("an unfinished fork is tidied away", |world| world.tidier == Tidier::GiveBack && world.forker == Forker::Failed),
];

/// Looks at every state of the world, or until a fork or an open volume has lost its objects.
#[must_use]
pub fn check_removal(left_out: Option<RemovalStep>, threads: usize) -> Outcome {
    look(&Protocol { left_out }, threads, &EVENTS, tell)
}

fn tell(way: &Way<Protocol>) -> String {
    let mut text =
        "broken: nothing reachable is deleted: neither of a fork that was made nor of a volume that is open\n"
            .to_owned();
    for (number, pair) in way.windows(2).enumerate() {
        let [(before, Some((who, lives))), (after, _)] = pair else { continue };
        let (name, was, is) = match who {
            Who::Forker => ("who forks".to_owned(), format!("{:?}", before.forker), format!("{:?}", after.forker)),
            Who::Opener => ("who opens".to_owned(), format!("{:?}", before.opener), format!("{:?}", after.opener)),
            Who::Tidier => ("who tidies up".to_owned(), format!("{:?}", before.tidier), format!("{:?}", after.tidier)),
            Who::Remover(at) => {
                let words = |world: &World| format!("{:?}", world.removers[*at]);
                (format!("removal {}", at + 1), words(before), words(after))
            }
        };
        let line = if *lives { format!("{name}: {was}, then {is}") } else { format!("{name} dies before {was}") };
        text.push_str(&format!("{:>3}. {line}\n", number + 1));
    }
    text
}
