//! Results, as a table or as lines of JSON.

use std::io::Write;

use comfy_table::Cell;
use rusqlite::{Row, types::ValueRef};

use crate::{
    exit::{Exit, Failure, Result},
    setup::Setup,
    table::{number, render, table},
    value,
};

/// Rows that are held back to find the widths of columns. A longer result becomes several tables.
const ROWS_MAX: usize = 1000;

/// Prints the rows of one statement.
pub(crate) struct Printer<'a> {
    out: &'a mut dyn Write,
    names: Vec<String>,
    json: bool,
    frame: bool,
    held: Vec<Vec<Cell>>,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(setup: &Setup, out: &'a mut dyn Write, names: Vec<String>) -> Self {
        Printer { out, names, json: setup.json, frame: setup.color, held: Vec::new() }
    }

    /// Takes one row.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub(crate) fn row(&mut self, row: &Row<'_>) -> Result<()> {
        let values = (0..self.names.len()).map(|at| row.get_ref(at)).collect::<Result<Vec<_>, _>>();
        let values = values.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        if self.json {
            let pairs = self.names.iter().zip(&values);
            let pairs: Vec<String> =
                pairs.map(|(name, value)| format!("{}:{}", value::json_text(name), value::json(value))).collect();
            return Ok(writeln!(self.out, "{{{}}}", pairs.join(","))?);
        }
        self.held.push(values.iter().map(cell).collect());
        if self.held.len() >= ROWS_MAX { self.flush() } else { Ok(()) }
    }

    /// Prints what is left.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.held.is_empty() { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        let mut table = table(self.names.iter().map(String::as_str), self.frame);
        table.add_rows(self.held.drain(..));
        Ok(self.out.write_all(render(&table).as_bytes())?)
    }
}

fn cell(value: &ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::new("NULL"),
        ValueRef::Integer(value) => number(value),
        ValueRef::Real(value) => number(value),
        ValueRef::Text(text) => Cell::new(value::harmless(&String::from_utf8_lossy(text))),
        ValueRef::Blob(bytes) => Cell::new(format!("x'{}'", value::hex(bytes))),
    }
}
