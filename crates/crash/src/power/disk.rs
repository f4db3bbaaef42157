//! Files and folders, and what becomes of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    time::SystemTime,
};

use rustix::io::Errno;

use super::content::Content;
use crate::random::Random;

/// Number of the root folder.
pub(super) const ROOT: u64 = 1;

type Names = BTreeMap<OsString, u64>;
/// A name in a folder.
type Place = (u64, OsString);

pub(super) enum Kind {
    File(Content),
    Folder {
        now: Names,
        /// As on the disk.
        durable: Names,
    },
}

pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) modified: SystemTime,
    pub(super) changed: SystemTime,
}

/// What happened to names and is not on the disk. What stands together happens together.
struct Change {
    removed: Option<Place>,
    added: Option<(Place, u64)>,
}

/// A disk. See the [module](super).
pub struct Disk {
    pub(super) inodes: BTreeMap<u64, Inode>,
    next: u64,
    changes: Vec<Change>,
    random: Random,
    /// Syncs that still succeed before some fail.
    good_syncs: u64,
    failing_syncs: u64,
}

pub(super) fn folder() -> Kind {
    Kind::Folder { now: Names::new(), durable: Names::new() }
}

impl Disk {
    /// An empty one. The seed decides what is lost.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut disk = Disk {
            inodes: BTreeMap::new(),
            next: ROOT,
            changes: Vec::new(),
            random: Random::new(seed),
            good_syncs: 0,
            failing_syncs: 0,
        };
        let root = disk.make(folder(), 0o755);
        disk.inode(root).expect("BUG: the root is there").links = 1;
        disk
    }

    /// Makes `count` syncs fail, after some more good ones, unless the power goes before.
    pub fn fail_syncs(&mut self, after: u64, count: u64) {
        (self.good_syncs, self.failing_syncs) = (after, count);
    }

    /// Syncs that are still going to fail.
    #[must_use]
    pub fn syncs_to_fail(&self) -> u64 {
        self.failing_syncs
    }

    /// Takes the power away. Nothing may have it mounted.
    pub fn power_loss(&mut self) {
        let chance = match self.random.below(4) {
            0 => 0,
            1 => 4,
            _ => 2,
        };
        for change in std::mem::take(&mut self.changes) {
            if self.random.below(4) < chance {
                self.write_out(&change);
            }
        }
        for inode in self.inodes.values_mut() {
            match &mut inode.kind {
                Kind::File(content) => content.power_loss(&mut self.random),
                Kind::Folder { now, durable } => now.clone_from(durable),
            }
        }
        self.fail_syncs(0, 0);
        self.sweep();
    }

    /// Forgets what has no name any more, and counts the names of the rest.
    fn sweep(&mut self) {
        let mut links: BTreeMap<u64, u32> = BTreeMap::from([(ROOT, 1)]);
        let mut folders = vec![ROOT];
        while let Some(number) = folders.pop() {
            let Some(Inode { kind: Kind::Folder { now, .. }, .. }) = self.inodes.get(&number) else { continue };
            for child in now.values() {
                let names = links.entry(*child).or_default();
                *names += 1;
                if *names == 1 {
                    folders.push(*child);
                }
            }
        }
        self.inodes.retain(|number, _| links.contains_key(number));
        for (number, inode) in &mut self.inodes {
            inode.links = links[number];
        }
    }

    fn write_out(&mut self, change: &Change) {
        if let Some((folder, name)) = &change.removed
            && let Some(durable) = self.durable(*folder)
        {
            durable.remove(name);
        }
        if let Some(((folder, name), number)) = &change.added
            && let Some(durable) = self.durable(*folder)
        {
            durable.insert(name.clone(), *number);
        }
    }

    fn durable(&mut self, folder: u64) -> Option<&mut Names> {
        match &mut self.inodes.get_mut(&folder)?.kind {
            Kind::Folder { durable, .. } => Some(durable),
            Kind::File(_) => None,
        }
    }

    fn names(&mut self, folder: u64) -> Result<&mut Names, Errno> {
        match &mut self.inode(folder)?.kind {
            Kind::Folder { now, .. } => Ok(now),
            Kind::File(_) => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn inode(&mut self, number: u64) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(&number).ok_or(Errno::NOENT)
    }

    pub(super) fn content(&mut self, number: u64) -> Result<&mut Content, Errno> {
        match &mut self.inode(number)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Folder { .. } => Err(Errno::ISDIR),
        }
    }

    fn make(&mut self, kind: Kind, mode: u16) -> u64 {
        let number = self.next;
        self.next += 1;
        let now = SystemTime::now();
        self.inodes.insert(number, Inode { kind, mode, links: 0, modified: now, changed: now });
        number
    }

    pub(super) fn lookup(&mut self, folder: u64, name: &OsStr) -> Result<u64, Errno> {
        self.names(folder)?.get(name).copied().ok_or(Errno::NOENT)
    }

    pub(super) fn create(&mut self, folder: u64, name: &OsStr, kind: Kind, mode: u16) -> Result<u64, Errno> {
        if self.lookup(folder, name).is_ok() {
            return Err(Errno::EXIST);
        }
        let number = self.make(kind, mode);
        self.link(number, folder, name)?;
        Ok(number)
    }

    pub(super) fn link(&mut self, number: u64, folder: u64, name: &OsStr) -> Result<(), Errno> {
        if self.names(folder)?.contains_key(name) {
            return Err(Errno::EXIST);
        }
        self.names(folder)?.insert(name.to_owned(), number);
        let inode = self.inode(number)?;
        inode.links += 1;
        inode.changed = SystemTime::now();
        self.changes.push(Change { removed: None, added: Some(((folder, name.to_owned()), number)) });
        Ok(())
    }

    pub(super) fn remove(&mut self, folder: u64, name: &OsStr, is_folder: bool) -> Result<(), Errno> {
        let number = self.lookup(folder, name)?;
        match (&self.inode(number)?.kind, is_folder) {
            (Kind::Folder { now, .. }, true) if !now.is_empty() => return Err(Errno::NOTEMPTY),
            (Kind::Folder { .. }, true) | (Kind::File(_), false) => {}
            (Kind::Folder { .. }, false) => return Err(Errno::ISDIR),
            (Kind::File(_), true) => return Err(Errno::NOTDIR),
        }
        self.names(folder)?.remove(name);
        self.unlinked(number);
        self.changes.push(Change { removed: Some((folder, name.to_owned())), added: None });
        Ok(())
    }

    fn unlinked(&mut self, number: u64) {
        if let Ok(inode) = self.inode(number) {
            inode.links = inode.links.saturating_sub(1);
            inode.changed = SystemTime::now();
        }
    }

    pub(super) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr), replace: bool) -> Result<(), Errno> {
        let number = self.lookup(from.0, from.1)?;
        if let Ok(there) = self.lookup(to.0, to.1) {
            if !replace {
                return Err(Errno::EXIST);
            }
            if there == number {
                return Ok(());
            }
            if let Kind::Folder { now, .. } = &self.inode(there)?.kind
                && !now.is_empty()
            {
                return Err(Errno::NOTEMPTY);
            }
            self.unlinked(there);
        }
        self.names(from.0)?.remove(from.1);
        self.names(to.0)?.insert(to.1.to_owned(), number);
        self.inode(number)?.changed = SystemTime::now();
        let place = |(folder, name): (u64, &OsStr)| (folder, name.to_owned());
        self.changes.push(Change { removed: Some(place(from)), added: Some((place(to), number)) });
        Ok(())
    }

    pub(super) fn list(&mut self, folder: u64) -> Result<Vec<(OsString, u64)>, Errno> {
        Ok(self.names(folder)?.iter().map(|(name, number)| (name.clone(), *number)).collect())
    }

    fn fails(&mut self) -> bool {
        if self.good_syncs > 0 {
            self.good_syncs -= 1;
            return false;
        }
        let fails = self.failing_syncs > 0;
        self.failing_syncs -= u64::from(fails);
        fails
    }

    pub(super) fn sync_file(&mut self, number: u64) -> Result<(), Errno> {
        if self.fails() {
            let mut random = self.random.clone();
            self.random.bits();
            self.content(number)?.fail_to_sync(&mut random);
            return Err(Errno::IO);
        }
        self.content(number)?.sync();
        Ok(())
    }

    /// Makes every name in a folder last, and what happened together with one of them.
    pub(super) fn sync_folder(&mut self, number: u64) -> Result<(), Errno> {
        if self.fails() {
            return Err(Errno::IO);
        }
        let mut places: BTreeSet<Place> = BTreeSet::new();
        loop {
            let known = places.len();
            for Change { removed, added } in &self.changes {
                let touched: Vec<&Place> = removed.iter().chain(added.iter().map(|(place, _)| place)).collect();
                if touched.iter().any(|place| place.0 == number || places.contains(*place)) {
                    places.extend(touched.into_iter().cloned());
                }
            }
            if places.len() == known {
                break;
            }
        }
        self.changes.retain(|change| {
            let place = change.removed.as_ref().or(change.added.as_ref().map(|(place, _)| place));
            place.is_some_and(|place| !places.contains(place))
        });
        for (folder, name) in places {
            let Ok(inode) = self.inode(folder) else { continue };
            if let Kind::Folder { now, durable } = &mut inode.kind {
                match now.get(&name) {
                    Some(number) => drop(durable.insert(name, *number)),
                    None => drop(durable.remove(&name)),
                }
            }
        }
        Ok(())
    }
}
