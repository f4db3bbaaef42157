//! Names of the records, relative to the volume's prefix.

use plimsoll_model::{Epoch, Error, ErrorKind, Result};

pub(crate) const EPOCHS: &str = "epoch/";
pub(crate) const STATUSES: &str = "status/";
pub(crate) const PINS: &str = "pins/";
pub(crate) const SWEEPS: &str = "gc/";
/// What pins of forks are called, followed by the fork's identity.
const FORK: &str = "fork-";
const PIN_NAME_BYTES_MAX: usize = 128;

/// The volume's identity.
#[must_use]
pub fn volume_key() -> &'static str {
    "volume.json"
}

/// There in a fork that does not read from other volumes any more.
#[must_use]
pub fn detached_key() -> &'static str {
    "detached.json"
}

/// Folders of a volume's records. Nothing else is in them, and they have no folders of their own.
pub fn record_folders() -> impl Iterator<Item = &'static str> {
    [EPOCHS, STATUSES, PINS, SWEEPS].into_iter()
}

/// There in a fork that is about to give up what it reads from other volumes. It still reads that.
#[must_use]
pub fn detaching_key() -> &'static str {
    "detaching.json"
}

/// One writable open. Keys sort like epochs.
#[must_use]
pub fn epoch_key(epoch: Epoch) -> String {
    format!("{EPOCHS}{:08x}.json", epoch.0)
}

/// What the holder of an epoch says about itself. Keys sort like epochs.
#[must_use]
pub fn status_key(epoch: Epoch) -> String {
    format!("{STATUSES}{:08x}.json", epoch.0)
}

/// The epoch that a key names; `None` for keys of any other shape.
#[must_use]
pub fn parse_epoch_key(key: &str) -> Option<Epoch> {
    parse(key, EPOCHS)
}

/// The epoch of a removal whose decision a key names.
pub(crate) fn parse_removal_key(key: &str) -> Option<Epoch> {
    parse(&format!("{}.json", key.strip_suffix(".go")?), EPOCHS)
}

pub fn parse_status_key(key: &str) -> Option<Epoch> {
    parse(key, STATUSES)
}

fn parse(key: &str, folder: &str) -> Option<Epoch> {
    let digits = key.strip_prefix(folder)?.strip_suffix(".json")?;
    let lower_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != 8 || !lower_hex {
        return None;
    }
    u32::from_str_radix(digits, 16).ok().map(Epoch).filter(|epoch| !epoch.is_zero())
}

/// A checkpoint or fork.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) for a name that is empty, longer than 128 bytes, starts with a dot, or has
/// anything but letters, digits, `.`, `_` and `-`.
pub fn pin_key(name: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > PIN_NAME_BYTES_MAX || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(Error::new(ErrorKind::Invalid, "naming a checkpoint")
            .object(format!("{name:?}"))
            .why("a name has 1 to 128 letters, digits, dots, underscores and dashes, and does not start with a dot"));
    }
    Ok(format!("{PINS}{name}.json"))
}

/// The name that a pin's key holds; `None` for keys of any other shape.
#[must_use]
pub fn parse_pin_key(key: &str) -> Option<&str> {
    let name = key.strip_prefix(PINS)?.strip_suffix(".json")?;
    pin_key(name).is_ok().then_some(name)
}

/// The name of the pin that a fork has in a volume that it reads from. No checkpoint is called so.
#[must_use]
pub fn fork_pin_name(uuid: [u8; 16]) -> String {
    format!("{FORK}{:032x}", u128::from_be_bytes(uuid))
}

/// A name for a checkpoint.
///
/// # Errors
/// `Invalid`: no name of a pin, or one that only forks' pins have.
pub(crate) fn checkpoint_key(name: &str) -> Result<String> {
    if name.starts_with(FORK) {
        return Err(Error::new(ErrorKind::Invalid, "naming a checkpoint")
            .object(format!("{name:?}"))
            .why("names that begin with fork- are those of the pins that forks have"));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::new(ErrorKind::Invalid, "naming a checkpoint")
            .object(format!("{name:?}"))
            .why("digits alone are the number of a sync wherever a state is named"));
    }
    if is_like_a_time(name) {
        return Err(Error::new(ErrorKind::Invalid, "naming a checkpoint")
            .object(format!("{name:?}"))
            .why("it would be taken for a time wherever a state is named"));
    }
    pin_key(name)
}

/// Pure: whether whoever writes this behind a URL means a time, though it is not written as one: a day such as
/// `2026-11-27` or `yesterday`, or a span such as `5m` or `-1h30m`.
#[must_use]
pub fn is_like_a_time(name: &str) -> bool {
    const SPANS: [&str; 12] = ["ms", "s", "sec", "secs", "m", "min", "mins", "h", "hour", "hours", "d", "w"];
    if ["now", "latest", "today", "yesterday"].contains(&name) {
        return true;
    }
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let date: Vec<&str> = name.split('T').next().unwrap_or_default().split('-').collect();
    if let [year, month, day] = date[..]
        && [(year, 4), (month, 2), (day, 2)].iter().all(|(part, length)| digits(part) && part.len() == *length)
    {
        return true;
    }
    let mut rest = name.strip_prefix(['-', '+']).unwrap_or(name);
    let mut spans = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        if !digits(number) || !SPANS.contains(&unit) {
            return false;
        }
        (rest, spans) = (after, spans + 1);
    }
    spans > 0
}

/// What a collector is about to remove. `nonce` is drawn for it.
pub(crate) fn sweep_key(epoch: Epoch, nonce: u64) -> String {
    format!("{SWEEPS}{:08x}-{nonce:016x}.json", epoch.0)
}

/// Beside an announcement: it will be carried out. Sorts before it.
pub(crate) fn decision_key(sweep: &str) -> String {
    format!("{}.go", sweep.strip_suffix(".json").unwrap_or(sweep))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_like_epochs_and_parse_back() {
        let epochs = [Epoch(1), Epoch(9), Epoch(10), Epoch(256), Epoch(u32::MAX)];
        let keys = epochs.map(epoch_key);
        assert!(keys.is_sorted());
        assert_eq!(keys[2], "epoch/0000000a.json");
        assert_eq!(keys.map(|key| parse_epoch_key(&key).unwrap()), epochs);
        assert_eq!(parse_status_key(&status_key(Epoch(7))), Some(Epoch(7)));
    }

    #[test]
    fn keys_of_other_shapes_name_no_epoch() {
        for key in [
            "epoch/00000000.json",
            "epoch/0000000A.json",
            "epoch/000000001.json",
            "epoch/+0000001.json",
            "epoch/00000001.json.tmp",
            "status/00000001.json",
            "epoch/x/00000001.json",
        ] {
            assert_eq!(parse_epoch_key(key), None, "{key}");
        }
    }

    #[test]
    fn pins_have_plain_names() {
        assert_eq!(pin_key("before-upgrade_1.2").unwrap(), "pins/before-upgrade_1.2.json");
        assert_eq!(parse_pin_key("pins/nightly.json"), Some("nightly"));
        for name in ["", ".x", "a/b", "ä", "a b", &"x".repeat(129)] {
            assert_eq!(pin_key(name).unwrap_err().kind(), ErrorKind::Invalid, "{name}");
        }
        for name in ["", "17", "fork-1", "5m", "-5m", "1h30m", "+2d", "2026-11-27", "2026-11-27T1000"] {
            assert_eq!(checkpoint_key(name).unwrap_err().kind(), ErrorKind::Invalid, "{name}");
        }
        for name in ["5x", "v2", "m5", "2026-11-27-nightly", "2026-11", "5m-ago", "-", "at-1700000000000"] {
            assert!(checkpoint_key(name).is_ok(), "{name}");
        }
    }
}
