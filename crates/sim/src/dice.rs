//! A small generator, so that a seed says everything.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use plimsoll_host::Chance;

/// A stream of numbers that a seed decides. A clone is another handle to the same stream.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    /// The stream of a seed for one purpose, told apart from others by a number.
    #[must_use]
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Dice(Arc::new(Mutex::new(mix(seed ^ mix(purpose)))))
    }

    /// 64 random bits.
    #[must_use]
    pub(crate) fn roll(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(*state)
    }

    /// A number below `bound`, which is not 0.
    #[must_use]
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// A number from `low` to `high`, both possible.
    #[must_use]
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `times`; never if `times` is 0.
    #[must_use]
    pub(crate) fn once_in(&self, times: u64) -> bool {
        times != 0 && self.below(times) == 0
    }

    /// One of several.
    #[must_use]
    pub(crate) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap_or(0)]
    }

    /// A time up to `max` where each order of magnitude down to a microsecond is about as likely.
    #[must_use]
    pub(crate) fn time(&self, max: Duration) -> Duration {
        let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX).max(1);
        let magnitude = self.below(u64::from(micros.ilog2()) + 1);
        Duration::from_micros(self.between(1 << magnitude, (2 << magnitude).min(micros).max(1 << magnitude)))
    }
}

impl Chance for Dice {
    fn bits(&self) -> u64 {
        self.roll()
    }
}

/// Spreads what differs in one bit over all of them.
#[must_use]
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
