//! A circuit breaker: fail fast while a store does not answer.

mod wrapper;

use std::{fmt, time::Duration};

use plimsoll_host::Mono;

pub use self::wrapper::{Breaker, BreakerStore};

/// When to stop asking, and when to ask again.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Consecutive operations without answer, each with its retries spent, that open the breaker.
    pub failures_max: u32,
    /// How long an open breaker refuses before it lets one operation through as a probe, and how long that one has before
    /// it lets another one through beside it.
    pub probe_interval: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy { failures_max: 3, probe_interval: Duration::from_secs(5) }
    }
}

/// What a breaker does with operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Lets everything through.
    Closed,
    /// Refuses at once.
    Open,
    /// One operation is under way to see whether the store answers again; others are refused.
    HalfOpen,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        })
    }
}

/// The decision about one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Pass,
    Probe,
    Refuse { wait: Duration },
}

/// How an admitted operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Any answer, be it a refusal: the store is there.
    Answered,
    NoAnswer,
    /// Nobody waited for the end.
    Abandoned,
}

/// The pure state machine: time comes in, nothing goes out but decisions.
struct Machine {
    policy: BreakerPolicy,
    failures: u32,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    Closed,
    Open { until: Mono },
    HalfOpen { until: Mono },
}

impl Machine {
    fn new(policy: BreakerPolicy) -> Self {
        Machine { policy, failures: 0, phase: Phase::Closed }
    }

    fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn admit(&mut self, now: Mono) -> Admission {
        match self.phase {
            Phase::Closed => Admission::Pass,
            // A probe may take as long as a large upload does; others need not wait for it.
            Phase::Open { until } | Phase::HalfOpen { until } if now >= until => {
                self.phase = Phase::HalfOpen { until: now + self.policy.probe_interval };
                Admission::Probe
            }
            Phase::Open { until } | Phase::HalfOpen { until } => Admission::Refuse { wait: until.since(now) },
        }
    }

    /// `admission` is what [`Machine::admit`] said about the operation.
    fn record(&mut self, now: Mono, admission: Admission, outcome: Outcome) {
        match (outcome, self.phase) {
            // Also from an operation that began before the breaker opened: the store is there.
            (Outcome::Answered, _) => {
                self.failures = 0;
                self.phase = Phase::Closed;
            }
            (Outcome::NoAnswer, Phase::Closed) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= self.policy.failures_max {
                    self.phase = Phase::Open { until: now + self.policy.probe_interval };
                }
            }
            (Outcome::NoAnswer, Phase::HalfOpen { .. }) if admission == Admission::Probe => {
                self.phase = Phase::Open { until: now + self.policy.probe_interval };
            }
            // The probe told nothing, so the next operation is one.
            (Outcome::Abandoned, Phase::HalfOpen { .. }) if admission == Admission::Probe => {
                self.phase = Phase::Open { until: now };
            }
            // Latecomers add nothing to what an open breaker knows.
            (Outcome::NoAnswer | Outcome::Abandoned, _) => {}
        }
    }
}

#[cfg(test)]
mod tests;
