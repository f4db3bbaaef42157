//! Rows and columns for people.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// A table with a header. `frame`: drawn in a frame, for a terminal; otherwise columns only.
pub(crate) fn table<'a>(header: impl IntoIterator<Item = &'a str>, frame: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(if frame { presets::UTF8_FULL_CONDENSED } else { presets::NOTHING });
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// A number, flush right.
pub(crate) fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// The text of a table without blanks at the ends of lines, and with a line break at its end.
pub(crate) fn render(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
