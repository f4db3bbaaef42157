//! The disk that loses power, as a process sees it through the kernel.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use plimsoll_crash::power::{Mounted, fuse};

fn sync(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

/// What is left after a power loss, for many seeds; nothing if there is no FUSE here, and may be none.
fn after_power_loss<T>(work: impl Fn(&Path), look: impl Fn(&Path) -> T) -> Vec<T> {
    if !fuse().unwrap() {
        return Vec::new();
    }
    let dir = tempfile::tempdir().unwrap();
    (0..16)
        .map(|seed| {
            let at = dir.path().join(seed.to_string());
            let mut mounted = Mounted::new(&at, seed).unwrap();
            work(&at);
            mounted.power_loss().unwrap();
            look(&at)
        })
        .collect()
}

#[test]
fn what_was_synced_with_its_names_stays() {
    let left = after_power_loss(
        |root| {
            fs::create_dir_all(root.join("a/b")).unwrap();
            fs::write(root.join("a/b/temporary"), "kept").unwrap();
            sync(&root.join("a/b/temporary"));
            fs::hard_link(root.join("a/b/temporary"), root.join("a/b/linked")).unwrap();
            fs::rename(root.join("a/b/temporary"), root.join("a/file")).unwrap();
            for folder in ["a/b", "a", ""] {
                sync(&root.join(folder));
            }
        },
        |root| {
            let names = |dir: &str| fs::read_dir(root.join(dir)).unwrap().map(|entry| entry.unwrap().file_name());
            assert_eq!(names("a").count(), 2);
            assert_eq!(names("a/b").collect::<Vec<_>>(), ["linked"]);
            assert_eq!(fs::read_to_string(root.join("a/file")).unwrap(), "kept");
            assert_eq!(fs::read_to_string(root.join("a/b/linked")).unwrap(), "kept");
        },
    );
    assert!(left.len() == 16 || !fuse().unwrap());
}

#[test]
fn a_folder_whose_own_name_was_not_synced_takes_everything_with_it() {
    let left = after_power_loss(
        |root| {
            fs::create_dir(root.join("a")).unwrap();
            fs::write(root.join("a/file"), "lost").unwrap();
            sync(&root.join("a/file"));
            sync(&root.join("a"));
        },
        |root| root.join("a/file").exists(),
    );
    assert!(left.is_empty() || left.contains(&false) && left.contains(&true), "{left:?}");
}

#[test]
fn bytes_that_were_not_synced_may_go_and_names_that_were_not_may_come_back() {
    let left = after_power_loss(
        |root| {
            let mut file = File::create_new(root.join("file")).unwrap();
            file.write_all(&[1; 4096]).unwrap();
            file.sync_all().unwrap();
            sync(root);
            file.write_all_at(&[2; 4096], 0).unwrap();
            fs::rename(root.join("file"), root.join("moved")).unwrap();
        },
        |root| {
            let old = root.join("file").exists();
            assert_ne!(old, root.join("moved").exists(), "a name that moves is in one place");
            let mut bytes = Vec::new();
            File::open(root.join(if old { "file" } else { "moved" })).unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), 4096);
            (old, bytes.contains(&1), bytes.contains(&2))
        },
    );
    let any = |wanted: fn(&(bool, bool, bool)) -> bool| left.is_empty() || left.iter().any(wanted);
    assert!(any(|(old, ..)| *old) && any(|(old, ..)| !*old), "{left:?}");
    assert!(any(|(_, one, _)| *one) && any(|(.., two)| *two), "{left:?}");
}

#[test]
fn a_sync_that_is_to_fail_fails() {
    if !fuse().unwrap() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mounted = Mounted::new(dir.path(), 1).unwrap();
    let file = File::create_new(dir.path().join("file")).unwrap();
    mounted.disk().fail_syncs(1, 1);
    file.sync_data().unwrap();
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(mounted.disk().syncs_to_fail(), 0);
}
