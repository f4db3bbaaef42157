//! The volume's folder on this host: lock, identity, journal, cache.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use plimsoll_host::{
    Files, Host, Lock, OpenMode,
    crash::{self, Point},
};
use plimsoll_model::{Epoch, Error, ErrorKind, Result, ResultExt, WriterId};
use plimsoll_settings::Settings;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Longest readable part of a folder's name.
const NAME_BYTES_MAX: usize = 48;
/// The least that taking the volume needs on the disk: the beginning of a journal, and what is written beside it.
const ROOM_BYTES: usize = 256 << 10;

/// One folder below `state_dir`. Deleting it is losing the host.
#[derive(Clone)]
pub struct VolumeDir {
    files: Arc<dyn Files>,
    path: PathBuf,
}

/// Who holds the volume on this host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LocalHolder {
    pub(crate) pid: u32,
    pub(crate) since_ms: u64,
    #[serde(default)]
    pub(crate) home: Option<Home>,
}

/// Which volume a folder is of, and what it takes to find its store again. No secrets: those are in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The volume.
    pub url: String,
    /// Settings that decide which server is asked, and how.
    pub settings: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn of(url: &str, settings: &Settings) -> Self {
        const PLACE: [&str; 4] = ["endpoint", "region", "allow_http", "unsafe_no_fencing"];
        let settings = PLACE
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), settings.show(plimsoll_settings::key(name)?))))
            .filter(|(_, value)| !value.is_empty() && value != "false")
            .collect();
        Home { url: url.to_owned(), settings }
    }
}

/// The folders below `state_dir` that have a journal, so that commits of this host may not be durable or an epoch
/// open, in the order of their names; also those of which that cannot be found out. Sends no request.
///
/// # Errors
/// `Io` if `state_dir` cannot be listed. If it does not exist there are none.
pub fn homes(state_dir: &Path, files: &Arc<dyn Files>) -> Result<Vec<VolumeDir>> {
    let mut names = match files.list(state_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.doing("listing the volumes of this host in", state_dir.display())?,
    };
    names.sort_unstable();
    let dirs = names.into_iter().map(|name| VolumeDir::at(state_dir.join(name), Arc::clone(files)));
    // A plain file is no volume's folder.
    let may_have = |dir: &VolumeDir| match dir.in_journal() {
        Ok(any) => any,
        Err(error) => error.kind() != io::ErrorKind::NotADirectory,
    };
    Ok(dirs.filter(may_have).collect())
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Identity {
    writer: String,
    /// XXH3-64 of the word above: another identity would not recognise the journal beside it as its own.
    check: String,
}

impl Identity {
    fn of(writer: WriterId) -> Self {
        let writer = writer.to_string();
        Identity { check: format!("{:016x}", xxh3_64(writer.as_bytes())), writer }
    }

    pub(crate) fn writer(&self) -> Option<WriterId> {
        let writer = u64::from_str_radix(&self.writer, 16).map(WriterId).ok()?;
        (Identity::of(writer).check == self.check).then_some(writer)
    }
}

/// The newest epoch that this host has held.
#[derive(Serialize, Deserialize)]
pub(crate) struct EpochHeld {
    epoch: u32,
    /// XXH3-64 of the number: by another one a journal would be judged wrongly.
    check: String,
}

impl EpochHeld {
    fn of(epoch: Epoch) -> Self {
        EpochHeld { epoch: epoch.0, check: format!("{:016x}", xxh3_64(&epoch.0.to_le_bytes())) }
    }

    pub(crate) fn epoch(&self) -> Option<Epoch> {
        (EpochHeld::of(Epoch(self.epoch)).check == self.check).then_some(Epoch(self.epoch))
    }
}

impl VolumeDir {
    /// The folder of a volume: a readable name with a hash of the whole URL.
    #[must_use]
    pub fn of(state_dir: &Path, canonical_url: &str, files: Arc<dyn Files>) -> Self {
        let tail = canonical_url.split('?').next().unwrap_or_default().trim_end_matches('/').rsplit('/').next();
        let name: String = tail
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_' { c } else { '_' })
            .take(NAME_BYTES_MAX)
            .collect();
        let path = state_dir.join(format!("{name}-{:016x}", xxh3_64(canonical_url.as_bytes())));
        VolumeDir { files, path }
    }

    /// A folder that is known already.
    #[must_use]
    pub fn at(path: PathBuf, files: Arc<dyn Files>) -> Self {
        VolumeDir { files, path }
    }

    pub(crate) fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal is.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Where descriptions of large objects are kept, for the next time.
    pub(crate) fn proved(&self) -> PathBuf {
        self.path.join("proved")
    }

    pub(crate) fn create(&self) -> Result<()> {
        self.files.create_dir_all(&self.path).doing("creating the volume's local folder", self.path.display())
    }

    /// Whether a journal was left behind by a process that did not let go.
    ///
    /// # Errors
    /// `Io` if that cannot be found out. It does not mean that there is none: acknowledged commits may be in it.
    pub fn has_journal(&self) -> Result<bool> {
        self.in_journal().doing("looking for a journal in", self.journal().display())
    }

    fn in_journal(&self) -> io::Result<bool> {
        match self.files.list(&self.journal()) {
            Ok(names) => Ok(!names.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the host's lock on writing the volume; `None` if another process has it.
    pub(crate) fn lock(&self) -> Result<Option<Box<dyn Lock>>> {
        self.create()?;
        let path = self.path.join("lock");
        let lock = self.files.try_lock(&path).doing("locking", path.display())?;
        if lock.is_some() && self.files.list(&self.finished()).is_ok() {
            // A process died while it removed this. It only takes up space.
            let _ = self.files.remove_dir_all(&self.finished());
        }
        Ok(lock)
    }

    /// Asks the process that holds the lock to let go when it can.
    pub(crate) fn ask_for_it(&self) {
        // Only a wish: without it the other process lets go when it is idle.
        let _ = self.files.open(&self.wanted(), OpenMode::Create);
    }

    /// Whether another process asked; the wish is taken back.
    pub(crate) fn is_wanted(&self) -> bool {
        self.files.remove(&self.wanted()).is_ok()
    }

    fn wanted(&self) -> PathBuf {
        self.path.join("wanted")
    }

    /// Says who holds the lock, for messages and for whoever looks for the volume of a journal.
    ///
    /// # Errors
    /// `Io`, `Full`: nothing else could be written here either.
    pub(crate) fn introduce(&self, holder: &LocalHolder) -> Result<()> {
        let path = self.path.join("holder.json");
        let bytes = serde_json::to_vec(holder).expect("BUG: a holder is not JSON");
        self.files.replace(&path, &bytes).doing("recording who writes on this host in", path.display())
    }

    /// Writes as much as taking the volume needs, and removes it.
    ///
    /// # Errors
    /// `Io`, `Full`: the volume could not be held.
    pub(crate) fn try_room(&self) -> Result<()> {
        let path = self.path.join("room");
        let written = self.files.open(&path, OpenMode::Create).and_then(|file| {
            file.write_all_at(&vec![0xa5; ROOM_BYTES], 0)?;
            file.sync()
        });
        let removed = self.files.remove(&path);
        written.and(removed).doing("making room for a journal in", self.path.display())
    }

    /// The volume that the folder is of; `None` if no process of this host ever took it for writing.
    #[must_use]
    pub fn home(&self) -> Option<Home> {
        self.holder()?.home
    }

    pub(crate) fn holder(&self) -> Option<LocalHolder> {
        serde_json::from_slice(&self.files.read(&self.path.join("holder.json")).ok()?).ok()
    }

    /// The identity of this host's share in the volume, if it has one.
    pub(crate) fn known_writer(&self) -> Option<WriterId> {
        let bytes = self.files.read(&self.path.join("identity.json")).ok()?;
        serde_json::from_slice::<Identity>(&bytes).ok()?.writer()
    }

    /// The identity of this host's share in the volume, drawn on first use.
    pub(crate) fn writer(&self, host: &Host) -> Result<WriterId> {
        let path = self.path.join("identity.json");
        match self.files.read(&path) {
            Ok(bytes) => serde_json::from_slice::<Identity>(&bytes)
                .ok()
                .and_then(|identity| identity.writer())
                .ok_or_else(|| {
                    Error::new(ErrorKind::Corrupt, "reading this host's identity from")
                        .object(path.display().to_string())
                        .why("it is not what was written there")
                        .hint("if the journal beside it is not needed any more, remove the folder")
                }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let writer = WriterId(host.chance.bits());
                let bytes = serde_json::to_vec(&Identity::of(writer)).expect("BUG: an identity is not JSON");
                self.files.replace(&path, &bytes).doing("writing", path.display())?;
                crash::here(Point::IdentityDrawn);
                Ok(writer)
            }
            Err(error) => Err(error).doing("reading this host's identity from", path.display()),
        }
    }

    /// Records the newest epoch that this host has held, for the judgement on a journal that it may leave behind.
    pub(crate) fn note_epoch(&self, epoch: Epoch) -> Result<()> {
        let path = self.path.join("epoch.json");
        let bytes = serde_json::to_vec(&EpochHeld::of(epoch)).expect("BUG: an epoch is not JSON");
        self.files.replace(&path, &bytes).doing("writing", path.display())
    }

    /// The newest epoch that this host has held; `None` if it held none, or what was written there is damaged: then
    /// the journal itself says it.
    pub(crate) fn epoch(&self) -> Result<Option<Epoch>> {
        let path = self.path.join("epoch.json");
        match self.files.read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice::<EpochHeld>(&bytes).ok().and_then(|held| held.epoch())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("reading the newest epoch of this host from", error)
                .object(path.display().to_string())
                .hint("if it stays so, remove this file: the journal says it, too")),
        }
    }

    fn finished(&self) -> PathBuf {
        self.path.join("finished")
    }

    /// Removes the journal: everything in it is durable.
    ///
    /// It loses its name as a whole first: if the power fails while its segments are being removed, what is left of
    /// them must not be taken for a journal with gaps.
    pub(crate) fn drop_journal(&self) -> Result<()> {
        const DOING: &str = "removing the finished journal";
        let (path, finished) = (self.journal(), self.finished());
        self.files.remove_dir_all(&finished).doing(DOING, finished.display())?;
        match self.files.rename(&path, &finished) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.doing(DOING, path.display())?,
        }
        crash::here(Point::JournalDropped);
        self.files.sync_dir(&self.path).doing("syncing", self.path.display())?;
        self.files.remove_dir_all(&finished).doing(DOING, finished.display())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use plimsoll_host::sim_disk::SimDisk;

    use super::*;

    #[test]
    fn a_flipped_bit_makes_an_epoch_unknown_rather_than_another_one() {
        let bytes = serde_json::to_vec(&EpochHeld::of(Epoch(41))).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = serde_json::from_slice::<EpochHeld>(&flipped).ok().and_then(|held| held.epoch());
            assert!(read.is_none() || read == Some(Epoch(41)), "bit {bit}: {read:?}");
        }
        assert_eq!(EpochHeld::of(Epoch(41)).epoch(), Some(Epoch(41)));
    }

    #[test]
    fn an_epoch_that_cannot_be_read_for_a_moment_is_not_taken_for_none() {
        let disk = SimDisk::new();
        let dir = VolumeDir::at("/state/volume".into(), Arc::new(disk.clone()));
        dir.create().unwrap();
        assert_eq!(dir.epoch().unwrap(), None);
        dir.note_epoch(Epoch(41)).unwrap();
        disk.fail_reads(1);
        assert_eq!(dir.epoch().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(dir.epoch().unwrap(), Some(Epoch(41)));
        assert!(disk.flip(&dir.path().join("epoch.json"), 22, 1));
        assert_eq!(dir.epoch().unwrap(), None);
    }

    #[test]
    fn folders_whose_journal_cannot_be_looked_for_are_among_those_that_may_have_one() {
        let disk = SimDisk::new();
        let files: Arc<dyn Files> = Arc::new(disk.clone());
        let state = Path::new("/state");
        assert!(homes(state, &files).unwrap().is_empty());
        disk.create_dir_all(&state.join("volume/journal")).unwrap();
        disk.open(&state.join("volume/journal/1"), OpenMode::Create).unwrap();
        disk.fail_listing_after(1);
        assert_eq!(homes(state, &files).unwrap().len(), 1);
        disk.fail_listing_after(0);
        assert_eq!(homes(state, &files).err().map(|error| error.kind()), Some(ErrorKind::Io));
    }

    struct Coins(AtomicU64);

    impl plimsoll_host::Chance for Coins {
        fn bits(&self) -> u64 {
            xxh3_64(&self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes())
        }
    }

    /// Its segments were once removed one by one under its own name. Of those that power loss left some could be missing
    /// in between, and the volume did not open any more.
    #[test]
    fn a_finished_journal_is_there_as_a_whole_or_not_at_all_whenever_the_power_fails() {
        let mut kept = [0, 0];
        for (dies_after, seed) in (0..12).flat_map(|dies_after| (0..16).map(move |seed| (dies_after, seed))) {
            let disk = SimDisk::new();
            let dir = VolumeDir::at("/state/volume".into(), Arc::new(disk.clone()));
            let journal = dir.journal();
            disk.create_dir_all(&journal).unwrap();
            for name in ["1", "2", "3", "4"] {
                disk.open(&journal.join(name), OpenMode::Create).unwrap().sync().unwrap();
            }
            disk.sync_dir(&journal).unwrap();
            disk.die_after(dies_after);
            let dropped = dir.drop_journal();
            disk.power_loss(&Coins(AtomicU64::new(seed * 1000)));
            let left = disk.list(&journal).map_or(0, |names| names.len());
            assert!(
                left == 0 || left == 4 && dropped.is_err(),
                "{left} segments after {dies_after} changes, seed {seed}"
            );
            kept[usize::from(left == 0)] += 1;
            dir.drop_journal().unwrap();
            assert!(disk.list(&dir.finished()).is_err());
        }
        assert!(kept.iter().all(|count| *count > 0), "{kept:?}");
    }
}
