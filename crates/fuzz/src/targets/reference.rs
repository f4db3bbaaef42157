//! Session tokens, and words for states.

use plimsoll_host::WallMs;
use plimsoll_volume::{Reference, Token, split_reference};
use xxhash_rust::xxh3::xxh3_64;

use crate::Target;

pub(super) const TOKENS: Target = Target {
    name: "tokens",
    feed: tokens,
    seeds: || vec![sealed(TOKEN), sealed(&"0".repeat(TOKEN_DIGITS))],
    read: Some(read_token),
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

/// Volume, epoch 7, TXID 17, commit 34.
const TOKEN: &str = "303132333435363738396162636465660000000700000000000000110000000000000022";
const TOKEN_DIGITS: usize = TOKEN.len();

/// A token with its checksum, as it is given out.
fn sealed(digits: &str) -> Vec<u8> {
    let byte =
        |at: usize| digits.get(at..at + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok()).unwrap_or_default();
    let bytes: Vec<u8> = (0..TOKEN_DIGITS / 2).map(|at| byte(2 * at)).collect();
    format!("plt1{digits}{:08x}", xxh3_64(&bytes) >> 32).into_bytes()
}

fn tokens(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let digits = text.get(4..4 + TOKEN_DIGITS).unwrap_or_default();
    for text in [text.as_bytes(), &sealed(digits)] {
        let Some(token) = str::from_utf8(text).ok().and_then(|text| text.parse::<Token>().ok()) else { continue };
        assert_eq!(token.to_string().parse::<Token>().expect("our own token is refused"), token);
    }
}

/// Whoever was given a token may bring it back to a later version.
fn read_token(input: &[u8]) {
    let text = str::from_utf8(input).expect("a token is text");
    let token = text.parse::<Token>().expect("a token of an earlier version is refused");
    assert_eq!(token.to_string(), text);
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
