//! What a command leaves when it is told to end: no scratch files, no volume that others have to wait for.

use std::{
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use plimsoll_model::ResultExt;
use plimsoll_volume::Volume;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
    iterator::Signals,
};

use crate::exit::Result;

/// A shell takes this plus the number of a signal for the end by that signal.
const BY_SIGNAL: i32 = 128;

static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());
static ENDING: AtomicBool = AtomicBool::new(false);

/// Something that is to be put in order.
struct Held {
    guard: Arc<()>,
    what: What,
    /// What is left, and how to go on.
    words: String,
}

enum What {
    Scratch(PathBuf),
    Volume(Volume),
}

/// Until it is dropped, the end of the command by SIGINT or SIGTERM puts something in order.
#[must_use]
pub(crate) struct Guard(Arc<()>);

impl Guard {
    /// Replaces what is said of it.
    pub(crate) fn say(&self, words: impl Into<String>) {
        let mut held = held();
        if let Some(of) = held.iter_mut().find(|held| Arc::ptr_eq(&held.guard, &self.0)) {
            of.words = words.into();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        held().retain(|held| !Arc::ptr_eq(&held.guard, &self.0));
    }
}

/// Removes a file when the command is told to end.
///
/// # Errors
/// When signals cannot be waited for.
pub(crate) fn scratch(file: &Path, words: impl Into<String>) -> Result<Guard> {
    hold(What::Scratch(file.to_owned()), words.into())
}

/// Lets a volume go when the command is told to end, so that other hosts need not wait for it.
///
/// # Errors
/// When signals cannot be waited for.
pub(crate) fn volume(volume: &Volume, words: impl Into<String>) -> Result<Guard> {
    hold(What::Volume(volume.clone()), words.into())
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
    held().push(Held { guard: Arc::clone(&guard), what, words });
    Ok(Guard(guard))
}

fn held() -> MutexGuard<'static, Vec<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut begun = Ok(());
    ONCE.call_once(|| begun = begin());
    Ok(begun.doing("waiting for", "signals")?)
}

fn begin() -> std::io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first one is only noted, the second one ends the process at once.
        flag::register_conditional_shutdown(signal, BY_SIGNAL + signal, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            ENDING.store(true, Ordering::Release);
            let all = std::mem::take(&mut *held());
            all.into_iter().for_each(let_go);
            process::exit(BY_SIGNAL + signal);
        }
    })?;
    Ok(())
}

fn let_go(Held { what, words, .. }: Held) {
    match what {
        What::Scratch(file) => match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                eprintln!("plimsoll: interrupted, and {} is left: {error}", file.display());
            }
            _ => eprintln!("plimsoll: interrupted: {words}"),
        },
        What::Volume(volume) => {
            let url = volume.status().url;
            eprintln!("plimsoll: interrupted: letting go of {url}; a second time ends at once");
            match volume.close() {
                Ok(()) => eprintln!("plimsoll: {words}"),
                Err(error) => eprintln!("plimsoll: {error}"),
            }
        }
    }
}
