//! Unsigned LEB128, in its shortest form only: equal values have equal bytes.

/// Longest encoding of a `u64`.
const BYTES_MAX: u32 = 10;

pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put`] writes.
pub(crate) fn len(value: u64) -> u64 {
    u64::from((64 - (value | 1).leading_zeros()).div_ceil(7))
}

/// Takes a number off the front. `None` if it is cut short, too long or not in its shortest form.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    // Nearly all of them.
    match **bytes {
        [one, ref rest @ ..] if one < 0x80 => {
            *bytes = rest;
            Some(u64::from(one))
        }
        [one, two @ 1..0x80, ref rest @ ..] => {
            *bytes = rest;
            Some(u64::from(one & 0x7f) | u64::from(two) << 7)
        }
        _ => take_long(bytes),
    }
}

fn take_long(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for place in 0..BYTES_MAX {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if (bits << (7 * place)) >> (7 * place) != bits {
            return None;
        }
        value |= bits << (7 * place);
        if byte < 0x80 {
            return (byte != 0 || place == 0).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_their_length_is_known() {
        for value in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes.len() as u64, len(value), "{value}");
            let mut rest = &bytes[..];
            assert_eq!(take(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn overlong_overflowing_and_cut_numbers_are_refused() {
        assert_eq!(take(&mut &[0x80, 0x00][..]), None);
        assert_eq!(take(&mut &[0x80][..]), None);
        assert_eq!(take(&mut &[][..]), None);
        assert_eq!(take(&mut &[0xff; 11][..]), None);
        let two_to_the_64 = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
        assert_eq!(take(&mut &two_to_the_64[..]), None);
    }
}
