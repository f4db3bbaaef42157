//! Which folder of a host a process keeps what it has read in.

use std::path::Path;

use plimsoll_host::Files as _;
use plimsoll_model::Level;

use crate::world::{Machine, World, marks, put};

fn folders(machine: &Machine) -> Vec<String> {
    let mut names = machine.disk.list(Path::new("/state/volume")).unwrap();
    names.retain(|name| name.starts_with("cache-"));
    names.sort_unstable();
    names
}

#[test]
fn two_processes_of_a_host_have_a_cache_each_and_the_next_one_takes_that_of_who_has_ended() {
    let world = World::new(1);
    let writer = world.machine("writer").open(&[]);
    put(&writer, &[(1, 1), (2, 2)], 2, Level::Durable).unwrap();
    let machine = world.machine("a");
    let (one, two) = (machine.open_read_only(&[]), machine.beside().open_read_only(&[]));
    assert_eq!((marks(&one), marks(&two)), (vec![1, 2], vec![1, 2]));
    assert_eq!(folders(&machine), ["cache-0", "cache-1"]);
    one.close().unwrap();
    let next = machine.beside();
    let three = next.open_read_only(&[]);
    machine.remote.asked();
    assert_eq!(marks(&three), [1, 2]);
    assert_eq!(machine.remote.asked(), [], "it is there");
    assert_eq!(folders(&machine), ["cache-0", "cache-1"]);
}
