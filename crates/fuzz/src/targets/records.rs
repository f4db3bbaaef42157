//! The JSON records of a volume.

use plimsoll_commitlog::check_record;
use xxhash_rust::xxh3::xxh3_64;

use crate::Target;

pub(super) const RECORDS: Target = Target {
    name: "records",
    feed: records,
    seeds,
    read: Some(read),
    words: &[
        b"18446744073709551615",
        b"4294967295",
        b"-1",
        b"1e999",
        b"null",
        b"\"epoch\":",
        b"\"format\":1",
        b"\"stamp\":",
        b"{",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ],
    bytes_max: 4 << 10,
};

/// One of each kind without its checksum, and a name under which it is sound: `crates/commitlog` tests that it writes them so.
const KINDS: [(&str, &str); 14] = [
    (
        "epoch/00000007.json",
        r#""epoch":7,"writer":"00000000000000ab","host":"h1","pid":42,"since_ms":5,"nonce":"00000000000000ff""#,
    ),
    (
        "status/00000007.json",
        concat!(
            r#""alive_ms":9,"epoch":7,"writer":"00000000000000ab","host":"h1","#,
            r#""watermarks":{"appended":{"lsn":3,"ms":8},"journaled":{"lsn":2,"ms":7},"durable":{"lsn":1,"ms":6}},"#,
            r#""load":{"commits":2,"bytes":8192,"age_ms":40},"#,
            r#""inherited":{"txid":5,"stamp":{"writer":"0000000000000001","epoch":6,"lsn":1}},"closed":false"#
        ),
    ),
    (
        "volume.json",
        concat!(
            r#""kind":"sqlite","page_size":4096,"uuid":"30313233343536373839616263646566","created_ms":1700000000000,"#,
            r#""parent":"s3://b/p@9","origins":[{"url":"s3://b/p","uuid":"66656463626139383736353433323130","txid":9,"#,
            r#""page_count":2,"page_size":4096,"at_ms":5,"objects":[[9,1,9,500]]}]"#
        ),
    ),
    (
        "pins/nightly.json",
        concat!(
            r#""txid":9,"created_ms":1700000000000,"note":"before","bytes":8192,"#,
            r#""objects":[[9,1,7,500],[0,8,8,300],[0,9,9,200]],"nonce":"00000000000000ff""#
        ),
    ),
    (
        "pins/fork-30313233343536373839616263646566.json",
        concat!(
            r#""txid":9,"created_ms":1700000000000,"bytes":8192,"fork":{"url":"s3://b/p","#,
            r#""uuid":"30313233343536373839616263646566"},"objects":[],"nonce":"00000000000000ff""#
        ),
    ),
    ("gc/00000004-0000000000000001.json", r#""epoch":4,"objects":[[0,3,3,77]]"#),
    ("gc/00000004-0000000000000001.go", r#""epoch":4,"go":true"#),
    (
        "volume.json",
        concat!(
            r#""kind":"sqlite","page_size":4096,"uuid":"30313233343536373839616263646566","created_ms":1700000000000,"#,
            r#""l0_retention_ms":60000,"parent":null"#
        ),
    ),
    ("detached.json", r#""epoch":4"#),
    (
        "volume.json",
        concat!(
            r#""kind":"sqlite","uuid":"30313233343536373839616263646566","created_ms":1700000000000,"#,
            r#""parent":null,"removed":true"#
        ),
    ),
    (
        "status/00000007.json",
        concat!(
            r#""alive_ms":9,"epoch":7,"writer":"00000000000000ab","host":"h1","#,
            r#""watermarks":{"appended":{"lsn":0,"ms":0},"journaled":{"lsn":0,"ms":0},"durable":{"lsn":0,"ms":0}},"#,
            r#""load":{"commits":0,"bytes":0,"age_ms":0},"inherited":null,"closed":true"#
        ),
    ),
    ("gc/00000004-0000000000000002.go", r#""epoch":5,"go":false"#),
    (
        "epoch/00000008.json",
        concat!(
            r#""epoch":8,"writer":"00000000000000ab","host":"","pid":0,"since_ms":5,"#,
            r#""nonce":"00000000000000ff","removal":true"#
        ),
    ),
    (
        "epoch/00000004.go",
        concat!(
            r#""epoch":4,"go":true,"volume":{"kind":"sqlite","page_size":4096,"#,
            r#""uuid":"30313233343536373839616263646566","created_ms":5,"parent":null}"#
        ),
    ),
];

fn seeds() -> Vec<Vec<u8>> {
    KINDS.iter().map(|(_, fields)| seal(format!("{{\"format\":1,{fields}").as_bytes())).collect()
}

/// Ends a record with its checksum.
fn seal(before: &[u8]) -> Vec<u8> {
    [before, format!(",\"check\":\"{:016x}\"}}\n", xxh3_64(before)).as_bytes()].concat()
}

fn records(input: &[u8]) {
    let before = input.windows(10).rposition(|part| part == b",\"check\":\"").map_or(input, |at| &input[..at]);
    for bytes in [input, &seal(before)] {
        for (key, _) in KINDS {
            drop(check_record(key, bytes));
        }
    }
}

/// A record is sound under a name of its kind.
fn read(input: &[u8]) {
    let sound = KINDS.map(|(key, _)| check_record(key, input));
    assert!(sound.iter().any(|outcome| matches!(outcome, Some(Ok(())))), "{sound:?}");
}
