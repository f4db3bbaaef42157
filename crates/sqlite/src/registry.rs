//! What all connections of a process share: one open volume per place, and the files that never leave the process.

use std::{
    collections::HashMap,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicPtr, AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
};

use plimsoll_host::os::forked;
use plimsoll_model::{Error, Result};
use plimsoll_volume::{Process, Volume};

use crate::{
    header::Shown,
    open::{Request, agree, open_volume, place, start_process, start_reporting},
    scratch::Buffers,
    superjournal::SuperJournals,
};

/// Locks, also when another thread panicked meanwhile: every structure behind these locks is valid at each step.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open volume and what its connections have in common.
pub(crate) struct Shared {
    pub(crate) volume: Volume,
    /// Change counters shown in place of the stored ones.
    pub(crate) shown: Shown,
}

/// One volume, opened in one way.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Where it is: a URL alone does not say at which server or in whose account.
    place: String,
    read_only: bool,
}

#[derive(Default)]
struct Users {
    count: usize,
    shared: Option<Arc<Shared>>,
}

/// One connection's share in an open volume.
pub(crate) struct Attached {
    pub(crate) shared: Arc<Shared>,
    users: Arc<Mutex<Users>>,
    /// The name by which SQLite knows the database, so its journal is this with `-journal`.
    name: String,
}

/// An error that belongs to no open volume.
struct Stray {
    /// Counted from 1.
    number: u64,
    thread: ThreadId,
    text: String,
}

/// Everything of one process.
pub(crate) struct Registry {
    generation: u64,
    volumes: Mutex<HashMap<Key, Arc<Mutex<Users>>>>,
    /// Names of open databases, with how many connections use each.
    names: Mutex<HashMap<String, usize>>,
    pub(crate) super_journals: SuperJournals,
    pub(crate) buffers: Buffers,
    stray: Mutex<Option<Stray>>,
    strays: AtomicU64,
    /// The last error of any volume, for a program that links this code.
    failure: Mutex<Option<Error>>,
    process: OnceLock<Process>,
}

static CURRENT: AtomicPtr<Registry> = AtomicPtr::new(ptr::null_mut());

/// The registry of this process. A child that was forked off starts with an empty one: the parent's
/// locks may have been held by threads that do not exist here.
pub(crate) fn registry() -> &'static Registry {
    let generation = forked::generation();
    loop {
        let current = CURRENT.load(Ordering::Acquire);
        // SAFETY: a registry that was published here is never freed.
        if let Some(registry) = unsafe { current.as_ref() }
            && registry.generation == generation
        {
            return registry;
        }
        let fresh = Box::into_raw(Box::new(Registry {
            generation,
            volumes: Mutex::default(),
            names: Mutex::default(),
            super_journals: SuperJournals::default(),
            buffers: Buffers::default(),
            stray: Mutex::default(),
            strays: AtomicU64::new(0),
            failure: Mutex::default(),
            process: OnceLock::new(),
        }));
        if CURRENT.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: lost the race, so nobody else has seen this one.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
}

impl Registry {
    /// Opens the volume of a request, or joins those who have it open in this process.
    ///
    /// # Errors
    /// As opening a volume; `Invalid` for a setting in the URI that is not the one it was opened with: settings are
    /// those of the volume, so one connection's must not be another's surprise.
    pub(crate) fn attach(&self, name: &str, request: &Request) -> Result<Attached> {
        let place = place(self.process()?, request)?;
        let (users, shared) = loop {
            let users = self.users(&place, request.read_only);
            let mut held = lock(&users);
            let shared = match &held.shared {
                Some(shared) if shared.volume.is_fenced() => {
                    // Who has it open is told so at every step. Who opens it now begins with the winner's state.
                    drop(held);
                    lock(&self.volumes).retain(|_, other| !Arc::ptr_eq(other, &users));
                    continue;
                }
                Some(shared) => {
                    agree(self.process()?, request, &shared.volume)?;
                    Arc::clone(shared)
                }
                None => {
                    let volume = open_volume(self.process()?, request)?;
                    let shared = Arc::new(Shared { volume, shown: Shown::default() });
                    held.shared = Some(Arc::clone(&shared));
                    shared
                }
            };
            held.count += 1;
            drop(held);
            break (users, shared);
        };
        *lock(&self.names).entry(name.to_owned()).or_default() += 1;
        Ok(Attached { shared, users, name: name.to_owned() })
    }

    /// The machine and what is counted on it. The first call starts the threads.
    ///
    /// # Errors
    /// When the system refuses to start a thread.
    pub(crate) fn process(&self) -> Result<&Process> {
        if self.process.get().is_none() {
            let fresh = start_process()?;
            // If another thread was faster, its threads are the ones.
            if self.process.set(fresh).is_ok() {
                start_reporting(self.process.get().expect("BUG: it was just set"));
            }
        }
        Ok(self.process.get().expect("BUG: it was just set"))
    }

    /// A reader shares the writer's volume if this process has one.
    fn users(&self, place: &str, read_only: bool) -> Arc<Mutex<Users>> {
        let key = |read_only| Key { place: place.to_owned(), read_only };
        if read_only {
            let writers = lock(&self.volumes).get(&key(false)).map(Arc::clone);
            // Opening takes time, so nobody waits for it while holding the map.
            if let Some(writers) = writers.filter(|writers| lock(writers).shared.is_some()) {
                return writers;
            }
        }
        Arc::clone(lock(&self.volumes).entry(key(read_only)).or_default())
    }

    /// Ends one connection's use. The last one closes the volume; who opens it meanwhile waits for that.
    ///
    /// # Errors
    /// What closing the volume answers: something could not be made durable in time.
    pub(crate) fn detach(&self, attached: Attached) -> Result<()> {
        let Attached { shared, users, name } = attached;
        {
            let mut names = lock(&self.names);
            if let Some(count) = names.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    names.remove(&name);
                }
            }
        }
        let mut held = lock(&users);
        held.count -= 1;
        if held.count > 0 {
            return Ok(());
        }
        let closed = shared.volume.clone().close();
        // Only now: what could not be closed is not forgotten as if it were.
        held.shared = None;
        drop(held);
        // Unless somebody waits for it: the map has one share and this is the other, and there is no way to it but the map.
        lock(&self.volumes).retain(|_, other| !Arc::ptr_eq(other, &users) || Arc::strong_count(&users) > 2);
        closed
    }

    /// Every volume that is open, once it is: one that is being opened or closed is waited for.
    #[cfg(feature = "linked")]
    pub(crate) fn open_volumes(&self) -> Vec<Volume> {
        let users: Vec<_> = lock(&self.volumes).values().map(Arc::clone).collect();
        users.iter().filter_map(|users| Some(lock(users).shared.as_ref()?.volume.clone())).collect()
    }

    /// Whether `journal` is the rollback journal of a volume that is open here.
    pub(crate) fn is_journal_of_a_volume(&self, journal: &str) -> bool {
        journal.strip_suffix("-journal").is_some_and(|name| lock(&self.names).contains_key(name))
    }

    /// Has volumes opened by a process that the program has started itself, unless it is too late for that.
    #[cfg(feature = "linked")]
    pub(crate) fn adopt(&self, process: Process) {
        let _ = self.process.set(process);
    }

    /// Keeps an error as it is, beside its words.
    pub(crate) fn keep(&self, error: &Error) {
        *lock(&self.failure) = Some(error.duplicate());
    }

    /// The last error that was kept; it is given out once.
    #[cfg(feature = "linked")]
    pub(crate) fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    /// Remembers an error that belongs to no open volume.
    pub(crate) fn remember_error(&self, text: &str) {
        let number = self.strays.fetch_add(1, Ordering::Relaxed) + 1;
        *lock(&self.stray) = Some(Stray { number, thread: thread::current().id(), text: text.to_owned() });
    }

    /// How many errors there were that belonged to no open volume.
    pub(crate) fn strays(&self) -> u64 {
        self.strays.load(Ordering::Relaxed)
    }

    /// The last error that belonged to no open volume, if it came after so many others.
    pub(crate) fn stray(&self, after: u64) -> Option<String> {
        lock(&self.stray).as_ref().filter(|stray| stray.number > after).map(|stray| stray.text.clone())
    }

    /// The same, if it came up on this thread.
    pub(crate) fn stray_here(&self, after: u64) -> Option<String> {
        let here = lock(&self.stray).as_ref().is_some_and(|stray| stray.thread == thread::current().id());
        self.stray(after).filter(|_| here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_of_a_volume_that_nobody_has_open_any_more() {
        let state = tempfile::tempdir().unwrap();
        let settings = vec![("state_dir".to_owned(), state.path().display().to_string())];
        let request = |n: u32, read_only| Request {
            url: format!("memory:///registry-{n}"),
            settings: settings.clone(),
            read_only,
            create: true,
        };
        let registry = registry();
        let kept = |n: u32| lock(&registry.volumes).keys().any(|key| key.place.contains(&format!("registry-{n}")));
        for n in 0..3 {
            let (one, other) =
                (registry.attach("a", &request(n, false)).unwrap(), registry.attach("b", &request(n, true)));
            registry.detach(one).unwrap();
            assert!(kept(n), "somebody reads it");
            registry.detach(other.unwrap()).unwrap();
            assert!(!kept(n));
        }
    }
}
