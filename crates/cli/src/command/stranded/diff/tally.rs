//! Telling of rows that differ, of each table no more than are wanted, and counting all.

use std::io::Write;

use serde::Serialize;

use super::rows::{Change, Difference, Values};
use crate::{
    exit::Result,
    units,
    value::{json, json_text, literal},
};

/// What differs in one table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    pub(crate) table: String,
    pub(crate) removed: u64,
    pub(crate) changed: u64,
    pub(crate) added: u64,
    /// Rows that were told of.
    pub(crate) shown: u64,
    /// Why not all of them, or none, could be told.
    pub(crate) unread: Option<String>,
}

impl Tally {
    pub(crate) fn new(table: &str) -> Self {
        Tally { table: table.to_owned(), ..Tally::default() }
    }

    fn all(&self) -> u64 {
        self.removed + self.changed + self.added
    }

    /// Whether there is anything to say.
    pub(crate) fn says_something(&self) -> bool {
        self.all() > 0 || self.unread.is_some()
    }

    /// Counts a row, and tells of it unless so many of its kind were told of before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn row(&mut self, out: &mut dyn Write, as_json: bool, most: u64, row: &Difference<'_>) -> Result<()> {
        if self.all() == 0 && !as_json {
            writeln!(out, "table {}", self.table)?;
        }
        let count = match row.change {
            Change::Removed => &mut self.removed,
            Change::Changed => &mut self.changed,
            Change::Added => &mut self.added,
        };
        *count += 1;
        if *count > most {
            return Ok(());
        }
        self.shown += 1;
        let line = if as_json { line_of_json(row) } else { line(row) };
        Ok(writeln!(out, "{line}")?)
    }

    /// Ends what was told of a table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn end(&self, out: &mut dyn Write) -> Result<()> {
        if self.all() == 0 {
            writeln!(out, "table {}", self.table)?;
        }
        if let Some(why) = &self.unread {
            writeln!(out, "  its rows cannot be told: {why}")?;
        }
        if self.all() > 0 {
            let rows = units::counted(self.all(), "row");
            let Tally { removed, changed, added, shown, .. } = self;
            let left = match self.all() - shown {
                0 => String::new(),
                left => format!("; {left} of them are not shown, --all shows every one"),
            };
            writeln!(out, "  {rows}: {removed} removed, {changed} changed, {added} added{left}")?;
        }
        Ok(())
    }
}

fn line(row: &Difference<'_>) -> String {
    let list = |values: &Values<'_>| {
        values.iter().map(|(name, value)| format!("{name} = {}", literal(*value))).collect::<Vec<_>>().join(", ")
    };
    // What tells rows apart need not be a column.
    let whole = |values: &Values<'_>| {
        let number = row.key.iter().filter(|(name, _)| values.iter().all(|(column, _)| column != name));
        list(&number.chain(values).copied().collect())
    };
    match row.change {
        Change::Removed => format!("  - {}", whole(&row.before)),
        Change::Added => format!("  + {}", whole(&row.after)),
        Change::Changed => {
            let changes = row.before.iter().zip(&row.after);
            let changes = changes
                .map(|((name, before), (_, after))| format!("{name} = {} -> {}", literal(*before), literal(*after)));
            format!("  ~ {}: {}", list(&row.key), changes.collect::<Vec<_>>().join(", "))
        }
    }
}

fn line_of_json(row: &Difference<'_>) -> String {
    let object = |values: &Values<'_>| {
        let pairs: Vec<String> =
            values.iter().map(|(name, value)| format!("{}:{}", json_text(name), json(value))).collect();
        format!("{{{}}}", pairs.join(","))
    };
    let (change, before, after) = match row.change {
        Change::Removed => ("removed", object(&row.before), "null".to_owned()),
        Change::Changed => ("changed", object(&row.before), object(&row.after)),
        Change::Added => ("added", "null".to_owned(), object(&row.after)),
    };
    let (table, key) = (json_text(row.table), object(&row.key));
    format!("{{\"table\":{table},\"change\":\"{change}\",\"key\":{key},\"before\":{before},\"after\":{after}}}")
}
