//! Names of objects, and URLs.

use std::path::Path;

use plimsoll_commitlog::{
    epoch_key, is_like_a_time, parse_epoch_key, parse_pin_key, parse_status_key, pin_key, status_key,
};
use plimsoll_ltx::{FileId, Layout};
use plimsoll_store::VolumeUrl;

use crate::Target;

pub(super) const KEYS: Target = Target {
    name: "keys",
    feed: keys,
    seeds: names,
    read: None,
    words: &[b"ffffffffffffffff", b"-", b"/", b".ltx", b"T", b"99999999999999999999", "\u{e9}".as_bytes()],
    bytes_max: 120,
};
pub(super) const URLS: Target = Target {
    name: "urls",
    feed: urls,
    seeds: some_urls,
    read: None,
    words: &[
        b"s3://",
        b"file:///",
        b"az://",
        b"?endpoint=",
        b"http://",
        b"&",
        b"%26",
        b"%2f",
        b"..",
        b"+",
        b"//",
        b"#",
    ],
    bytes_max: 300,
};

fn names() -> Vec<Vec<u8>> {
    [
        "0000/0000000000000001-0000000000000001.ltx",
        "ltx/9/0000000000000001-ffffffffffffffff.ltx",
        "index/1-0000000000000002-000000000000001e.pix",
        "epoch/0000000007.json",
        "status/ffffffff.json",
        "pins/nightly.json",
        "pins/fork-30313233343536373839616263646566.json",
        "2026-11-27T10:00:00Z",
        "-1h30m",
    ]
    .map(|name| name.as_bytes().to_vec())
    .to_vec()
}

fn keys(input: &[u8]) {
    let Ok(key) = str::from_utf8(input) else { return };
    for layout in [Layout::S3, Layout::Other] {
        if let Some(id) = layout.parse(key) {
            assert_eq!(layout.key(&id), key);
            assert_eq!(FileId::parse_sidecar_key(&id.sidecar_key()), Some(id));
        }
    }
    if let Some(id) = FileId::parse_sidecar_key(key) {
        assert_eq!(id.sidecar_key(), key);
    }
    if let Some(epoch) = parse_epoch_key(key) {
        assert_eq!(epoch_key(epoch), key);
    }
    if let Some(epoch) = parse_status_key(key) {
        assert_eq!(status_key(epoch), key);
    }
    if let Some(name) = parse_pin_key(key) {
        assert_eq!(pin_key(name).expect("a name that a key has is refused"), key);
    }
    let _ = is_like_a_time(key);
}

fn some_urls() -> Vec<Vec<u8>> {
    [
        "s3://bucket/a/b?endpoint=http://127.0.0.1:5000/x%26y&region=us-east-1",
        "gs://b/x%20y%25",
        "az://c/p?account=a+b",
        "file:///var/lib/x",
        "memory:///name",
        "/some/../path",
        "relative/path",
    ]
    .map(|url| url.as_bytes().to_vec())
    .to_vec()
}

fn urls(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    drop(VolumeUrl::parse_parent(text, Path::new("/home/me")));
    let Ok(url) = VolumeUrl::parse_at(text, Path::new("/home/me")) else { return };
    let canonical = url.canonical();
    let again = VolumeUrl::parse(&canonical).unwrap_or_else(|error| panic!("{canonical} is refused: {error}"));
    assert_eq!(again.canonical(), canonical);
    let parts = |url: &VolumeUrl| {
        (url.scheme(), url.bucket().to_owned(), url.prefix().to_owned(), url.endpoint().map(str::to_owned))
    };
    assert_eq!(parts(&again), parts(&url));
    assert!(again.params.is_empty(), "{canonical}");
}
