use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::BoxFuture;
use plimsoll_host::{Host, Tasks};
use plimsoll_model::Level;
use plimsoll_volume::{Config, Volume};

use crate::{
    meanwhile::{Act, Locked, Meanwhile},
    world::{World, put},
};

/// Counts how often a core was offered.
struct Offers(Arc<dyn Tasks>, Arc<AtomicUsize>);

impl Tasks for Offers {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.0.spawn(future);
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(job);
    }

    fn block_on(&self, future: BoxFuture<'_, ()>) {
        self.0.block_on(future);
    }

    fn give_way(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn readers_offer_their_core_now_and_then_while_a_commit_waits_for_the_disk_and_never_else() {
    let world = World::new(1);
    let machine = world.machine("a");
    let (act, offers) = (Act::default(), Arc::new(AtomicUsize::new(0)));
    let host = machine.host();
    let host = Host {
        files: Arc::new(Meanwhile { disk: machine.disk.clone(), act: Arc::clone(&act), locked: Locked::default() }),
        tasks: Arc::new(Offers(Arc::clone(&host.tasks), Arc::clone(&offers))),
        ..host
    };
    let config = machine.config(&[("journal_sync_policy", "manual"), ("sync_interval_ms", "60000")]);
    let volume = Volume::open(Config { host, ..config }).unwrap();
    let receipt = put(&volume, &[(1, 1)], 1, Level::Buffered).unwrap();
    let read = |volume: &Volume, times: usize| (0..times).for_each(|_| drop(volume.snapshot().unwrap()));
    read(&volume, 1000);
    assert_eq!(offers.load(Ordering::Relaxed), 0);
    let beside = volume.clone();
    *act.lock().unwrap() = Some(Box::new(move || read(&beside, 100)));
    receipt.wait(Level::Journaled).unwrap();
    assert!(act.lock().unwrap().is_none());
    assert_eq!(offers.load(Ordering::Relaxed), 6);
    read(&volume, 1000);
    assert_eq!(offers.load(Ordering::Relaxed), 6);
}
