//! `plimsoll config`: each setting with its value and its source.

use std::io::{Write, stdout};

use plimsoll_settings::{Source, Sourced, markdown};
use serde_json::{Map, Value, json};

use crate::{
    exit::Result,
    setup::Setup,
    table::{render, table},
};

pub(crate) fn run(setup: &Setup, url: Option<&str>, documentation: bool) -> Result<()> {
    if documentation {
        return Ok(write!(stdout(), "{}", markdown())?);
    }
    let sourced = match url {
        Some(url) => setup.locate(url)?.settings,
        None => setup.process.settings(&setup.overrides)?,
    };
    if setup.json {
        return Ok(writeln!(stdout(), "{}", Value::Object(values(&sourced)))?);
    }
    let mut table = table(["setting", "value", "source"], setup.color);
    for row in sourced.rows() {
        let value = if row.value.is_empty() { "-".to_owned() } else { row.value };
        let source = match row.source {
            Source::Default => String::new(),
            other => other.to_string(),
        };
        table.add_row([row.key.name.to_owned(), value, source]);
    }
    Ok(write!(stdout(), "{}", render(&table))?)
}

fn values(sourced: &Sourced) -> Map<String, Value> {
    let one = |value: &str, source: &Source| json!({ "value": value, "source": source.to_string() });
    sourced.rows().map(|row| (row.key.name.to_owned(), one(&row.value, row.source))).collect()
}
