//! Keys below a volume's prefix.

use plimsoll_model::{Error, ErrorKind, Result, limits::KEY_BYTES_MAX};

/// The full URL of an object, for messages. `url` may carry an endpoint behind a question mark.
pub(crate) fn object_url(url: &str, key: &str) -> String {
    match url.split_once('?') {
        Some((path, query)) => format!("{}/{key}?{query}", path.trim_end_matches('/')),
        None => format!("{}/{key}", url.trim_end_matches('/')),
    }
}

/// Refuses keys that would leave the prefix, or that some store cannot hold.
pub(crate) fn check(url: &str, key: &str) -> Result<()> {
    let why = if key.len() > KEY_BYTES_MAX {
        "it is longer than 256 bytes"
    } else if key.chars().any(|c| c.is_control() || c == '\\') {
        "it contains a control character or a backslash"
    } else if key.split('/').any(|segment| segment.is_empty() || segment.starts_with('.')) {
        "a segment is empty or starts with a dot"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Invalid, "naming the object").object(object_url(url, key)).why(why))
}

/// Refuses a folder that is neither empty nor ends with a slash.
pub(crate) fn check_folder(url: &str, folder: &str) -> Result<()> {
    match folder.strip_suffix('/') {
        None if folder.is_empty() => Ok(()),
        Some(key) => check(url, key),
        None => Err(Error::new(ErrorKind::Invalid, "listing")
            .object(object_url(url, folder))
            .why("a folder ends with a slash")),
    }
}

/// Refuses an object that is larger than the store can create.
pub(crate) fn check_size(url: &str, key: &str, bytes: u64, bytes_max: u64) -> Result<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "creating").object(object_url(url, key)).why(format!(
        "it has {bytes} bytes; the largest object that one conditional request can make here has {bytes_max}"
    )))
}

/// The error for a range that the object does not have.
pub(crate) fn beyond_the_end(url: &str, key: &str, range: &std::ops::Range<u64>, size: Option<u64>) -> Error {
    let size = size.map_or_else(|| "fewer".to_owned(), |size| size.to_string());
    Error::new(ErrorKind::Corrupt, "reading")
        .object(object_url(url, key))
        .why(format!("bytes {}..{} were asked for, the object has {size}", range.start, range.end))
        .hint("keep the object: it was cut, or what refers to it is wrong")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_stays_behind_the_key() {
        assert_eq!(object_url("s3://b/p", "k"), "s3://b/p/k");
        assert_eq!(object_url("s3://b/p?endpoint=http://h", "k"), "s3://b/p/k?endpoint=http://h");
    }

    #[test]
    fn no_key_leaves_the_prefix() {
        for key in ["../x", "a/../b", "", "/x", "a//b", "a/", ".hidden", "a\0", "a\\b", &"x".repeat(257)] {
            assert_eq!(check("file:///r", key).unwrap_err().kind(), ErrorKind::Invalid, "{key:?}");
        }
        check("file:///r", "ltx/0/0000000000000001-0000000000000001.ltx").unwrap();
        check_folder("file:///r", "ltx/0/").unwrap();
        check_folder("file:///r", "").unwrap();
        check_folder("file:///r", "ltx").unwrap_err();
    }
}
