//! What an input may cost: memory in proportion to its length, and an end.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::Write as _,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Allocations that are refused, so that a lying length ends the program rather than the machine.
const ONE_MAX: usize = 1 << 30;
/// What any decoder may take, and how much more for each byte that it reads.
const PEAK_MAX: usize = 64 << 20;
const PEAK_PER_BYTE: usize = 64;
/// An input is decoded in microseconds. This is for what does not end at all.
const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// What is being decoded, to be named where there is no way back.
static INPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Says on standard error what is wrong with the input; not by a macro, whose words tests would keep to themselves.
fn name_input(why: &str) {
    if let Ok(input) = INPUT.try_lock() {
        let _ = writeln!(std::io::stderr(), "{why}\nthe input is {}", input.escape_ascii());
    }
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn took(bytes: usize) {
    let _ = NOW.try_with(|now| {
        now.set(now.get().saturating_add(bytes));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

fn gave(bytes: usize) {
    let _ = NOW.try_with(|now| now.set(now.get().saturating_sub(bytes)));
}

// SAFETY: everything is handed on to the system's allocator, or refused as it may be.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > ONE_MAX {
            name_input("an input makes us allocate more than there is");
            return std::ptr::null_mut();
        }
        took(layout.size());
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Runs something; the most memory that it held at once.
pub(crate) fn peak_of(run: impl FnOnce()) -> usize {
    let before = NOW.get();
    PEAK.set(before);
    run();
    PEAK.get() - before
}

/// What an input of some bytes may take.
pub(crate) fn peak_max(bytes: usize) -> usize {
    PEAK_MAX + bytes * PEAK_PER_BYTE
}

static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static WATCH: Once = Once::new();

/// Runs something that ends the program if it takes for ever.
pub(crate) fn watched(input: &[u8], run: impl FnOnce()) {
    {
        let mut kept = INPUT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clear();
        kept.extend_from_slice(input);
    }
    WATCH.call_once(|| drop(std::thread::spawn(watch)));
    BEGUN.fetch_add(1, Ordering::Relaxed);
    run();
    ENDED.fetch_add(1, Ordering::Relaxed);
}

fn watch() {
    let mut last = u64::MAX;
    loop {
        std::thread::sleep(PATIENCE);
        let (ended, begun) = (ENDED.load(Ordering::Relaxed), BEGUN.load(Ordering::Relaxed));
        if ended == last && begun > ended {
            name_input("the decoding of an input does not end");
            std::process::abort();
        }
        last = ended;
    }
}
