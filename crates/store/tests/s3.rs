//! The S3 backend against a server: moto, unless `PLIMSOLL_TEST_S3_ENDPOINT` names another.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use object_store::{Attribute, GetOptions, ObjectStore, aws::AmazonS3Builder};
use plimsoll_host::{Host, WallMs};
use plimsoll_model::{Error, ErrorKind};
use plimsoll_store::{
    Body, Created, Environment, Opened, ProbeMemory, Store, StoreOptions, Unobserved, VolumeUrl, ensure_fencing,
    open_observed,
};
use support::{
    contract,
    server::{self, SECRET, environment, host, impatient},
};

fn opened(url: &VolumeUrl, options: &StoreOptions, environment: &Environment, host: &Host) -> Opened {
    open_observed(url, options, environment, host, Arc::new(Unobserved)).unwrap()
}

fn store(url: &VolumeUrl, host: &Host) -> Arc<dyn Store> {
    opened(url, &StoreOptions::default(), &environment(), host).store
}

/// A prefix that no earlier run has used.
fn prefix(host: &Host) -> String {
    format!("run/{:016x}", host.chance.bits())
}

/// The metadata `litestream-timestamp` and the ETag of an object, as another client sees them.
fn seen_by_others(server: &server::Server, bucket: &str, key: &str, host: &Host) -> (Option<String>, String) {
    let environment = environment();
    let client = AmazonS3Builder::new()
        .with_endpoint(&server.endpoint)
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_access_key_id(environment.get("AWS_ACCESS_KEY_ID").unwrap())
        .with_secret_access_key(environment.get("AWS_SECRET_ACCESS_KEY").unwrap())
        .build()
        .unwrap();
    let found = host.tasks.wait(client.get_opts(&key.into(), GetOptions { head: true, ..GetOptions::default() }));
    let found = found.unwrap();
    let timestamp = found.attributes.get(&Attribute::Metadata("litestream-timestamp".into()));
    (timestamp.map(|value| value.as_ref().to_owned()), found.meta.e_tag.unwrap())
}

fn names_the_object_and_no_secret(error: &Error) {
    let text = format!("{error} {error:?}");
    assert!(text.contains("s3://"), "{text}");
    for secret in [SECRET, "AKIA", "Signature=", "X-Amz", "StringToSign"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn s3_keeps_the_contract() {
    let host = host();
    let url = server::with_bucket("contract").url("contract", &prefix(&host));
    let store = store(&url, &host);
    assert!(store.s3_layout());
    assert_eq!(store.url(), url.canonical());
    contract::check(&*store, &host);
}

#[test]
fn the_probe_accepts_a_server_that_honours_the_condition() {
    let host = host();
    let dir = tempfile::tempdir().unwrap();
    let url = server::with_bucket("probe").url("probe", &prefix(&host));
    let store = store(&url, &host);
    let memory = ProbeMemory::new(dir.path().to_owned());
    host.tasks.wait(ensure_fencing(&url, &*store, &memory, &host)).unwrap();
    assert!(host.tasks.wait(store.list("", None)).unwrap().is_empty());
}

#[test]
fn listings_longer_than_a_page_are_whole_and_bulk_deletes_go_through() {
    let host = host();
    let url = server::with_bucket("pages").url("pages", &prefix(&host));
    let store = store(&url, &host);
    let keys: Vec<String> = (0..1203).map(|n| format!("0000/{n:016x}")).collect();
    host.tasks.wait(async {
        for batch in keys.chunks(16) {
            let puts = batch.iter().map(|key| store.put(key, Body::default()));
            futures::future::try_join_all(puts).await.unwrap();
        }
        let listed: Vec<_> = store.list("0000/", None).await.unwrap().into_iter().map(|entry| entry.key).collect();
        assert_eq!(listed, keys);
        assert_eq!(store.list("0000/", Some(&keys[1100])).await.unwrap().len(), 102);
        let first = store.list_page("0000/", None).await.unwrap();
        assert!(
            first.more && first.entries.iter().map(|entry| &entry.key).eq(&keys[..1000]),
            "{}",
            first.entries.len()
        );
        let last = store.list_page("", Some(&keys[1100])).await.unwrap();
        assert_eq!((last.entries.len(), last.more), (102, false));
        store.delete(&keys).await.unwrap();
        assert!(store.list("", None).await.unwrap().is_empty());
    });
}

#[test]
fn a_large_put_goes_in_parts_and_arrives_whole() {
    let host = host();
    let server = server::with_bucket("parts");
    let prefix = prefix(&host);
    let store = store(&server.url("parts", &prefix), &host);
    // Odd pieces, so that parts begin inside of them.
    let bytes = Bytes::from((0..10_000_001_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let cuts = [0..5_000_003, 5_000_003..39_999_999, 39_999_999..bytes.len()];
    let pieces = cuts.map(|cut| bytes.slice(cut).into()).into();
    let body = Body { pieces, timestamp: Some(WallMs(1_700_000_000_250)) };
    host.tasks.wait(async {
        store.put("large.ltx", body).await.unwrap();
        assert!(store.get("large.ltx").await.unwrap().unwrap().bytes == bytes);
    });
    let (timestamp, etag) = seen_by_others(server, "parts", &format!("{prefix}/large.ltx"), &host);
    assert_eq!(timestamp.as_deref(), Some("2023-11-14T22:13:20.250Z"));
    assert!(etag.contains("-3"), "three parts: {etag}");
}

#[test]
fn the_timestamp_is_user_metadata() {
    let host = host();
    let server = server::with_bucket("metadata");
    let prefix = prefix(&host);
    let store = store(&server.url("metadata", &prefix), &host);
    let body = Body { timestamp: Some(WallMs(1_000_000_000_123)), ..Body::from(vec![1]) };
    assert_eq!(host.tasks.wait(store.create("a", body)).unwrap(), Created::New);
    let (timestamp, _) = seen_by_others(server, "metadata", &format!("{prefix}/a"), &host);
    assert_eq!(timestamp.as_deref(), Some("2001-09-09T01:46:40.123Z"));
}

#[test]
fn a_missing_bucket_is_named_by_every_operation() {
    let host = host();
    let url = server::with_bucket("contract").url("no-such-bucket", "p");
    let store = opened(&url, &impatient(), &environment(), &host).store;
    let large = Body::from(vec![0; 33 << 20]);
    let errors = host.tasks.wait(async {
        [
            store.create("a", Body::default()).await.unwrap_err(),
            store.put("a", Body::default()).await.unwrap_err(),
            store.put("a", large).await.unwrap_err(),
            store.get("a").await.unwrap_err(),
            store.get_range("a", 0..1).await.unwrap_err(),
            store.get_tail("a", 1).await.unwrap_err(),
            store.list("", None).await.unwrap_err(),
            store.delete(&["a".into()]).await.unwrap_err(),
        ]
    });
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("the bucket 'no-such-bucket' does not exist"), "{error}");
        names_the_object_and_no_secret(&error);
    }
}

#[test]
fn wrong_credentials_are_denied_with_a_hint() {
    let host = host();
    let strict = server::moto(&[("INITIAL_NO_AUTH_ACTION_COUNT", "0")]);
    let wrong = [("AWS_ACCESS_KEY_ID", "AKIAWRONG"), ("AWS_SECRET_ACCESS_KEY", SECRET)].into_iter().collect();
    let store = opened(&strict.url("bucket", "p"), &impatient(), &wrong, &host).store;
    let errors = host.tasks.wait(async {
        [
            store.create("a", Body::default()).await.unwrap_err(),
            store.get("a").await.unwrap_err(),
            store.list("", None).await.unwrap_err(),
        ]
    });
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("credentials"), "{error}");
        names_the_object_and_no_secret(&error);
    }
}
