//! The blocking half of the file store: paths, temporary files, names and syncs.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind as Io, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use plimsoll_host::{
    WallMs,
    crash::{self, Point},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::WriteError;
use crate::{Body, Created, Entry, Folder};

/// Below the root; no key starts with a dot, so no key is in there.
const TEMP_DIR: &str = ".plimsoll-tmp";
/// A temporary file untouched for so long belongs to a process that died.
const TEMP_SECONDS_MAX: i64 = 3600;

/// What to do about an object of the same name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    New,
    Replace,
}

pub(super) struct Disk {
    root: PathBuf,
    /// Directories of which this process knows that they survive power loss.
    settled: Mutex<HashSet<PathBuf>>,
    swept: AtomicBool,
}

impl Disk {
    pub(super) fn new(root: PathBuf) -> Self {
        Disk { root, settled: Mutex::default(), swept: AtomicBool::new(false) }
    }

    /// Where an object is. The key was checked: no segment leads upwards.
    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Writes an object durably.
    pub(super) fn write(&self, key: &str, body: &Body, unique: u64, naming: Naming) -> Result<Created, WriteError> {
        let unnamed = |error| WriteError { error, named: false };
        let target = self.path(key);
        let folder = target.parent().unwrap_or(&self.root).to_owned();
        let temp = self.root.join(TEMP_DIR).join(format!("{unique:016x}"));
        let prepare = || {
            self.settle(&folder)?;
            self.settle(&self.root.join(TEMP_DIR))?;
            self.write_temp(&temp, key, body)
        };
        let prepared = prepare().or_else(|error| {
            if error.kind() != Io::NotFound {
                return Err(error);
            }
            // Somebody removed directories that were known. Make them again.
            self.settled.lock().unwrap_or_else(PoisonError::into_inner).clear();
            prepare()
        });
        crash::here(Point::ObjectWritten);
        let outcome = prepared.map_err(unnamed).and_then(|()| name(&temp, &target, &folder, naming));
        // Gone already after a rename; what a crash leaves here is swept later.
        let _ = fs::remove_file(&temp);
        outcome
    }

    fn write_temp(&self, temp: &Path, key: &str, body: &Body) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temp)?;
        for piece in &body.pieces {
            file.write_all(&piece.read()?)?;
        }
        if let Some(time) = body.timestamp
            && Path::new(key).extension().is_some_and(|extension| extension == "ltx")
            && let Some(time) = UNIX_EPOCH.checked_add(Duration::from_millis(time.0))
        {
            file.set_modified(time)?;
        }
        sync_file(&file, temp)?;
        if !self.swept.swap(true, Ordering::Relaxed) {
            // Ages are differences of the file system's own change times; no other clock takes part.
            sweep(temp.parent().unwrap_or(&self.root), file.metadata()?.ctime());
        }
        Ok(())
    }

    /// Makes a directory and its parents, and makes them survive power loss, once per process.
    fn settle(&self, dir: &Path) -> io::Result<()> {
        let known = |dir: &Path| self.settled.lock().unwrap_or_else(PoisonError::into_inner).contains(dir);
        if known(dir) {
            return Ok(());
        }
        let made = match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => true,
            Err(error) if error.kind() == Io::AlreadyExists && dir.is_dir() => false,
            Err(error) if error.kind() == Io::AlreadyExists => return Err(Io::NotADirectory.into()),
            Err(error) if error.kind() == Io::NotFound => {
                let parent = dir.parent().ok_or(error)?;
                self.settle(parent)?;
                match DirBuilder::new().mode(0o700).create(dir) {
                    Err(error) if error.kind() != Io::AlreadyExists => return Err(error),
                    _ => true,
                }
            }
            Err(error) => return Err(error),
        };
        // Another process may have made it a moment ago and not synced yet, so ours counts. Above
        // the root only what we made is ours to sync.
        if (made || dir.starts_with(&self.root))
            && let Some(parent) = dir.parent()
        {
            if parent.starts_with(&self.root) {
                self.settle(parent)?;
            }
            match sync_dir(parent) {
                // An older directory in one that is not ours to read; whoever made it has synced it.
                Err(error) if !made && error.kind() == Io::PermissionDenied => {}
                synced => synced?,
            }
        }
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(dir.to_owned());
        Ok(())
    }

    /// Every object below a folder, in order of keys.
    pub(super) fn list(&self, folder: &str, after: Option<&str>) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let found = self.inside(&folder)?;
            folders.extend(found.folders);
            entries
                .extend(found.entries.into_iter().filter(|entry| after.is_none_or(|after| entry.key.as_str() > after)));
        }
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    /// As [`Disk::inside`], without folders in which there is no object: in an object store these would not exist.
    pub(super) fn list_folder(&self, folder: &str) -> io::Result<Folder> {
        let Folder { folders, entries } = self.inside(folder)?;
        let mut filled = Vec::with_capacity(folders.len());
        for folder in folders {
            if self.has_object(&folder)? {
                filled.push(folder);
            }
        }
        Ok(Folder { folders: filled, entries })
    }

    fn has_object(&self, folder: &str) -> io::Result<bool> {
        let Folder { folders, entries } = self.inside(folder)?;
        if !entries.is_empty() {
            return Ok(true);
        }
        for folder in folders {
            if self.has_object(&folder)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is directly in a folder, in order of keys. Nothing if there is no such folder.
    fn inside(&self, folder: &str) -> io::Result<Folder> {
        let mut found = Folder::default();
        let items = match fs::read_dir(self.root.join(folder)) {
            Ok(items) => items,
            Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => return Ok(found),
            Err(error) => return Err(error),
        };
        for item in items {
            let item = item?;
            // A name that is not Unicode, or is hidden, is not one of ours.
            let Some(name) = item.file_name().to_str().filter(|name| !name.starts_with('.')).map(str::to_owned) else {
                continue;
            };
            let key = format!("{folder}{name}");
            let kind = item.file_type()?;
            if kind.is_dir() {
                found.folders.push(format!("{key}/"));
            } else if kind.is_file() {
                match item.metadata() {
                    Ok(meta) => found.entries.push(Entry { key, size: meta.len(), modified: modified(&meta) }),
                    Err(error) if error.kind() == Io::NotFound => {} // deleted meanwhile
                    Err(error) => return Err(error),
                }
            }
        }
        found.folders.sort_unstable();
        found.entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Removes objects and syncs their folders. Fails with the key that could not be removed.
    ///
    /// Every name that is there now is synced first. Objects are removed because of others that replace them, and the
    /// process that made those may have died between giving them their names and syncing that.
    pub(super) fn delete(&self, keys: &[String]) -> Result<(), (String, io::Error)> {
        if let Some(first) = keys.first() {
            sync_names(&self.root).map_err(|error| (first.clone(), error))?;
        }
        let mut folders = BTreeSet::new();
        for key in keys {
            let path = self.path(key);
            calls::note("remove", &path);
            match fs::remove_file(&path) {
                Ok(()) => {
                    crash::here(Point::CollectHalf);
                    folders.extend(path.parent().map(|folder| (folder.to_owned(), key.clone())));
                }
                Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory | Io::IsADirectory) => {}
                Err(error) => return Err((key.clone(), error)),
            }
        }
        crash::here(Point::Collected);
        let mut synced = HashSet::new();
        for (folder, key) in folders {
            if synced.insert(folder.clone()) {
                sync_dir(&folder).map_err(|error| (key, error))?;
            }
        }
        Ok(())
    }
}

/// When the file system says the object was last written or got its name.
pub(super) fn modified(meta: &fs::Metadata) -> WallMs {
    let seconds = u64::try_from(meta.ctime()).unwrap_or(0);
    let nanos = u64::try_from(meta.ctime_nsec()).unwrap_or(0);
    WallMs(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

/// Gives a synced temporary file its name.
fn name(temp: &Path, target: &Path, folder: &Path, naming: Naming) -> Result<Created, WriteError> {
    let unnamed = |error| WriteError { error, named: false };
    calls::note("name", target);
    let created = match naming {
        Naming::Replace => fs::rename(temp, target).map(|()| Created::New),
        Naming::New => link_new(temp, target),
    }
    .map_err(unnamed)?;
    if created == Created::Exists {
        // Whoever made it may not have synced yet, and the caller will take it for durable.
        File::open(target)
            .and_then(|file| sync_file(&file, target))
            .map_err(|error| WriteError { error, named: true })?;
    }
    crash::here(Point::ObjectNamed);
    sync_dir(folder).map_err(|error| WriteError { error, named: true })?;
    Ok(created)
}

fn link_new(temp: &Path, target: &Path) -> io::Result<Created> {
    match fs::hard_link(temp, target) {
        Ok(()) => return Ok(Created::New),
        Err(error) if error.kind() == Io::AlreadyExists => return Ok(Created::Exists),
        // Some file systems have no hard links, and say so in one of these ways.
        Err(error) if matches!(error.kind(), Io::PermissionDenied | Io::Unsupported | Io::TooManyLinks) => {}
        Err(error) => return Err(error),
    }
    rename_new(temp, target)
}

fn rename_new(temp: &Path, target: &Path) -> io::Result<Created> {
    match renameat_with(CWD, temp, CWD, target, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(Created::New),
        Err(rustix::io::Errno::EXIST) => Ok(Created::Exists),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            Err(Io::Unsupported.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Syncs a folder and all below it.
fn sync_names(folder: &Path) -> io::Result<()> {
    let items = match fs::read_dir(folder) {
        Ok(items) => items,
        Err(error) if error.kind() == Io::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    sync_dir(folder)?;
    for item in items {
        let item = item?;
        // What is hidden holds no objects.
        if item.file_type()?.is_dir() && !item.file_name().as_encoded_bytes().starts_with(b".") {
            sync_names(&item.path())?;
        }
    }
    Ok(())
}

fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    calls::note("sync file", path);
    file.sync_all()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    calls::note("sync dir", dir);
    match File::open(dir)?.sync_all() {
        // This file system has nothing to sync in a directory.
        Err(error) if error.kind() == Io::InvalidInput => Ok(()),
        other => other,
    }
}

/// Removes what dead processes left. Failing to is no reason to fail a write.
fn sweep(temps: &Path, now: i64) {
    let Ok(items) = fs::read_dir(temps) else { return };
    for item in items.flatten() {
        if item.metadata().is_ok_and(|meta| now.saturating_sub(meta.ctime()) > TEMP_SECONDS_MAX)
            && let Err(error) = fs::remove_file(item.path())
        {
            tracing::debug!(path = %item.path().display(), %error, "a stale temporary file stays");
        }
    }
}

/// What was done in which order, which is what power loss is about. Recorded in tests.
mod calls {
    use std::path::Path;

    #[cfg(test)]
    thread_local! {
        pub(super) static MADE: std::cell::RefCell<Vec<(&'static str, std::path::PathBuf)>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    pub(super) fn note(what: &'static str, path: &Path) {
        #[cfg(test)]
        MADE.with_borrow_mut(|made| made.push((what, path.to_owned())));
        #[cfg(not(test))]
        let _ = (what, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls of a job, relative to a folder; temporary files all have one name.
    fn calls(root: &Path, job: impl FnOnce()) -> Vec<String> {
        calls::MADE.take();
        job();
        let relative = |path: PathBuf| match path.strip_prefix(root) {
            Ok(path) if path.starts_with(TEMP_DIR) && path != Path::new(TEMP_DIR) => "temp".to_owned(),
            Ok(path) => path.display().to_string(),
            Err(_) => "above".to_owned(),
        };
        calls::MADE.take().into_iter().map(|(what, path)| format!("{what} {}", relative(path))).collect()
    }

    #[test]
    fn an_object_and_its_name_are_synced_before_a_create_answers() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        let disk = Disk::new(root.clone());
        let write = |naming| {
            let written = disk.write("a/b", &Body::default(), 7, naming);
            assert!(written.is_ok());
        };
        let first = calls(&root, || write(Naming::New));
        let above = ["sync dir above", "sync dir ", "sync dir "];
        assert_eq!(first[..3], above, "the folders' own names");
        let object = ["sync file temp", "name a/b", "sync dir a"];
        assert_eq!(first[3..], object);
        assert_eq!(calls(&root, || write(Naming::Replace)), object);
        // Whoever made it may have died before it had synced.
        let exists = ["sync file temp", "name a/b", "sync file a/b", "sync dir a"];
        assert_eq!(calls(&root, || write(Naming::New)), exists);
    }

    #[test]
    fn what_replaces_an_object_is_synced_before_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        // Named by a process that died before it synced the folder.
        for key in ["old/a", "new/a"] {
            fs::create_dir_all(root.join(key).parent().unwrap()).unwrap();
            fs::write(root.join(key), b"1").unwrap();
        }
        let made = calls(root, || assert!(Disk::new(root.to_owned()).delete(&["old/a".to_owned()]).is_ok()));
        let at = |what: &str| made.iter().position(|call| call == what);
        assert!(at("sync dir new").unwrap() < at("remove old/a").unwrap(), "{made:?}");
        assert_eq!(made.last().unwrap(), "sync dir old");
    }

    #[test]
    fn only_temporary_files_that_nobody_writes_any_more_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let temp = dir.path().join("0123");
        fs::write(&temp, b"half").unwrap();
        let made = fs::metadata(&temp).unwrap().ctime();
        sweep(dir.path(), made + TEMP_SECONDS_MAX);
        assert!(temp.exists());
        sweep(dir.path(), made + TEMP_SECONDS_MAX + 1);
        assert!(!temp.exists());
    }

    #[test]
    fn without_hard_links_a_rename_that_does_not_replace_will_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("one"), b"1").unwrap();
        fs::write(path("two"), b"2").unwrap();
        assert_eq!(rename_new(&path("one"), &path("target")).unwrap(), Created::New);
        assert_eq!(rename_new(&path("two"), &path("target")).unwrap(), Created::Exists);
        assert_eq!(fs::read(path("target")).unwrap(), b"1");
    }
}
