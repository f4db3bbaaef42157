//! Random operations, crashes and reopenings, against a model of what may and must be there.

mod common;

use std::collections::BTreeMap;

use common::{PAGE, Seeded, commit, content, dir, host_with, page};
use plimsoll_host::{Chance, Host, sim_disk::SimDisk};
use plimsoll_journal::{Config, Journal, Place, Replay, TxnNo};
use plimsoll_model::{ErrorKind, Lsn, PageNo, Result, WriterId};

/// Page numbers and what they were filled with.
type Pages = BTreeMap<u32, u64>;

/// What the journal may hold.
#[derive(Default)]
struct Model {
    /// Everything appended, by number.
    commits: BTreeMap<u64, Pages>,
    marks: Vec<(u64, Vec<u8>)>,
    /// The highest commit that is known to be synced.
    synced: u64,
    /// The highest commit that may have been released.
    released: u64,
    /// Whether the last of `commits` is from an append that died half-way.
    unsure: bool,
    places: BTreeMap<(u64, u32), Place>,
}

impl Model {
    fn last(&self) -> u64 {
        self.commits.last_key_value().map_or(self.released, |(lsn, _)| *lsn)
    }

    /// Checks what was replayed, and forgets what a crash took.
    fn check(&mut self, journal: &Journal, replay: &Replay, power_lost: bool) {
        let last = replay.last.0;
        let least = if power_lost { self.synced } else { self.last() - u64::from(self.unsure) };
        assert!((least..=self.last()).contains(&last), "ends at {last}, not between {least} and {}", self.last());
        let first = replay.commits.first().map_or(last + 1, |commit| commit.lsn.0);
        assert!(first <= self.released + 1, "starts at {first}, released was {}", self.released);
        let lsns: Vec<_> = replay.commits.iter().map(|commit| commit.lsn.0).collect();
        assert_eq!(lsns, (first..=last).collect::<Vec<_>>());
        self.places.clear();
        for commit in &replay.commits {
            assert_eq!(commit.wall.0, commit.lsn.0 * 1000);
            // A segment that was released may come back with a power loss, with all that it had.
            let Some(pages) = self.commits.get(&commit.lsn.0) else { continue };
            assert_eq!(
                commit.pages.iter().map(|(page, _)| page.get()).collect::<Vec<_>>(),
                pages.keys().copied().collect::<Vec<_>>()
            );
            for (number, place) in &commit.pages {
                self.places.insert((commit.lsn.0, number.get()), *place);
                self.check_page(journal, commit.lsn.0, *number, *place);
            }
        }
        for (after, payload) in &self.marks {
            assert!(
                *after <= self.released || replay.marks.iter().any(|mark| mark.payload == *payload),
                "the mark after {after} is gone"
            );
        }
        self.commits.split_off(&(last + 1));
        // What was replayed has been synced by the opening.
        self.synced = last;
        self.released = self.released.min(last);
        self.unsure = false;
    }

    fn check_page(&self, journal: &Journal, lsn: u64, number: PageNo, place: Place) {
        let mut out = vec![0; PAGE];
        journal.read(place, number, &mut out).unwrap();
        assert_eq!(out, content(self.commits[&lsn][&number.get()]), "page {number} of commit {lsn}");
    }
}

struct Run<'a> {
    chance: &'a Seeded,
    disk: SimDisk,
    host: Host,
    config: Config,
    model: Model,
    counter: u64,
}

fn borrow<'a>(pages: &[u32], bytes: &'a [Vec<u8>]) -> Vec<(PageNo, &'a [u8])> {
    pages.iter().zip(bytes).map(|(number, bytes)| (page(*number), bytes.as_slice())).collect()
}

impl Run<'_> {
    fn pages(&mut self, into: &mut Pages) -> (Vec<u32>, Vec<Vec<u8>>) {
        let count = match self.chance.below(12) {
            0 => 0,
            1 => 12 + self.chance.below(30),
            _ => 1 + self.chance.below(4),
        };
        let mut numbers = Vec::new();
        let mut bytes = Vec::new();
        for _ in 0..count {
            self.counter += 1;
            let number = 1 + self.chance.below(8) as u32;
            into.insert(number, self.counter);
            numbers.push(number);
            bytes.push(content(self.counter));
        }
        (numbers, bytes)
    }

    fn append(&mut self, journal: &Journal) -> Result<()> {
        let mut pages = Pages::new();
        let txn: Option<TxnNo> = (self.chance.below(4) == 0).then(|| journal.begin());
        if let Some(txn) = txn {
            for _ in 0..self.chance.below(3) {
                let (numbers, bytes) = self.pages(&mut pages);
                if let Err(error) = journal.spill(txn, &borrow(&numbers, &bytes), &mut Vec::new()) {
                    journal.abandon(txn);
                    return Err(error);
                }
            }
            if self.chance.below(4) == 0 {
                if self.chance.below(2) == 0 {
                    journal.abandon(txn);
                }
                return Ok(());
            }
        }
        let (numbers, bytes) = self.pages(&mut pages);
        let lsn = self.model.last() + 1;
        let mut places = Vec::new();
        let appended = journal.append(commit(lsn), &borrow(&numbers, &bytes), txn, &mut places);
        if appended.is_ok() || self.disk.is_dead() {
            self.model.unsure = appended.is_err();
            self.model.commits.insert(lsn, pages);
        }
        if let (Err(_), Some(txn)) = (&appended, txn) {
            journal.abandon(txn);
        }
        appended?;
        for (number, place) in numbers.iter().zip(places) {
            self.model.places.insert((lsn, *number), place);
        }
        Ok(())
    }

    fn step(&mut self, journal: &Journal) -> Result<()> {
        match self.chance.below(20) {
            0..10 => self.append(journal),
            10..13 => {
                let last = self.model.last();
                journal.sync_to(journal.written())?;
                self.model.synced = last;
                if self.chance.below(2) == 0 {
                    // Its failure shows at the append that needs the segment.
                    let _ = journal.prepare();
                }
                Ok(())
            }
            13 => {
                self.counter += 1;
                let payload = self.counter.to_le_bytes().to_vec();
                let last = self.model.last();
                journal.mark(3, &payload)?;
                self.model.marks.push((last, payload));
                self.model.synced = last;
                Ok(())
            }
            14 => {
                let up_to = self.model.released + self.chance.below(1 + self.model.last() - self.model.released);
                self.model.released = up_to;
                self.model.places.retain(|(lsn, _), _| *lsn > up_to);
                journal.release(Lsn(up_to))
            }
            15 => {
                let used = self.disk.used();
                let limit = (self.chance.below(2) == 0).then(|| used + self.chance.below(12 << 10));
                self.disk.set_capacity(limit);
                Ok(())
            }
            16 if self.chance.below(6) == 0 => {
                self.disk.fail_syncs(1, self.chance.bits());
                Ok(())
            }
            17 if self.chance.below(3) == 0 => {
                self.disk.die_after(self.chance.below(12));
                Ok(())
            }
            _ => {
                let at = self.chance.below(1 + self.model.places.len() as u64) as usize;
                if let Some(((lsn, number), place)) = self.model.places.iter().nth(at).filter(|_| !self.disk.is_dead())
                {
                    self.model.check_page(journal, *lsn, page(*number), *place);
                }
                Ok(())
            }
        }
    }

    /// One process: opens, works, ends in one of the possible ways. Takes and returns whether the power has gone
    /// since the journal was last open.
    fn life(&mut self, power_lost: bool) -> bool {
        self.disk.set_capacity(None);
        if self.chance.below(4) == 0 {
            self.disk.die_after(self.chance.below(20));
        }
        let (journal, replay) = match Journal::open(&self.host, dir(), self.config.clone()) {
            Ok(opened) => opened,
            Err(error) if self.disk.is_dead() => {
                assert_ne!(error.kind(), ErrorKind::Corrupt, "{error}");
                return self.end_process() || power_lost;
            }
            Err(error) => panic!("{error}"),
        };
        if self.disk.is_dead() {
            return self.end_process() || power_lost;
        }
        self.model.check(&journal, &replay, power_lost);
        for _ in 0..self.chance.below(60) {
            match self.step(&journal) {
                Err(error) if error.kind() != ErrorKind::Full || self.disk.is_dead() => break,
                _ => {}
            }
        }
        if !self.disk.is_dead() && self.chance.below(4) == 0 {
            self.disk.set_capacity(None);
            if journal.close().is_ok() {
                self.model.synced = self.model.last();
            }
        }
        drop(journal);
        self.end_process()
    }

    fn end_process(&mut self) -> bool {
        self.disk.fail_syncs(0, 0);
        let power_lost = self.chance.below(2) == 0;
        if power_lost {
            self.disk.power_loss(self.chance);
        } else {
            self.disk.kill();
        }
        power_lost
    }
}

#[test]
fn whatever_happens_a_prefix_with_everything_synced_comes_back() {
    let base = plimsoll_host::os::host().unwrap();
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200);
    let first = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + rounds {
        println!("SEED={seed} ROUNDS=1");
        let chance = Seeded::new(seed);
        let disk = SimDisk::new();
        let host = host_with(&base, std::sync::Arc::new(disk.clone()), Seeded::new(!seed));
        let config = Config {
            segment_bytes: 4096 << chance.below(3),
            spare_segments: chance.below(3) as usize,
            ..Config::new([7; 16], WriterId(42))
        };
        let mut run = Run { chance: &chance, disk, host, config, model: Model::default(), counter: seed << 32 };
        let mut power_lost = false;
        for _ in 0..8 {
            power_lost = run.life(power_lost);
        }
    }
}
