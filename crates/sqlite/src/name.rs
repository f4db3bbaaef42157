//! From what the application calls a database to a volume's URL and settings.

use std::path;

use plimsoll_host::WallMs;
use plimsoll_model::{Error, ErrorKind, Result};
use plimsoll_store::VolumeUrl;
use plimsoll_volume::Reference;

use crate::pragma;

/// Parameters that belong to SQLite itself.
const SQLITE_PARAMETERS: [&str; 7] = ["vfs", "mode", "cache", "psow", "nolock", "immutable", "modeof"];

/// Longest name, without the zero byte at its end. SQLite copies the name of a super-journal into a
/// buffer of one page when it rolls back, so this stays below the smallest page, as in SQLite's own VFS.
pub(crate) const NAME_BYTES_MAX: usize = 512 - 1;

/// Whether a name is a URL rather than a path.
pub(crate) fn is_url(name: &str) -> bool {
    name.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// The name under which SQLite will know the database: URLs as they are, paths absolute.
pub(crate) fn full(name: &str) -> Result<String> {
    let full = if is_url(name) {
        name.to_owned()
    } else {
        let absolute = path::absolute(name).map_err(|error| Error::io("resolving the path", error).object(name))?;
        absolute.to_string_lossy().into_owned()
    };
    if full.len() > NAME_BYTES_MAX {
        return Err(Error::new(ErrorKind::Invalid, "opening the volume")
            .object(full)
            .why(format!("the name is longer than {NAME_BYTES_MAX} bytes")));
    }
    Ok(full)
}

/// The volume's URL, and settings that were written into the name itself.
pub(crate) fn volume(name: &str) -> (String, Vec<(String, String)>) {
    if !is_url(name) {
        return (resolved(name), Vec::new());
    }
    let (base, query) = name.split_once('?').unwrap_or((name, ""));
    let settings = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect();
    let url = if base.starts_with("file://") { resolved(base) } else { base.trim_end_matches('/').to_owned() };
    (url, settings)
}

/// The settings among a URI's parameters. Refuses those by which SQLite would skip locking, and with it snapshots.
pub(crate) fn settings(parameters: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
    let is_on = |value: &str| !matches!(value.to_ascii_lowercase().as_str(), "0" | "no" | "off" | "false");
    for (key, value) in &parameters {
        if matches!(key.as_str(), "nolock" | "immutable") && is_on(value) {
            return Err(Error::new(ErrorKind::Unsupported, "opening the volume")
                .why(format!("{key}={value} would let a transaction read several states at once"))
                .hint("use mode=ro to open read-only"));
        }
    }
    Ok(parameters.into_iter().filter(|(key, _)| !SQLITE_PARAMETERS.contains(&key.as_str())).collect())
}

/// The earlier state that a connection asks to look at, taken out of the parameters.
///
/// # Errors
/// `Invalid` for what names no state, or if several are named.
pub(crate) fn past(parameters: &mut Vec<(String, String)>, now: WallMs) -> Result<Option<Reference>> {
    let is_past = |(key, _): &mut (String, String)| matches!(key.as_str(), "txid" | "time" | "checkpoint");
    let mut asked = parameters.extract_if(.., is_past).collect::<Vec<_>>().into_iter();
    let (first, second) = (asked.next(), asked.next());
    if second.is_some() {
        return Err(Error::new(ErrorKind::Invalid, "opening the volume")
            .why("several of txid, time and checkpoint are given, and a connection looks at one state"));
    }
    // As PRAGMA plimsoll_time: the newest state as it changes, not that of this moment.
    let newest = |(key, value): &(String, String)| key == "time" && pragma::is_newest(value);
    first
        .filter(|asked| !newest(asked))
        .map(|(key, value)| match key.as_str() {
            "txid" => Reference::txid(&value),
            "time" => Reference::time(&value, now),
            _ => Reference::checkpoint(&value),
        })
        .transpose()
}

/// The session token that a connection brings, taken out of the parameters.
pub(crate) fn token(parameters: &mut Vec<(String, String)>) -> Option<String> {
    parameters.extract_if(.., |(key, _)| key == "token").last().map(|(_, value)| value)
}

/// One spelling per directory. What cannot be parsed stays as it is, for whoever opens it to refuse.
fn resolved(directory: &str) -> String {
    VolumeUrl::parse(directory).map_or_else(|_| directory.to_owned(), |url| url.resolved().canonical())
}

/// Undoes `%20` and the like; a stray `%` stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn urls_stay_and_paths_become_absolute() {
        assert_eq!(full("s3://bucket/db").unwrap(), "s3://bucket/db");
        assert_eq!(full("/var/db").unwrap(), "/var/db");
        assert!(full("db").unwrap().starts_with('/'));
        assert_eq!(volume("/no/such/dir/").0, "file:///no/such/dir");
        assert_eq!(volume("s3://bucket/db/").0, "s3://bucket/db");
        assert_eq!(volume("/no/such/100%#1").0, "file:///no/such/100%25%231");
    }

    #[test]
    fn a_name_that_sqlite_cannot_hold_is_refused() {
        let long = format!("s3://bucket/{}", "x".repeat(NAME_BYTES_MAX));
        assert!(full(&long).unwrap_err().to_string().contains("longer"));
    }

    #[test]
    fn settings_come_from_the_query_and_from_uri_parameters() {
        let (url, settings_in_name) = volume("s3://b/db?sync_interval_ms=200&endpoint=http%3A%2F%2Fx");
        assert_eq!(url, "s3://b/db");
        assert_eq!(settings_in_name, [pair("sync_interval_ms", "200"), pair("endpoint", "http://x")]);
        let given = vec![pair("vfs", "plimsoll"), pair("mode", "rw"), pair("sync_interval_ms", "200")];
        assert_eq!(settings(given).unwrap(), [pair("sync_interval_ms", "200")]);
    }

    #[test]
    fn one_earlier_state_is_taken_out_of_the_parameters() {
        let now = WallMs(10_000);
        let mut given = vec![pair("region", "x"), pair("time", "4 s ago")];
        assert_eq!(past(&mut given, now).unwrap(), Some(Reference::Time(WallMs(6000))));
        assert_eq!(given, [pair("region", "x")]);
        assert_eq!(past(&mut given, now).unwrap(), None);
        assert!(past(&mut vec![pair("txid", "4"), pair("checkpoint", "x")], now).is_err());
        assert!(past(&mut vec![pair("txid", "four")], now).is_err());
    }

    #[test]
    fn opening_without_locks_is_refused() {
        for word in ["1", "yes", "on", "true", "TRUE"] {
            assert!(settings(vec![pair("immutable", word)]).is_err(), "{word:?}");
        }
        assert!(settings(vec![pair("nolock", "on")]).is_err());
        assert!(settings(vec![pair("nolock", "0")]).is_ok());
    }

    #[test]
    fn every_short_name_and_every_short_query_is_read_or_refused() {
        const SIGNS: [char; 9] = ['a', '%', '2', 'f', '&', '=', '?', '/', 'é'];
        let short = (0..SIGNS.len().pow(5)).map(|mut number| {
            let mut text = String::new();
            while number > 0 {
                text.push(SIGNS[number % SIGNS.len()]);
                number /= SIGNS.len();
            }
            text
        });
        for text in short {
            for name in [format!("s3://b/{text}"), format!("file:///{text}"), format!("s3://b/db?{text}")] {
                assert_eq!(full(&name).unwrap(), name);
                let (url, found) = volume(&name);
                assert!(url.contains("://"), "{name} became {url}");
                // Nothing of a query gets lost: as many settings as there are pairs.
                let query = name.split_once('?').map_or("", |(_, query)| query);
                assert_eq!(found.len(), query.split('&').filter(|pair| !pair.is_empty()).count(), "{name}");
            }
        }
    }
}
