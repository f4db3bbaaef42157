//! For how long somebody did nothing but wait: no request of his was on its way.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{network::lock, time::Time};

/// See the [module](self). A clone is another handle to it.
#[derive(Clone)]
pub(crate) struct Waiting {
    time: Time,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Requests that are on their way.
    asked: usize,
    /// When that last changed to or from none.
    since: Duration,
    waited: Duration,
    /// Requests so far.
    requests: u64,
}

impl Waiting {
    /// From now on.
    pub(crate) fn new(time: &Time) -> Self {
        let state = State { asked: 0, since: time.now(), waited: Duration::ZERO, requests: 0 };
        Waiting { time: time.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// A request is on its way until this is dropped.
    pub(crate) fn ask(&self) -> Asked {
        let (now, mut state) = (self.time.now(), lock(&self.state));
        if state.asked == 0 {
            let waited = now - state.since;
            state.waited += waited;
        }
        state.asked += 1;
        state.requests += 1;
        drop(state);
        Asked(self.clone())
    }

    /// How many requests there were so far.
    pub(crate) fn requests(&self) -> u64 {
        lock(&self.state).requests
    }

    /// How long it was so far.
    pub(crate) fn total(&self) -> Duration {
        let (now, state) = (self.time.now(), lock(&self.state));
        state.waited + if state.asked == 0 { now - state.since } else { Duration::ZERO }
    }
}

/// See [`Waiting::ask`].
pub(crate) struct Asked(Waiting);

impl Drop for Asked {
    fn drop(&mut self) {
        let (now, mut state) = (self.0.time.now(), lock(&self.0.state));
        state.asked -= 1;
        if state.asked == 0 {
            state.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_without_any_request_is_waiting() {
        let time = Time::default();
        let waiting = Waiting::new(&time);
        let at = |ms| time.advance(Duration::from_millis(ms));
        at(10);
        let one = waiting.ask();
        at(500);
        let other = waiting.ask();
        drop(one);
        at(2_000);
        assert_eq!(waiting.total(), Duration::from_millis(10));
        drop(other);
        at(2_300);
        assert_eq!(waiting.total(), Duration::from_millis(310));
    }
}
