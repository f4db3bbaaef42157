//! A folder of this host for what a command needs for a while, and nobody afterwards.

use std::path::{Path, PathBuf};

use plimsoll_host::{Files, Lock};
use plimsoll_model::{Result, ResultExt};
use tempfile::{Builder, TempDir};

use crate::{
    interrupt::{self, Guard},
    setup::Setup,
};

/// Below `state_dir`, which has room for databases where a system's own place for temporary files may be memory.
const FOLDER: &str = "scratch";
/// Held by the process that uses the folder which it is in.
const LOCK: &str = "lock";

/// See the [module](self). It goes when it is dropped, and when the command is told to end. What a process that was
/// killed has left goes with the next one.
pub(crate) struct Scratch {
    dir: TempDir,
    _lock: Box<dyn Lock>,
    _held: Guard,
}

impl Scratch {
    /// # Errors
    /// As the disk says.
    pub(crate) fn new(setup: &Setup) -> Result<Scratch> {
        let files = &*setup.process.host.files;
        let all = setup.process.settings(&setup.overrides)?.settings.state_dir.join(FOLDER);
        files.create_dir_all(&all).doing("creating", all.display())?;
        sweep(files, &all);
        loop {
            let dir = Builder::new().prefix("").tempdir_in(&all).doing("creating a folder in", all.display())?;
            let held = interrupt::scratch_folder(dir.path())?;
            match files.try_lock(&dir.path().join(LOCK)) {
                Ok(Some(lock)) => return Ok(Scratch { dir, _lock: lock, _held: held }),
                // Another process took it for left behind before it was locked.
                Ok(None) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).doing("locking a folder in", all.display()),
            }
        }
    }

    /// Where a file of this name is to be.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Removes what nobody uses. What cannot be removed is in nobody's way.
fn sweep(files: &dyn Files, all: &Path) {
    for name in files.list(all).unwrap_or_default() {
        let dir = all.join(name);
        if let Ok(Some(_lock)) = files.try_lock(&dir.join(LOCK)) {
            let _ = files.remove_dir_all(&dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::os;

    use super::*;

    #[test]
    fn a_sweep_takes_what_nobody_uses_and_leaves_what_somebody_does() {
        let host = os::host().unwrap();
        let all = tempfile::tempdir().unwrap();
        for name in ["left", "used"] {
            std::fs::create_dir(all.path().join(name)).unwrap();
            std::fs::write(all.path().join(name).join("copy"), name).unwrap();
        }
        let used = host.files.try_lock(&all.path().join("used").join(LOCK)).unwrap();
        sweep(&*host.files, all.path());
        assert_eq!(host.files.list(all.path()).unwrap(), ["used"]);
        assert!(all.path().join("used/copy").exists());
        drop(used);
        sweep(&*host.files, all.path());
        assert!(host.files.list(all.path()).unwrap().is_empty());
    }
}
