//! The checksum at the end of a record: `…,"check":"<16 hexadecimal digits>"}`, the XXH3-64 of all that
//! precedes the comma. A digit that flips in a number is still JSON, so JSON itself notices nothing.

use xxhash_rust::xxh3::xxh3_64;

const CHECK: &str = ",\"check\":\"";
const END: &str = "\"}";

/// Adds the checksum to a JSON object that has at least one field.
pub(crate) fn seal(mut json: Vec<u8>) -> Vec<u8> {
    let brace = json.pop();
    debug_assert_eq!(brace, Some(b'}'), "BUG: not an object");
    let check = format!("{CHECK}{:016x}{END}\n", xxh3_64(&json));
    json.extend_from_slice(check.as_bytes());
    json
}

/// Checks it. The error says why it does not hold.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    compare(bytes).unwrap_or_else(|| Err("it does not end with its checksum".to_owned()))
}

/// Compares what it ends with, `None` if that is no such checksum.
pub(crate) fn compare(bytes: &[u8]) -> Option<Result<(), String>> {
    let bytes = bytes.trim_ascii_end();
    let at = bytes.len().checked_sub(CHECK.len() + 16 + END.len())?;
    let (before, end) = bytes.split_at(at);
    let digits = end.strip_prefix(CHECK.as_bytes())?.strip_suffix(END.as_bytes())?;
    let (stated, actual) = (str::from_utf8(digits).ok()?, format!("{:016x}", xxh3_64(before)));
    Some(if actual == stated { Ok(()) } else { Err(format!("checksum {actual}, expected {stated}")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flipped_bit_is_noticed() {
        let sealed = seal(br#"{"lsn":3,"host":"h1"}"#.to_vec());
        assert_eq!(check(&sealed), Ok(()));
        for at in 0..sealed.len() - 1 {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << bit;
                assert!(check(&flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn each_cut_is_noticed() {
        let sealed = seal(br#"{"lsn":3}"#.to_vec());
        for length in 0..sealed.len() - 1 {
            assert!(check(&sealed[..length]).is_err(), "{length}");
        }
    }
}
