//! What stranded commits would have changed: pages, and rows.

use std::{
    fs,
    io::{Write, stdout},
    path::Path,
};

use plimsoll_model::{PageSize, ResultExt};
use plimsoll_volume::{Located, Stranded};
use rusqlite::Connection;
use serde::Serialize;

use super::{read, state};
use crate::{
    command::{export::restore, sql::failure},
    exit::Result,
    setup::Setup,
    table::{number, render, table},
    units,
};

/// Rows of one table that are in one state and not in the other.
#[derive(Serialize)]
struct Rows {
    table: String,
    /// Only in the stranded state; `None` if the newest has no such table, or one with other columns.
    only_stranded: Option<i64>,
    /// Only in the newest state.
    only_now: Option<i64>,
}

#[derive(Serialize)]
struct Report {
    name: String,
    /// Pages that the stranded commits changed.
    pages_changed: u64,
    /// Pages that differ between the stranded and the newest state.
    pages_differing: u64,
    tables: Vec<Rows>,
}

pub(crate) fn run(setup: &Setup, located: &Located, kept: &Stranded) -> Result<()> {
    let journal = read(setup, located, kept)?;
    let dir = tempfile::tempdir().doing("creating", "a temporary directory")?;
    let [stranded, now] = ["stranded", "now"].map(|name| dir.path().join(name));
    let create = |path: &Path| fs::File::create(path).doing("creating", path.display());
    state::write(setup, located, &journal, &create(&stranded)?)?;
    restore(setup, located, None, &create(&now)?)?;
    let size = journal.outcome().map_or(PageSize::DEFAULT, |(_, size)| size);
    let report = Report {
        name: kept.name(),
        pages_changed: journal.pages().len() as u64,
        pages_differing: differing(&stranded, &now, size.bytes())?,
        tables: rows(&stranded, &now).map_err(|error| failure(&error))?,
    };
    tell(setup, &report)
}

fn differing(one: &Path, other: &Path, page: usize) -> Result<u64> {
    let read = |path: &Path| fs::read(path).doing("reading", path.display());
    let (one, other) = (read(one)?, read(other)?);
    let pages = one.len().max(other.len()).div_ceil(page);
    let part = |bytes: &'_ [u8], at: usize| -> Vec<u8> {
        bytes.get(at * page..((at + 1) * page).min(bytes.len())).unwrap_or_default().to_vec()
    };
    Ok((0..pages).filter(|at| part(&one, *at) != part(&other, *at)).count() as u64)
}

fn rows(stranded: &Path, now: &Path) -> rusqlite::Result<Vec<Rows>> {
    let db = Connection::open(stranded)?;
    db.execute("ATTACH ?1 AS now", [now.to_string_lossy()])?;
    let mut named = db.prepare(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND sql NOT LIKE 'CREATE VIRTUAL%'
         UNION SELECT name FROM now.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND sql NOT LIKE 'CREATE VIRTUAL%'
         ORDER BY 1",
    )?;
    let names: Vec<String> = named.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let count = |from: &str, without: &str, name: &str| -> Option<i64> {
        let columns = columns(&db, from, name).ok().filter(|columns| !columns.is_empty())?.join(", ");
        let table = quoted(name);
        // Rows that are the same are told apart by a number of their own, for EXCEPT alone would count them once.
        let rows = |of: &str| format!("SELECT {columns}, row_number() OVER (PARTITION BY {columns}) FROM {of}.{table}");
        let sql = format!("SELECT count(*) FROM ({} EXCEPT {})", rows(from), rows(without));
        // No such table there, or one of other columns: then every row differs, and there is no number to give.
        db.query_row(&sql, [], |row| row.get(0)).ok()
    };
    Ok(names
        .into_iter()
        .map(|table| Rows {
            only_stranded: count("main", "now", &table),
            only_now: count("now", "main", &table),
            table,
        })
        .collect())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's columns as expressions that compare byte for byte, whatever a column's own collation takes for equal.
fn columns(db: &Connection, schema: &str, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut named = db.prepare("SELECT name FROM pragma_table_info(?1, ?2)")?;
    let named = named.query_map([table, schema], |row| row.get::<_, String>(0))?;
    // With the table's name, for a name alone that is no column's is a string to SQLite.
    named.map(|name| Ok(format!("{}.{} COLLATE BINARY", quoted(table), quoted(&name?)))).collect()
}

fn tell(setup: &Setup, report: &Report) -> Result<()> {
    let mut out = stdout().lock();
    if setup.json {
        return Ok(writeln!(out, "{}", serde_json::json!(report))?);
    }
    writeln!(
        out,
        "the stranded commits changed {}; {} differ from the newest state",
        units::counted(report.pages_changed, "page"),
        report.pages_differing
    )?;
    let mut table = table(["table", "rows only stranded", "rows only now"], setup.color);
    for rows in &report.tables {
        let shown =
            |count: Option<i64>| number(count.map_or_else(|| "other table".to_owned(), |count| count.to_string()));
        table.add_row([rows.table.clone().into(), shown(rows.only_stranded), shown(rows.only_now)]);
    }
    Ok(write!(out, "{}", render(&table))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_the_same_count_as_often_as_they_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let [stranded, now] = ["stranded", "now"].map(|name| dir.path().join(name));
        let make = |path: &Path, sql: &str| Connection::open(path).unwrap().execute_batch(sql).unwrap();
        let both = "CREATE TABLE t(a TEXT COLLATE NOCASE, \"b\"\"\"); INSERT INTO t VALUES('x', NULL), ('x', NULL);";
        make(&stranded, &format!("{both} CREATE TABLE o(c); INSERT INTO t VALUES('x', NULL), ('x', NULL), ('Y', 1)"));
        make(&now, &format!("{both} CREATE TABLE o(d); INSERT INTO t VALUES('y', 1)"));
        let found = rows(&stranded, &now).unwrap();
        assert_eq!((found[0].only_stranded, found[0].only_now), (None, None), "o has other columns");
        assert_eq!((found[1].only_stranded, found[1].only_now), (Some(3), Some(1)));
    }
}
