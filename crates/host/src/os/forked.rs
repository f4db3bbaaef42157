//! What a `fork` of the process does to open volumes.
//!
//! The child inherits the memory but none of the threads. Its copies of the volumes must answer
//! with an error, and must not keep the parent's file locks alive after the parent has died.

use std::{
    os::fd::RawFd,
    sync::{
        Once,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
};

/// Locks that a process may hold at once and still survive a `fork` properly: two for each volume that it holds. Memory is
/// behind those only that are used.
const LOCKS_MAX: usize = 1 << 16;

/// Otherwise the descriptor and one.
const EMPTY: i32 = 0;

static GENERATION: AtomicU64 = AtomicU64::new(0);
static LOCKS: [AtomicI32; LOCKS_MAX] = [const { AtomicI32::new(EMPTY) }; LOCKS_MAX];
static HOOK: Once = Once::new();

/// How many forks lie between the first process and this one. A handle from an earlier generation
/// belongs to the parent.
pub fn generation() -> u64 {
    HOOK.call_once(|| {
        // SAFETY: the handler touches atomics and calls close(2) only, both allowed after fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    for slot in &LOCKS {
        if slot.load(Ordering::Relaxed) == EMPTY {
            continue;
        }
        let fd = slot.swap(EMPTY, Ordering::Relaxed) - 1;
        if fd >= 0 {
            // SAFETY: the descriptor was registered by its owner, whose copy in the child is never used again:
            // every handle of an earlier generation refuses to work.
            unsafe { libc::close(fd) };
        }
    }
}

pub(super) fn remember(fd: RawFd) {
    generation();
    for slot in &LOCKS {
        if slot.compare_exchange(EMPTY, fd + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}

pub(super) fn forget(fd: RawFd) {
    for slot in &LOCKS {
        if slot.compare_exchange(fd + 1, EMPTY, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}
