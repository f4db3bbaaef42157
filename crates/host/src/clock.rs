//! Time: one clock for measuring, one for showing to people.

use std::{fmt, ops::Add, time::Duration};

use futures::future::BoxFuture;

/// A point on this host's monotonic clock, which also runs while the host is suspended.
///
/// Comparable only with points taken since the same boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub Duration);

impl Mono {
    /// Time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    fn add(self, after: Duration) -> Mono {
        Mono(self.0.saturating_add(after))
    }
}

/// Milliseconds since 1970, for people and file headers. May jump; nothing's safety rests on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallMs(pub u64);

impl fmt::Display for WallMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the engine reads time and waits for it to pass.
pub trait Clock: Send + Sync {
    /// Now, on the clock that runs during suspend (`CLOCK_BOOTTIME`).
    fn now(&self) -> Mono;

    /// Now, for people.
    fn wall(&self) -> WallMs;

    /// Completes once `now() >= deadline`.
    fn sleep_until(&self, deadline: Mono) -> BoxFuture<'static, ()>;

    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + duration)
    }
}
