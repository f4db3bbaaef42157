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
    let one = |value: Value, source: &Source| json!({ "value": value, "source": source.to_string() });
    sourced.rows().map(|row| (row.key.name.to_owned(), one(typed(row.key.form, &row.value), row.source))).collect()
}

/// A value as JSON, of the type that the form of its key describes. What is unset is null.
fn typed(form: &str, value: &str) -> Value {
    let number = |text: &str| text.parse::<u64>().map_or_else(|_| text.into(), Value::from);
    match value {
        "" => Value::Null,
        "true" | "false" if form.starts_with("true or false") => (value == "true").into(),
        _ if form.contains("a plain whole number") => number(value),
        _ if form.contains("plain whole numbers") => value.split(',').map(|part| number(part.trim())).collect(),
        _ => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_the_type_of_its_form() {
        let environment = [("HOME".to_owned(), "/home/me".to_owned())].into_iter().collect();
        let input = plimsoll_settings::Input { environment, ..plimsoll_settings::Input::default() };
        let values = values(&Sourced::load(&input).unwrap());
        let of = |name: &str| &values[name]["value"];
        assert_eq!(of("sync_interval_ms"), &json!(1000));
        assert_eq!(of("takeover"), &json!(false));
        assert_eq!(of("region"), &Value::Null);
        assert!(of("state_dir").is_string() && of("on_load_line") == "block");
        assert_eq!(typed("milliseconds as plain whole numbers with commas", "1,20"), json!([1, 20]));
    }
}
