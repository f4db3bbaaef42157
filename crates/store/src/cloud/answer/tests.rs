//! Answers as servers give them, wrapped as `object_store` wraps them.

use std::fmt;

use super::*;

/// A cause with a text and perhaps a cause of its own.
#[derive(Debug)]
struct Cause(String, Option<Box<Cause>>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

fn refusal(status: &str, body: &str) -> Answer {
    let inner = Cause(format!("{REFUSAL}{status}: {body}"), None);
    let outer = Cause(format!("Error performing GET http://h/b?sig=hush in 1ms - {inner}"), Some(Box::new(inner)));
    Answer::of(&object_store::Error::Generic { store: "S3", source: Box::new(outer) })
}

fn xml(code: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>Some words</Message></Error>")
}

fn context(scheme: Scheme) -> Context<'static> {
    Context { doing: "reading", url: "s3://b/p", key: "k", scheme, bucket: "b" }
}

fn kind(status: &str, code: &str) -> ErrorKind {
    context(Scheme::S3).error(&refusal(status, &xml(code))).kind()
}

#[test]
fn status_and_code_decide_the_kind() {
    for (status, code, expected) in [
        ("403 Forbidden", "AccessDenied", ErrorKind::Denied),
        ("403 Forbidden", "RequestTimeTooSkewed", ErrorKind::Denied),
        ("400 Bad Request", "ExpiredToken", ErrorKind::Denied),
        ("401 Unauthorized", "", ErrorKind::Denied),
        ("404 Not Found", "NoSuchBucket", ErrorKind::NotFound),
        ("404 Not Found", "NoSuchUpload", ErrorKind::Unavailable),
        ("400 Bad Request", "RequestTimeout", ErrorKind::Unavailable),
        ("400 Bad Request", "AuthorizationHeaderMalformed", ErrorKind::Invalid),
        ("400 Bad Request", "InvalidArgument", ErrorKind::Invalid),
        ("409 Conflict", "ConditionalRequestConflict", ErrorKind::Unavailable),
        ("429 Too Many Requests", "SlowDown", ErrorKind::Unavailable),
        ("500 Internal Server Error", "InternalError", ErrorKind::Unavailable),
        ("503 Service Unavailable", "SlowDown", ErrorKind::Unavailable),
        ("501 Not Implemented", "NotImplemented", ErrorKind::Unsupported),
    ] {
        assert_eq!(kind(status, code), expected, "{status} {code}");
    }
}

#[test]
fn only_a_failed_condition_means_that_the_name_is_taken() {
    assert!(refusal("412 Precondition Failed", &xml("PreconditionFailed")).is_taken_name());
    assert!(refusal("409 Conflict", &xml("BlobAlreadyExists")).is_taken_name());
    assert!(!refusal("409 Conflict", &xml("ConditionalRequestConflict")).is_taken_name());
    assert!(!refusal("409 Conflict", &xml("OperationAborted")).is_taken_name());
    assert!(!refusal("500 Internal Server Error", &xml("InternalError")).is_taken_name());
}

#[test]
fn a_missing_bucket_is_not_a_missing_object() {
    assert!(refusal("404 Not Found", &xml("NoSuchKey")).is_missing_object());
    assert!(refusal("404 Not Found", "").is_missing_object());
    let missing = refusal("404 Not Found", &xml("NoSuchBucket"));
    assert!(!missing.is_missing_object());
    assert!(context(Scheme::S3).error(&missing).to_string().contains("the bucket 'b' does not exist"));
    let container = refusal("404 Not Found", &xml("ContainerNotFound"));
    assert!(context(Scheme::Azure).error(&container).to_string().contains("the container 'b' does not exist"));
}

#[test]
fn the_error_holds_the_servers_words_and_not_the_request() {
    let error = context(Scheme::S3).error(&refusal("403 Forbidden", &xml("AccessDenied"))).to_string();
    assert!(error.starts_with("reading s3://b/p/k: 403 AccessDenied: Some words ("), "{error}");
    assert!(!error.contains("hush"));
}

#[test]
fn an_endless_message_is_cut() {
    let long = format!("<Code>X</Code><Message>{}\u{7}\nsecond line</Message>", "a".repeat(5000));
    assert!(refusal("400 Bad Request", &long).words().len() < 300);
}

#[test]
fn a_success_that_carries_an_error_is_no_success() {
    let inner = Cause(format!("{SUCCESS_WITH_ERROR}{}", xml("InternalError")), None);
    let answer = Answer::of(&object_store::Error::Generic { store: "S3", source: Box::new(inner) });
    assert_eq!(context(Scheme::S3).error(&answer).kind(), ErrorKind::Unavailable);
}

#[test]
fn what_is_not_understood_counts_as_no_answer() {
    let answer = Answer::of(&object_store::Error::Generic { store: "S3", source: "whatever".into() });
    assert_eq!(context(Scheme::S3).error(&answer).kind(), ErrorKind::Unavailable);
}

/// Some servers say so of a key of a bulk delete that is not there.
#[test]
fn a_missing_key_of_a_bulk_delete_is_missing_and_no_outage() {
    let of = |code: &str| {
        let inner = Cause(format!("DeleteObjects request failed for key x: Some words (code: {code})"), None);
        Answer::of(&object_store::Error::Generic { store: "S3", source: Box::new(inner) })
    };
    assert!(of("NoSuchKey").is_missing_object());
    assert!(!of("SlowDown").is_missing_object());
    assert_eq!(context(Scheme::S3).error(&of("SlowDown")).kind(), ErrorKind::Unavailable);
    assert_eq!(context(Scheme::S3).error(&of("AccessDenied")).kind(), ErrorKind::Denied);
}
