//! Running text that holds any number of statements.

use std::io::{Write, stdout};

use rusqlite::{Batch, Connection, fallible_iterator::FallibleIterator};

use super::{failure, rows::Printer};
use crate::{exit::Result, setup::Setup};

/// Runs every statement, in order, and prints what they return. The first failure ends it.
///
/// # Errors
/// What SQLite or the volume says.
pub(crate) fn run(setup: &Setup, connection: &Connection, sql: &str) -> Result<()> {
    let mut batch = Batch::new(connection, sql);
    let mut out = stdout().lock();
    loop {
        // So that a failure is not explained by an older one.
        drop(plimsoll_sqlite::take_last_error());
        let Some(mut statement) = batch.next().map_err(|error| failure(&error))? else { break };
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut printer = Printer::new(setup, &mut out, names);
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| failure(&error))? {
            printer.row(row)?;
        }
        printer.finish()?;
    }
    Ok(out.flush()?)
}
