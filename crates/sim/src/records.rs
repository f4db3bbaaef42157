//! What pins, announcements and marks that come and go say about who met whom.

use plimsoll_commitlog::{detached_key, detaching_key, parse_pin_key};
use plimsoll_store::Created;

use crate::{
    coverage::Event,
    network::{World, lock},
    time::Group,
};

const SWEEPS: &str = "gc/";

fn says(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|window| window == what.as_bytes())
}

/// Somebody tried to create an object.
pub(crate) fn created(world: &World, group: Group, key: &str, bytes: &[u8], created: Created) {
    if created != Created::New {
        return;
    }
    if key.starts_with("epoch/") && key.ends_with(".go") && says(bytes, r#""go":false"#) {
        world.count(Event::RemovalCalledOff);
    }
    if key.starts_with(SWEEPS) {
        let decision = key.ends_with(".go");
        if decision && says(bytes, r#""go":false"#) {
            world.count(Event::SweepCancelled);
        }
        if !decision {
            world.count(Event::SweepAnnounced);
            world.judge().pointers.announced.insert(key.to_owned(), group);
        }
    }
}

/// Somebody replaced an object.
pub(crate) fn put(world: &World, key: &str) {
    if key == detached_key() {
        let own = world.bucket().files();
        let mut judge = world.judge();
        if let Err(broken) = judge.history.detach(&own) {
            judge.object(broken.promise, broken.why);
        }
    }
}

/// Somebody removes objects that are still there.
pub(crate) fn deleted(world: &World, group: Group, keys: &[String]) {
    for key in keys {
        let Some(there) = world.bucket().get(key) else { continue };
        if key == detaching_key() {
            world.count(Event::DetachTakenBack);
        } else if let Some(name) = parse_pin_key(key) {
            unpinned(world, name, &there.bytes);
        } else if key.starts_with(SWEEPS) && key.ends_with(".json") {
            let decision = format!("{}.go", key.trim_end_matches(".json"));
            let decided = world.bucket().get(&decision);
            let mut judge = world.judge();
            let by_others = judge.pointers.announced.remove(key) != Some(group);
            match decided {
                None => judge.coverage.count(Event::SweepTakenBack),
                Some(decision) if by_others && says(&decision.bytes, r#""go":true"#) => {
                    judge.coverage.count(Event::SweepResumed);
                }
                Some(_) => {}
            }
        }
    }
}

/// A pin that nobody was told of was in the way of a collector.
fn unpinned(world: &World, name: &str, bytes: &[u8]) {
    let told = if name.starts_with("fork-") {
        let forks = world.shelves().into_iter().filter(|shelf| lock(&shelf.judge).pointers.promised);
        forks.into_iter().any(|shelf| says(bytes, &format!("\"{}\"", shelf.url)))
    } else {
        world.judge().pointers.told.contains(name)
    };
    if !told && !name.starts_with("stranded-") {
        world.count(Event::PinGivenUp);
    }
}
