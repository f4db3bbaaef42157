//! The names of files: as a reader sees them, and as they are on the platter.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

use crate::Chance;

/// Changes that wait for a sync before the oldest gets to the platter by itself.
const WAITING_MAX: usize = 100;

#[derive(Default)]
pub(super) struct Names {
    live: BTreeMap<PathBuf, usize>,
    platter: BTreeMap<PathBuf, usize>,
    /// What leads from the platter to the live names, oldest first.
    unsynced: VecDeque<Change>,
}

enum Change {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl Change {
    /// The directories that it is a change of.
    fn dirs(&self) -> impl Iterator<Item = &Path> {
        let (one, other) = match self {
            Change::Link(path, _) | Change::Unlink(path) => (path, None),
            Change::Rename(from, to, _) => (from, Some(to)),
        };
        std::iter::once(one).chain(other).filter_map(|path| path.parent())
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Change::Link(path, inode) => drop(names.insert(path, inode)),
            Change::Unlink(path) => drop(names.remove(&path)),
            Change::Rename(from, to, inode) => {
                // If the creation of this very file was lost there is nothing to rename.
                if names.get(&from) == Some(&inode) {
                    names.remove(&from);
                    names.insert(to, inode);
                }
            }
        }
    }
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<usize> {
        self.live.get(path).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&PathBuf, usize)> {
        self.live.iter().map(|(path, inode)| (path, *inode))
    }

    /// What some name leads to now, or may lead to after the power went.
    pub(super) fn inodes(&self) -> BTreeSet<usize> {
        let waiting = self.unsynced.iter().filter_map(|change| match change {
            Change::Link(_, inode) | Change::Rename(_, _, inode) => Some(inode),
            Change::Unlink(_) => None,
        });
        self.live.values().chain(self.platter.values()).chain(waiting).copied().collect()
    }

    fn wait(&mut self, change: Change) {
        self.unsynced.push_back(change);
        if self.unsynced.len() > WAITING_MAX
            && let Some(oldest) = self.unsynced.pop_front()
        {
            oldest.apply(&mut self.platter);
        }
    }

    pub(super) fn link(&mut self, path: PathBuf, inode: usize) {
        self.live.insert(path.clone(), inode);
        self.wait(Change::Link(path, inode));
    }

    pub(super) fn link_synced(&mut self, path: PathBuf, inode: usize) {
        self.live.insert(path.clone(), inode);
        self.platter.insert(path, inode);
    }

    pub(super) fn unlink(&mut self, path: &Path) -> bool {
        let existed = self.live.remove(path).is_some();
        if existed {
            self.wait(Change::Unlink(path.to_owned()));
        }
        existed
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> bool {
        let Some(inode) = self.live.remove(from) else { return false };
        self.live.insert(to.to_owned(), inode);
        self.wait(Change::Rename(from.to_owned(), to.to_owned(), inode));
        true
    }

    /// Syncs a directory; with it those below that were removed, as `exists` tells.
    pub(super) fn sync(&mut self, dir: &Path, exists: impl Fn(&Path) -> bool) {
        let synced = |of: &Path| of == dir || of.starts_with(dir) && !exists(of);
        let (of_it, others): (VecDeque<Change>, _) =
            std::mem::take(&mut self.unsynced).into_iter().partition(|change| change.dirs().any(synced));
        self.unsynced = others;
        for change in of_it {
            change.apply(&mut self.platter);
        }
    }

    pub(super) fn power_loss(&mut self, chance: &dyn Chance) {
        for change in self.unsynced.drain(..) {
            if chance.below(2) == 0 {
                change.apply(&mut self.platter);
            }
        }
        self.live.clone_from(&self.platter);
    }

    pub(super) fn map_paths(&mut self, moved: impl Fn(&Path) -> PathBuf) {
        for names in [&mut self.live, &mut self.platter] {
            *names = names.iter().map(|(path, inode)| (moved(path), *inode)).collect();
        }
        for change in &mut self.unsynced {
            match change {
                Change::Link(path, _) | Change::Unlink(path) => *path = moved(path),
                Change::Rename(from, to, _) => (*from, *to) = (moved(from), moved(to)),
            }
        }
    }

    pub(super) fn unlink_below(&mut self, dir: &Path) {
        for (path, _) in self.live.extract_if(.., |path, _| path.starts_with(dir)) {
            self.unsynced.push_back(Change::Unlink(path));
        }
    }
}
