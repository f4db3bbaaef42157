//! What is particular to files; the store contract is tested with the other backends.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use plimsoll_host::{WallMs, os};

use super::*;

fn store(root: &Path) -> FileStore {
    FileStore::new(root.to_owned(), "file:///r", &os::host().unwrap())
}

fn wait<T: Send>(store: &FileStore, work: impl Future<Output = T> + Send) -> T {
    let tasks = Arc::clone(&store.host.tasks);
    tasks.wait(work)
}

#[test]
fn reading_a_missing_root_finds_nothing_and_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("deep/er");
    let store = store(&root);
    assert!(wait(&store, store.get("a")).unwrap().is_none());
    assert!(wait(&store, store.list("", None)).unwrap().is_empty());
    wait(&store, store.delete(&["a".into()])).unwrap();
    assert!(!dir.path().join("deep").exists());
    assert_eq!(wait(&store, store.create("x/y", Body::default())).unwrap(), Created::New);
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(root.join("x/y")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn ltx_files_show_their_own_time_and_entries_the_time_of_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let body = Body { timestamp: Some(WallMs(1_000_000_000_123)), ..Body::from(vec![1]) };
    wait(&store, store.create("ltx/0/a.ltx", body.clone())).unwrap();
    wait(&store, store.create("a.json", body)).unwrap();
    let meta = fs::metadata(dir.path().join("ltx/0/a.ltx")).unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000_000_000, 123_000_000));
    assert!(fs::metadata(dir.path().join("a.json")).unwrap().mtime() > 1_000_000_001);
    let listed = wait(&store, store.list("ltx/", None)).unwrap();
    assert!(listed[0].modified > WallMs(1_700_000_000_000), "not the time in the header: {listed:?}");
}

#[test]
fn temporary_files_are_never_listed_and_none_stay_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    wait(&store, store.create("a", Body::from(vec![1]))).unwrap();
    wait(&store, store.create("a", Body::from(vec![2]))).unwrap();
    wait(&store, store.put("a", Body::from(vec![3]))).unwrap();
    assert_eq!(fs::read_dir(dir.path().join(".plimsoll-tmp")).unwrap().count(), 0);
    fs::write(dir.path().join(".plimsoll-tmp/0123"), b"half").unwrap();
    let keys: Vec<_> = wait(&store, store.list("", None)).unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["a"]);
}

#[test]
fn directories_removed_under_our_feet_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("r"));
    wait(&store, store.put("x/a", Body::default())).unwrap();
    fs::remove_dir_all(dir.path().join("r")).unwrap();
    wait(&store, store.put("x/b", Body::default())).unwrap();
    assert_eq!(wait(&store, store.list("", None)).unwrap().len(), 1);
}

#[test]
fn a_file_in_the_way_is_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), b"").unwrap();
    let store = store(dir.path());
    let error = wait(&store, store.create("x/y", Body::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("file:///r/x/y"), "{error}");
}

#[test]
fn a_key_that_leads_upwards_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("r"));
    let error = wait(&store, store.put("../x", Body::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!dir.path().join("x").exists());
}

#[test]
fn a_folder_without_objects_is_not_listed_as_in_an_object_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    for key in ["a/b/1", "c/1"] {
        wait(&store, store.create(key, Body::default())).unwrap();
    }
    wait(&store, store.delete(&["a/b/1".to_owned()])).unwrap();
    assert!(dir.path().join("a/b").is_dir());
    assert_eq!(wait(&store, store.list_folder("")).unwrap().folders, ["c/"]);
}

/// Programs are told that they may not, rather than that a disk fails.
#[test]
fn a_directory_that_may_not_be_written_is_a_store_that_refuses() {
    for kind in [Io::PermissionDenied, Io::ReadOnlyFilesystem] {
        assert_eq!(failed("reading", kind.into()).kind(), ErrorKind::Denied);
        let unnamed = WriteError { error: kind.into(), named: false };
        assert_eq!(unnamed.at("file:///r", "a").kind(), ErrorKind::Denied);
    }
    assert_eq!(failed("reading", Io::Other.into()).kind(), ErrorKind::Io);
}
