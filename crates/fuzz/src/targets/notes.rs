//! The small files of a volume's folder on this host.

use plimsoll_volume::read_note;
use xxhash_rust::xxh3::xxh3_64;

use crate::Target;

pub(super) const NOTES: Target = Target {
    name: "notes",
    feed: notes,
    seeds,
    read: Some(read),
    words: &[b"null", b"4294967296", b"-1", b"1e999", b"\"check\":\"", b"\"writer\":\"", b"\"home\":", b"[[[[[[[["],
    bytes_max: 2 << 10,
};

const NAMES: [&str; 4] = ["identity.json", "epoch.json", "holder.json", "note.json"];

fn seeds() -> Vec<Vec<u8>> {
    [
        identity("00000000000000ab"),
        epoch(41),
        concat!(
            r#"{"pid":42,"since_ms":1700000000000,"home":{"url":"s3://b/p","#,
            r#""settings":[["endpoint","http://127.0.0.1:9000"],["region","us-east-1"]]}}"#
        )
        .to_owned(),
        r#"{"epoch":7,"base":{"txid":17,"lsn":34},"in_history":true}"#.to_owned(),
        r#"{"epoch":null,"base":null,"in_history":null}"#.to_owned(),
        r#"{"pid":42,"since_ms":1700000000000,"home":null}"#.to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn identity(writer: &str) -> String {
    format!(r#"{{"writer":"{writer}","check":"{:016x}"}}"#, xxh3_64(writer.as_bytes()))
}

fn epoch(number: u32) -> String {
    format!(r#"{{"epoch":{number},"check":"{:016x}"}}"#, xxh3_64(&number.to_le_bytes()))
}

/// What stands between two words, as far as it is there.
fn between<'a>(text: &'a str, before: &str, after: char) -> &'a str {
    text.split_once(before).map_or("", |(_, rest)| rest.split(after).next().unwrap_or_default())
}

fn notes(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // With the checksums made right again, to reach what is behind them.
    let number = between(&text, "\"epoch\":", ',').parse().unwrap_or_default();
    let sealed = [identity(between(&text, "\"writer\":\"", '"')), epoch(number)].map(String::into_bytes);
    for bytes in [input, &sealed[0], &sealed[1]] {
        for name in NAMES {
            let Some(read) = read_note(name, bytes) else { continue };
            assert_eq!(read_note(name, read.as_bytes()).as_ref(), Some(&read), "{name} is not read as it was written");
        }
    }
}

/// What it holds is what stands there: nothing is left out, and nothing is made up.
fn read(input: &[u8]) {
    let written = str::from_utf8(input).expect("a note is text");
    assert!(NAMES.iter().any(|name| read_note(name, input).as_deref() == Some(written)), "{written} is not read");
}
