//! Random histories of one volume, compared with a model that keeps every state.
//!
//! A round that fails names its seed; [`a_seed`] runs one again.

use std::collections::BTreeMap;

use plimsoll_model::{ErrorKind, Level};
use plimsoll_store::fault::{Fault, Op, Rule};
use plimsoll_volume::{Snapshot, Volume};

use crate::world::{Machine, World, put, try_get};

/// `PLIMSOLL_TEST_ROUNDS` asks for more.
const ROUNDS: u64 = 200;
const STEPS: u64 = 60;
/// Small, so that pages are overwritten, cut off and grown over often.
const PAGES_MAX: u64 = 24;

/// Marks of the pages, the first page first.
type State = Vec<u64>;

struct Run {
    seed: u64,
    world: World,
    machine: Machine,
    volume: Volume,
    follower_machine: Machine,
    follower: Volume,
    followed: u64,
    settings: Vec<(&'static str, String)>,
    /// Every state by its commit, of the history that goes on.
    states: BTreeMap<u64, State>,
    /// The last commit that survives the loss of this process, of power, of this host, as far as was said.
    appended: u64,
    journaled: u64,
    durable: u64,
    snapshots: Vec<(Snapshot, State)>,
    mark: u64,
    machines: u64,
    rival: Machine,
    /// The process dies soon: whatever fails may fail.
    dying: bool,
    /// A commit that failed while dying: nobody was told that it is there, but it may be.
    unsure: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let settings: Vec<(&'static str, String)> = vec![
            ("sync_interval_ms", ["20", "200", "3000"][world.below(3) as usize].to_owned()),
            ("journal_sync_policy", ["interval", "immediate", "manual"][world.below(3) as usize].to_owned()),
            ("journal_sync_interval_ms", "10".to_owned()),
            ("on_load_line", ["block", "write_through"][world.below(2) as usize].to_owned()),
            ("max_dirty_bytes", ["20000", "100000000"][world.below(2) as usize].to_owned()),
            ("compaction_levels_ms", ["", "500,2000", "3000,9000,20000"][world.below(3) as usize].to_owned()),
            ("l0_retention_ms", ["1000", "20000"][world.below(2) as usize].to_owned()),
            ("retention_ms", "5000".to_owned()),
            ("snapshot_interval_ms", "4000".to_owned()),
            ("idle_release_ms", ["0", "700"][world.below(2) as usize].to_owned()),
            ("hydrate", ["true", "false"][world.below(2) as usize].to_owned()),
            ("takeover", "true".to_owned()),
            ("follow_interval_ms", "100".to_owned()),
            ("heartbeat_ms", "300".to_owned()),
            ("holder_ttl_ms", "1000".to_owned()),
            ("sync_timeout_ms", "20000".to_owned()),
        ];
        let machine = world.machine("first");
        let follower_machine = world.machine("follower");
        let rival = world.machine("rival");
        let volume = machine.open(&pairs(&settings));
        let follower = follower_machine.open_read_only(&pairs(&settings));
        Run {
            seed,
            world,
            machine,
            volume,
            follower_machine,
            follower,
            followed: 0,
            settings,
            states: [(0, Vec::new())].into(),
            appended: 0,
            journaled: 0,
            durable: 0,
            snapshots: Vec::new(),
            mark: 0,
            machines: 1,
            rival,
            dying: false,
            unsure: false,
        }
    }

    fn step(&mut self) {
        match self.world.below(100) {
            0..45 => self.commit(),
            45..53 => self.pin(),
            53..61 => self.check_snapshots(),
            61..70 => self.world.run_for(self.world.below(2500)),
            70..76 => self.check_newest(),
            76..84 => self.follow(),
            84..86 => self.compact(),
            86..88 => self.fault(),
            88..89 => self.outage(),
            89..92 => self.kill(),
            92..94 => self.lose_power(),
            94..96 => self.close(),
            96..97 => self.lose_host(),
            97..98 => self.be_taken_over(),
            98..99 => self.die_somewhere(),
            _ => self.wait(),
        }
    }

    fn commit(&mut self) {
        let old = self.states[&self.appended].clone();
        let count = match self.world.below(4) {
            0 => 1 + self.world.below(PAGES_MAX),
            _ => (old.len() as u64).max(1),
        };
        let mut state = old;
        state.resize(count as usize, 0);
        let mut pages = Vec::new();
        for _ in 0..=self.world.below(6) {
            let number = 1 + self.world.below(count);
            self.mark += 1;
            pages.retain(|(other, _)| u64::from(*other) != number);
            pages.push((number as u32, self.mark));
            state[number as usize - 1] = self.mark;
        }
        let level = [Level::Buffered, Level::Journaled, Level::Durable][self.world.below(3) as usize];
        // A store that fails by script fails the taking of the volume too; who writes tries again.
        for _ in 0..20 {
            match self.volume.snapshot().and_then(|base| self.volume.begin_write(&base)) {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                _ => break,
            }
        }
        match put(&self.volume, &pages, count as u32, level) {
            Ok(receipt) => {
                self.appended += 1;
                assert_eq!(receipt.lsn().0, self.appended, "{self:?}");
                self.states.insert(self.appended, state);
                match level {
                    Level::Buffered => {}
                    Level::Journaled => self.journaled = self.appended,
                    _ => (self.journaled, self.durable) = (self.appended, self.appended),
                }
            }
            Err(_) if self.dying => {
                self.unsure = true;
                self.states.insert(self.appended + 1, state);
                return;
            }
            Err(error) => panic!("{self:?}: {error}"),
        }
        self.watch_marks();
    }

    fn watch_marks(&mut self) {
        let status = self.volume.status();
        assert!(status.appended.lsn <= self.appended, "{self:?}");
        self.durable = self.durable.max(status.durable.lsn);
        self.journaled = self.journaled.max(status.journaled.lsn).max(self.durable);
    }

    fn wait(&mut self) {
        let level = [Level::Journaled, Level::Durable][self.world.below(2) as usize];
        let lsn = self.volume.head();
        self.volume.wait(lsn, level).unwrap_or_else(|error| panic!("{self:?}: {error}"));
        self.watch_marks();
        if level == Level::Durable {
            assert_eq!(self.durable, self.appended, "{self:?}");
        }
    }

    fn pin(&mut self) {
        if self.snapshots.len() == 4 {
            let at = self.world.below(4) as usize;
            self.snapshots.swap_remove(at);
        }
        let snapshot = self.volume.snapshot().unwrap();
        assert_eq!(snapshot.lsn().0, self.appended, "{self:?}");
        self.snapshots.push((snapshot, self.states[&self.appended].clone()));
    }

    fn check_snapshots(&self) {
        for (snapshot, state) in &self.snapshots {
            self.same(snapshot, state);
        }
    }

    fn check_newest(&self) {
        let snapshot = self.volume.snapshot().unwrap();
        assert_eq!(snapshot.lsn().0, self.appended, "{self:?}");
        self.same(&snapshot, &self.states[&self.appended]);
    }

    fn same(&self, snapshot: &Snapshot, state: &State) {
        assert_eq!(snapshot.page_count().0 as usize, state.len(), "{self:?}, commit {}", snapshot.lsn());
        for (at, mark) in state.iter().enumerate() {
            let found = try_get(snapshot, at as u32 + 1).unwrap_or_else(|error| panic!("{self:?}: {error}"));
            assert_eq!(found, *mark, "{self:?}, commit {}, page {}", snapshot.lsn(), at + 1);
        }
    }

    fn follow(&mut self) {
        if self.world.below(5) == 0 {
            self.follower_machine.kill();
            self.follower = self.follower_machine.open_read_only(&pairs(&self.settings));
        }
        self.follower.refresh().unwrap_or_else(|error| panic!("{self:?}: following: {error}"));
        let snapshot = self.follower.snapshot().unwrap();
        let lsn = snapshot.lsn().0;
        assert!(lsn >= self.followed, "{self:?}: a follower went from {} back to {lsn}", self.followed);
        assert!(lsn >= self.durable, "{self:?}: {} is durable, a follower sees {lsn}", self.durable);
        self.followed = lsn;
        let state = self.states.get(&lsn).unwrap_or_else(|| panic!("{self:?}: commit {lsn} never was")).clone();
        self.same(&snapshot, &state);
    }

    fn compact(&mut self) {
        match self.volume.compact() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => panic!("{self:?}: {error}"),
        }
    }

    fn fault(&mut self) {
        let ops = [Op::Create, Op::Put, Op::Get, Op::GetTail, Op::List, Op::Delete];
        let op = ops[self.world.below(ops.len() as u64) as usize];
        let fault = match op {
            Op::Create | Op::Put | Op::Delete if self.world.below(2) == 0 => Fault::AppliedButNoAnswer,
            Op::Create | Op::Put | Op::Delete => Fault::FailBefore,
            _ => Fault::Delay(std::time::Duration::from_millis(300)),
        };
        let rule = Rule { op: Some(op), key_contains: String::new(), fault, times: 1 + self.world.below(3) as u32 };
        self.machine.remote.script.add(rule);
    }

    /// Nothing gets through for a while; commits go on.
    fn outage(&mut self) {
        if self.volume.status().epoch.is_none() {
            // Nobody becomes a writer without the store.
            return;
        }
        let limit = self.settings.iter().any(|(name, value)| *name == "max_dirty_bytes" && value == "20000");
        self.machine.remote.set_down(true);
        self.world.run_for(self.world.below(1500));
        if self.volume.status().epoch.is_some() && !limit {
            let mark = self.mark + 1;
            let count = self.states[&self.appended].len().max(1);
            put(&self.volume, &[(1, mark)], count as u32, Level::Buffered)
                .unwrap_or_else(|error| panic!("{self:?}: during an outage: {error}"));
            self.mark = mark;
            self.appended += 1;
            let mut state = self.states[&(self.appended - 1)].clone();
            state.resize(count, 0);
            state[0] = mark;
            self.states.insert(self.appended, state);
        }
        // What is not local, since a process died before it was kept, cannot be had now; all else is right.
        let snapshot = self.volume.snapshot().unwrap();
        for (at, mark) in self.states[&self.appended].iter().enumerate() {
            match try_get(&snapshot, at as u32 + 1) {
                Ok(found) => assert_eq!(found, *mark, "{self:?}, page {}", at + 1),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{self:?}"),
            }
        }
        self.machine.remote.set_down(false);
    }

    fn open(&mut self) {
        // A store that fails by script fails an open too; who opens tries again.
        let mut tries = 0;
        self.volume = loop {
            match self.machine.try_open(&pairs(&self.settings)) {
                Ok(volume) => break volume,
                Err(error) if error.kind() == ErrorKind::Unavailable && tries < 20 => tries += 1,
                Err(error) => panic!("{self:?}: opening: {error}"),
            }
        };
    }

    /// What is there must be what was, with nothing lost before `least`.
    fn check_reopened(&mut self, least: u64) {
        let lsn = self.volume.head().0;
        let most = self.appended + u64::from(std::mem::take(&mut self.unsure));
        assert!((least..=most).contains(&lsn), "{self:?}: {least} to {most} expected, found {lsn}");
        self.appended = lsn;
        self.states.retain(|at, _| *at <= lsn);
        self.journaled = self.journaled.min(lsn);
        self.check_newest();
    }

    fn kill(&mut self) {
        self.snapshots.clear();
        self.machine.kill();
        self.open();
        self.check_reopened(self.appended);
    }

    fn lose_power(&mut self) {
        self.snapshots.clear();
        self.machine.lose_power();
        self.open();
        self.check_reopened(self.journaled);
    }

    /// The process dies in the middle of whatever it is doing to its disk, and perhaps the power goes with it.
    fn die_somewhere(&mut self) {
        self.snapshots.clear();
        self.dying = true;
        self.machine.disk.die_after(self.world.below(40));
        for _ in 0..8 {
            self.commit();
            if self.unsure {
                break;
            }
            self.world.run_for(self.world.below(40));
        }
        self.dying = false;
        let least = if self.world.below(2) == 0 {
            self.machine.kill();
            self.appended
        } else {
            self.machine.lose_power();
            self.journaled
        };
        self.open();
        self.check_reopened(least);
    }

    /// Another host takes the volume while this one believes to have it.
    fn be_taken_over(&mut self) {
        self.snapshots.clear();
        let settings = self.settings.clone();
        let rival = self.rival.open(&pairs(&settings));
        self.mark += 1;
        let receipt = loop {
            match put(&rival, &[(1, self.mark)], 1, Level::Durable) {
                Ok(receipt) => break receipt,
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => panic!("{self:?}: the rival: {error}"),
            }
        };
        let inherited = receipt.lsn().0 - 1;
        assert!((self.durable..=self.appended).contains(&inherited), "{self:?}: the rival inherited {inherited}");
        // The first writer acknowledges nothing more; what it has told to be durable the rival found.
        let holds = self.volume.status().epoch.is_some();
        let tail = self.volume.head();
        if holds && tail.0 > inherited {
            assert!(self.volume.wait(tail, Level::Durable).is_err(), "{self:?}");
            for level in Level::ALL {
                assert!(put(&self.volume, &[(1, 0)], 1, level).is_err(), "{self:?}: {level}");
            }
        }
        rival.close().unwrap();
        let _ = self.volume.clone().close();
        self.machine.remote.script.clear();
        self.open();
        self.states.retain(|at, _| *at <= inherited);
        self.appended = inherited + 1;
        self.states.insert(self.appended, vec![self.mark]);
        (self.journaled, self.durable) = (self.appended, self.appended);
        self.check_reopened(self.appended);
        let kept = self.volume.status().stranded.len();
        assert!(tail.0 <= inherited || kept > 0, "{self:?}: commits {inherited} to {tail} were dropped");
    }

    fn close(&mut self) {
        self.snapshots.clear();
        // A close that cannot make everything durable says so, and the journal has it.
        let _ = self.volume.clone().close();
        self.open();
        self.check_reopened(self.appended);
    }

    fn lose_host(&mut self) {
        self.snapshots.clear();
        self.machine.kill();
        self.machines += 1;
        self.machine = self.world.machine(&format!("machine {}", self.machines));
        self.open();
        // A volume that nobody wrote to is not taken by opening it: writing is what fences.
        self.check_reopened(self.durable);
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "seed {}, at {:?}, appended {}, journaled {}, durable {}, status {:?}",
            self.seed,
            self.world.now(),
            self.appended,
            self.journaled,
            self.durable,
            self.volume.status()
        )
    }
}

fn pairs<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn round(seed: u64) {
    let mut run = Run::new(seed);
    for _ in 0..STEPS {
        run.step();
    }
    run.check_snapshots();
    run.check_newest();
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn a_volume_is_always_in_a_state_that_existed_and_loses_only_what_was_not_promised() {
    for seed in 0..number("PLIMSOLL_TEST_ROUNDS").unwrap_or(ROUNDS) {
        round(seed);
    }
}

/// For looking into one seed: `PLIMSOLL_TEST_SEED=17 cargo test -p plimsoll-volume a_seed`.
#[test]
fn a_seed() {
    round(number("PLIMSOLL_TEST_SEED").unwrap_or(7_000_001));
}
