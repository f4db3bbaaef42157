//! What an extension logs: lines on stderr, unless the program around it has arranged for something else.
//!
//! A program that links this code arranges its own logging.

use std::{
    io::{IsTerminal, stderr},
    sync::atomic::{AtomicBool, Ordering},
};

use tracing_subscriber::EnvFilter;

static WANTED: AtomicBool = AtomicBool::new(false);

/// This code was loaded as an extension, so nobody else will arrange for logging.
pub(crate) fn wanted() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Starts logging as the setting `log` says, at the first volume that is opened.
pub(crate) fn start(log: &str) {
    if !WANTED.swap(false, Ordering::Relaxed) {
        return;
    }
    // A filter that cannot be read leaves the default: errors.
    let filter = EnvFilter::try_new(log).unwrap_or_else(|_| EnvFilter::new("error"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    // Somebody else's subscriber stays.
    let _ = subscriber.with_ansi(stderr().is_terminal()).try_init();
}
