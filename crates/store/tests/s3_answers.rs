//! Answers that S3 gives on bad days, from a server that gives them on demand.
#![allow(clippy::disallowed_methods, reason = "the server runs in real time")]

mod support;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use plimsoll_host::Host;
use plimsoll_model::{Error, ErrorKind};
use plimsoll_store::{
    Blocks, Body, BreakerState, Created, Environment, Opened, Piece, RetryPolicy, StoreOptions, Unobserved, VolumeUrl,
    open_observed,
};
use support::{
    canned::{Reply, refusal, serve},
    server::{self, SECRET, environment, host, impatient},
};

fn opened(endpoint: &str, options: &StoreOptions, host: &Host) -> Opened {
    let url = server::url(endpoint, "bucket", "p");
    open_observed(&url, options, &environment(), host, Arc::new(Unobserved)).unwrap()
}

/// Retries at once.
fn patient() -> StoreOptions {
    let retry = RetryPolicy { pause_first: Duration::from_millis(1), ..RetryPolicy::default() };
    StoreOptions { retry, ..impatient() }
}

fn opening_fails(url: &str, environment: &Environment) -> Error {
    let url = VolumeUrl::parse(url).unwrap();
    open_observed(&url, &impatient(), environment, &host(), Arc::new(Unobserved)).err().unwrap()
}

#[test]
fn a_conflict_is_asked_again_and_a_failed_condition_is_final() {
    let host = host();
    let ok = Reply::Answer("200 OK", String::new());
    let (endpoint, seen) = serve(vec![
        refusal("409 Conflict", "ConditionalRequestConflict"),
        refusal("500 Internal Server Error", "InternalError"),
        refusal("503 Slow Down", "SlowDown"),
        ok,
        refusal("412 Precondition Failed", "PreconditionFailed"),
    ]);
    let store = opened(&endpoint, &patient(), &host).store;
    assert_eq!(host.tasks.wait(store.create("a", Body::default())).unwrap(), Created::New);
    assert_eq!(host.tasks.wait(store.create("a", Body::default())).unwrap(), Created::Exists);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|head| head.to_ascii_lowercase().contains("if-none-match: *")), "{seen:?}");
}

#[test]
fn an_answer_that_does_not_come_is_unavailable_in_time() {
    let host = host();
    for reply in [Reply::Silence, Reply::HangUp] {
        let (endpoint, seen) = serve(vec![reply]);
        let options = StoreOptions { request_timeout: Duration::from_millis(300), ..impatient() };
        let store = opened(&endpoint, &options, &host).store;
        let start = Instant::now();
        let error = host.tasks.wait(store.create("a", Body::default())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("s3://bucket/p/a"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(4));
        assert_eq!(seen.lock().unwrap().len(), 1, "a create without answer is not repeated below us");
    }
}

#[test]
fn a_refused_connection_names_object_and_cause_and_no_secret() {
    let host = host();
    let endpoint = format!("http://127.0.0.1:{}", server::free_port());
    let store = opened(&endpoint, &impatient(), &host).store;
    let error = host.tasks.wait(store.get("a/b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains("s3://bucket/p/a/b") && text.to_lowercase().contains("connection refused"), "{text}");
    assert!(!text.contains(SECRET) && !text.contains("AKIA"), "{text}");
}

#[test]
fn what_a_server_repeats_of_the_request_stays_out_of_the_error() {
    let host = host();
    let body = format!(
        "<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match</Message>\
         <AWSAccessKeyId>AKIATEST</AWSAccessKeyId><StringToSign>{SECRET}</StringToSign></Error>"
    );
    let (endpoint, _) = serve(vec![Reply::Answer("403 Forbidden", body)]);
    let store = opened(&endpoint, &impatient(), &host).store;
    let error = host.tasks.wait(store.get("a")).unwrap_err();
    let text = format!("{error} {error:?}");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(text.contains("SignatureDoesNotMatch: The signature does not match"), "{text}");
    assert!(!text.contains("AKIA") && !text.contains(SECRET), "{text}");
}

#[test]
fn a_bucket_in_another_region_is_said_to_be_there() {
    let host = host();
    let (endpoint, _) = serve(vec![refusal("301 Moved Permanently", "PermanentRedirect")]);
    let store = opened(&endpoint, &impatient(), &host).store;
    let error = host.tasks.wait(store.get("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("AWS_REGION"), "{error}");
}

#[test]
fn a_server_that_ignores_ranges_is_not_believed() {
    let host = host();
    let (endpoint, _) = serve(vec![Reply::Answer("200 OK", "0123456789".to_owned())]);
    let store = opened(&endpoint, &impatient(), &host).store;
    let error = host.tasks.wait(store.get_range("a", 0..3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

/// s3s-fs 0.14 does.
#[test]
fn a_server_that_fails_where_less_is_there_than_was_asked_for_is_asked_for_what_there_is() {
    let host = host();
    let (endpoint, seen) = serve(vec![
        refusal("500 Internal Server Error", "InternalError"),
        Reply::AnswerWith("200 OK", "Content-Length: 5", String::new()),
        Reply::AnswerWith("206 Partial Content", "Content-Range: bytes 0-4/5", "small".to_owned()),
    ]);
    let store = opened(&endpoint, &impatient(), &host).store;
    let tail = host.tasks.wait(store.get_tail("a", 16)).unwrap().unwrap();
    assert_eq!((&tail.bytes[..], tail.size), (&b"small"[..], 5));
    assert!(seen.lock().unwrap()[2].to_ascii_lowercase().contains("range: bytes=0-4"), "{seen:?}");
}

#[test]
fn a_body_that_breaks_off_is_read_again() {
    let host = host();
    let (endpoint, seen) = serve(vec![
        Reply::AnswerWith("200 OK", "Content-Length: 50", "short".to_owned()),
        Reply::Answer("200 OK", "whole".to_owned()),
    ]);
    let store = opened(&endpoint, &patient(), &host).store;
    let object = host.tasks.wait(store.get("a")).unwrap().unwrap();
    assert_eq!(&object.bytes[..], b"whole");
    assert_eq!(object.modified.0, 1_000_000_000_000);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

/// 33 MiB, which are read while they are sent.
struct Zeros;

impl Blocks for Zeros {
    fn read(&self, _: usize) -> io::Result<Bytes> {
        Ok(vec![0; 1 << 20].into())
    }
}

fn zeros() -> Body {
    let piece = |block| Piece::Stored { blocks: Arc::new(Zeros), block, range: 0..1 << 20 };
    Body { pieces: (0..33).map(piece).collect(), timestamp: None }
}

#[test]
fn a_body_that_is_read_while_it_is_sent_is_signed_like_any_other() {
    let host = host();
    let (endpoint, seen) = serve(vec![Reply::Answer("200 OK", String::new())]);
    let store = opened(&endpoint, &impatient(), &host).store;
    for body in [zeros(), Body::from(vec![0; 33 << 20])] {
        assert_eq!(host.tasks.wait(store.create("a", body)).unwrap(), Created::New);
    }
    let told: Vec<Vec<String>> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|head| {
            let told =
                ["put ", "x-amz-content-sha256:", "content-length:", "if-none-match:", "user-agent:", "authorization:"];
            let lines = head.lines().map(str::to_ascii_lowercase);
            let mut lines: Vec<String> = lines.filter(|line| told.iter().any(|name| line.starts_with(name))).collect();
            for line in &mut lines {
                // It holds the time.
                line.truncate(line.find(", signature=").unwrap_or(line.len()));
            }
            lines.sort_unstable();
            lines
        })
        .collect();
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].len(), 6, "{told:?}");
}

#[test]
fn a_body_that_is_read_while_it_is_sent_goes_the_way_that_the_environment_says() {
    let host = host();
    let (proxy, seen) = serve(vec![Reply::Answer("200 OK", String::new())]);
    let others = [("AWS_PROXY_URL", proxy.as_str()), ("AWS_USER_AGENT", "harbour/7"), ("AWS_ALLOW_HTTP", "true")];
    let keys = [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let environment: Environment = keys.into_iter().chain(others).collect();
    // No such host can be looked up: only the proxy is asked for it.
    let url = server::url("http://store.invalid", "bucket", "p");
    let store = open_observed(&url, &impatient(), &environment, &host, Arc::new(Unobserved)).unwrap().store;
    for body in [zeros(), Body::from(vec![0])] {
        assert_eq!(host.tasks.wait(store.create("a", body)).unwrap(), Created::New);
    }
    for head in seen.lock().unwrap().iter() {
        assert!(head.starts_with("PUT http://store.invalid/bucket/p/a HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("user-agent: harbour/7"), "{head}");
    }
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn a_lost_part_costs_a_part_and_not_the_upload() {
    let host = host();
    let started = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let done = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
    let ok = |body: &str| Reply::Answer("200 OK", body.to_owned());
    let (endpoint, seen) =
        serve(vec![ok(started), refusal("503 Slow Down", "SlowDown"), ok(""), Reply::HangUp, ok(""), ok(""), ok(done)]);
    let store = opened(&endpoint, &patient(), &host).store;
    host.tasks.wait(store.put("a", Body::from(vec![0; 33 << 20]))).unwrap();
    let seen = seen.lock().unwrap();
    let lines: Vec<_> = seen.iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("POST")).count(), 2, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("partNumber=")).count(), 5, "{lines:?}");
}

#[test]
fn an_upload_that_fails_takes_its_parts_back() {
    let host = host();
    let started = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let (endpoint, seen) =
        serve(vec![Reply::Answer("200 OK", started.to_owned()), refusal("403 Forbidden", "AccessDenied")]);
    let store = opened(&endpoint, &impatient(), &host).store;
    let error = host.tasks.wait(store.put("a", Body::from(vec![0; 33 << 20]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let last = seen.lock().unwrap().last().unwrap().clone();
    assert!(last.starts_with("DELETE ") && last.contains("uploadId=u"), "{last}");
}

#[test]
fn of_many_deletes_the_one_that_was_refused_is_an_error_and_one_that_was_not_there_is_none() {
    let host = host();
    let told = |key: &str, code: &str| {
        let error = format!("<Error><Key>p/{key}</Key><Code>{code}</Code><Message>In its own words</Message></Error>");
        Reply::Answer("200 OK", format!("<DeleteResult><Deleted><Key>p/a</Key></Deleted>{error}</DeleteResult>"))
    };
    let (endpoint, seen) = serve(vec![told("b", "AccessDenied"), told("b", "NoSuchKey")]);
    let store = opened(&endpoint, &impatient(), &host).store;
    let keys = ["a".to_owned(), "b".to_owned()];
    let error = host.tasks.wait(store.delete(&keys)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    host.tasks.wait(store.delete(&keys)).unwrap();
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn a_dead_store_is_not_asked_for_ever() {
    let host = host();
    let endpoint = format!("http://127.0.0.1:{}", server::free_port());
    let opened = opened(&endpoint, &impatient(), &host);
    for _ in 0..3 {
        assert_eq!(opened.breaker_state(), BreakerState::Closed);
        host.tasks.wait(opened.store.get("a")).unwrap_err();
    }
    assert_eq!(opened.breaker_state(), BreakerState::Open);
    let error = host.tasks.wait(opened.store.get("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("not sent"), "{error}");
}

#[test]
fn a_profile_gives_credentials_region_and_endpoint() {
    let host = host();
    let (endpoint, seen) = serve(vec![Reply::Answer("200 OK", "x".to_owned())]);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let keys = "[work]\naws_access_key_id = PROFILEID\naws_secret_access_key = hush\naws_session_token = TOKEN\n";
    std::fs::write(home.path().join(".aws/credentials"), keys).unwrap();
    let config = format!("[profile work]\nregion = mars-north-1\nendpoint_url = {endpoint}\n");
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    let home = home.path().to_str().unwrap();
    let environment: Environment = [("HOME", home), ("AWS_PROFILE", "work")].into_iter().collect();
    let url = VolumeUrl::parse("s3://bucket/p").unwrap();
    let opened = open_observed(&url, &impatient(), &environment, &host, Arc::new(Unobserved)).unwrap();
    assert_eq!(
        opened.store.url(),
        format!("s3://bucket/p?endpoint={endpoint}"),
        "the endpoint is part of the identity"
    );
    host.tasks.wait(opened.store.get("a")).unwrap();
    let head = seen.lock().unwrap()[0].clone();
    assert!(head.contains("Credential=PROFILEID/") && head.contains("/mars-north-1/s3/"), "{head}");
    assert!(head.to_ascii_lowercase().contains("x-amz-security-token: token"), "{head}");
}

#[test]
fn the_environment_goes_before_the_profile_and_the_url_before_both() {
    let host = host();
    let (endpoint, seen) = serve(vec![Reply::Answer("200 OK", "x".to_owned())]);
    let environment: Environment = [
        ("AWS_ACCESS_KEY_ID", "ENVID"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "pluto-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
    ]
    .into_iter()
    .collect();
    let url = server::url(&endpoint, "bucket", "p");
    let opened = open_observed(&url, &impatient(), &environment, &host, Arc::new(Unobserved)).unwrap();
    host.tasks.wait(opened.store.get("a")).unwrap();
    let head = seen.lock().unwrap()[0].clone();
    assert!(head.contains("Credential=ENVID/") && head.contains("/us-east-1/s3/"), "{head}");
}

#[test]
fn no_credentials_at_all_is_denied_and_says_what_to_set() {
    let nothing: Environment = [("AWS_EC2_METADATA_DISABLED", "true")].into_iter().collect();
    let error = opening_fails("s3://bucket/p", &nothing);
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");

    // A machine without a metadata service: found out by the first request.
    let host = host();
    let metadata = format!("http://127.0.0.1:{}", server::free_port());
    let (endpoint, seen) = serve(vec![Reply::Answer("200 OK", String::new())]);
    let environment: Environment = [("AWS_METADATA_ENDPOINT", metadata)].into_iter().collect();
    let url = server::url(&endpoint, "bucket", "p");
    let opened = open_observed(&url, &impatient(), &environment, &host, Arc::new(Unobserved)).unwrap();
    let error = host.tasks.wait(opened.store.get("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("AWS_PROFILE"), "{error}");
    assert!(seen.lock().unwrap().is_empty(), "nothing is sent unsigned");
}

#[test]
fn what_cannot_work_is_refused_when_opening() {
    let environment = environment();
    let error = opening_fails("s3://bucket/p?endpoint=http://store.example.com", &environment);
    assert!(error.to_string().contains("plain http"), "{error}");
    let error = opening_fails("s3://bucket/p?regoin=x&access_key=hush", &environment);
    assert!(error.to_string().contains("'regoin'") && !error.to_string().contains("hush"), "{error}");
    let error = opening_fails("az://container/p", &Environment::default());
    assert!(error.to_string().contains("AZURE_STORAGE_ACCOUNT_NAME"), "{error}");
    let named: Environment = [("AWS_PROFILE", "nobody")].into_iter().collect();
    assert!(opening_fails("s3://bucket/p", &named).to_string().contains("nobody"));
}
