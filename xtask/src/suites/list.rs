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

/// How a file runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manner {
    /// Commands that are left out. If there are any, what fails outside of a case is a failed case named after its line, and
    /// does not end the file.
    pub(super) left_out: Vec<String>,
    /// Several processes write: each waits for its turn, and sees what was committed before, as on a file.
    pub(super) in_turns: bool,
}

/// The whole list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct List {
    /// Files that run every day.
    pub(super) every_day: Vec<String>,
    /// Files that do not run on volumes.
    pub(super) not_run: Vec<Exception>,
    /// Commands that are left out, as `file/line-N`. Their files run one command after the other, also where one fails that
    /// is no case.
    pub(super) left_out: Vec<Exception>,
    /// Files whose processes wait for their turn, and for each other's commits.
    pub(super) in_turns: Vec<Exception>,
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
        let (left_out, in_turns) = (exceptions(&table, "left_out", "lines")?, exceptions(&table, "in_turns", "files")?);
        let list =
            List { every_day, not_run, left_out, in_turns, differs, either: exceptions(&table, "either", "cases")? };
        if let Some(name) = list.every_day.iter().find(|name| list.reason_not_to_run(name).is_some()) {
            bail!("{name} is among the files that run every day and among those that do not run");
        }
        Ok(list)
    }

    /// How a file runs on volumes.
    pub(super) fn manner(&self, file: &str) -> Manner {
        let left_out = of_file(file, &self.left_out).map(str::to_owned).collect();
        let in_turns = self.in_turns.iter().any(|exception| glob::any(&exception.names, file));
        Manner { left_out, in_turns }
    }

    /// Why a file does not run, if it does not.
    pub(super) fn reason_not_to_run(&self, file: &str) -> Option<&str> {
        self.not_run
            .iter()
            .find(|exception| glob::any(&exception.names, file))
            .map(|exception| exception.reason.as_str())
    }
}

/// What is listed of one file.
pub(super) fn of_file<'a>(file: &'a str, exceptions: &'a [Exception]) -> impl Iterator<Item = &'a str> {
    let names = exceptions.iter().flat_map(|exception| &exception.names).filter_map(|name| name.split_once('/'));
    names.filter(move |(of, _)| *of == file).map(|(_, case)| case)
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
    fn a_file_runs_as_it_is_listed() {
        let list = List::read(&crate::workspace::root().join("tests/suites/sqlite.toml")).unwrap();
        assert_eq!(list.manner("uri"), Manner { left_out: vec!["line-113".to_owned()], in_turns: false });
        assert_eq!(list.manner("exists"), Manner { left_out: Vec::new(), in_turns: true });
        assert_eq!(list.manner("select1"), Manner::default());
    }

    #[test]
    fn an_exception_without_a_reason_is_an_error() {
        let text = "every_day = []\n[[not_run]]\nfiles = ['wal*']\n[[differs]]\nreason = 'x'\ncases = []";
        assert!(List::parse(text).unwrap_err().to_string().contains("no reason"));
    }
}
