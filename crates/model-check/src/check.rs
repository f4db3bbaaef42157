//! Looking at every state, and saying what was seen.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{
    Bounds, Step,
    explore::{Event, Model, Way, explore},
    story,
    world::{Protocol, World},
};

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// Different states.
    pub states: usize,
    /// Steps from one to another, also to those that were known.
    pub transitions: usize,
    /// Steps of the longest way to a state.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The shortest way to a broken promise, in words.
    pub broken: Option<String>,
    /// What should have happened somewhere, and did not: a world in which nothing happens proves nothing.
    pub missing: Vec<&'static str>,
}

/// What happens somewhere in every world with the whole protocol.
const EVENTS: [(&str, Event<Protocol>); 5] = [
    ("a sync is taken for durable", is_durable),
    ("a writer is fenced", |world| !world.told.is_empty()),
    ("a fenced writer learns that the history holds more than it knew", |world| {
        world.told.iter().any(|told| told.settled && told.held > told.floor)
    }),
    ("a sync is merged and collected", |world| !world.history.is_empty() && world.bucket.sync(1).is_none()),
    ("a stray lies in the store", |world| {
        world.bucket.level0.iter().any(|stored| !world.history.contains(&stored.object))
    }),
];

fn is_durable(world: &World) -> bool {
    world.hosts.iter().any(|host| host.life.head.is_some_and(|head| !head.is_fence()))
}

/// Looks at every state within the bounds, or until a promise is broken.
#[must_use]
pub fn check(bounds: Bounds, left_out: Option<Step>, threads: usize) -> Outcome {
    look(&Protocol::new(bounds, left_out), threads, &EVENTS, |way| story::tell(way))
}

/// Looks at every state of a world, or until a promise is broken. `tell` puts the way there into words.
pub(crate) fn look<M: Model>(
    model: &M,
    threads: usize,
    expected: &[(&'static str, Event<M>)],
    tell: impl Fn(&Way<M>) -> String,
) -> Outcome {
    let began = Instant::now();
    let events: Vec<Event<M>> = expected.iter().map(|(_, event)| *event).collect();
    let explored = explore(model, threads, &events);
    let missing = expected.iter().zip(&explored.happened).filter(|(_, happened)| !**happened);
    Outcome {
        states: explored.states,
        transitions: explored.transitions,
        depth: explored.depth,
        took: began.elapsed(),
        broken: explored.broken.as_ref().map(tell),
        missing: missing.map(|((name, _), _)| *name).collect(),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { states, transitions, depth, took, .. } = self;
        write!(f, "{states} states, {transitions} transitions, depth {depth}, {:.1} s", took.as_secs_f64())
    }
}
