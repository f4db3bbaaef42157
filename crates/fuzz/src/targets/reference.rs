//! Session tokens, and words for states.

use plimsoll_host::WallMs;
use plimsoll_volume::{Reference, Token, split_reference};

use crate::Target;

pub(super) const TOKENS: Target = Target {
    name: "tokens",
    feed: tokens,
    seeds: || vec![format!("plt1{}", "0".repeat(80)).into_bytes()],
    read: None,
    words: &[b"plt1", b"ffffffffffffffff", b" "],
    bytes_max: 120,
};
pub(super) const REFERENCES: Target = Target {
    name: "references",
    feed: references,
    seeds: || ["@17", "5 minutes ago", "2026-01-02T03:04:05Z", "nightly"].map(|text| text.as_bytes().to_vec()).to_vec(),
    read: None,
    words: &[b"18446744073709551615", b"99999999999 years ago", b"-", b"T", b"@", b"Z", b"ffffffffffffffff"],
    bytes_max: 100,
};

fn tokens(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string().parse::<Token>().expect("our own token is refused"), token);
    }
}

fn references(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    drop(split_reference(text));
    for now in [0, 1_700_000_000_000, u64::MAX] {
        drop(Reference::parse(text, WallMs(now)));
        drop(Reference::time(text, WallMs(now)));
    }
    drop(Reference::txid(text));
    drop(Reference::checkpoint(text));
}
