//! Removing a volume beside forking it, opening it, and tidying up after a fork: a world of its own, request by request
//! as in `volume/{fork,remove,checkpoint}.rs`. Everybody may be slow or die, two may remove it at once, the second by going on
//! with what the first one has decided, and once it is gone another one may be made there.

mod opener;
mod remover;

use clap::ValueEnum;
use plimsoll_commitlog::rules::removal_of;
use plimsoll_model::Epoch;

use self::{opener::Opener, remover::Remover};
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
    /// Who opens looks for a newer epoch.
    OpenLooks,
    /// Who opens has given a sign of life before it looks.
    GreetFirst,
    /// Who removes looks for a newer epoch right before it removes anything.
    RemovalLooks,
    /// Who removes the pin of a fork that is not there takes its place meanwhile.
    TakePlace,
}

/// Whose the newest epoch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Newest {
    #[default]
    Old,
    Opener,
    /// A removal's: announced, or going on with what was decided under another epoch.
    Removal {
        epoch: u8,
        carries_out: Option<u8>,
    },
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
    /// And has put a fence on what it found.
    fenced: bool,
    /// Another volume was made at the URL; its objects have the names of the old ones.
    remade: bool,
    /// Of that one something was removed.
    robbed: bool,
    /// The epoch under which each removal was announced; 0: none.
    announced: [u8; 2],
    /// And that under which it removes.
    going: [u8; 2],
    /// What was decided under each epoch of `announced`.
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
    /// The fence of who opens, beside everything else of it.
    Fence,
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
        let everybody = [Who::Forker, Who::Opener, Who::Fence, Who::Remover(0), Who::Remover(1), Who::Tidier];
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
            (Who::Fence, _) => world.fence(),
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
        let open = world.opener == Opener::Open;
        (world.forker == Forker::Forked && lost)
            || (open && !world.remade && (world.record_gone || world.objects_gone))
            || world.robbed
    }
}

impl World {
    /// Where it is decided about the removal that has the newest epoch: which of `decided`.
    fn decision(&self, found: Newest) -> Option<usize> {
        let Newest::Removal { epoch, carries_out } = found else { return None };
        let carries_out = carries_out.map(|epoch| Epoch(epoch.into()));
        let Epoch(under) = removal_of(Epoch(epoch.into()), true, carries_out)?;
        self.announced.iter().position(|announced| u32::from(*announced) == under)
    }

    /// Calls off a removal that is announced; whether it goes on all the same.
    fn settle(&mut self, found: Newest) -> bool {
        self.decision(found).is_some_and(|at| *self.decided[at].get_or_insert(false))
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
const EVENTS: [(&str, Event<Protocol>); 7] = [
    ("a removal is called off", |world| world.decided[0] == Some(false)),
    ("a removal is ended by another one", |world| {
        world.objects_gone && world.announced[1] == 0 && world.going[1] > 0 && world.removers[1] == Remover::Ended
    }),
    ("a volume is made where one was removed", |world| world.remade && world.opener == Opener::Open),
    ("a fork is made", |world| world.forker == Forker::Forked),
    ("a volume is opened", |world| world.opener == Opener::Open && !world.remade),
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
            Who::Fence => ("the fence".to_owned(), "on its way".to_owned(), "there".to_owned()),
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
