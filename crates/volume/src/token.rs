//! Session tokens: how much of a volume somebody has seen, to be carried to another host or over a restart.

use std::{fmt, str::FromStr};

use plimsoll_model::{Epoch, Error, ErrorKind, Lsn, Result, Txid};
use xxhash_rust::xxh3::xxh3_64;

/// What a token's text begins with; another layout would get another one.
const MARK: &str = "plt1";
/// Volume 16, epoch 4, TXID 8, LSN 8, all big-endian.
const BYTES: usize = 36;
const CHECK_DIGITS: usize = 8;

/// How much of a volume somebody has seen. Opaque to whoever carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The volume's identity.
    pub(crate) volume: [u8; 16],
    /// The writer whose commit was not in the store yet; zero if everything seen was.
    pub(crate) epoch: Epoch,
    /// The newest sync in it.
    pub(crate) txid: Txid,
    /// The last commit in it.
    pub(crate) lsn: Lsn,
}

impl Token {
    fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(&self.volume);
        bytes[16..20].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.txid.0.to_be_bytes());
        bytes[28..].copy_from_slice(&self.lsn.0.to_be_bytes());
        bytes
    }
}

fn check(bytes: &[u8; BYTES]) -> String {
    format!("{:08x}", xxh3_64(bytes) >> 32)
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        f.write_str(MARK)?;
        for byte in bytes {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(&check(&bytes))
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Token> {
        let parsed = || {
            let digits = text.trim().strip_prefix(MARK)?;
            if digits.len() != 2 * BYTES + CHECK_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            let mut bytes = [0; BYTES];
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
            }
            let (volume, rest) = bytes.split_first_chunk::<16>()?;
            let (epoch, rest) = rest.split_first_chunk::<4>()?;
            let (txid, rest) = rest.split_first_chunk::<8>()?;
            let lsn = rest.first_chunk::<8>()?;
            let token = Token {
                volume: *volume,
                epoch: Epoch(u32::from_be_bytes(*epoch)),
                txid: Txid(u64::from_be_bytes(*txid)),
                lsn: Lsn(u64::from_be_bytes(*lsn)),
            };
            (digits.get(2 * BYTES..)? == check(&bytes)).then_some(token)
        };
        parsed().ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "reading a session token")
                .why("it is not as it was given out")
                .hint("pass on the whole text that plimsoll_token() has returned")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "plt1303132333435363738396162636465660000000700000000000000110000000000000022";

    fn token() -> Token {
        Token { volume: *b"0123456789abcdef", epoch: Epoch(7), txid: Txid(0x11), lsn: Lsn(0x22) }
    }

    #[test]
    fn the_text_of_a_token_does_not_change() {
        let text = token().to_string();
        assert_eq!(&text[..TEXT.len()], TEXT);
        assert_eq!(text.parse::<Token>().unwrap(), token());
    }

    #[test]
    fn a_token_that_was_changed_on_the_way_is_refused() {
        let text = token().to_string();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(changed.parse::<Token>().unwrap_err().kind(), ErrorKind::Invalid, "{changed}");
            assert!(text[..at].parse::<Token>().is_err());
        }
        assert!("plt1é".repeat(40).parse::<Token>().is_err());
    }
}
