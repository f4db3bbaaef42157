//! SQLite, as sqllogictest wants it.

use std::path::PathBuf;

use rusqlite::{
    Connection, OpenFlags, Result,
    types::{Value, ValueRef},
};
use sqllogictest::{DB, DBOutput, DefaultColumnType};

/// Where the database of a script is.
#[derive(Clone, Debug)]
pub enum Place {
    /// An ordinary file.
    File(PathBuf),
    /// A volume.
    Volume(String),
}

impl Place {
    /// Opens it, with a page cache so small that transactions spill into the VFS.
    ///
    /// # Errors
    /// As SQLite says.
    ///
    /// # Panics
    /// If SQLite refuses the VFS.
    pub fn open(&self) -> Result<Database> {
        let connection = match self {
            Place::File(path) => Connection::open(path)?,
            Place::Volume(url) => {
                plimsoll_sqlite::register().expect("the VFS registers");
                Connection::open_with_flags_and_vfs(url, OpenFlags::default(), c"plimsoll")?
            }
        };
        connection.execute_batch("PRAGMA cache_size = 5")?;
        Ok(Database(connection))
    }
}

/// One connection.
#[derive(Debug)]
pub struct Database(Connection);

/// What a statement answers.
pub(crate) enum Answer {
    /// Rows of so many columns.
    Rows(usize, Vec<Vec<String>>),
    /// So many rows were changed.
    Done(u64),
}

impl Database {
    /// Runs one statement.
    ///
    /// # Errors
    /// As SQLite says.
    pub(crate) fn answer(&self, sql: &str) -> Result<Answer> {
        let mut statement = self.0.prepare(sql)?;
        let columns = statement.column_count();
        if columns == 0 {
            // Some pragmas have rows without columns: steps, rather than results.
            let mut steps = statement.query([])?;
            while steps.next()?.is_some() {}
            return Ok(Answer::Done(self.0.changes()));
        }
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get_ref(at).map(shown)).collect())?;
        Ok(Answer::Rows(columns, rows.collect::<Result<_>>()?))
    }
}

impl Database {
    /// Runs statements, whatever rows they have.
    pub(crate) fn batch(&self, sql: &str) -> Result<()> {
        self.0.execute_batch(sql)
    }

    /// Runs one statement, and returns its rows as SQLite has them.
    pub(crate) fn values(&self, sql: &str) -> Result<Vec<Vec<Value>>> {
        let mut statement = self.0.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            values.push((0..columns).map(|at| row.get(at)).collect::<Result<_>>()?);
        }
        Ok(values)
    }
}

impl DB for Database {
    type Error = rusqlite::Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>> {
        Ok(match self.answer(sql)? {
            Answer::Rows(columns, rows) => DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows },
            Answer::Done(changed) => DBOutput::StatementComplete(changed),
        })
    }

    fn engine_name(&self) -> &'static str {
        "sqlite"
    }
}

/// A value as scripts show it: one word of ASCII, or several.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text([]) => "(empty)".to_owned(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().fold("x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
    }
}
