//! Rows in which two databases differ. One row of each is in memory at a time.

use rusqlite::{Connection, Row, types::ValueRef};

use super::tables::{Table, quoted};
use crate::exit::Failure;

/// The schemas of the two states, in one connection.
pub(crate) const BEFORE: &str = "main";
pub(crate) const AFTER: &str = "after";

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Removed,
    Changed,
    Added,
}

/// Columns of a row by name.
pub(crate) type Values<'a> = Vec<(&'a str, ValueRef<'a>)>;

/// One row that differs. Of a row that has changed, only the columns that have are in `before` and `after`.
pub(crate) struct Difference<'a> {
    pub(crate) table: &'a str,
    pub(crate) change: Change,
    pub(crate) key: Values<'a>,
    pub(crate) before: Values<'a>,
    pub(crate) after: Values<'a>,
}

/// Why a table could not be compared to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// SQLite could not read it.
    Unread(rusqlite::Error),
    /// Whoever was told of the differences does not want more.
    Untold(Failure),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Trouble::Unread(error)
    }
}

type Tell<'a> = dyn FnMut(&Difference<'_>) -> Result<(), Failure> + 'a;

/// Tells of every row that differs, by what tells rows apart.
///
/// # Errors
/// See [`Trouble`].
pub(crate) fn compare(
    db: &Connection,
    name: &str,
    before: Option<&Table>,
    after: Option<&Table>,
    tell: &mut Tell<'_>,
) -> Result<(), Trouble> {
    let rows = |table: Option<&Table>| match table {
        Some(Table::Rows { key, columns }) => Some((key.clone(), columns.clone())),
        Some(Table::Opaque(_)) | None => None,
    };
    match (rows(before), rows(after)) {
        (Some((key, old)), Some((other, new))) if key == other => {
            let mut columns = old.clone();
            columns.extend(new.iter().filter(|column| !old.contains(column)).cloned());
            let pair = Pair { name, key, columns, of: [old, new] };
            pair.changed(db, tell)?;
            pair.added(db, tell)
        }
        // Rows of tables with other keys are not the same rows.
        (old, new) => {
            for (rows, change) in [(old, Change::Removed), (new, Change::Added)] {
                if let Some((key, columns)) = rows {
                    let of = [columns.clone(), columns.clone()];
                    Pair { name, key, columns, of }.all(db, change, tell)?;
                }
            }
            Ok(())
        }
    }
}

/// A table that both databases have.
struct Pair<'a> {
    name: &'a str,
    key: Vec<String>,
    /// Those of either.
    columns: Vec<String>,
    of: [Vec<String>; 2],
}

impl Pair<'_> {
    /// Rows of before that are gone or other ones.
    fn changed(&self, db: &Connection, tell: &mut Tell<'_>) -> Result<(), Trouble> {
        let sql = format!(
            "SELECT {}, {} FROM {BEFORE}.{table} AS b LEFT JOIN {AFTER}.{table} AS a ON {} ORDER BY {}",
            self.expressions("b", 0),
            self.expressions("a", 1),
            self.same(),
            self.keys("b"),
            table = quoted(self.name),
        );
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let width = self.key.len() + self.columns.len();
        while let Some(row) = rows.next()? {
            let key = named(&self.key, row, 0)?;
            let before = named(&self.columns, row, self.key.len())?;
            // No part of a key is ever NULL.
            if row.get_ref(width)? == ValueRef::Null {
                self.tell(tell, Change::Removed, key, before, Vec::new())?;
                continue;
            }
            let after = named(&self.columns, row, width + self.key.len())?;
            let both = before.into_iter().zip(after).filter(|(before, after)| before.1 != after.1);
            let (before, after): (Values<'_>, Values<'_>) = both.unzip();
            if !before.is_empty() {
                self.tell(tell, Change::Changed, key, before, after)?;
            }
        }
        Ok(())
    }

    /// Rows of after that were not there before.
    fn added(&self, db: &Connection, tell: &mut Tell<'_>) -> Result<(), Trouble> {
        let table = quoted(self.name);
        let unless = format!("WHERE NOT EXISTS (SELECT 1 FROM {BEFORE}.{table} AS b WHERE {})", self.same());
        self.each(db, (AFTER, "a", 1), &unless, Change::Added, tell)
    }

    /// Every row that one of them has.
    fn all(&self, db: &Connection, change: Change, tell: &mut Tell<'_>) -> Result<(), Trouble> {
        let of = if change == Change::Removed { (BEFORE, "b", 0) } else { (AFTER, "a", 1) };
        self.each(db, of, "", change, tell)
    }

    fn each(
        &self,
        db: &Connection,
        (schema, alias, of): (&str, &str, usize),
        only: &str,
        change: Change,
        tell: &mut Tell<'_>,
    ) -> Result<(), Trouble> {
        let (columns, keys, table) = (self.expressions(alias, of), self.keys(alias), quoted(self.name));
        let sql = format!("SELECT {columns} FROM {schema}.{table} AS {alias} {only} ORDER BY {keys}");
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (key, values) = (named(&self.key, row, 0)?, named(&self.columns, row, self.key.len())?);
            let (before, after) = if change == Change::Removed { (values, Vec::new()) } else { (Vec::new(), values) };
            self.tell(tell, change, key, before, after)?;
        }
        Ok(())
    }

    fn tell(
        &self,
        tell: &mut Tell<'_>,
        change: Change,
        key: Values<'_>,
        before: Values<'_>,
        after: Values<'_>,
    ) -> Result<(), Trouble> {
        tell(&Difference { table: self.name, change, key, before, after }).map_err(Trouble::Untold)
    }

    /// The key and the columns of one side. What it has no such column of is NULL.
    fn expressions(&self, alias: &str, side: usize) -> String {
        let columns = self
            .columns
            .iter()
            .map(|column| if self.of[side].contains(column) { of(alias, column) } else { "NULL".to_owned() });
        self.key.iter().map(|key| of(alias, key)).chain(columns).collect::<Vec<_>>().join(", ")
    }

    fn keys(&self, alias: &str) -> String {
        self.key.iter().map(|key| of(alias, key)).collect::<Vec<_>>().join(", ")
    }

    fn same(&self) -> String {
        let pairs = self.key.iter().map(|key| format!("{} = {}", of("b", key), of("a", key)));
        pairs.collect::<Vec<_>>().join(" AND ")
    }
}

/// A column with its table's name, for a name alone that is no column's is a string to SQLite.
fn of(alias: &str, column: &str) -> String {
    format!("{alias}.{}", quoted(column))
}

fn named<'a>(names: &'a [String], row: &'a Row<'_>, from: usize) -> rusqlite::Result<Values<'a>> {
    names.iter().enumerate().map(|(at, name)| Ok((name.as_str(), row.get_ref(from + at)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::stranded::diff::tables::tables, value::literal};

    /// What is said of every row that differs, in a line each.
    fn differences(before: &str, after: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let paths = [("before", before), ("after", after)].map(|(name, sql)| {
            let path = dir.path().join(name);
            Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            path
        });
        let db = Connection::open(&paths[0]).unwrap();
        db.execute("ATTACH ?1 AS after", [paths[1].to_string_lossy()]).unwrap();
        let (old, new) = (tables(&db, BEFORE).unwrap(), tables(&db, AFTER).unwrap());
        let mut lines = Vec::new();
        let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        for name in names.into_iter().filter(|name| *name != "sqlite_schema") {
            let mut tell = |found: &Difference<'_>| {
                let text = |values: &Values<'_>| {
                    values
                        .iter()
                        .map(|(name, value)| format!("{name}={}", literal(*value)))
                        .collect::<Vec<_>>()
                        .join(" ")
                };
                let [key, before, after] = [&found.key, &found.before, &found.after].map(text);
                lines.push(format!("{:?} {} {key}: {before} > {after}", found.change, found.table));
                Ok(())
            };
            compare(&db, name, old.get(name), new.get(name), &mut tell).unwrap();
        }
        lines
    }

    #[test]
    fn rows_are_removed_changed_and_added_by_their_key_whatever_a_collation_takes_for_equal() {
        let both = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT COLLATE NOCASE, n); ";
        let found = differences(
            &format!("{both} INSERT INTO t VALUES(1, 'same', 1), (2, 'a', 1), (3, 'x', NULL), (4, 'b', 1)"),
            &format!("{both} INSERT INTO t VALUES(1, 'same', 1), (2, 'A', 1.0), (4, 'b', 2), (5, 'new', x'00')"),
        );
        assert_eq!(
            found,
            [
                "Changed t id=2: v='a' n=1 > v='A' n=1.0",
                "Removed t id=3: id=3 v='x' n=NULL > ",
                "Changed t id=4: n=1 > n=2",
                "Added t id=5:  > id=5 v='new' n=x'00'",
            ]
        );
    }

    #[test]
    fn rows_without_a_number_are_told_apart_by_their_primary_key() {
        let both = "CREATE TABLE w(a TEXT, b, c, PRIMARY KEY(b, a)) WITHOUT ROWID; CREATE TABLE p(v);";
        let found = differences(
            &format!("{both} INSERT INTO w VALUES('x', 1, 'one'), ('y', 1, 'two'); INSERT INTO p VALUES('s'), ('s')"),
            &format!("{both} INSERT INTO w VALUES('y', 1, '2'), ('y', 2, 'two'); INSERT INTO p VALUES('s')"),
        );
        assert_eq!(
            found,
            [
                "Removed p rowid=2: v='s' > ",
                "Removed w b=1 a='x': a='x' b=1 c='one' > ",
                "Changed w b=1 a='y': c='two' > c='2'",
                "Added w b=2 a='y':  > a='y' b=2 c='two'",
            ]
        );
    }

    #[test]
    fn a_table_that_is_new_gone_or_other_columns_are_said_row_by_row() {
        let found = differences(
            "CREATE TABLE gone(v); INSERT INTO gone VALUES('g'); CREATE TABLE t(id INTEGER PRIMARY KEY, a);
             INSERT INTO t VALUES(1, 'a'), (2, 'b'); CREATE TABLE k(v); INSERT INTO k VALUES('k')",
            "CREATE TABLE fresh(v); INSERT INTO fresh VALUES('f'); CREATE TABLE t(id INTEGER PRIMARY KEY, a, b);
             INSERT INTO t VALUES(1, 'a', NULL), (2, 'b', 'c'); CREATE TABLE k(v INTEGER PRIMARY KEY);
             INSERT INTO k VALUES(7)",
        );
        assert_eq!(
            found,
            [
                "Added fresh rowid=1:  > v='f'",
                "Removed gone rowid=1: v='g' > ",
                "Removed k rowid=1: v='k' > ",
                "Added k v=7:  > v=7",
                "Changed t id=2: b=NULL > b='c'",
            ]
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_is_trouble_and_no_panic() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("ATTACH ':memory:' AS after").unwrap();
        let table = Table::Rows { key: vec!["rowid".into()], columns: vec!["v".into()] };
        let found = compare(&db, "nowhere", Some(&table), Some(&table), &mut |_| Ok(()));
        assert!(matches!(found, Err(Trouble::Unread(_))), "{found:?}");
    }
}
