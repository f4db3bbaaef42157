//! Where a world begins: with nothing, or in the middle of something, so that what a step is for is near.
//!
//! The way into the middle is one that the model itself goes: what is looked at can be reached.

use clap::ValueEnum;

use crate::{
    Bounds,
    bucket::{Inherited, Stored},
    explore::Model as _,
    object::{Object, mix},
    process::Phase,
    world::{Action, Protocol, World},
};

/// What has happened already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scene {
    /// A volume without any sync.
    New,
    /// One sync, of a writer that is gone.
    Left,
    /// Two writers of a volume without any sync: there was nothing to fence, and the older one does not know. It has
    /// made the first sync and merged it.
    TwoOfNothing,
    /// One writes. The other one, with a newer epoch, has listed, and its fence is on its way, late: the first one has
    /// gone on for two syncs and merged one of them.
    LateFence,
    /// One has merged up to its fence, and has asked for its next sync, which is on its way. The other one has taken the
    /// volume meanwhile and made a sync.
    LateSync,
    /// One has acknowledged two commits, and is gone. The other one has taken the volume and made a sync.
    LeftJournal,
    /// One has acknowledged a commit. The other one has taken the volume and made a sync; its first sign of life is on its way
    /// once more.
    LateGreeting,
    /// A new volume. Its first sync is on its way, and power has taken the commit that is in it. The next process of that host has
    /// taken the volume.
    LostTail,
}

impl Scene {
    pub(crate) fn world(self) -> World {
        let mut play = Play::new(self);
        match self {
            Scene::New | Scene::Left => {}
            Scene::TwoOfNothing => {
                play.take(0);
                play.take(1);
                play.write(0);
                play.merge(0);
            }
            Scene::LateFence => {
                play.take(0);
                play.open(1);
                play.write(0);
                play.merge(0);
                play.write(0);
            }
            Scene::LateSync => {
                play.take(0);
                play.merge(0);
                play.all(&[Action::Commit(0), Action::Sync(0)]);
                play.take(1);
                play.write(1);
            }
            Scene::LeftJournal => {
                play.take(0);
                play.all(&[Action::Commit(0), Action::Commit(0), Action::Crash(0)]);
                play.take(1);
                play.write(1);
            }
            Scene::LateGreeting => {
                play.take(0);
                play.all(&[Action::Commit(0)]);
                play.take(1);
                play.write(1);
            }
            Scene::LostTail => {
                play.take(0);
                play.all(&[Action::Commit(0), Action::Sync(0), Action::PowerLoss { at: 0, kept: 0 }]);
                play.take(0);
            }
        }
        play.world
    }
}

/// Nobody has opened it yet.
fn untouched(with_sync: bool) -> World {
    let mut world = World::default();
    for (host, writer) in world.hosts.iter_mut().zip(1..) {
        host.writer = writer;
    }
    if with_sync {
        let first = Object { txid: 1, writer: 9, epoch: 1, lsn: 1, link: 0, on: 0, states: [mix(9, 9), 0] };
        world.bucket.epochs.push(9);
        world.bucket.statuses.push(Some(Some(Inherited::Nothing)));
        world.bucket.level0.push(Stored { object: first, age: 0 });
        world.history.push(first);
        world.holding = 1;
    }
    world
}

struct Play {
    protocol: Protocol,
    world: World,
}

impl Play {
    fn new(scene: Scene) -> Play {
        let greetings = matches!(scene, Scene::LateGreeting);
        let bounds =
            Bounds { opens: 2, txid_max: 4, lsn_max: 4, merging: true, power: true, greetings, ..Bounds::MIDST };
        let world = untouched(!matches!(scene, Scene::New | Scene::TwoOfNothing | Scene::LostTail));
        let opens_max = world.bucket.epoch() + bounds.opens;
        Play { protocol: Protocol { bounds, left_out: None, opens_max }, world }
    }

    fn all(&mut self, actions: &[Action]) {
        for action in actions {
            let mut possible = Vec::new();
            self.protocol.actions(&self.world, &mut possible);
            assert!(possible.contains(action), "BUG: {action:?} cannot happen");
            self.world = self.protocol.after(&self.world, action.clone()).expect("BUG: nothing happens");
        }
    }

    /// What a host waits for reaches the store, and is answered.
    fn arrive(&mut self, at: usize) {
        let request = self.world.flying.iter().find(|request| self.world.awaits(request) == Some(at)).cloned();
        let request = request.expect("BUG: nobody waits");
        self.all(&[Action::Arrive { request, answered: true }]);
    }

    /// A commit and its sync.
    fn write(&mut self, at: usize) {
        self.all(&[Action::Commit(at), Action::Sync(at)]);
        self.arrive(at);
        self.all(&[Action::Step(at)]);
    }

    /// What there is becomes a merge.
    fn merge(&mut self, at: usize) {
        self.all(&[Action::Round(at), Action::GoOn(at)]);
        self.arrive(at);
    }

    /// Opens until the fence is on its way, or there is nothing to fence.
    fn open(&mut self, at: usize) {
        self.all(&[Action::Open(at)]);
        while !matches!(self.world.hosts[at].life.phase, Phase::Fencing { .. } | Phase::Holding) {
            self.all(&[Action::Step(at)]);
        }
    }

    /// Opens until it writes.
    fn take(&mut self, at: usize) {
        self.open(at);
        if !self.world.hosts[at].life.holds() {
            self.arrive(at);
        }
        while !self.world.hosts[at].life.holds() {
            self.all(&[Action::Step(at)]);
        }
    }
}
