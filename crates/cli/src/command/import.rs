//! `plimsoll import FILE URL`: a plain database becomes the content of a volume.

use std::{
    fs::File,
    io::{self, Read, Write, stdout},
    os::unix::fs::FileExt,
    path::Path,
};

use indicatif::ProgressBar;
use plimsoll_model::{Error, ErrorKind, PageCount, PageNo, PageSize, ResultExt};
use plimsoll_sqlite::renew;
use plimsoll_volume::WriteTxn;
use rusqlite::{Connection, OpenFlags, backup::Backup};
use serde_json::json;

use super::{
    copying::{PATIENCE, begin, finish, give_up, occupied},
    placement,
};
use crate::{exit::Result, progress, scratch::Scratch, setup::Setup, units};

const IMPORTING: &str = "importing";
/// Pages per step of SQLite's backup.
const BACKUP_PAGES: i32 = 1024;

pub(crate) fn run(setup: &Setup, file: &Path, typed: &str, replace: bool) -> Result<()> {
    let source = Source::open(setup, file)?;
    let volume = setup.open(typed, PATIENCE)?;
    let url = volume.status().url;
    volume.say(left(&url));
    if volume.page_size().is_some() && !replace {
        return Err(give_up(volume, occupied(IMPORTING, &url)).into());
    }
    if volume.page_size().is_none()
        && let Err(error) = placement::check(setup, &setup.locate(typed)?, IMPORTING)
    {
        return Err(give_up(volume, error).into());
    }
    let bar = progress::bytes(setup, source.count.bytes(source.size), "importing");
    let copied = begin(setup, &volume, IMPORTING, replace).and_then(|mut txn| {
        source.fits(&txn, &url)?;
        source.copy(&mut txn, &bar).map(|()| txn)
    });
    bar.finish_and_clear();
    let bar = progress::waiting(setup, "uploading");
    let txid = match copied {
        Ok(txn) if txn.is_empty() && txn.base().page_count() == source.count => {
            drop(txn);
            let txid = volume.status().txid;
            volume.close()?;
            txid
        }
        Ok(txn) => {
            volume.say("everything that was imported is in the volume, if it was committed; plimsoll status tells");
            finish(volume, txn, source.count)?
        }
        Err(error) => return Err(give_up(volume, error).into()),
    };
    bar.finish_and_clear();
    let bytes = source.count.bytes(source.size);
    if setup.json {
        let page_size = source.size.get();
        writeln!(
            stdout(),
            "{}",
            json!({ "url": url, "txid": txid, "page_size": page_size, "pages": source.count.0, "bytes": bytes })
        )?;
    } else {
        writeln!(stdout(), "imported {} into {url} at TXID {txid}, {}", file.display(), units::bytes(bytes))?;
    }
    Ok(())
}

/// What an interrupted import says: nothing of it is in the volume before it is committed as a whole.
fn left(url: &str) -> String {
    format!("nothing was imported; run it again, or remove a volume that was just begun: plimsoll rm {url}")
}

/// A consistent state of a database, in one file.
///
/// The fields are dropped in this order: closing any descriptor of a file ends the locks that SQLite has on it.
struct Source {
    file: File,
    name: String,
    size: PageSize,
    count: PageCount,
    /// Keeps writers out while the file is read.
    _lock: Option<Connection>,
    /// Holds the copy of a database in WAL mode.
    _copy: Option<Scratch>,
}

impl Source {
    fn open(setup: &Setup, path: &Path) -> Result<Source> {
        let name = path.display().to_string();
        // Looked at and closed again before SQLite locks anything.
        let mut header = Vec::new();
        let sniffed = File::open(path).and_then(|file| file.take(100).read_to_end(&mut header));
        if let Err(missing) = &sniffed
            && missing.kind() == io::ErrorKind::NotFound
        {
            return Err(Error::new(ErrorKind::NotFound, IMPORTING).object(&name).why("there is no such file").into());
        }
        sniffed.doing(IMPORTING, &name)?;
        if !header.starts_with(b"SQLite format 3\0") || header.len() < 100 {
            return Err(no_database(&name, "it does not begin like a SQLite database").into());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // A hot journal is rolled back by whoever opens the file next, for which it must be writable.
        let connection = Connection::open_with_flags_and_vfs(path, flags, c"unix")
            .or_else(|_| {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags_and_vfs(path, flags, c"unix")
            })
            .map_err(|error| of_sqlite(&name, &error))?;
        let locked = || -> rusqlite::Result<(String, u32)> {
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            connection.execute_batch("BEGIN")?;
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
            // The file may be longer than the database in it.
            Ok((mode, connection.query_row("PRAGMA page_count", [], |row| row.get(0))?))
        };
        let (mode, count) = locked().map_err(|error| of_sqlite(&name, &error))?;
        if mode != "wal" {
            return Source::of_file(path, name, PageCount(count), Some(connection), None);
        }
        // What counts is spread over two files, which only SQLite puts together.
        let scratch = Scratch::new(setup)?;
        let copy = scratch.file("copy");
        back_up(setup, &connection, &copy).map_err(|error| of_sqlite(&name, &error))?;
        drop(connection);
        Source::of_file(&copy, name, PageCount(count), None, Some(scratch))
    }

    fn of_file(
        path: &Path,
        name: String,
        count: PageCount,
        lock: Option<Connection>,
        copy: Option<Scratch>,
    ) -> Result<Source> {
        let file = File::open(path).doing(IMPORTING, &name)?;
        let mut header = [0; 100];
        file.read_exact_at(&mut header, 0).doing(IMPORTING, &name)?;
        let size = match u32::from(header[16]) << 8 | u32::from(header[17]) {
            1 => PageSize::new(65536),
            bytes => PageSize::new(bytes),
        };
        let size = size.ok_or_else(|| no_database(&name, "its header states no page size"))?;
        let bytes = file.metadata().doing(IMPORTING, &name)?.len();
        if count.0 == 0 || bytes < count.bytes(size) {
            return Err(no_database(&name, "it is shorter than its header says").into());
        }
        Ok(Source { file, name, size, count, _lock: lock, _copy: copy })
    }

    /// # Errors
    /// `Unsupported` if the volume has a database with pages of another size.
    fn fits(&self, txn: &WriteTxn, url: &str) -> plimsoll_model::Result<()> {
        match txn.base().page_size().filter(|has| *has != self.size) {
            None => Ok(()),
            Some(has) => Err(Error::new(ErrorKind::Unsupported, IMPORTING)
                .object(url)
                .why(format!("its pages have {has} bytes for ever, those of {} have {}", self.name, self.size))
                .hint("import into a new volume, or change the file first: PRAGMA page_size, then VACUUM")),
        }
    }

    /// Writes every page into a transaction that is not there as it is. Comparing costs reading what is there.
    fn copy(&self, txn: &mut WriteTxn, bar: &ProgressBar) -> plimsoll_model::Result<()> {
        let (mut data, mut before) = (vec![0; self.size.bytes()], vec![0; self.size.bytes()]);
        let there = if txn.base().page_size().is_some() { txn.base().page_count() } else { PageCount(0) };
        let first = PageNo::FIRST;
        for page in self.count.pages().filter(|page| *page != self.size.lock_page() && *page != first) {
            self.file.read_exact_at(&mut data, self.size.offset(page)).doing(IMPORTING, &self.name)?;
            if there.contains(page) {
                txn.base().read(page, &mut before)?;
            }
            if !there.contains(page) || before != data {
                txn.write(page, &data)?;
            }
            bar.inc(u64::from(self.size.get()));
        }
        self.file.read_exact_at(&mut data, self.size.offset(first)).doing(IMPORTING, &self.name)?;
        without_wal(&mut data);
        let mut same = false;
        if there.contains(first) {
            txn.base().read(first, &mut before)?;
            // Open connections know what was there by numbers of page 1, which the file has numbers of its own for.
            renew(&mut data, &before);
            let mut renewed = before.clone();
            renew(&mut renewed, &before);
            same = txn.is_empty() && there == self.count && renewed == data;
        }
        if !same {
            txn.write(first, &data)?;
        }
        bar.inc(u64::from(self.size.get()));
        Ok(())
    }
}

/// Bytes 18 and 19 of page 1 say whether a write-ahead log belongs to a database. None belongs to a volume.
fn without_wal(first_page: &mut [u8]) {
    if let Some(versions) = first_page.get_mut(18..20) {
        versions.fill(1);
    }
}

fn back_up(setup: &Setup, from: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut to = Connection::open_with_flags_and_vfs(
        to,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        c"unix",
    )?;
    // A copy that is thrown away needs neither journal nor sync.
    to.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")?;
    let page_bytes: u32 = from.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let bytes = |pages: i32| u64::try_from(pages).unwrap_or(0) * u64::from(page_bytes);
    let bar = progress::bytes(setup, 0, "copying");
    {
        let backup = Backup::new(from, &mut to)?;
        while backup.step(BACKUP_PAGES)? != rusqlite::backup::StepResult::Done {
            let progress = backup.progress();
            bar.set_length(bytes(progress.pagecount));
            bar.set_position(bytes(progress.pagecount - progress.remaining));
        }
    }
    bar.finish_and_clear();
    to.close().map_err(|(_, error)| error)
}

fn no_database(name: &str, why: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, IMPORTING).object(name).why(why).hint("only SQLite database files can be imported")
}

fn of_sqlite(name: &str, error: &rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => ErrorKind::Conflict,
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        _ => ErrorKind::Io,
    };
    Error::new(kind, IMPORTING).object(name).why(error.to_string())
}
