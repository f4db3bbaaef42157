//! What a command leaves when it is told to end: no scratch files, no volume that others have to wait for.

use std::{
    io,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use plimsoll_model::{Result, ResultExt};
use plimsoll_volume::{Role, Status, Volume};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
    iterator::Signals,
};

/// A store that answers opens a volume within this. One that does not is not waited for: then nothing was taken there.
const OPENS_WITHIN: Duration = Duration::from_secs(5);
/// A shell takes this plus the number of a signal for the end by that signal.
const BY_SIGNAL: i32 = 128;

static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();
static ENDING: AtomicBool = AtomicBool::new(false);

/// Something that is to be put in order.
struct Held {
    guard: Arc<()>,
    what: What,
    /// What is left, and how to go on.
    words: String,
}

enum What {
    /// A folder, with all that is in it.
    Folder(PathBuf),
    File(PathBuf),
    /// A volume that is being opened, and may be taken by that.
    Opening,
    Volume(Volume),
    /// Whatever SQLite has open.
    Connections,
    /// Only words, after everything else.
    Note,
}

/// Until it is dropped, the end of the command by SIGINT or SIGTERM puts something in order.
#[must_use]
pub(crate) struct Guard(Arc<()>);

impl Guard {
    /// Replaces what is said of it.
    pub(crate) fn say(&self, words: impl Into<String>) {
        self.change(|held| held.words = words.into());
    }

    /// The volume that was being opened is open, and let go when the command is told to end.
    pub(crate) fn opened(&self, volume: &Volume) {
        self.change(|held| held.what = What::Volume(volume.clone()));
        give_way();
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut held = held();
        if let Some(of) = held.iter_mut().find(|held| Arc::ptr_eq(&held.guard, &self.0)) {
            change(of);
        }
        CHANGED.notify_all();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        held().retain(|held| !Arc::ptr_eq(&held.guard, &self.0));
        CHANGED.notify_all();
    }
}

/// Removes a file when the command is told to end.
///
/// # Errors
/// When signals cannot be waited for.
pub(crate) fn scratch(file: &Path, words: impl Into<String>) -> Result<Guard> {
    hold(What::File(file.to_owned()), words.into())
}

/// Removes a folder and what is in it when the command is told to end.
///
/// # Errors
/// When signals cannot be waited for.
pub(crate) fn scratch_folder(folder: &Path) -> Result<Guard> {
    hold(What::Folder(folder.to_owned()), String::new())
}

/// A volume is about to be opened: whoever is told to end meanwhile waits for that, and then lets it go, so that other
/// hosts need not wait for it.
///
/// # Errors
/// When signals cannot be waited for.
pub(crate) fn opening() -> Result<Guard> {
    hold(What::Opening, "what was finished until then stays".to_owned())
}

/// As [`opening`], for all that SQLite has open.
///
/// # Errors
/// When signals cannot be waited for.
pub(crate) fn connections() -> Result<Guard> {
    hold(What::Connections, "what was committed stays".to_owned())
}

/// Says something when the command is told to end, after all else.
///
/// # Errors
/// When signals cannot be waited for.
pub(crate) fn note(words: impl Into<String>) -> Result<Guard> {
    hold(What::Note, words.into())
}

/// Does not return if the command was told to end: whoever lets go of everything says the last word.
pub(crate) fn give_way() {
    while ENDING.load(Ordering::Acquire) {
        thread::park();
    }
}

fn hold(what: What, words: String) -> Result<Guard> {
    watch()?;
    let guard = Arc::new(());
    let mut held = held();
    if ENDING.load(Ordering::Acquire) {
        drop(held);
        // Nothing is begun any more.
        give_way();
    } else {
        held.push(Held { guard: Arc::clone(&guard), what, words });
    }
    Ok(Guard(guard))
}

fn held() -> MutexGuard<'static, Vec<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() -> Result<()> {
    static BEGUN: OnceLock<io::Result<()>> = OnceLock::new();
    // Whoever asks later is told, too.
    let begun = BEGUN.get_or_init(begin).as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()));
    begun.copied().doing("waiting for", "signals")
}

fn begin() -> io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first one is only noted, the second one ends the process at once.
        flag::register_conditional_shutdown(signal, BY_SIGNAL + signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end();
            process::exit(BY_SIGNAL + signal);
        }
    })?;
    Ok(())
}

/// Puts everything in order, volumes side by side, since each may take its time.
fn end() {
    eprintln!("plimsoll: interrupted; a second time ends at once");
    let mut all = held();
    ENDING.store(true, Ordering::Release);
    let mut notes = Vec::new();
    thread::scope(|scope| {
        while !all.is_empty() {
            let ready: Vec<Held> = all.extract_if(.., |held| !matches!(held.what, What::Opening)).collect();
            if ready.is_empty() {
                let changed = CHANGED.wait_timeout(all, OPENS_WITHIN).unwrap_or_else(PoisonError::into_inner);
                all = changed.0;
                if changed.1.timed_out() {
                    break;
                }
                continue;
            }
            drop(all);
            for held in ready {
                if let What::Note = held.what {
                    notes.push(held.words);
                } else {
                    scope.spawn(move || let_go(held));
                }
            }
            all = self::held();
        }
        drop(all);
    });
    for words in notes {
        eprintln!("plimsoll: {words}");
    }
}

fn let_go(Held { what, words, .. }: Held) {
    match what {
        What::File(path) => removed(&path, std::fs::remove_file(&path), &words),
        What::Folder(path) => removed(&path, std::fs::remove_dir_all(&path), &words),
        What::Volume(volume) => close(volume, &words),
        What::Connections => {
            for volume in plimsoll_sqlite::open_volumes() {
                close(volume, &words);
            }
        }
        What::Opening | What::Note => {}
    }
}

fn removed(path: &Path, removed: std::io::Result<()>, words: &str) {
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            eprintln!("plimsoll: interrupted, and {} is left: {error}", path.display());
        }
        _ if words.is_empty() => {}
        _ => eprintln!("plimsoll: {words}"),
    }
}

fn close(volume: Volume, words: &str) {
    let Status { url, role, .. } = volume.status();
    if role == Role::Closed {
        // The command has come so far by itself.
        return;
    }
    eprintln!("plimsoll: letting go of {url}");
    match volume.close() {
        Ok(()) => eprintln!("plimsoll: {words}"),
        Err(error) => eprintln!("plimsoll: {error}"),
    }
}
