//! The state of the world, and what can happen next.

use crate::{
    Bounds, Step,
    bucket::{Bucket, Merged, Name, Stored, older},
    explore::Model,
    object::{COMMITS_MAX, Object},
    process::{Answer, Attempt, Phase, Process, Stage},
    promise::Promise,
    round::Round,
};

/// A request that changes something, and may arrive at any time, also long after its sender is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Request {
    Create(Object),
    /// The first sign of life under an epoch, once more.
    Greet {
        epoch: u8,
    },
    Merge {
        by: u8,
        min: u8,
        max: u8,
    },
    /// Of level 0.
    Delete(Vec<u8>),
}

/// What a fenced writer was told of its own commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    pub(crate) epoch: u8,
    /// What the history held when its writer began.
    pub(crate) floor: u8,
    pub(crate) held: u8,
    pub(crate) settled: bool,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) bucket: Bucket,
    /// Requests on their way.
    pub(crate) flying: Vec<Request>,
    pub(crate) hosts: [Process; 2],
    /// What the reader has listed and not read yet.
    pub(crate) reader: Option<Vec<Name>>,
    /// For the judge: the first object of each name. TXID 1 first.
    pub(crate) history: Vec<Object>,
    /// For the judge: the newest epoch that holds the volume behind a fence.
    pub(crate) holding: u8,
    /// For the judge: who was told what.
    pub(crate) told: Vec<Told>,
    /// The promise that was broken.
    pub(crate) broken: Option<Promise>,
}

/// Something that can happen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Half the retention of level 0 passes.
    Tick,
    /// A process begins a writable open.
    Open(usize),
    /// A process does the next thing.
    Step(usize),
    Commit(usize),
    Sync(usize),
    Beat(usize),
    Beaten(usize),
    LookForEpochs(usize),
    LookForSyncs(usize),
    Round(usize),
    GoOn(usize),
    /// A round only collects: it is not time to merge level 0.
    Collect(usize),
    Crash(usize),
    /// Power is lost, and with it all but the first commits of the journal.
    PowerLoss {
        at: usize,
        kept: usize,
    },
    Arrive {
        request: Request,
        answered: bool,
    },
    List,
    Read,
}

/// The protocol, as far as it goes and as complete as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) bounds: Bounds,
    pub(crate) left_out: Option<Step>,
    /// Epochs, with those of the scene.
    pub(crate) opens_max: u8,
}

impl Model for Protocol {
    type World = World;
    type Action = Action;

    fn first(&self) -> World {
        self.bounds.scene.world()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        for at in 0..world.hosts.len() {
            self.actions_of(world, at, actions);
        }
        for (at, request) in world.flying.iter().enumerate() {
            if at > 0 && world.flying[at - 1] == *request {
                continue;
            }
            actions.push(Action::Arrive { request: request.clone(), answered: true });
            if world.awaits(request).is_some() {
                actions.push(Action::Arrive { request: request.clone(), answered: false });
            }
        }
        if self.bounds.reader {
            match &world.reader {
                Some(_) => actions.push(Action::Read),
                None if world.reading().is_some() => actions.push(Action::List),
                None => {}
            }
        }
        actions.push(Action::Tick);
    }

    fn after(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Tick => world.tick(self.bounds.merging),
            Action::Open(at) => world.open(at),
            Action::Step(at) => world.step(at, self),
            Action::Commit(at) => world.commit(at),
            Action::Sync(at) => world.sync(at),
            Action::Beat(at) => world.hosts[at].life.beat = Some(0),
            Action::Beaten(at) => world.beaten(at, self.left_out),
            Action::LookForEpochs(at) => world.look_for_epochs(at),
            Action::LookForSyncs(at) => world.look_for_syncs(at),
            Action::Round(at) => world.hosts[at].life.round = world.round_of(at, self.left_out),
            Action::GoOn(at) => {
                if let Some(round) = world.hosts[at].life.round.take() {
                    world.go_on_with(at, round, self.left_out);
                }
            }
            Action::Collect(at) => {
                if let Some(Round::Listed(names)) = world.hosts[at].life.round.take() {
                    world.collect(&names, self.left_out);
                }
            }
            Action::Crash(at) => world.close(at),
            Action::PowerLoss { at, kept } => {
                world.hosts[at].journal.truncate(kept);
                world.close(at);
            }
            Action::Arrive { request, answered } => world.arrive(request, answered, self.left_out),
            Action::List => world.reader = world.reading(),
            Action::Read => {
                let names = world.reader.take().unwrap_or_default();
                world.read(&names, self.left_out);
            }
        }
        (world != *last).then_some(world)
    }

    fn is_broken(&self, world: &World) -> bool {
        world.broken.is_some()
    }
}

impl Protocol {
    pub(crate) fn new(bounds: Bounds, left_out: Option<Step>) -> Protocol {
        Protocol { bounds, left_out, opens_max: bounds.scene.world().bucket.epoch() + bounds.opens }
    }

    pub(crate) fn takes(&self, step: Step) -> bool {
        self.left_out != Some(step)
    }

    fn actions_of(&self, world: &World, at: usize, actions: &mut Vec<Action>) {
        let bounds = &self.bounds;
        let life = &world.hosts[at].life;
        let journal = &world.hosts[at].journal;
        let opens_left = world.bucket.epoch() < self.opens_max;
        let greets = |request: &&Request| matches!(request, Request::Greet { .. });
        let room = world.flying.len() - world.flying.iter().filter(greets).count() < bounds.flying_max;
        if life.phase != Phase::Closed && opens_left {
            actions.push(Action::Crash(at));
            let lost = if bounds.power { journal.len() } else { 0 };
            actions.extend((0..lost).map(|kept| Action::PowerLoss { at, kept }));
        }
        match life.phase {
            Phase::Closed => {
                // The hosts are alike: the first to open is the first.
                let first = &world.hosts[0];
                let first = at == 0 || first.life.phase != Phase::Closed || world.bucket.epochs.contains(&first.writer);
                if opens_left && first {
                    actions.push(Action::Open(at));
                }
                return;
            }
            Phase::Looked { .. } | Phase::Listing | Phase::Introducing | Phase::Settling => {
                actions.push(Action::Step(at));
            }
            Phase::Reading { txid } if room && txid < bounds.txid_max => actions.push(Action::Step(at)),
            Phase::Fencing { answer: Some(_), .. } => actions.push(Action::Step(at)),
            Phase::Reading { .. } | Phase::Fencing { .. } | Phase::Holding => {}
        }
        if !life.holds() {
            return;
        }
        let tip = journal.last().map_or(life.durable(), |commit| commit.lsn);
        if tip < bounds.lsn_max && journal.len() < COMMITS_MAX {
            actions.push(Action::Commit(at));
        }
        match life.attempt.map(|attempt| attempt.stage) {
            None if room && !journal.is_empty() && life.head.map_or(0, |head| head.txid) < bounds.txid_max => {
                actions.push(Action::Sync(at));
            }
            None | Some(Stage::Asked) => {}
            Some(Stage::Answered(_)) => actions.push(Action::Step(at)),
            Some(Stage::Looking { newer, newest, .. }) => {
                if newer.is_none() {
                    actions.push(Action::LookForEpochs(at));
                }
                if newest.is_none() {
                    actions.push(Action::LookForSyncs(at));
                }
                if newer.is_some() && newest.is_some() {
                    actions.push(Action::Step(at));
                }
            }
        }
        match life.beat {
            Some(_) => actions.push(Action::Beaten(at)),
            // One that renews nothing shows nothing.
            None if bounds.beats && life.looked > 0 => actions.push(Action::Beat(at)),
            None => {}
        }
        if bounds.merging && room {
            match &life.round {
                None if world.round_of(at, self.left_out).is_some() => actions.push(Action::Round(at)),
                Some(Round::Listed(names)) => {
                    actions.push(Action::GoOn(at));
                    if world.may_only_collect(names, self.left_out) {
                        actions.push(Action::Collect(at));
                    }
                }
                None | Some(Round::Merging { .. }) => {}
            }
        }
    }
}

impl World {
    pub(crate) fn send(&mut self, request: Request) {
        self.flying.push(request);
        self.flying.sort_unstable();
    }

    /// Who waits for the answer to a request.
    pub(crate) fn awaits(&self, request: &Request) -> Option<usize> {
        self.hosts.iter().position(|host| match (request, host.life.phase, &host.life.round) {
            (Request::Create(object), Phase::Fencing { fence, answer: None, .. }, _) => fence == *object,
            (Request::Create(object), ..) => {
                host.life.attempt == Some(Attempt { object: *object, stage: Stage::Asked })
            }
            (Request::Merge { by, min, max }, _, Some(Round::Merging { min: from, max: to, .. })) => {
                (from, to, host.writer) == (min, max, by + 1)
            }
            (Request::Merge { .. } | Request::Delete(_) | Request::Greet { .. }, ..) => false,
        })
    }

    /// The age of an object matters only to who collects.
    fn tick(&mut self, collecting: bool) {
        if collecting {
            self.bucket.level0.iter_mut().for_each(|stored| older(&mut stored.age));
            self.bucket.level1.iter_mut().for_each(|merged| older(&mut merged.age));
        }
        self.hosts.iter_mut().for_each(|host| host.life.age());
    }

    /// A request reaches the store. Without an answer its sender asks again.
    fn arrive(&mut self, request: Request, answered: bool, left_out: Option<Step>) {
        if let Some(at) = self.flying.iter().position(|other| *other == request) {
            self.flying.remove(at);
        }
        let waiting = self.awaits(&request);
        if waiting.is_some() && !answered {
            self.send(request.clone());
        }
        match request {
            Request::Create(object) => {
                let answer = self.create(object);
                if let Some(at) = waiting.filter(|_| answered) {
                    self.hosts[at].life.answer(answer);
                }
            }
            Request::Merge { min, max, .. } => {
                if !self.bucket.level1.iter().any(|merged| (merged.min, merged.max) == (min, max)) {
                    self.bucket.level1.push(Merged { min, max, age: 0 });
                    self.bucket.level1.sort_unstable_by_key(|merged| (merged.min, merged.max));
                }
                if let Some(at) = waiting.filter(|_| answered)
                    && let Some(Round::Merging { mut names, .. }) = self.hosts[at].life.round.take()
                {
                    // By the store's clock, it is as new as anything.
                    let age = names.iter().map(|name| name.age).min().unwrap_or_default();
                    names.push(Name { level: 1, min, max, age, checksum: 0 });
                    self.collect(&names, left_out);
                }
            }
            Request::Greet { epoch } => self.bucket.greet(epoch, left_out != Some(Step::CreateGreeting)),
            Request::Delete(gone) => self.bucket.level0.retain(|stored| !gone.contains(&stored.object.txid)),
        }
        self.judge_reads(left_out);
    }

    fn create(&mut self, object: Object) -> Answer {
        if self.bucket.sync(object.txid).is_some() {
            return Answer::Exists;
        }
        self.bucket.level0.push(Stored { object, age: 0 });
        self.bucket.level0.sort_unstable_by_key(|stored| stored.object.txid);
        let next = self.history.len() as u8 + 1;
        if object.txid >= next {
            let last = self.history.last();
            let continues = object.link == last.map_or(0, Object::checksum) && object.txid == next;
            if !continues || object.epoch < self.holding {
                self.broken.get_or_insert(Promise::OneHistory);
            } else if object.on != last.map_or(0, Object::state) {
                self.broken.get_or_insert(Promise::Prefix);
            }
            self.history.push(object);
            self.judge_told();
        }
        Answer::Created
    }

    /// Whether those who were told what the history holds were told the truth.
    pub(crate) fn judge_told(&mut self) {
        for Told { epoch, floor, held, settled } in &self.told {
            let ours = self.history.iter().filter(|object| object.epoch == *epoch).map(|object| object.lsn).max();
            let actual = ours.unwrap_or(*floor);
            if *held > actual || (*settled && *held != actual) {
                self.broken.get_or_insert(Promise::NoSilentLoss);
            }
        }
    }
}
