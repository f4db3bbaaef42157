//! What is measured: Plimsoll, and what people would pick instead.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

/// Bucket of every volume.
pub const BUCKET: &str = "bench";

/// One system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// This project.
    Plimsoll,
    /// SQLite on a plain file with a write-ahead log.
    Wal,
    /// SQLite on a plain file with a rollback journal.
    Rollback,
    /// Litestream's VFS.
    Litestream,
    /// SQLite in memory: its own work, without a file.
    Memory,
    /// A write of a page and its sync, without SQLite.
    Disk,
    /// A request to the object store, without SQLite.
    Request,
    /// The objects of a database, downloaded, without SQLite.
    Download,
}

impl Subject {
    /// For tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Subject::Plimsoll => "Plimsoll",
            Subject::Wal => "SQLite WAL",
            Subject::Rollback => "SQLite DELETE",
            Subject::Litestream => "Litestream VFS",
            Subject::Memory => "SQLite in memory",
            Subject::Disk => "a write and its sync",
            Subject::Request => "a PUT",
            Subject::Download => "a download",
        }
    }

    /// Whether it keeps its data in the object store.
    #[must_use]
    pub fn is_remote(self) -> bool {
        matches!(self, Subject::Plimsoll | Subject::Litestream | Subject::Download)
    }

    /// Whether it can be had on this machine.
    #[must_use]
    pub fn is_here(self) -> bool {
        self != Subject::Litestream || litestream().is_some()
    }
}

/// Where a job finds its data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The object store.
    pub endpoint: String,
    /// First component of keys.
    pub prefix: String,
    /// For plain files, and for what is local of the others.
    pub dir: PathBuf,
    /// A further part of the name, for jobs with many databases.
    pub name: String,
}

impl Place {
    /// The same for another database.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Place {
        Place { name: name.into(), ..self.clone() }
    }

    /// The same data, seen by another host, which knows nothing yet.
    #[must_use]
    pub fn elsewhere(&self, dir: impl AsRef<Path>) -> Place {
        Place { dir: self.dir.join(dir), ..self.clone() }
    }

    /// The volume's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("s3://{BUCKET}/{}/{}", self.prefix, self.name)
    }
}

/// Where Litestream's VFS is, if it is here: what `cargo xtask tools` installs, or `BENCH_LITESTREAM_VFS`.
#[must_use]
pub fn litestream() -> Option<PathBuf> {
    if let Some(path) = env::var_os("BENCH_LITESTREAM_VFS") {
        return Some(PathBuf::from(path)).filter(|path| path.exists());
    }
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/lib");
    let found = |python: fs::DirEntry| python.path().join("site-packages/litestream_vfs/litestream-vfs.so");
    fs::read_dir(lib).ok()?.flatten().map(found).find(|path| path.exists())
}

/// Opens a database. `settings` are those of the subject that is measured, as in its URI.
///
/// # Errors
/// What SQLite says.
pub fn open(subject: Subject, place: &Place, settings: &[(&str, &str)]) -> Result<Connection> {
    fs::create_dir_all(&place.dir)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let connection = match subject {
        Subject::Plimsoll => {
            plimsoll_sqlite::register()?;
            let state = place.dir.join("state");
            let state = state.to_string_lossy();
            let base = [("vfs", "plimsoll"), ("endpoint", place.endpoint.as_str()), ("region", "us-east-1")];
            let more = [("allow_http", "true"), ("state_dir", &*state)];
            let uri = uri(&place.url(), base.iter().chain(&more).chain(settings));
            Connection::open_with_flags(uri, flags).with_context(|| format!("opening {}", place.url()))?
        }
        Subject::Wal | Subject::Rollback => {
            let connection = Connection::open(place.dir.join(format!("{}.db", place.name)))?;
            let mode = if subject == Subject::Wal { "wal" } else { "delete" };
            connection.pragma_update(None, "journal_mode", mode)?;
            connection
        }
        Subject::Memory => Connection::open_in_memory()?,
        Subject::Disk | Subject::Request | Subject::Download => bail!("{} is no database", subject.name()),
        Subject::Litestream => {
            load_litestream()?;
            let replica = format!("{}?endpoint={}&region=us-east-1&forcePathStyle=true", place.url(), place.endpoint);
            let name = format!("{}.db", place.name);
            let uri = uri(&name, [("vfs", "litestream"), ("replica_url", replica.as_str())].iter().chain(settings));
            Connection::open_with_flags(uri, flags).context("opening Litestream's VFS")?
        }
    };
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

fn uri<'a>(name: &str, parameters: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> String {
    let parameters: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    format!("file:{name}?{}", parameters.join("&"))
}

/// Loads Litestream's VFS into this process, once.
fn load_litestream() -> Result<()> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let load = || -> Result<()> {
            let Some(library) = litestream() else { bail!("Litestream's VFS is not here; see `cargo xtask tools`") };
            let loader = Connection::open_in_memory()?;
            // SAFETY: it is what this job measures, and nothing else is loaded.
            unsafe {
                loader.load_extension_enable()?;
                loader.load_extension(library, None::<&str>)?;
            }
            Ok(())
        };
        load().map_err(|error| format!("{error:#}"))
    });
    loaded.clone().map_err(anyhow::Error::msg)
}
