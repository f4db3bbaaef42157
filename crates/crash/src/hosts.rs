//! Hosts: folders that hold what a real host would hold on its disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::ledger::Line;

/// A host, as long as its disk exists.
#[derive(Debug)]
pub struct Host {
    /// Tells it from others.
    pub number: u64,
    /// Its `state_dir`.
    pub state: PathBuf,
    /// Journals that it has kept aside, as far as was seen.
    pub stranded: usize,
    /// It is the one that wrote last.
    pub has_volume: bool,
    /// Its journal holds acknowledged transactions that the history went on without.
    pub left_behind: bool,
    /// What it would go on with.
    pub claim: Option<Line>,
    /// Somebody else has written since.
    pub outdated: bool,
}

/// All hosts of a volume.
pub struct Hosts {
    dir: PathBuf,
    next: u64,
    /// Which one runs the worker.
    pub current: Host,
    /// Gone, but their disks are not.
    pub away: Vec<Host>,
}

impl Host {
    fn new(dir: &Path, number: u64) -> Host {
        let state = dir.join(format!("host-{number}"));
        Host { number, state, stranded: 0, has_volume: false, left_behind: false, claim: None, outdated: false }
    }
}

impl Hosts {
    /// One host, in a folder for all of them.
    #[must_use]
    pub fn new(dir: &Path) -> Hosts {
        Hosts { dir: dir.to_owned(), next: 2, current: Host::new(dir, 1), away: Vec::new() }
    }

    /// The current host is lost, with or without its disk, and another one takes its place.
    ///
    /// # Errors
    /// The disk cannot be removed.
    pub fn replace(&mut self, keep_disk: bool, line: &Line) -> io::Result<()> {
        let fresh = Host::new(&self.dir, self.next);
        self.next += 1;
        self.retire(fresh, keep_disk, line)
    }

    /// A host that was away comes back in the place of the current one.
    ///
    /// # Errors
    /// The disk of the current one cannot be removed.
    pub fn bring_back(&mut self, which: usize, keep_disk: bool, line: &Line) -> io::Result<()> {
        let back = self.away.swap_remove(which);
        self.retire(back, keep_disk, line)
    }

    fn retire(&mut self, next: Host, keep_disk: bool, line: &Line) -> io::Result<()> {
        let mut old = std::mem::replace(&mut self.current, next);
        // Whoever comes next takes the volume, also if it is killed before it writes.
        old.has_volume = false;
        if keep_disk {
            // One that never got to read the volume still has its older claim.
            if old.claim.is_none() {
                (old.claim, old.outdated) = (Some(line.clone()), false);
            }
            self.away.push(old);
            return Ok(());
        }
        match fs::remove_dir_all(&old.state) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The host of that number, if its disk still exists.
    pub fn find(&mut self, number: u64) -> Option<&mut Host> {
        let all = self.away.iter_mut().chain([&mut self.current]);
        all.into_iter().find(|host| host.number == number)
    }

    /// The current host acknowledged a transaction.
    pub fn acknowledged(&mut self) {
        for host in &mut self.away {
            host.outdated = true;
        }
        self.current.has_volume = true;
    }
}
