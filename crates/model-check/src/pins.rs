//! Pinning beside collecting: a world of its own, with one who pins a state and collectors of which each has a newer
//! epoch than the one before, may be slow, and may die with a request on its way.
//!
//! One object is what the pin names, another one nobody needs. The steps are those of `commitlog/pin.rs` and
//! `commitlog/sweep.rs`, request by request.

mod collector; // removing garbage
mod maker; // who pins
mod request; // what changes the store
mod step; // what can be left out

pub use self::step::PinStep;
use self::{
    collector::Collector,
    maker::{Maker, Phase},
    request::{Request, Store},
};
use crate::{
    check::{Outcome, look},
    explore::{Event, Model, Way},
};

/// The object that the pin names. There may be another one, that nobody needs.
const PINNED: u8 = 1;

/// How far everything goes.
#[derive(Clone, Copy, Debug)]
pub struct PinBounds {
    /// Collectors, each with a newer epoch than the one before.
    pub collectors: usize,
    /// Objects that are garbage but for the pin: the one that it names, and perhaps another one.
    pub objects: u8,
    /// Announcements of one collector, after pins came in between.
    pub rounds: u8,
    /// Answers that may be lost.
    pub losses: u8,
}

impl PinBounds {
    /// Two collectors of two objects; and three of the one that the pin names.
    pub const WORLDS: [PinBounds; 2] = [
        PinBounds { collectors: 2, objects: 2, rounds: 2, losses: 1 },
        PinBounds { collectors: 3, objects: 1, rounds: 1, losses: 0 },
    ];

    /// The smallest world in which a step is missed.
    #[must_use]
    pub fn for_step(step: PinStep) -> PinBounds {
        match step {
            PinStep::Cancel | PinStep::ReadAgain => Self::WORLDS[1],
            _ => Self::WORLDS[0],
        }
    }
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    store: Store,
    maker: Maker,
    collectors: Vec<Collector>,
    /// Requests of collectors that died.
    late: Vec<Request>,
    /// Answers that may still be lost.
    losses: u8,
}

/// Something that can happen.
#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// The one who pins does the next thing.
    Make,
    /// A collector does the next thing.
    Collect(usize),
    /// What a collector has asked for reaches the store, and the answer comes or is lost.
    Arrive(usize, bool),
    Die(usize),
    /// A dead collector's request reaches the store.
    ArriveLate(usize),
}

/// The world and what is left out of it.
struct Protocol {
    bounds: PinBounds,
    left_out: Option<PinStep>,
}

impl Protocol {
    fn takes(&self, step: PinStep) -> bool {
        self.left_out != Some(step)
    }
}

impl Model for Protocol {
    type World = World;
    type Action = Action;

    fn first(&self) -> World {
        World {
            store: Store { objects: (1 << self.bounds.objects) - 1, ..Store::default() },
            maker: Maker::default(),
            collectors: vec![Collector::default(); self.bounds.collectors],
            late: Vec::new(),
            losses: self.bounds.losses,
        }
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.push(Action::Make);
        for (at, collector) in world.collectors.iter().enumerate() {
            if collector.asked.is_some() {
                actions.push(Action::Arrive(at, true));
                if world.losses > 0 {
                    actions.push(Action::Arrive(at, false));
                }
            } else {
                actions.push(Action::Collect(at));
            }
            if collector.is_at_work() {
                actions.push(Action::Die(at));
            }
        }
        actions.extend((0..world.late.len()).map(Action::ArriveLate));
    }

    fn after(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Make => world.maker.go_on(&mut world.store, self),
            Action::Collect(at) => world.collectors[at].go_on(at as u8 + 1, &mut world.store, self),
            Action::Arrive(at, answered) => {
                let collector = &mut world.collectors[at];
                if let Some(request) = collector.asked.clone() {
                    let (outcome, rest) = world.store.apply(&request);
                    // What was lost is asked for again, the whole of it.
                    if answered {
                        collector.answer(outcome, rest);
                    } else {
                        world.losses -= 1;
                    }
                }
            }
            Action::Die(at) => {
                let dead = std::mem::replace(&mut world.collectors[at], Collector::dead());
                world.late.extend(dead.asked);
            }
            Action::ArriveLate(at) => {
                let request = world.late.remove(at);
                let (_, rest) = world.store.apply(&request);
                world.late.extend(rest);
                world.late.sort_unstable();
            }
        }
        (world != *last).then_some(world)
    }

    fn is_broken(&self, world: &World) -> bool {
        world.maker.phase == Phase::Kept && world.store.objects & PINNED == 0
    }
}

/// What happens somewhere in a world with the whole protocol.
const EVENTS: [(&str, Event<Protocol>); 5] = [
    ("a pin holds", |world| world.maker.phase == Phase::Kept),
    ("a pin is given up", |world| world.maker.phase == Phase::GivenUp),
    ("a collector leaves what is pinned", |world| world.store.objects == PINNED && world.maker.phase == Phase::Kept),
    ("everything is collected", |world| world.store.objects == 0 && world.store.announced.is_empty()),
    ("a collector is overtaken", |world| world.collectors.iter().any(Collector::is_overtaken)),
];

/// Looks at every state of a world, or until a pin that holds has lost its object.
#[must_use]
pub fn check_pins(bounds: PinBounds, left_out: Option<PinStep>, threads: usize) -> Outcome {
    look(&Protocol { bounds, left_out }, threads, &EVENTS, tell)
}

fn tell(way: &Way<Protocol>) -> String {
    let mut text = "broken: nothing reachable is deleted: a pin that holds keeps its objects\n".to_owned();
    for (number, pair) in way.windows(2).enumerate() {
        let [(before, Some(action)), (after, _)] = pair else { continue };
        let words = match action {
            Action::Make => format!("who pins {}", before.maker.words(&after.maker.phase)),
            Action::Collect(at) => format!("collector {} {}", at + 1, before.collectors[*at].words()),
            Action::Arrive(at, answered) => {
                let asked = before.collectors[*at].asked.as_ref().map(Request::words).unwrap_or_default();
                format!("collector {} {asked}{}", at + 1, if *answered { "" } else { ", and gets no answer" })
            }
            Action::Die(at) => format!("collector {} dies", at + 1),
            Action::ArriveLate(at) => format!("late: a dead collector {}", before.late[*at].words()),
        };
        text.push_str(&format!("{:>3}. {words}\n", number + 1));
    }
    text
}
