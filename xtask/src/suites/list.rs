//! Which of SQLite's test files run, and which of their cases may differ: `tests/suites/sqlite.toml`.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::glob;

/// Names, and why they are listed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) reason: String,
    /// Of files, or of cases as `file/case`. Stars stand for anything.
    pub(super) names: Vec<String>,
}

/// The whole list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct List {
    /// Files that run every day.
    pub(super) every_day: Vec<String>,
    /// Files that do not run on volumes.
    pub(super) not_run: Vec<Exception>,
    /// Cases that come out otherwise on volumes.
    pub(super) differs: Vec<Exception>,
    /// Cases that come out one way or the other, by who is quicker.
    pub(super) either: Vec<Exception>,
}

impl List {
    /// # Errors
    /// When the file cannot be read or has another form.
    pub(super) fn read(path: &Path) -> Result<List> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        List::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    fn parse(text: &str) -> Result<List> {
        let table: Table = text.parse()?;
        let every_day = strings(table.get("every_day"), "every_day")?;
        let (not_run, differs) = (exceptions(&table, "not_run", "files")?, exceptions(&table, "differs", "cases")?);
        let list = List { every_day, not_run, differs, either: exceptions(&table, "either", "cases")? };
        if let Some(name) = list.every_day.iter().find(|name| list.reason_not_to_run(name).is_some()) {
            bail!("{name} is among the files that run every day and among those that do not run");
        }
        Ok(list)
    }

    /// Why a file does not run, if it does not.
    pub(super) fn reason_not_to_run(&self, file: &str) -> Option<&str> {
        self.not_run
            .iter()
            .find(|exception| glob::any(&exception.names, file))
            .map(|exception| exception.reason.as_str())
    }
}

fn exceptions(table: &Table, key: &str, names: &str) -> Result<Vec<Exception>> {
    let Some(entries) = table.get(key).and_then(Value::as_array) else { bail!("there is no [[{key}]]") };
    let exception = |entry: &Value| {
        let reason =
            entry.get("reason").and_then(Value::as_str).with_context(|| format!("a [[{key}]] has no reason"))?;
        Ok(Exception { reason: reason.to_owned(), names: strings(entry.get(names), names)? })
    };
    entries.iter().map(exception).collect()
}

fn strings(value: Option<&Value>, key: &str) -> Result<Vec<String>> {
    let entries = value.and_then(Value::as_array).with_context(|| format!("{key} is not a list"))?;
    let string = |entry: &Value| entry.as_str().map(str::to_owned).with_context(|| format!("{key}: not a string"));
    entries.iter().map(string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_this_project_can_be_read() {
        let list = List::read(&crate::workspace::root().join("tests/suites/sqlite.toml")).unwrap();
        assert!(list.every_day.len() > 100);
        assert!(list.reason_not_to_run("walcrash").is_some());
    }

    #[test]
    fn an_exception_without_a_reason_is_an_error() {
        let text = "every_day = []\n[[not_run]]\nfiles = ['wal*']\n[[differs]]\nreason = 'x'\ncases = []";
        assert!(List::parse(text).unwrap_err().to_string().contains("no reason"));
    }
}
