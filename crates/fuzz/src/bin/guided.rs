//! One target under libFuzzer, which prefers inputs that reach code that no other reached. `cargo xtask fuzz` builds it
//! with counters in our code, and says by [`TARGET`] which target it is.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plimsoll_fuzz::{ALL, Target, feed_one};

/// The variable that names the target.
const TARGET: &str = "PLIMSOLL_FUZZ_TARGET";

static CHOSEN: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(TARGET).unwrap_or_default();
    let found = ALL.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("no target is called {name:?}: {TARGET} has to name one"))
});

fuzz_target!(|input: &[u8]| {
    if let Err(why) = feed_one(&CHOSEN, input) {
        panic!("{}: {why}", CHOSEN.name);
    }
});
