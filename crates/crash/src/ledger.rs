//! What was promised to whoever listened to the workers, and whether it was kept.

use std::collections::BTreeMap;

use crate::{
    model::Model,
    speech::{Advertised, Found, Said, Synchronous},
    work::step,
};

/// What happened to the workers' host since it was last looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Only the process was killed.
    Process,
    /// The power went, and the disk has what was synced.
    Power,
    /// The host is gone with its disk.
    Host,
}

/// The transactions of a line of history: which generation made each, the first is number 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    makers: Vec<u64>,
    /// The last that was acknowledged.
    pub acked: u64,
}

/// See the [module](self).
#[derive(Clone)]
pub struct Ledger {
    seed: u64,
    line: Line,
    /// The last that is known to be in the object store.
    durable: u64,
    /// The last that is known to be synced on its host's disk.
    journaled: u64,
    advertised: Option<Advertised>,
    /// LSNs of the running worker at which so many transactions were acknowledged.
    marks: Vec<(u64, u64)>,
    /// The most that may be acknowledged and not durable.
    max_dirty_bytes: Option<u64>,
    /// States that were seen.
    states: BTreeMap<u64, Model>,
}

impl Ledger {
    /// Of a new volume.
    #[must_use]
    pub fn new(seed: u64, max_dirty_bytes: Option<u64>) -> Self {
        Ledger {
            seed,
            line: Line::default(),
            durable: 0,
            journaled: 0,
            advertised: None,
            marks: Vec::new(),
            max_dirty_bytes,
            states: BTreeMap::new(),
        }
    }

    /// The line of history, as far as it was begun.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The last transaction that is known to be in the object store.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Takes note of what a worker of a generation said.
    ///
    /// # Errors
    /// What it said is against a promise.
    pub fn hear(&mut self, said: &Said, generation: u64) -> Result<(), String> {
        match said {
            Said::Begin(n) => {
                self.line.makers.truncate(index(n - 1));
                self.line.makers.push(generation);
                self.states.retain(|known, _| known < n);
                Ok(())
            }
            Said::Committed(n, synchronous) => {
                self.line.acked = *n;
                match synchronous {
                    Synchronous::Off | Synchronous::Normal => {}
                    Synchronous::Full => self.journaled = *n,
                    Synchronous::Extra => self.durable = *n,
                }
                Ok(())
            }
            Said::Status(status) => self.advertise(status),
            Said::Closed(None) => {
                self.durable = self.line.acked;
                Ok(())
            }
            Said::Found(_) | Said::Kept(..) => Ok(()),
            Said::Closed(Some(error)) => Err(format!("closing failed: {error}")),
            Said::Failed(n, error) => Err(format!("transaction {n} failed: {error}")),
        }
    }

    fn advertise(&mut self, status: &Advertised) -> Result<(), String> {
        self.marks.push((status.appended, status.n));
        let known = |upto: u64| self.marks.iter().rev().find(|(lsn, _)| *lsn <= upto).map_or(0, |(_, n)| *n);
        let (durable, journaled) = (known(status.durable), known(status.journaled));
        self.durable = self.durable.max(durable);
        self.journaled = self.journaled.max(journaled);
        let before = self.advertised.replace(status.clone());
        if let Some(before) = before
            && (status.durable < before.durable || status.appended < before.appended)
        {
            return Err(format!("a watermark went back: {before:?}, then {status:?}"));
        }
        if status.durable > status.appended {
            return Err(format!("more is durable than there is: {status:?}"));
        }
        if let Some(line) = self.max_dirty_bytes
            && status.bytes > line
            && status.commits > 1
        {
            return Err(format!("the load is over its line of {line} bytes: {status:?}"));
        }
        Ok(())
    }

    /// The rows after transaction `n`.
    fn model(&mut self, n: u64) -> &Model {
        let (from, mut model) =
            self.states.range(..=n).next_back().map_or((0, Model::default()), |(from, model)| (*from, model.clone()));
        for done in from + 1..=n {
            model.apply(&step(self.seed, self.line.makers[index(done - 1)], done));
        }
        self.states.entry(n).or_insert(model)
    }

    /// Whether the database is the state after some transaction of the line, with nothing else in it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn is_a_state(&mut self, found: &Found) -> Result<(), String> {
        if found.check != "ok" {
            return Err(format!("integrity_check after transaction {}: {}", found.n, found.check));
        }
        let maker = (found.n > 0).then(|| self.line.makers.get(index(found.n - 1)).copied());
        match maker {
            None if found.generation == 0 => {}
            Some(Some(generation)) if generation == found.generation => {}
            other => {
                return Err(format!(
                    "transaction {} of generation {} is there, the history has {other:?} (acknowledged {}, begun {})",
                    found.n,
                    found.generation,
                    self.line.acked,
                    self.line.makers.len()
                ));
            }
        }
        let rows = &found.rows;
        self.model(found.n)
            .difference(rows)
            .map_or(Ok(()), |difference| Err(format!("not the state after transaction {}: {difference}", found.n)))
    }

    /// Checks what a reader without any local state found, and learns what is durable from it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_stored(&mut self, found: &Found) -> Result<(), String> {
        self.is_a_state(found)?;
        if found.n < self.durable {
            return Err(format!("transaction {} is durable, the store has only {}", self.durable, found.n));
        }
        self.durable = found.n;
        Ok(())
    }

    /// Checks what the next worker found, and goes on from there. Returns how many acknowledged
    /// transactions are gone.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&mut self, found: &Found, loss: Loss) -> Result<u64, String> {
        self.is_a_state(found)?;
        let Line { acked, .. } = self.line;
        let lost = acked.saturating_sub(found.n);
        if found.n < self.durable {
            return Err(format!("transaction {} was durable, only {} are there", self.durable, found.n));
        }
        match loss {
            Loss::Process if lost > 0 => {
                return Err(format!("transaction {acked} was acknowledged, only {} are there", found.n));
            }
            Loss::Power if found.n < self.journaled => {
                return Err(format!("transaction {} was synced, only {} are there", self.journaled, found.n));
            }
            Loss::Process | Loss::Power => {}
            Loss::Host => {
                // What was acknowledged after the last look at the load is at risk, too.
                if let Some(last) = &self.advertised
                    && lost > last.commits + acked.saturating_sub(last.n)
                {
                    return Err(format!("{lost} of {acked} transactions are lost, the load was {last:?}"));
                }
                self.durable = found.n;
            }
        }
        self.go_on(found.n);
        Ok(lost)
    }

    fn go_on(&mut self, n: u64) {
        self.line.acked = n;
        // Opening syncs what it finds.
        self.journaled = n;
        self.advertised = None;
        self.marks.clear();
    }

    /// Checks whether a host that came back went on with a line of its own, and lost nothing of it. Then
    /// that line is the history.
    pub fn resumes(&mut self, found: &Found, line: &Line) -> bool {
        if found.n < line.acked {
            return false;
        }
        let (now, states) = (self.line.clone(), self.states.clone());
        self.line = line.clone();
        // States of the other line may differ from here on.
        self.states.clear();
        if self.is_a_state(found).is_ok() {
            self.go_on(found.n);
            return true;
        }
        (self.line, self.states) = (now, states);
        false
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("BUG: more transactions than memory")
}
