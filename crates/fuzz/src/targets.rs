//! What is fed.

mod cache;
mod journal;
mod journals;
mod ltx;
mod notes;
mod records;
mod reference;
mod settings;
mod text;

use std::sync::LazyLock;

use plimsoll_host::{Host, os};

/// Clock and tasks of this machine; the files of each input are simulated.
fn real_host() -> Host {
    static REAL: LazyLock<Host> = LazyLock::new(|| os::host().expect("BUG: this machine has no clock"));
    REAL.clone()
}

/// A decoder, and what to begin with.
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Decodes an input, and panics if that is wrong.
    pub feed: fn(&[u8]),
    /// Sound inputs, written by the code as it is.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// For what lies in stores and on disks: reads an input that some version has written, and panics if it cannot.
    pub read: Option<fn(&[u8])>,
    /// What the format is made of.
    pub words: &'static [&'static [u8]],
    /// Longest input that is worth it.
    pub bytes_max: usize,
}

/// Every decoder.
pub const ALL: [Target; 17] = [
    ltx::WHOLE,
    ltx::FRAME,
    ltx::TAIL,
    ltx::HEADER,
    ltx::SIDECAR,
    ltx::PLAN,
    text::KEYS,
    text::URLS,
    journal::SEGMENTS,
    journals::JOURNALS,
    cache::FILES,
    records::RECORDS,
    notes::NOTES,
    reference::TOKENS,
    reference::REFERENCES,
    settings::FILE,
    settings::TEXT,
];
