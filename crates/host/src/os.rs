//! The real machine: Linux files, the boot-time clock, the kernel's randomness, a tokio runtime.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{self, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use rustix::{
    fs::{FallocateFlags, fallocate},
    time::{ClockId, clock_gettime},
};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{Chance, Clock, Dir, File, Files, Host, Lock, Mono, OpenMode, Tasks, WallMs};

/// The real machine, with a runtime of its own. The first call on it starts its threads.
///
/// # Errors
/// When the system refuses to start a thread.
pub fn host() -> io::Result<Host> {
    let runtime = Builder::new_multi_thread()
        // One thread is enough to feed every socket; hashing and compression run on the blocking pool.
        .worker_threads(1)
        .max_blocking_threads(16)
        .thread_keep_alive(Duration::from_secs(5))
        .thread_name("plimsoll")
        .enable_all()
        .build()?;
    let runtime = Arc::new(runtime);
    Ok(Host {
        clock: Arc::new(OsClock { runtime: Arc::clone(&runtime) }),
        chance: Arc::new(OsChance),
        files: Arc::new(OsFiles),
        tasks: Arc::new(OsTasks { runtime }),
    })
}

/// The name of this host, for people on other hosts.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

struct OsClock {
    runtime: Arc<Runtime>,
}

impl Clock for OsClock {
    fn now(&self) -> Mono {
        let time = clock_gettime(ClockId::Boottime);
        Mono(Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    #[allow(clippy::disallowed_methods, reason = "this is where the clock is read for everybody else")]
    fn wall(&self) -> WallMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, deadline: Mono) -> BoxFuture<'static, ()> {
        let wait = deadline.since(self.now());
        let handle = self.runtime.handle().clone();
        Box::pin(async move {
            let timer = {
                let _context = handle.enter();
                tokio::time::sleep(wait)
            };
            timer.await;
        })
    }
}

struct OsChance;

impl Chance for OsChance {
    fn bits(&self) -> u64 {
        getrandom::u64().expect("BUG: the kernel has no randomness")
    }
}

struct OsTasks {
    runtime: Arc<Runtime>,
}

impl Tasks for OsTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        self.runtime.spawn_blocking(job);
    }

    fn give_way(&self) {
        thread::yield_now();
    }

    fn block_on(&self, future: BoxFuture<'_, ()>) {
        if Handle::try_current().is_err() {
            self.runtime.block_on(future);
            return;
        }
        // A program that uses SQLite in a task of a runtime of its own: tokio lets nobody block there, and would panic. That
        // SQLite blocks is what the program has asked for.
        let _context = self.runtime.enter();
        park_until(future);
    }
}

/// Wakes a thread that waits for a future.
struct Parked {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Waits for a future on whatever thread this is. The executor of `futures` refuses to do so below another one of its own.
fn park_until(mut future: BoxFuture<'_, ()>) {
    let parked = Arc::new(Parked { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&parked));
    let mut context = task::Context::from_waker(&waker);
    while future.as_mut().poll(&mut context).is_pending() {
        // Somebody else may have unparked it, or have used up that it was.
        while !parked.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

struct OsFiles;

struct OsFile(fs::File);

impl File for OsFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buf.len() {
            match self.0.read_at(&mut buf[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        match fallocate(self.0.as_fd(), FallocateFlags::KEEP_SIZE, offset, len) {
            // Not every file system can; then a full disk shows at the write.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            other => Ok(other?),
        }
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        match fallocate(self.0.as_fd(), FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Held by the open file; the kernel lets go when the last descriptor for it is closed.
struct OsLock {
    file: fs::File,
}

impl Lock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        forked::forget(self.file.as_raw_fd());
        // Explicit, because a child that forked meanwhile may still share the descriptor.
        let _ = self.file.unlock();
    }
}

struct OsDir(fs::File);

impl Dir for OsDir {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl Files for OsFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => drop(options.write(true)),
            OpenMode::Create => drop(options.write(true).create(true)),
            OpenMode::CreateNew => drop(options.write(true).create_new(true)),
        }
        Ok(Arc::new(OsFile(options.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // A name that is not Unicode is not one of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn open_dir(&self, path: &Path) -> io::Result<Option<Arc<dyn Dir>>> {
        Ok(Some(Arc::new(OsDir(fs::File::open(path)?))))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                forked::remember(file.as_raw_fd());
                Ok(Some(Box::new(OsLock { file })))
            }
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

pub mod forked;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_a_second_taker_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = OsFiles.try_lock(&path).unwrap().expect("free");
        assert!(OsFiles.try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(OsFiles.try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn replace_leaves_the_new_bytes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        OsFiles.replace(&path, b"one").unwrap();
        OsFiles.replace(&path, b"two").unwrap();
        assert_eq!(OsFiles.read(&path).unwrap(), b"two");
        assert_eq!(OsFiles.list(dir.path()).unwrap(), ["state.json"]);
    }

    /// tokio panics where a thread that drives tasks is blocked.
    #[test]
    fn waiting_works_in_a_task_of_somebody_elses_runtime() {
        for mut theirs in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let host = host().unwrap();
            let tasks = Arc::clone(&host.tasks);
            let clock = Arc::clone(&host.clock);
            let answer = theirs.enable_all().build().unwrap().block_on(async move {
                tasks.wait(async {
                    clock.sleep(Duration::from_millis(5)).await;
                    crate::run_blocking(&tasks, || 42).await
                })
            });
            assert_eq!(answer, 42);
            drop(host);
        }
    }

    /// The executor of `futures` panics below itself.
    #[test]
    fn waiting_works_below_other_executors_in_threads_of_somebody_elses_runtime() {
        let theirs = Builder::new_multi_thread().enable_all().build().unwrap();
        let host = host().unwrap();
        let (tasks, clock) = (Arc::clone(&host.tasks), Arc::clone(&host.clock));
        let job = move || {
            futures::executor::block_on(async {
                tasks.wait(async {
                    clock.sleep(Duration::from_millis(5)).await;
                    crate::run_blocking(&tasks, || 42).await
                })
            })
        };
        assert_eq!(theirs.block_on(theirs.spawn_blocking(job)).unwrap(), 42);
    }

    #[test]
    fn waits_return_what_the_future_returned() {
        let host = host().unwrap();
        let start = host.clock.now();
        let answer = host.tasks.wait(async {
            host.clock.sleep(Duration::from_millis(5)).await;
            crate::run_blocking(&host.tasks, || 42).await
        });
        assert_eq!(answer, 42);
        assert!(host.clock.now().since(start) >= Duration::from_millis(5));
    }
}
