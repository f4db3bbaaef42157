//! What a request to the S3 server asks for.

use bytes::Bytes;
use hyper::{Method, http::request::Parts};
use percent_encoding::percent_decode_str;

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) op: Op,
    /// Key within the bucket; empty where there is none.
    pub(crate) key: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Op {
    MakeBucket,
    List(Listing),
    Get {
        range: Option<Span>,
        head: bool,
    },
    Put {
        if_absent: bool,
    },
    Delete,
    DeleteMany,
    StartUpload,
    Part {
        upload: String,
        number: u32,
    },
    EndUpload {
        upload: String,
    },
    /// Not S3: what was asked below the prefix that is the key.
    Counts,
    /// Not S3: delays answers by milliseconds from now on.
    Latency(u64),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) prefix: String,
    pub(crate) delimiter: Option<String>,
    /// Only keys after this one.
    pub(crate) after: Option<String>,
    pub(crate) most: Option<usize>,
}

/// Bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Last(u64),
    /// From the first to the second, which is included; to the end without one.
    Between(u64, Option<u64>),
}

impl Op {
    /// Whether it changes something in the store.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Op::MakeBucket | Op::Put { .. } | Op::Delete | Op::DeleteMany => true,
            Op::StartUpload | Op::Part { .. } | Op::EndUpload { .. } => true,
            Op::List(_) | Op::Get { .. } | Op::Counts | Op::Latency(_) => false,
        }
    }
}

impl Call {
    /// The key that it is about, or one of them.
    pub(crate) fn subject(&self, body: &[u8]) -> String {
        match &self.op {
            Op::List(list) => list.prefix.clone(),
            Op::DeleteMany => keys_of(body).into_iter().next().unwrap_or_default(),
            _ => self.key.clone(),
        }
    }
}

/// What a request to delete several objects names.
pub(crate) fn keys_of(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()).map(str::to_owned).collect()
}

/// The meaning of a request's head, if it has one here. Paths are `/bucket/key`.
pub(crate) fn parse(head: &Parts) -> Option<Call> {
    let path = percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    let (bucket, key) = path[1..].split_once('/').map_or((&path[1..], ""), |(bucket, key)| (bucket, key));
    let query: Vec<(String, String)> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            (name.to_owned(), percent_decode_str(&value).decode_utf8_lossy().into_owned())
        })
        .collect();
    let asked = |name: &str| query.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let op = match (&head.method, key.is_empty()) {
        (&Method::GET, _) if bucket == "_counts" => Op::Counts,
        (&Method::GET, _) if bucket == "_latency" => Op::Latency(key.parse().ok()?),
        (&Method::PUT, true) => Op::MakeBucket,
        (&Method::GET, true) => Op::List(Listing {
            prefix: asked("prefix").unwrap_or_default(),
            delimiter: asked("delimiter").filter(|delimiter| !delimiter.is_empty()),
            after: asked("continuation-token").or_else(|| asked("start-after")),
            most: asked("max-keys").and_then(|most| most.parse().ok()),
        }),
        (&Method::HEAD, true) => Op::Get { range: None, head: true },
        (&Method::POST, true) => Op::DeleteMany,
        (&Method::GET, false) => Op::Get { range: header("range").and_then(span), head: false },
        (&Method::HEAD, false) => Op::Get { range: None, head: true },
        (&Method::PUT, false) => match (asked("uploadId"), asked("partNumber")) {
            (Some(upload), Some(number)) => Op::Part { upload, number: number.parse().ok()? },
            _ => Op::Put { if_absent: header("if-none-match") == Some("*") },
        },
        (&Method::POST, false) => match asked("uploadId") {
            Some(upload) => Op::EndUpload { upload },
            None => Op::StartUpload,
        },
        (&Method::DELETE, false) => Op::Delete,
        _ => return None,
    };
    Some(Call { op, key: key.to_owned() })
}

fn span(header: &str) -> Option<Span> {
    let (from, to) = header.strip_prefix("bytes=")?.split_once('-')?;
    if from.is_empty() {
        return to.parse().ok().map(Span::Last);
    }
    Some(Span::Between(from.parse().ok()?, to.parse().ok()))
}

/// Takes `aws-chunked` framing off: `size[;extension]\r\n bytes \r\n`, up to a chunk of size zero and trailers.
pub(crate) fn decode_chunks(body: &[u8]) -> Option<Bytes> {
    let mut whole = Vec::with_capacity(body.len());
    let mut rest = body;
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(whole.into());
        }
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, uri: &str, range: &str) -> Option<Call> {
        let request = hyper::Request::builder().method(method).uri(uri).header("range", range).body(()).unwrap();
        parse(&request.into_parts().0)
    }

    #[test]
    fn requests_mean_what_s3_says() {
        let key = "a/b c".to_owned();
        let get = |range| Op::Get { range, head: false };
        let cases = [
            ("GET", "/bucket/a/b%20c", "bytes=3-5", get(Some(Span::Between(3, Some(5))))),
            ("GET", "/bucket/a/b%20c", "bytes=-5", get(Some(Span::Last(5)))),
            ("PUT", "/bucket/a/b%20c", "", Op::Put { if_absent: false }),
            ("POST", "/bucket/a/b%20c?uploads", "", Op::StartUpload),
            ("PUT", "/bucket/a/b%20c?partNumber=2&uploadId=7", "", Op::Part { upload: "7".to_owned(), number: 2 }),
        ];
        for (method, uri, range, op) in cases {
            assert_eq!(call(method, uri, range), Some(Call { op, key: key.clone() }), "{method} {uri}");
        }
        let Some(Call { op: Op::List(list), .. }) =
            call("GET", "/bucket?list-type=2&prefix=a%2F&start-after=a%2Fb", "")
        else {
            panic!("no listing");
        };
        assert_eq!((list.prefix.as_str(), list.after.as_deref()), ("a/", Some("a/b")));
    }

    #[test]
    fn chunks_are_joined() {
        let body = b"5;chunk-signature=0\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc32:abc\r\n\r\n";
        assert_eq!(decode_chunks(body).unwrap(), "hello!");
        assert_eq!(decode_chunks(b"5\r\nhel"), None);
    }
}
