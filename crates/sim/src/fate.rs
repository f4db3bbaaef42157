//! What befalls the hosts, the network and the disks.

use std::time::Duration;

use crate::{coverage::Event, dice::Dice, network::Doom, run::Run};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Something that happens to a host, to the network, or to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    Kill,
    PowerLoss,
    HostLoss,
    KillAtDisk,
    KillAtStore,
    SleepAtStore,
    /// Right after it has announced what it is about to remove.
    KillAtAnnouncement,
    /// Right after it has looked at the pins.
    SleepAtPins,
    Sleep,
    Partition,
    Storm,
    DiskFull,
    DiskRoom,
    SyncFailed,
    WriteFailed,
    ReadFailed,
    CacheRot,
    CacheLoss,
    JournalRot,
    ClockJump,
}

/// How likely each is.
pub(crate) type Blows = &'static [(u64, Blow)];

/// A bit of everything.
pub(crate) const EVERYTHING: Blows = &[
    (14, Blow::Kill),
    (10, Blow::PowerLoss),
    (3, Blow::HostLoss),
    (8, Blow::KillAtDisk),
    (8, Blow::KillAtStore),
    (7, Blow::Sleep),
    (4, Blow::SleepAtStore),
    (8, Blow::Partition),
    (5, Blow::Storm),
    (5, Blow::DiskFull),
    (5, Blow::DiskRoom),
    (3, Blow::SyncFailed),
    (3, Blow::WriteFailed),
    (2, Blow::ReadFailed),
    (9, Blow::CacheRot),
    (2, Blow::CacheLoss),
    (4, Blow::JournalRot),
    (2, Blow::ClockJump),
];

impl Run {
    /// Something happens to somebody.
    pub(crate) fn strike(&mut self) {
        let dice = self.dice.clone();
        let at = usize::try_from(dice.below(self.machines.len() as u64)).unwrap_or(0);
        let now = self.world.time.now();
        let alive = self.machines[at].life.is_some();
        match draw(self.profile.blows, &dice) {
            Blow::Kill if alive => self.kill(at, Event::Kill),
            Blow::PowerLoss if alive => self.power_loss(at),
            Blow::HostLoss => self.host_loss(at),
            Blow::KillAtDisk if alive => {
                self.say(at, "dies at a change of its disk soon");
                self.machines[at].disk.die_after(dice.below(60));
            }
            Blow::KillAtStore => self.doom(at, Doom::Dies, ""),
            Blow::KillAtAnnouncement => self.doom(at, Doom::Dies, "create gc/"),
            Blow::SleepAtStore => self.doom(at, Doom::Sleeps, ""),
            Blow::SleepAtPins => self.doom(at, Doom::Sleeps, "list pins/"),
            Blow::Sleep if alive => self.sleep(at),
            Blow::Partition => {
                let until = now + dice.time(120 * SECOND);
                self.world.weather().cut_off.insert(at, until);
                self.say(at, &format!("is cut off until {until:?}"));
            }
            Blow::Storm => {
                let until = now + dice.time(60 * SECOND);
                self.world.weather().storm_until = until;
                self.say(at, &format!("a storm until {until:?}"));
            }
            Blow::DiskFull => {
                let room = dice.below(30_000);
                let used = self.machines[at].disk.used();
                self.machines[at].disk.set_capacity(Some(used + room));
                self.say(at, &format!("its disk has room for {room} bytes"));
            }
            Blow::DiskRoom => {
                self.machines[at].disk.set_capacity(None);
                self.say(at, "its disk has room");
            }
            Blow::SyncFailed => {
                self.machines[at].disk.fail_syncs(1, dice.roll());
                self.say(at, "a sync of its disk will fail");
            }
            Blow::WriteFailed => {
                self.machines[at].disk.fail_writes(1);
                self.say(at, "a write to its disk will fail");
            }
            Blow::ReadFailed => {
                self.machines[at].disk.fail_reads(1);
                self.say(at, "a read of its disk will fail");
            }
            Blow::CacheRot => self.rot_cache(at),
            Blow::CacheLoss if !alive => self.lose_cache(at),
            Blow::JournalRot if !alive && self.profile.rough => self.rot_journal(at),
            Blow::ClockJump => {
                self.machines[at].jump(&dice);
                if let Some(group) = self.machines[at].life.as_ref().map(|life| life.group) {
                    self.world.everywhere(|judge| judge.manners.excuse(group));
                }
                self.world.count(Event::ClockJump);
                self.say(at, "its wall clock jumps");
            }
            Blow::Kill | Blow::PowerLoss | Blow::KillAtDisk | Blow::Sleep | Blow::CacheLoss | Blow::JournalRot => {}
        }
    }

    fn doom(&self, at: usize, doom: Doom, request: &'static str) {
        let Some(life) = &self.machines[at].life else { return };
        self.world.doom(life.group, doom, request);
        let what = if doom == Doom::Dies { "dies" } else { "falls asleep" };
        let request = if request.is_empty() { "a request" } else { request };
        self.say(at, &format!("{what} at {request} soon"));
    }

    fn say(&self, at: usize, what: &str) {
        self.world.trace.line(&self.machines[at].name(), format_args!("{what}"));
    }

    fn rot_cache(&self, at: usize) {
        if self.machines[at].rot("/cache-", &self.dice) {
            self.world.count(Event::CacheCorruption);
            self.say(at, "its cache rots");
        }
    }

    fn lose_cache(&self, at: usize) {
        if self.machines[at].forget_caches() {
            self.world.count(Event::CacheLoss);
            self.say(at, "its cache is removed");
        }
    }

    fn rot_journal(&mut self, at: usize) {
        if self.machines[at].rot("/journal/", &self.dice) {
            // The very last sync has no witness, so nothing is promised of this journal any more.
            self.machines[at].damaged = true;
            self.world.everywhere(|judge| judge.host_lost(at));
            self.world.count(Event::JournalCorruption);
            self.say(at, "its journal rots");
        }
    }

    /// Ends the processes of a host; it comes back after a while.
    pub(crate) fn kill(&mut self, at: usize, how: Event) {
        let Some(life) = self.machines[at].life.take() else { return };
        self.machines[at].disk.kill();
        self.executor.kill(life.group);
        self.world.end(life.group);
        self.world.count(how);
        self.machines[at].sleeps.end(self.world.time.now());
        let back = self.profile.back_min + self.dice.time(self.profile.back_max);
        self.machines[at].back_at = self.world.time.now() + back;
        self.say(at, how.name());
    }

    fn power_loss(&mut self, at: usize) {
        self.kill(at, Event::PowerLoss);
        let now = self.world.time.now();
        self.machines[at].disk.power_loss(&self.dice);
        self.machines[at].reboot(now, &self.dice);
        self.world.everywhere(|judge| judge.power_lost(at));
    }

    fn host_loss(&mut self, at: usize) {
        self.kill(at, Event::HostLoss);
        let now = self.world.time.now();
        self.world.count_disk(&self.machines[at].disk);
        self.machines[at].lose();
        self.machines[at].reboot(now, &self.dice);
        self.world.everywhere(|judge| judge.host_lost(at));
    }

    pub(crate) fn sleep(&mut self, at: usize) {
        let Some(life) = &self.machines[at].life else { return };
        let (min, max) = self.profile.sleep;
        let time = min + self.dice.time(max.saturating_sub(min));
        let now = self.world.time.now();
        let until = now + time;
        self.executor.freeze(life.group, until);
        self.machines[at].sleeps.begin(now, until);
        self.sleepers.push((life.group, until));
        self.world.count(Event::Sleep);
        if time > self.profile.settings.l0_retention {
            self.world.count(Event::LongSleep);
        }
        if time > HOUR {
            self.world.count(Event::HoursOfSleep);
        }
        self.say(at, &format!("sleeps for {time:?}"));
        self.awake_at = self.awake_at.max(until);
    }

    /// A journal that rotted is given up, as its owner would after reading the error.
    pub(crate) fn replace(&mut self, at: usize) {
        self.machines[at].inspect_damage(&self.world);
        self.say(at, "its disk is replaced");
        self.host_loss(at);
    }
}

fn draw(blows: Blows, dice: &Dice) -> Blow {
    let mut at = dice.below(blows.iter().map(|(weight, _)| weight).sum());
    for (weight, blow) in blows {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return *blow,
        }
    }
    unreachable!("BUG: a number below the sum of all is in one of them")
}
