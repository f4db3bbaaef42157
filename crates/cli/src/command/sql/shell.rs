//! The interactive shell.

use std::io::{Write, stdout};

use plimsoll_model::{Error, ErrorKind};
use plimsoll_volume::Located;
use rusqlite::Connection;
use rustyline::{DefaultEditor, error::ReadlineError};

use super::{failure, statements, stream::is_complete};
use crate::{exit::Result, setup::Setup};

const HELP: &str = "\
Statements end with a semicolon. Beside SQL there are:
  .tables          names of tables and views
  .schema [NAME]   how everything, or one thing, was created
  .status          role, watermarks and load, as JSON
  .sync            waits until everything is durable
  .help            this text
  .quit            ends; so does Ctrl-D
";

const TABLES: &str =
    "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY 1";
const SCHEMA: &str = "SELECT sql || ';' AS sql FROM sqlite_schema WHERE sql IS NOT NULL";

/// Reads statements and runs them until the user has enough. A failed statement is reported and is no failure.
///
/// # Errors
/// When the terminal cannot be used.
pub(crate) fn run(setup: &Setup, located: &Located, connection: &Connection) -> Result<()> {
    let mut editor = DefaultEditor::new().map_err(terminal)?;
    let history = located.settings.settings.state_dir.join("sql-history");
    // There is none the first time.
    let _ = editor.load_history(&history);
    writeln!(stdout(), "{}\n.help lists commands", located.store.url())?;
    let mut pending = String::new();
    loop {
        let prompt = if pending.is_empty() { "plimsoll> " } else { "     ...> " };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                pending.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error).into()),
        };
        if pending.is_empty() && line.trim().is_empty() {
            continue;
        }
        if pending.is_empty() && line.trim_start().starts_with('.') {
            let _ = editor.add_history_entry(line.trim());
            if matches!(line.trim(), ".quit" | ".exit") {
                break;
            }
            report(command(setup, connection, line.trim()));
            continue;
        }
        pending.push_str(&line);
        pending.push('\n');
        if is_complete(&pending) {
            let _ = editor.add_history_entry(pending.trim_end());
            report(statements::run(setup, connection, &pending));
            pending.clear();
        }
    }
    // What was typed is a convenience, not data.
    if let Err(error) = editor.save_history(&history) {
        tracing::info!(%error, "the history could not be saved");
    }
    Ok(())
}

fn report(outcome: Result<()>) {
    if let Err(failure) = outcome {
        eprintln!("error: {failure}");
    }
}

fn command(setup: &Setup, connection: &Connection, line: &str) -> Result<()> {
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let sql = match (name, argument.trim()) {
        (".help", _) => return Ok(stdout().write_all(HELP.as_bytes())?),
        (".tables", _) => TABLES.to_owned(),
        (".schema", "") => SCHEMA.to_owned(),
        (".schema", name) => format!("{SCHEMA} AND tbl_name = '{}'", name.replace('\'', "''")),
        (".status", _) => return status(connection),
        (".sync", _) => "SELECT plimsoll_sync() AS durable".to_owned(),
        _ => {
            eprintln!("error: there is no command {name}; .help lists them");
            return Ok(());
        }
    };
    statements::run(setup, connection, &sql)
}

fn status(connection: &Connection) -> Result<()> {
    let status: String =
        connection.query_row("SELECT plimsoll_status()", [], |row| row.get(0)).map_err(|error| failure(&error))?;
    // It is JSON of our own; if not, it is shown as it came.
    let pretty = serde_json::from_str::<serde_json::Value>(&status).map(|status| format!("{status:#}"));
    Ok(writeln!(stdout(), "{}", pretty.unwrap_or(status))?)
}

fn terminal(error: ReadlineError) -> Error {
    Error::new(ErrorKind::Io, "reading from the terminal").caused_by(error)
}
