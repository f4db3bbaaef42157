//! Which folder of a volume's folder is this process's cache.
//!
//! Each process has one of its own while it runs. Most of the time that is the first; what several at once have left
//! behind is cleared when nobody has used it for a while, since each may grow to the whole bound of a cache.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use plimsoll_host::{Files, Lock, OpenMode, WallMs};

use crate::local::VolumeDir;

/// Processes of one host that have a cache of their own at the same time.
const CACHES_MAX: usize = 64;
/// A further cache that nobody has opened for so long is cleared.
const KEPT: Duration = Duration::from_hours(24);
/// Stays in a folder that is cleared, so that nobody holds a lock that others do not see.
const LOCK: &str = "lock";
/// Says when a further cache was opened last.
const OPENED: &str = "opened";

impl VolumeDir {
    /// A cache folder that no other process uses, with the lock that keeps it so. Clears others that nobody has used for
    /// long.
    pub(crate) fn cache(&self, now: WallMs) -> Option<(PathBuf, Box<dyn Lock>)> {
        let files = &**self.files();
        let (number, path, lock) = (0..CACHES_MAX).find_map(|number| {
            let path = self.path().join(name(number));
            files.create_dir_all(&path).ok()?;
            let lock = files.try_lock(&path.join(LOCK)).ok()??;
            Some((number, path, lock))
        })?;
        if number > 0 {
            note_opened(files, &path, now);
        }
        self.clear_unused(number, now);
        Some((path, lock))
    }

    /// That something cannot be cleared costs room, and there is a next time.
    fn clear_unused(&self, own: usize, now: WallMs) {
        let files = &**self.files();
        let Ok(names) = files.list(self.path()) else { return };
        for number in (1..CACHES_MAX).filter(|number| *number != own && names.contains(&name(*number))) {
            let path = self.path().join(name(number));
            // Whoever uses it has the lock, and whoever wants to meanwhile takes another one.
            let Ok(Some(_lock)) = files.try_lock(&path.join(LOCK)) else { continue };
            if is_unused(files, &path, now)
                && let Err(error) = clear(files, &path)
            {
                tracing::debug!(%error, path = %path.display(), "an unused cache could not be cleared");
            }
        }
    }
}

fn name(number: usize) -> String {
    format!("cache-{number}")
}

fn note_opened(files: &dyn Files, cache: &Path, now: WallMs) {
    let written =
        files.open(&cache.join(OPENED), OpenMode::Create).and_then(|file| file.write_all_at(&now.0.to_le_bytes(), 0));
    if let Err(error) = written {
        tracing::debug!(%error, "when a cache was opened could not be noted");
    }
}

/// A time that is ahead of the clock, or none at all, says nothing: then it was not used as far as anybody knows.
fn is_unused(files: &dyn Files, cache: &Path, now: WallMs) -> bool {
    let bytes = files.read(&cache.join(OPENED)).unwrap_or_default();
    let opened = bytes.try_into().map_or(0, u64::from_le_bytes);
    now.0.checked_sub(opened).is_none_or(|age| u128::from(age) > KEPT.as_millis())
}

fn clear(files: &dyn Files, cache: &Path) -> io::Result<()> {
    for name in files.list(cache)?.iter().filter(|name| *name != LOCK) {
        files.remove(&cache.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_host::sim_disk::SimDisk;

    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn caches_of_processes_that_ran_side_by_side_are_cleared_a_day_later_and_those_in_use_are_not() {
        let disk = SimDisk::new();
        let dir = VolumeDir::at("/state/volume".into(), Arc::new(disk.clone()));
        let fill = |path: &Path| {
            disk.open(&path.join("pages"), OpenMode::Create).unwrap().write_all_at(&[7; 4096], 0).unwrap();
        };
        let open = |hour: u64| {
            let (path, lock) = dir.cache(WallMs(hour * HOUR)).unwrap();
            fill(&path);
            (path, lock)
        };
        let has_pages =
            |number: usize| disk.list(&dir.path().join(name(number))).unwrap().contains(&"pages".to_owned());
        let (first, second, third) = (open(1), open(1), open(20));
        assert!(third.0.ends_with("cache-2"), "{:?}", third.0);
        drop((first, third));
        // Not for a day: who comes next may be several again.
        let again = open(24);
        assert!(again.0.ends_with("cache-0"));
        assert!(has_pages(1) && has_pages(2));
        drop(again);
        // The second is still running, and the third was used five hours less than a day ago.
        let again = open(39);
        assert!(has_pages(1) && has_pages(2));
        drop((again, second));
        let _last = open(40);
        assert!(has_pages(0) && !has_pages(1) && has_pages(2));
        assert!(dir.cache(WallMs(41 * HOUR)).unwrap().0.ends_with("cache-1"), "what was cleared is used again");
    }
}
