//! Removing a volume beside forking it, opening it, and tidying up after a fork: a world of its own, request by request
//! as in `volume/{fork,remove,checkpoint}.rs`. Everybody may be slow or die; one removal may come after the other.

use clap::ValueEnum;

use crate::{
    check::{Outcome, look},
    explore::{Event, Model, Way},
};

/// A step of removing, forking or opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RemovalStep {
    /// Mark the volume before looking again for forks and epochs.
    MarkFirst,
    /// Look again for forks.
    ForksAgain,
    /// Look again for epochs.
    EpochsAgain,
    /// Look who holds it also behind the mark of a removal that died.
    StandingAgain,
    /// Respect an epoch that shows no sign of life yet.
    YoungEpoch,
    /// A fork looks for the mark once it is there.
    ForkLooks,
    /// A fork looks for its pin once it is there.
    PinStays,
    /// Who opens looks for the mark once its epoch is there.
    OpenLooks,
    /// Who removes the pin of a fork that is not there takes its place meanwhile.
    TakePlace,
}

/// What `volume.json` says, or that it is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Record {
    #[default]
    There,
    Marked,
    Gone,
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
    LookForMark,
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
    TakeEpoch,
    LookForMark,
    Open,
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Remover {
    #[default]
    Start,
    /// Looks who holds it. The mark was there before, of one that died, or not.
    Standing {
        marked: bool,
    },
    /// Has seen no holder, and these epochs.
    Forks {
        seen: u8,
        marked: bool,
    },
    Mark {
        seen: u8,
    },
    EpochsAgain {
        seen: u8,
        marked: bool,
    },
    ForksAgain {
        marked: bool,
    },
    TakeBack,
    Objects,
    Record,
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
    record: Record,
    objects_gone: bool,
    pinned: bool,
    child: Option<Child>,
    epoch: u8,
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
        let everybody = [Who::Forker, Who::Opener, Who::Remover(0), Who::Tidier];
        actions.extend(everybody.map(|who| (who, true)));
        // Two at a time are not looked at: one takes back the mark that the other one relies on.
        if world.removers[0] == Remover::Ended {
            actions.push((Who::Remover(1), true));
        }
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
    fn fork(&mut self, protocol: &Protocol) {
        self.forker = match self.forker {
            Forker::Start if self.record == Record::There => Forker::Pin,
            Forker::Start => Forker::Failed,
            // That its objects are not being collected is another world.
            Forker::Pin => {
                self.pinned = true;
                Forker::Create
            }
            Forker::Create if self.child.is_some() => Forker::Unpin,
            Forker::Create => {
                self.child = Some(Child::Fork);
                if protocol.takes(RemovalStep::ForkLooks) { Forker::LookForMark } else { Forker::LookForPin }
            }
            Forker::LookForMark if self.record == Record::There => Forker::LookForPin,
            Forker::LookForMark => Forker::Undo,
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
        self.opener = match self.opener {
            Opener::Start if self.record == Record::There => Opener::TakeEpoch,
            Opener::Start => Opener::Failed,
            Opener::TakeEpoch => {
                self.epoch += 1;
                Opener::LookForMark
            }
            Opener::LookForMark if self.record == Record::There || !protocol.takes(RemovalStep::OpenLooks) => {
                Opener::Open
            }
            Opener::LookForMark => Opener::Failed,
            ended @ (Opener::Open | Opener::Failed) => ended,
        };
    }

    /// Whether the fork that the pin is for is there.
    fn is_forked(&self) -> bool {
        self.pinned && self.child == Some(Child::Fork)
    }

    fn remove(&mut self, at: usize, protocol: &Protocol) {
        let again = |seen, marked| {
            if protocol.takes(RemovalStep::EpochsAgain) {
                Remover::EpochsAgain { seen, marked }
            } else {
                Remover::ForksAgain { marked }
            }
        };
        // Only its own mark is taken back: behind that of another one something may be gone already.
        let refuse = |marked: bool| if marked { Remover::Ended } else { Remover::TakeBack };
        self.removers[at] = match self.removers[at] {
            Remover::Start => match self.record {
                Record::There => Remover::Standing { marked: false },
                Record::Marked if protocol.takes(RemovalStep::StandingAgain) => Remover::Standing { marked: true },
                Record::Marked => Remover::Forks { seen: self.epoch, marked: true },
                Record::Gone => Remover::Ended,
            },
            // Whoever holds it shows signs of life, but not in the moment in which its epoch is new.
            Remover::Standing { .. } if self.opener == Opener::Open => Remover::Ended,
            Remover::Standing { .. }
                if self.opener == Opener::LookForMark && protocol.takes(RemovalStep::YoungEpoch) =>
            {
                Remover::Ended
            }
            Remover::Standing { marked } => Remover::Forks { seen: self.epoch, marked },
            Remover::Forks { .. } if self.is_forked() => Remover::Ended,
            Remover::Forks { seen, marked: false } if protocol.takes(RemovalStep::MarkFirst) => Remover::Mark { seen },
            Remover::Forks { seen, marked } => again(seen, marked),
            Remover::Mark { seen } => {
                self.record = Record::Marked;
                again(seen, false)
            }
            Remover::EpochsAgain { seen, marked } if self.epoch > seen => refuse(marked),
            Remover::EpochsAgain { marked, .. } => Remover::ForksAgain { marked },
            Remover::ForksAgain { marked } if self.is_forked() && protocol.takes(RemovalStep::ForksAgain) => {
                refuse(marked)
            }
            Remover::ForksAgain { .. } => Remover::Objects,
            Remover::TakeBack => {
                self.record = Record::There;
                Remover::Ended
            }
            Remover::Objects => {
                self.record = Record::Marked;
                (self.objects_gone, self.pinned) = (true, false);
                Remover::Record
            }
            Remover::Record => {
                self.record = Record::Gone;
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
const EVENTS: [(&str, Event<Protocol>); 4] = [
    ("a fork is made", |world| world.forker == Forker::Forked),
    ("a volume is opened", |world| world.opener == Opener::Open),
    ("a volume is removed", |world| world.objects_gone && world.record == Record::Gone),
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
