//! What the processes of a volume say, and whether it may be so.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{Arrival, Voyage};
use crate::{
    campaign::count,
    child::Child,
    ledger::Loss,
    speech::{Found, Said},
};

/// Longest that opening, one transaction, or closing may take before it counts as hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

impl Voyage<'_> {
    pub(super) fn hear(&mut self, said: &Said) -> Result<(), String> {
        if let Said::Found(found) = said {
            return self.check(found);
        }
        if let Said::Committed(..) = said {
            count(&self.tally.acked, 1);
            self.hosts.acknowledged();
        }
        match said {
            Said::Failed(n, error) if self.failing => {
                self.note(&format!("transaction {n}: {error}"));
                return Ok(());
            }
            // What it could not make durable is in the journal, as far as that could be synced.
            Said::Closed(Some(error)) if self.failing => {
                self.note(&format!("closing: {error}"));
                return Ok(());
            }
            Said::Closed(_) => self.closed = true,
            _ => {}
        }
        self.ledger.hear(said, self.generation)
    }

    fn check(&mut self, found: &Found) -> Result<(), String> {
        count(&self.tally.checks, 1);
        self.opened = true;
        let dark = std::mem::take(&mut self.in_the_dark);
        let outdated = std::mem::take(&mut self.hosts.current.outdated);
        // As long as nothing was ever synced, whoever comes back first begins the history.
        let usable = !outdated || self.ledger.durable() == 0;
        let claim = self.hosts.current.claim.take().filter(|_| usable);
        let resumed = claim.is_some_and(|line| self.ledger.resumes(found, &line));
        if resumed {
            if outdated && let Some(host) = self.hosts.find(self.holder) {
                host.left_behind = true;
            }
            self.hosts.current.left_behind = false;
        } else {
            let loss = match self.arrival {
                Arrival::Stayed if dark => Loss::Power,
                Arrival::Stayed => Loss::Process,
                Arrival::New | Arrival::Back => Loss::Host,
            };
            let lost = self.ledger.check(found, loss).map_err(|error| format!("{error} ({:?})", self.arrival))?;
            count(&self.tally.lost, lost);
            if loss == Loss::Host
                && lost > 0
                && let Some(host) = self.hosts.find(self.holder)
            {
                host.left_behind = true;
            }
        }
        let (before, now) = (self.hosts.current.stranded, found.stranded.len());
        let (n, number, behind) = (found.n, self.hosts.current.number, self.hosts.current.left_behind);
        let line = format!("found {n}, resumed {resumed}, stranded {before} to {now}, left behind {behind}");
        self.note(&format!("host {number} {:?}: {line}", self.arrival));
        let host = &mut self.hosts.current;
        if now < before + usize::from(host.left_behind) {
            return Err(format!(
                "{before} journals were kept aside, and {} had to be; now it reports {:?}",
                u8::from(host.left_behind),
                found.stranded
            ));
        }
        count(&self.tally.stranded, (now - before) as u64);
        host.stranded = now;
        host.left_behind = false;
        self.holder = host.number;
        self.arrival = Arrival::Stayed;
        Ok(())
    }

    /// Looks at what the store holds, as another host would see it.
    pub(super) fn peek(&mut self) -> Result<(), String> {
        let state = self.dir.join("reader");
        let launch = self.launch(&["peek".to_owned(), format!("--database={}", self.database)], &state, false);
        let child = Child::start(&launch).map_err(|error| error.to_string())?;
        let said = child.next(Instant::now() + PATIENCE).map_err(|silence| format!("a reader is {silence:?}"))?;
        drop(child);
        match said {
            Said::Found(found) => {
                count(&self.tally.checks, 1);
                self.ledger.check_stored(&found).map_err(|error| format!("{error} (in the store)"))?;
            }
            // Nothing was ever synced.
            Said::Failed(_, error) if error.contains("unable to open") && self.ledger.durable() == 0 => {}
            other => return Err(format!("a reader said {other:?}")),
        }
        fs::remove_dir_all(&state).or_else(ignore_missing).map_err(|error| error.to_string())
    }
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
