//! Tables of two databases, and how their rows are told apart.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// Names by which a row's number can be had, unless they are those of columns.
const ROWID: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// A table as one of the databases has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Rows are told apart by the columns of `key`.
    Rows { key: Vec<String>, columns: Vec<String> },
    /// Rows cannot be told, and why.
    Opaque(&'static str),
}

/// A name in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Every table of a database, but SQLite's own, and how it was made, as the rows of one more.
///
/// # Errors
/// As SQLite says.
pub(crate) fn tables(db: &Connection, schema: &str) -> rusqlite::Result<BTreeMap<String, Table>> {
    let mut listed = db.prepare(
        "SELECT name, type, wr FROM pragma_table_list
         WHERE schema = ?1 AND type IN ('table', 'shadow', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let listed = listed.query_map([schema], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
    let mut tables = BTreeMap::new();
    for listed in listed {
        let (name, kind, without_rowid): (String, _, bool) = listed?;
        let table = match kind.as_str() {
            "virtual" => Table::Opaque("it is a virtual table: what it holds is in other tables, or nowhere"),
            _ => columns(db, schema, &name, without_rowid)?,
        };
        tables.insert(name, table);
    }
    let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    tables.insert(
        "sqlite_schema".to_owned(),
        Table::Rows { key: text(&["type", "name"]), columns: text(&["type", "name", "tbl_name", "sql"]) },
    );
    Ok(tables)
}

fn columns(db: &Connection, schema: &str, name: &str, without_rowid: bool) -> rusqlite::Result<Table> {
    // Columns that are computed from others change with these.
    let mut named = db.prepare("SELECT name, type, pk FROM pragma_table_info(?1, ?2) ORDER BY cid")?;
    let named = named.query_map([name, schema], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default(), row.get::<_, u32>(2)?))
    })?;
    let named = named.collect::<rusqlite::Result<Vec<_>>>()?;
    let columns: Vec<String> = named.iter().map(|(name, ..)| name.clone()).collect();
    let mut primary: Vec<_> = named.iter().filter(|(.., at)| *at > 0).collect();
    primary.sort_unstable_by_key(|(.., at)| *at);
    let is_rowid = matches!(primary.as_slice(), [(_, kind, _)] if kind.eq_ignore_ascii_case("INTEGER"));
    let key = if without_rowid || is_rowid {
        primary.into_iter().map(|(name, ..)| name.clone()).collect()
    } else {
        let free = |rowid: &&&str| columns.iter().all(|column| !column.eq_ignore_ascii_case(rowid));
        match ROWID.iter().find(free) {
            Some(rowid) => vec![(*rowid).to_owned()],
            None => return Ok(Table::Opaque("its columns have all names by which the number of a row can be had")),
        }
    };
    Ok(Table::Rows { key, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart_by_their_number_or_by_what_stands_for_it() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE plain(a, b); CREATE TABLE named(a, id INTEGER PRIMARY KEY, c AS (a + 1));
             CREATE TABLE text_key(id TEXT PRIMARY KEY, rowid); CREATE TABLE hidden(rowid, oid, _rowid_);
             CREATE TABLE without(a, b, c, PRIMARY KEY(c, a)) WITHOUT ROWID;
             CREATE VIRTUAL TABLE v USING fts5(x); CREATE VIEW w AS SELECT * FROM plain",
        )
        .unwrap();
        let tables = tables(&db, "main").unwrap();
        let keys: Vec<_> = tables
            .iter()
            .filter(|(name, _)| !name.starts_with("v_") && *name != "sqlite_schema")
            .map(|(name, table)| match table {
                Table::Rows { key, columns } => (name.as_str(), key.join(","), columns.join(",")),
                Table::Opaque(_) => (name.as_str(), String::new(), String::new()),
            })
            .collect();
        let expected = [
            ("hidden", "", ""),
            ("named", "id", "a,id"),
            ("plain", "rowid", "a,b"),
            ("text_key", "_rowid_", "id,rowid"),
            ("v", "", ""),
            ("without", "c,a", "a,b,c"),
        ];
        assert_eq!(keys, expected.map(|(name, key, columns)| (name, key.to_owned(), columns.to_owned())));
    }
}
