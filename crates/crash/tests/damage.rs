//! One flipped bit in each kind of file, on the local disk and in the store: an error that names the
//! file, or no harm at all. Never wrong data, and never less than there was.

#![allow(clippy::disallowed_methods, reason = "real time and real processes are what this is about")]

mod support;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use plimsoll_crash::{
    ledger::{Ledger, Loss},
    random::Random,
    speech::{Found, Said},
};
use support::{PATIENCE, SEED, Volume, Worker, copy, first_words, listen, listen_to};

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Flips one bit of a file; where, as words.
fn flip(path: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(path).unwrap();
    let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
    let bit = random.below(8);
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
    format!("bit {bit} of byte {at} of {}", path.display())
}

/// A volume that can be damaged again and again.
struct Specimen {
    volume: Volume,
    backup: tempfile::TempDir,
    ledger: Ledger,
    random: Random,
}

impl Specimen {
    /// A volume after some work: closed, or its process killed.
    fn new(settings: &[(&str, &str)], arguments: &[&str], transactions: u64, close: bool) -> Specimen {
        let volume = Volume::in_directory();
        let mut ledger = Ledger::new(SEED, None);
        let child = volume.start(&Worker { host: "one", generation: 1, settings, arguments, ..Worker::default() });
        listen_to(&child, &mut ledger, 1, transactions);
        if close {
            child.tell_to_close();
            listen(&child, &mut ledger, 1, PATIENCE, |said| matches!(said, Said::Closed(_))).unwrap();
        }
        child.kill().iter().for_each(|said| ledger.hear(said, 1).unwrap());
        let backup = tempfile::tempdir().unwrap();
        copy(volume.dir.path(), backup.path());
        Specimen { volume, backup, ledger, random: Random::new(SEED) }
    }

    fn files(&self, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let root = self.volume.dir.path();
        let name = |path: &Path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        files(root).into_iter().filter(|path| wanted(&name(path)) && fs::metadata(path).unwrap().len() > 0).collect()
    }

    /// Damages each of the files in turn, `times` times, and has `judge` look at each.
    fn damage(
        &mut self,
        kind: &str,
        wanted: impl Fn(&str) -> bool,
        times: u64,
        judge: impl Fn(&mut Self, &Path, &str),
    ) {
        copy(self.backup.path(), self.volume.dir.path());
        let mut victims = self.files(wanted);
        assert!(!victims.is_empty(), "no file of the kind {kind}");
        // The newest matter most, the oldest are what is left of collection.
        if victims.len() > 6 {
            let newest = victims.split_off(victims.len() - 3);
            victims.truncate(3);
            victims.extend(newest);
        }
        for path in victims {
            for _ in 0..times {
                copy(self.backup.path(), self.volume.dir.path());
                let place = flip(&path, &mut self.random);
                judge(self, &path, &format!("{kind}: {place}"));
            }
        }
    }

    /// It is all there, or the error names the file.
    fn is_whole_or_named(&mut self, found: Result<Found, String>, path: &Path, place: &str) -> bool {
        match found {
            Ok(found) => {
                self.ledger.is_a_state(&found).unwrap_or_else(|error| panic!("{place}: {error}"));
                // A killed process may have committed one more than it could tell.
                assert!(found.n >= self.ledger.line().acked, "{place}: {}", found.n);
                true
            }
            Err(error) => {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                assert!(error.contains(&name), "{place}: the error does not name it: {error}");
                false
            }
        }
    }
}

/// Whether a file, by its path below the volume's folder, is of a kind.
type Wanted = fn(&str) -> bool;

const BUSY: [(&str, &str); 0] = [];

#[test]
fn in_the_store() {
    let mut specimen = Specimen::new(&BUSY, &["--synchronous=NORMAL", "--pause-ms=12"], 220, true);
    let kinds: [(&str, Wanted); 7] = [
        ("volume.json", |name| name == "store/volume.json"),
        ("epoch", |name| name.starts_with("store/epoch/")),
        ("status", |name| name.starts_with("store/status/")),
        ("level 0", |name| name.starts_with("store/0/") || name.starts_with("store/ltx/0/")),
        ("level 1", |name| name.starts_with("store/1/") || name.starts_with("store/ltx/1/")),
        ("snapshot", |name| name.starts_with("store/9/") || name.starts_with("store/ltx/9/")),
        ("anything", |name| name.starts_with("store/")),
    ];
    for (kind, wanted) in kinds {
        specimen.damage(kind, wanted, 3, |specimen, path, place| {
            let found = specimen.volume.peek();
            if !specimen.is_whole_or_named(found, path, place) {
                return;
            }
            // A status that cannot be read does not say that its writer is gone: that takes until it counts as such.
            let settings = [("HOLDER_TTL_MS", "1000")];
            let arguments = ["--transactions=1"];
            let next =
                Worker { host: "two", generation: 2, settings: &settings, arguments: &arguments, ..Worker::default() };
            let child = specimen.volume.start(&next);
            let found = first_words(&child);
            if !specimen.is_whole_or_named(found, path, place) {
                return;
            }
            let last = child.until(PATIENCE, |said| match said {
                Said::Closed(error) => Some(error.clone()),
                Said::Failed(_, error) => Some(Some(error.clone())),
                _ => None,
            });
            if let Some(error) = last.unwrap() {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                assert!(error.contains(&name), "{place}: the error does not name it: {error}");
            }
        });
    }
}

#[test]
fn in_a_large_object_whose_writer_died_before_it_described_it() {
    let mut specimen = Specimen::new(&[("SYNC_INTERVAL_MS", "5000")], &["--synchronous=NORMAL"], 220, true);
    fs::remove_dir_all(specimen.backup.path().join("store/index")).unwrap();
    copy(specimen.backup.path(), specimen.volume.dir.path());
    let sizes: HashMap<String, u64> = specimen
        .files(|name| name.ends_with(".ltx"))
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::metadata(path).unwrap().len()))
        .collect();
    let is_large = |name: &str| sizes.iter().any(|(file, bytes)| name.ends_with(file) && *bytes > 600_000);
    specimen.damage("large object", is_large, 12, |specimen, path, place| {
        let found = specimen.volume.peek();
        specimen.is_whole_or_named(found, path, place);
    });
}

#[test]
fn in_a_journal_that_is_all_there_is() {
    // Nothing reaches the store, and each commit is synced locally.
    let settings = [("SYNC_INTERVAL_MS", "600000"), ("MAX_LOSS_WINDOW_MS", "900000")];
    let mut specimen = Specimen::new(&settings, &["--synchronous=FULL"], 60, false);
    specimen.damage(
        "journal",
        |name| name.starts_with("one/") && name.ends_with(".wal"),
        40,
        |specimen, path, place| {
            let again = Worker {
                host: "one",
                generation: 2,
                settings: &settings,
                arguments: &["--transactions=0"],
                ..Worker::default()
            };
            match first_words(&specimen.volume.start(&again)) {
                Ok(found) => {
                    let acked = specimen.ledger.line().acked;
                    // Damage to the very last sync cannot be told from a crash in the middle of it.
                    assert!(found.n + 1 >= acked, "{place}: {} of {acked}", found.n);
                    specimen.ledger.is_a_state(&found).unwrap_or_else(|error| panic!("{place}: {error}"));
                }
                error => drop(specimen.is_whole_or_named(error, path, place)),
            }
        },
    );
}

#[test]
fn in_the_identity_beside_a_journal() {
    let settings = [("SYNC_INTERVAL_MS", "600000"), ("MAX_LOSS_WINDOW_MS", "900000")];
    let mut specimen = Specimen::new(&settings, &["--synchronous=FULL"], 20, false);
    for name in ["identity.json", "volume.json"] {
        specimen.damage(
            name,
            |path| path.ends_with(name),
            24,
            |specimen, path, place| {
                let again = Worker {
                    host: "one",
                    generation: 2,
                    settings: &settings,
                    arguments: &["--transactions=0"],
                    ..Worker::default()
                };
                let found = first_words(&specimen.volume.start(&again));
                specimen.is_whole_or_named(found, path, place);
            },
        );
    }
}

#[test]
fn in_the_cache_is_a_miss() {
    let mut specimen = Specimen::new(&BUSY, &["--synchronous=NORMAL", "--pause-ms=2"], 150, true);
    specimen.damage(
        "cache",
        |name| name.contains("/cache-"),
        12,
        |specimen, _, place| {
            let state = specimen.volume.host("one");
            let found = specimen.volume.peek_from(&state).unwrap_or_else(|error| panic!("{place}: {error}"));
            specimen.ledger.check(&found, Loss::Process).unwrap_or_else(|error| panic!("{place}: {error}"));
        },
    );
}
