//! What a `fork` leaves to the child.

use std::{fs, os::fd::RawFd, path::Path};

use plimsoll_host::os;

/// The descriptor by which this process has a file open.
fn descriptor(path: &Path) -> RawFd {
    let open = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let found = open.into_iter().find(|link| fs::read_link(link).is_ok_and(|target| target == path)).unwrap();
    found.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// The kernel lets go of a lock with the last descriptor for its file: after the parent has died that would be a child's.
#[test]
fn a_child_has_none_of_its_parents_locks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("lock");
    let files = os::host().unwrap().files;
    let lock = files.try_lock(&path).unwrap().expect("nobody has it");
    let fd = descriptor(&path);
    // SAFETY: the child calls nothing but what is allowed after fork.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(i32::from(libc::fcntl(fd, libc::F_GETFD) != -1));
        }
        child
    };
    assert!(child > 0);
    let mut status = -1;
    // SAFETY: waits for the child that was just made.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "it has the lock's file open");
    assert!(files.try_lock(&path).unwrap().is_none(), "the parent has it all the same");
    drop(lock);
    assert!(files.try_lock(&path).unwrap().is_some());
}
