//! What goes over the wire to Google and Azure, and how their answers are read.

mod support;

use std::sync::Arc;

use plimsoll_host::{Host, WallMs};
use plimsoll_model::ErrorKind;
use plimsoll_store::{Body, Created, Environment, Store, Unobserved, VolumeUrl, open_observed};
use support::{
    canned::{Reply, Seen, refusal, serve},
    server::{host, impatient},
};

fn store(url: &str, environment: &[(&str, &str)], host: &Host) -> Arc<dyn Store> {
    let environment: Environment = environment.iter().copied().collect();
    let url = VolumeUrl::parse(url).unwrap();
    open_observed(&url, &impatient(), &environment, host, Arc::new(Unobserved)).unwrap().store
}

fn google(replies: Vec<Reply>, host: &Host) -> (Arc<dyn Store>, Seen) {
    let (endpoint, seen) = serve(replies);
    (store(&format!("gs://bucket/p?endpoint={endpoint}"), &[("GOOGLE_BEARER_TOKEN", "hush")], host), seen)
}

fn azure(replies: Vec<Reply>, host: &Host) -> (Arc<dyn Store>, Seen) {
    let (endpoint, seen) = serve(replies);
    let key = [("AZURE_STORAGE_ACCOUNT_KEY", "aHVzaA==")];
    (store(&format!("az://container/p?account=me&endpoint={endpoint}/me"), &key, host), seen)
}

fn ok(body: &str) -> Reply {
    Reply::Answer("200 OK", body.to_owned())
}

fn stamped() -> Body {
    Body { timestamp: Some(WallMs(1_000_000_000_123)), ..Body::from(vec![1]) }
}

fn heads(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().iter().map(|head| head.to_ascii_lowercase()).collect()
}

#[test]
fn google_creates_on_condition_and_reads_the_answer() {
    let host = host();
    let (store, seen) = google(
        vec![
            ok(""),
            refusal("412 Precondition Failed", "PreconditionFailed"),
            refusal("404 Not Found", "NoSuchBucket"),
        ],
        &host,
    );
    assert!(!store.s3_layout());
    assert_eq!(host.tasks.wait(store.create("a", stamped())).unwrap(), Created::New);
    assert_eq!(host.tasks.wait(store.create("a", stamped())).unwrap(), Created::Exists);
    let error = host.tasks.wait(store.get("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("the bucket 'bucket' does not exist"), "{error}");
    let heads = heads(&seen);
    assert!(heads[0].contains("put /bucket/p%2fa ") && heads[0].contains("x-goog-if-generation-match: 0"), "{heads:?}");
    assert!(heads[0].contains("x-goog-meta-litestream-timestamp: 2001-09-09t01:46:40.123z"), "{heads:?}");
}

#[test]
fn azure_creates_on_condition_and_reads_the_answer() {
    let host = host();
    let (store, seen) = azure(
        vec![
            Reply::Answer("201 Created", String::new()),
            refusal("409 Conflict", "BlobAlreadyExists"),
            refusal("409 Conflict", "AccountBeingCreated"),
            refusal("404 Not Found", "ContainerNotFound"),
        ],
        &host,
    );
    assert_eq!(host.tasks.wait(store.create("a", stamped())).unwrap(), Created::New);
    assert_eq!(host.tasks.wait(store.create("a", stamped())).unwrap(), Created::Exists);
    let error = host.tasks.wait(store.create("a", stamped())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = host.tasks.wait(store.put("a", stamped())).unwrap_err();
    assert!(error.to_string().contains("the container 'container' does not exist"), "{error}");
    let heads = heads(&seen);
    assert!(heads[0].contains("put /me/container/p/a ") && heads[0].contains("if-none-match: *"), "{heads:?}");
    assert!(heads[0].contains("x-ms-meta-litestreamtimestamp: 2001-09-09t01:46:40.123z"), "{heads:?}");
}

#[test]
fn azure_reads_a_tail_by_asking_for_the_size_first() {
    let host = host();
    let (store, seen) = azure(
        vec![
            Reply::AnswerWith("200 OK", "Content-Length: 10", String::new()),
            Reply::AnswerWith("206 Partial Content", "Content-Range: bytes 7-9/10", "789".to_owned()),
        ],
        &host,
    );
    let tail = host.tasks.wait(store.get_tail("a", 3)).unwrap().unwrap();
    assert_eq!((&tail.bytes[..], tail.size), (&b"789"[..], 10));
    let heads = heads(&seen);
    assert!(heads[0].starts_with("head ") && heads[1].contains("bytes=7-9"), "{heads:?}");
}

#[test]
fn an_azure_account_is_part_of_the_identity() {
    let environment = [("AZURE_STORAGE_ACCOUNT_NAME", "me"), ("AZURE_STORAGE_ACCOUNT_KEY", "aHVzaA==")];
    let store = store("az://container/p", &environment, &host());
    assert_eq!(store.url(), "az://container/p?endpoint=https://me.blob.core.windows.net");
}
