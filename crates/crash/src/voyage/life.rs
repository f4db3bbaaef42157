//! One process, from its start to its end.

use std::time::{Duration, Instant};

use super::{Voyage, hearing::PATIENCE};
use crate::{
    campaign::count,
    child::{Child, Silence},
};

/// Why a process is not to be killed as planned.
pub(super) enum Trouble {
    /// It ended by itself.
    Gone(&'static str),
    /// Something is wrong.
    Found(String),
}

impl Trouble {
    pub(super) fn words(self) -> String {
        match self {
            Trouble::Gone(words) => words.to_owned(),
            Trouble::Found(words) => words,
        }
    }
}

impl From<String> for Trouble {
    fn from(found: String) -> Self {
        Trouble::Found(found)
    }
}

impl Voyage<'_> {
    /// One process from its start to the moment at which it is to be killed.
    pub(super) fn life(&mut self, child: &Child) -> Result<(), Trouble> {
        let started = Instant::now();
        if self.random.once_in(7) {
            let at = started + Duration::from_millis(1 + self.random.below(120));
            self.listen_to_the_living(child, at, "the process ended by itself")?;
            count(&self.tally.in_opening, u64::from(!self.opened));
            return Ok(());
        }
        self.listen_for_opening(child)?;
        let span = if self.random.once_in(10) { 1500 } else { 300 };
        let at = Instant::now() + Duration::from_millis(1 + self.random.below(span));
        self.listen_to_the_living(child, at, "the process ended by itself")?;
        match self.random.below(20) {
            0 => {
                child.put_to_sleep();
                std::thread::sleep(Duration::from_millis(100 + self.random.below(2500)));
                child.wake();
                let at = Instant::now() + Duration::from_millis(1 + self.random.below(100));
                self.listen_to_the_living(child, at, "the process ended by itself after a sleep")?;
            }
            1 | 2 => {
                child.tell_to_close();
                let at = Instant::now() + Duration::from_millis(self.random.below(80));
                count(&self.tally.in_closing, u64::from(self.listen(child, at)?));
            }
            3 => {
                child.tell_to_close();
                if self.listen(child, Instant::now() + PATIENCE)? {
                    return Err(Trouble::Found("closing hangs".to_owned()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn listen_to_the_living(&mut self, child: &Child, until: Instant, gone: &'static str) -> Result<(), Trouble> {
        if self.listen(child, until)? { Ok(()) } else { Err(Trouble::Gone(gone)) }
    }

    /// Listens until a moment. Returns whether the process still had something to say.
    fn listen(&mut self, child: &Child, until: Instant) -> Result<bool, String> {
        loop {
            match child.next(until) {
                Ok(said) => self.hear(&said)?,
                Err(Silence::NotYet) => return Ok(true),
                Err(Silence::Gone) => return Ok(false),
            }
        }
    }

    fn listen_for_opening(&mut self, child: &Child) -> Result<(), Trouble> {
        let deadline = Instant::now() + PATIENCE;
        match child.next(deadline) {
            Ok(said) => Ok(self.hear(&said)?),
            Err(Silence::NotYet) => Err(Trouble::Found("opening hangs".to_owned())),
            Err(Silence::Gone) => Err(Trouble::Gone("the process ended by itself while opening")),
        }
    }

    /// Kills it, and hears what it had said until then.
    pub(super) fn kill(&mut self, child: Child) -> Result<(), String> {
        let result = child.kill().iter().try_for_each(|said| self.hear(said));
        self.note(&format!("killed, acknowledged {}", self.ledger.line().acked));
        result
    }
}
