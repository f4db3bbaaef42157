//! What befalls the hosts, the network and the disks.

use std::time::Duration;

use crate::{coverage::Event, run::Run};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

impl Run {
    /// Something happens to somebody.
    pub(crate) fn strike(&mut self) {
        let dice = self.dice.clone();
        let at = usize::try_from(dice.below(self.machines.len() as u64)).unwrap_or(0);
        let now = self.world.time.now();
        let alive = self.machines[at].life.is_some();
        match dice.below(100) {
            0..14 if alive => self.kill(at, Event::Kill),
            14..24 if alive => self.power_loss(at),
            24..27 => self.host_loss(at),
            27..35 if alive => {
                self.say(at, "dies at a change of its disk soon");
                self.machines[at].disk.die_after(dice.below(60));
            }
            35..43 => {
                if let Some(life) = &self.machines[at].life {
                    self.world.doom(life.group);
                    self.say(at, "dies at a request soon");
                }
            }
            43..52 if alive => self.sleep(at),
            52..60 => {
                let until = now + dice.time(120 * SECOND);
                self.world.weather().cut_off.insert(at, until);
                self.world.count(Event::Partition);
                self.say(at, &format!("is cut off until {until:?}"));
            }
            60..65 => {
                let until = now + dice.time(60 * SECOND);
                self.world.weather().storm_until = until;
                self.world.count(Event::Storm);
                self.say(at, &format!("a storm until {until:?}"));
            }
            65..70 => {
                let room = dice.below(30_000);
                let used = self.machines[at].disk.used();
                self.machines[at].disk.set_capacity(Some(used + room));
                self.world.count(Event::DiskFull);
                self.say(at, &format!("its disk has room for {room} bytes"));
            }
            70..75 => {
                self.machines[at].disk.set_capacity(None);
                self.say(at, "its disk has room");
            }
            75..78 => {
                self.machines[at].disk.fail_syncs(1, dice.roll());
                self.world.count(Event::SyncFailed);
                self.say(at, "a sync of its disk will fail");
            }
            78..81 => {
                self.machines[at].disk.fail_writes(1);
                self.world.count(Event::WriteFailed);
                self.say(at, "a write to its disk will fail");
            }
            81..90 => self.rot_cache(at),
            90..92 if !alive => self.lose_cache(at),
            92..96 if !alive && self.profile.rough => self.rot_journal(at),
            96..98 => {
                self.machines[at].jump(&dice);
                self.world.count(Event::ClockJump);
                self.say(at, "its wall clock jumps");
            }
            _ => {}
        }
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
            self.world.judge().host_lost(at);
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
        self.machines[at].back_at = self.world.time.now() + self.dice.time(60 * SECOND);
        self.say(at, how.name());
    }

    fn power_loss(&mut self, at: usize) {
        self.kill(at, Event::PowerLoss);
        let now = self.world.time.now();
        self.machines[at].disk.power_loss(&self.dice);
        self.machines[at].reboot(now, &self.dice);
        self.world.judge().power_lost(at);
    }

    fn host_loss(&mut self, at: usize) {
        self.kill(at, Event::HostLoss);
        let now = self.world.time.now();
        self.machines[at].lose();
        self.machines[at].reboot(now, &self.dice);
        self.world.judge().host_lost(at);
    }

    fn sleep(&mut self, at: usize) {
        let Some(life) = &self.machines[at].life else { return };
        let time = self.dice.time(3 * HOUR);
        let until = self.world.time.now() + time;
        self.executor.freeze(life.group, until);
        self.world.count(Event::Sleep);
        if time > self.profile.settings.l0_retention {
            self.world.count(Event::LongSleep);
        }
        self.say(at, &format!("sleeps for {time:?}"));
        self.awake_at = self.awake_at.max(until);
    }

    /// A journal that rotted is given up, as its owner would after reading the error.
    pub(crate) fn replace(&mut self, at: usize) {
        self.say(at, "its disk is replaced");
        self.host_loss(at);
    }
}
