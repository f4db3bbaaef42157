//! Breadth first through all states. Only fingerprints of states are kept, and for each the one that led to it, so that
//! the way to a state can be walked again.
//!
//! Our own, because it is a page: the usual checkers bring a web server and a thread pool, and find the shortest way
//! only on one thread.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    hash::{Hash, Hasher},
    thread,
};

use rustc_hash::FxBuildHasher;
use xxhash_rust::xxh3::xxh3_64;

/// States that a thread takes on at a time.
const CHUNK: usize = 512;

/// A world: how it begins, and what can happen in it.
pub(crate) trait Model: Sync {
    type World: Clone + Eq + Hash + Send + Sync;
    type Action: Clone + Send;

    /// Before anything happens.
    fn first(&self) -> Self::World;
    /// What can happen next.
    fn actions(&self, world: &Self::World, actions: &mut Vec<Self::Action>);
    /// The world after it; `None` if that is the same.
    fn after(&self, world: &Self::World, action: Self::Action) -> Option<Self::World>;
    /// Whether a promise is broken.
    fn is_broken(&self, world: &Self::World) -> bool;
}

/// What can happen that shows whether a world is worth looking at.
pub(crate) type Event<M> = fn(&<M as Model>::World) -> bool;

/// From the first state to another: each with what happens in it.
pub(crate) type Way<M> = Vec<(<M as Model>::World, Option<<M as Model>::Action>)>;

/// What was seen.
pub(crate) struct Explored<M: Model> {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    pub(crate) depth: usize,
    /// Which of the events happened.
    pub(crate) happened: Vec<bool>,
    /// The way to the first state with a broken promise.
    pub(crate) broken: Option<Way<M>>,
}

/// The states that led to others, by fingerprint.
type Parents = HashMap<u64, u64, FxBuildHasher>;

/// A state that was reached from another.
struct Reached<W> {
    parent: u64,
    fingerprint: u64,
    world: W,
}

pub(crate) fn explore<M: Model>(protocol: &M, threads: usize, events: &[Event<M>]) -> Explored<M> {
    let first = protocol.first();
    let mut parents = Parents::default();
    parents.insert(fingerprint(&first), 0);
    let mut found = Explored { states: 1, transitions: 0, depth: 0, happened: vec![false; events.len()], broken: None };
    let mut frontier = vec![(fingerprint(&first), first)];
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for part in frontier.chunks(CHUNK * threads.max(1)) {
            for Reached { parent, fingerprint, world } in successors(protocol, part, threads) {
                found.transitions += 1;
                let Entry::Vacant(place) = parents.entry(fingerprint) else { continue };
                place.insert(parent);
                for (happened, event) in found.happened.iter_mut().zip(events) {
                    *happened = *happened || event(&world);
                }
                if protocol.is_broken(&world) {
                    found.states = parents.len();
                    found.broken = Some(walk(protocol, &parents, fingerprint));
                    return found;
                }
                next.push((fingerprint, world));
            }
        }
        found.depth += usize::from(!next.is_empty());
        frontier = next;
    }
    found.states = parents.len();
    found
}

/// What can be reached from some states, in an order that does not depend on the number of threads.
fn successors<M: Model>(protocol: &M, part: &[(u64, M::World)], threads: usize) -> Vec<Reached<M::World>> {
    if part.len() <= CHUNK || threads < 2 {
        return of_each(protocol, part);
    }
    thread::scope(|scope| {
        let parts: Vec<_> = part.chunks(CHUNK).map(|chunk| scope.spawn(|| of_each(protocol, chunk))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("BUG: a panic in a model")).collect()
    })
}

fn of_each<M: Model>(protocol: &M, worlds: &[(u64, M::World)]) -> Vec<Reached<M::World>> {
    let mut reached = Vec::with_capacity(worlds.len() * 4);
    let mut actions = Vec::new();
    for (parent, world) in worlds {
        let parent = *parent;
        protocol.actions(world, &mut actions);
        for action in actions.drain(..) {
            if let Some(world) = protocol.after(world, action) {
                reached.push(Reached { parent, fingerprint: fingerprint(&world), world });
            }
        }
    }
    reached
}

fn fingerprint(world: &impl Hash) -> u64 {
    thread_local! {
        static BYTES: RefCell<Bytes> = const { RefCell::new(Bytes(Vec::new())) };
    }
    BYTES.with_borrow_mut(|bytes| {
        bytes.0.clear();
        world.hash(bytes);
        xxh3_64(&bytes.0)
    })
}

/// What is hashed, in one piece: one long hash costs less than many short ones.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn write_u8(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Lengths and variants.
    fn write_usize(&mut self, number: usize) {
        self.0.push(number as u8);
    }

    fn write_isize(&mut self, number: isize) {
        self.0.push(number as u8);
    }

    fn finish(&self) -> u64 {
        xxh3_64(&self.0)
    }
}

/// From the first state to one that is known by its fingerprint.
fn walk<M: Model>(protocol: &M, parents: &Parents, to: u64) -> Way<M> {
    let mut way = vec![to];
    while let Some(parent) = way.last().and_then(|last| parents.get(last)).filter(|parent| **parent != 0) {
        way.push(*parent);
    }
    let mut path = Vec::new();
    let mut world = protocol.first();
    for target in way.iter().rev().skip(1) {
        let mut actions = Vec::new();
        protocol.actions(&world, &mut actions);
        let step = actions.into_iter().find_map(|action| {
            let after = protocol.after(&world, action.clone())?;
            (fingerprint(&after) == *target).then_some((action, after))
        });
        let Some((action, after)) = step else { break };
        path.push((std::mem::replace(&mut world, after), Some(action)));
    }
    path.push((world, None));
    path
}
