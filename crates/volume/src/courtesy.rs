//! Readers give way to a commit that waits for the disk.
//!
//! A reader whose pages are in memory makes no system call, so where threads are more than cores it keeps its core until the
//! scheduler's next tick, 3 ms here. A commit whose sync takes 0.1 ms would wait for that. So whoever ends a read transaction
//! offers the core now and then while a commit waits. Nobody waits for anybody here: it costs a system call.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Transactions that readers end between two offers, at first.
const SPACING_MIN: u32 = 16;
/// Later it is this part of those that have ended since the wait began.
const SPACING_SHARE: u32 = 8;

/// See the [module](self). What is read here is a hint, and may be late.
#[derive(Default)]
pub(crate) struct Courtesy {
    /// Commits that wait.
    waiting: AtomicU32,
    /// Read transactions that have ended since one began to.
    ended: AtomicU32,
}

/// A commit that waits until this is dropped.
pub(crate) struct Waiting<'a>(&'a Courtesy);

impl Courtesy {
    /// A commit waits from now on.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        if self.waiting.fetch_add(1, Relaxed) == 0 {
            self.ended.store(0, Relaxed);
        }
        Waiting(self)
    }

    /// Counts a read transaction that ends; whether the core is to be offered after it.
    pub(crate) fn is_due(&self) -> bool {
        self.waiting.load(Relaxed) > 0 && is_offered_after(self.ended.fetch_add(1, Relaxed).saturating_add(1))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// Whether it is due after so many transactions: more and more rarely, since what takes long does not end just now.
fn is_offered_after(ended: u32) -> bool {
    let spacing = (ended.checked_ilog2().map_or(0, |log| 1 << log) / SPACING_SHARE).max(SPACING_MIN);
    ended.is_multiple_of(spacing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_offered_soon_after_a_commit_began_to_wait_and_then_more_and_more_rarely() {
        let offers = |most: u32| (1..=most).filter(|ended| is_offered_after(*ended)).count();
        assert_eq!([15, 16, 32, 128, 256, 1 << 20].map(offers), [0, 1, 2, 8, 16, 16 + 8 * 12]);
    }

    #[test]
    fn nothing_is_offered_unless_a_commit_waits_and_each_wait_is_counted_from_its_beginning() {
        let courtesy = Courtesy::default();
        let offered = |ended: u32| (0..ended).filter(|_| courtesy.is_due()).count();
        assert_eq!(offered(1000), 0);
        let first = courtesy.wait();
        assert_eq!(offered(100), 6);
        let second = courtesy.wait();
        drop(first);
        assert_eq!(offered(28), 2);
        drop(second);
        assert_eq!(offered(1000), 0);
        let _third = courtesy.wait();
        assert_eq!((offered(15), offered(1)), (0, 1));
    }
}
