//! Group commit: one sync serves all that appended before it started.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use plimsoll_model::Result;

use crate::{Position, append::Shared};

/// A sync that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Everything before this survives power loss.
    pub up_to: Position,
    /// Whether this call synced, rather than finding it done or waiting for another's.
    pub ran: bool,
}

#[derive(Default)]
pub(crate) struct Group {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether somebody is syncing.
    running: bool,
    /// How many wait for that: waking nobody is a system call, too.
    waiting: u32,
}

impl Group {
    /// Waits until everything before `position` is synced; `sync` does it, for as much as there is
    /// when it starts.
    pub(crate) fn wait(&self, shared: &Shared, position: Position, sync: impl Fn() -> Result<()>) -> Result<Synced> {
        let mut ran = false;
        let mut state = self.lock();
        loop {
            let up_to = shared.synced();
            if up_to >= position {
                return Ok(Synced { up_to, ran });
            }
            shared.poison.check()?;
            if state.running {
                state.waiting += 1;
                state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.waiting -= 1;
                continue;
            }
            state.running = true;
            drop(state);
            let turn = Turn(self);
            // A failure must be known before the next one can take its turn.
            let result = sync().map_err(|error| shared.poison.with(error));
            drop(turn);
            result?;
            ran = true;
            state = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the others go on, also when the sync panics.
struct Turn<'a>(&'a Group);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.lock();
            state.running = false;
            state.waiting
        };
        if waiting > 0 {
            self.0.done.notify_all();
        }
    }
}
