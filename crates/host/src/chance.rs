//! Randomness.

/// A source of random numbers. Not for secrets.
pub trait Chance: Send + Sync {
    /// The next 64 random bits.
    fn bits(&self) -> u64;

    /// A number below `bound` (0 if `bound` is 0). Slightly biased, which jitter does not mind.
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.bits() % bound }
    }
}
