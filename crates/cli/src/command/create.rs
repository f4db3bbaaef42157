//! `plimsoll create URL`: an empty database.

use std::io::{Write, stdout};

use plimsoll_model::{Error, ErrorKind, PageCount, PageNo, PageSize};
use serde_json::json;

use super::{
    copying::{PATIENCE, begin, finish, give_up, occupied},
    placement,
};
use crate::{exit::Result, setup::Setup};

pub(crate) fn run(setup: &Setup, typed: &str, page_size: u32) -> Result<()> {
    let size = PageSize::new(page_size).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, "creating the volume")
            .why(format!("{page_size} is no page size; expected a power of two from 512 to 65536"))
    })?;
    let volume = setup.open(typed, PATIENCE)?;
    volume.say("plimsoll status tells whether it was made");
    let url = volume.status().url;
    if volume.page_size().is_some() {
        return Err(give_up(volume, occupied("creating the volume", &url)).into());
    }
    if let Err(error) = placement::check(setup, &setup.locate(typed)?, "creating the volume") {
        return Err(give_up(volume, error).into());
    }
    let written = begin(setup, &volume, "creating the volume", false)
        .and_then(|mut txn| txn.write(PageNo::FIRST, &first_page(size)).map(|()| txn));
    match written {
        Ok(txn) => _ = finish(volume, txn, PageCount(1))?,
        Err(error) => return Err(give_up(volume, error).into()),
    }
    if setup.json {
        writeln!(stdout(), "{}", json!({ "url": url, "page_size": page_size }))?;
    } else {
        writeln!(stdout(), "created {url}, pages of {page_size} bytes")?;
    }
    Ok(())
}

/// Page 1 of a database without tables: SQLite's header, and an empty leaf for the schema.
fn first_page(size: PageSize) -> Vec<u8> {
    let mut page = vec![0; size.bytes()];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    // Both are 16 bits wide, and have a spelling of their own for 65536.
    let page_bytes = u16::try_from(size.get()).unwrap_or(1);
    let content_start = u16::try_from(size.get()).unwrap_or(0);
    page[16..18].copy_from_slice(&page_bytes.to_be_bytes());
    // File format for a rollback journal, no reserved bytes, the three fixed payload fractions.
    page[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
    for (at, value) in [(24, 1), (28, 1), (92, 1), (96, rusqlite::version_number().cast_unsigned())] {
        // Change counter, pages, the change counter for which that is valid, the version that wrote it.
        page[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    page[100] = 13; // a leaf of a table
    page[105..107].copy_from_slice(&content_start.to_be_bytes());
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_finds_nothing_wrong_with_a_first_page_of_any_size() {
        let dir = tempfile::tempdir().unwrap();
        for bits in 9..=16 {
            let size = PageSize::new(1 << bits).unwrap();
            let path = dir.path().join(bits.to_string());
            std::fs::write(&path, first_page(size)).unwrap();
            let database = rusqlite::Connection::open(&path).unwrap();
            let check = |sql: &str| database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
            assert_eq!(check("PRAGMA integrity_check"), "ok", "{size}");
            database.execute_batch("CREATE TABLE t(v); INSERT INTO t VALUES('x')").unwrap();
            assert_eq!(check("SELECT v FROM t"), "x");
            assert_eq!(check("SELECT CAST(page_size AS TEXT) FROM pragma_page_size"), size.to_string());
        }
    }
}
