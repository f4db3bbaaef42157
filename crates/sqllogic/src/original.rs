//! Scripts as SQLite's project writes them: values one a line, each shown by the type that the query names.

use std::{fmt::Write as _, fs, path::Path};

use md5::{Digest, Md5};
use rusqlite::types::Value;
use sqllogictest::{
    Condition, DefaultColumnType as Type, QueryExpect, Record, SortMode, StatementExpect, parse_with_name,
};

use crate::Database;

/// What a script came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Statements that did what they should.
    pub statements: u64,
    /// Queries whose rows were those that the script names.
    pub queries: u64,
    /// What was otherwise, with file and line.
    pub different: Vec<String>,
}

/// After so many differences the rest of a script says nothing new.
const ENOUGH: usize = 10;

/// Runs the script in `file`, of whose lines those for other databases are left out.
///
/// `step` is told the number of records that are done, about every thousand.
///
/// # Errors
/// The file cannot be read, or is no script.
pub fn run_original(file: &Path, database: &Database, mut step: impl FnMut(u64)) -> Result<Outcome, String> {
    let name = file.display().to_string();
    let bytes = fs::read(file).map_err(|error| format!("reading the script {name}: {error}"))?;
    let text: String = String::from_utf8_lossy(&bytes).lines().map(|line| format!("{}\n", bare(line))).collect();
    let records = parse_with_name::<Type>(&text, name.as_str()).map_err(|error| format!("parsing {name}: {error}"))?;
    let mut outcome = Outcome::default();
    // The parser's own lists of conditions go on behind a `halt`, so they are kept here.
    let mut conditions = Vec::new();
    let mut fresh = 0;
    for record in records {
        let result = match record {
            Record::Condition(condition) => {
                conditions.push(condition);
                continue;
            }
            Record::Newline | Record::Comment(_) => continue,
            Record::Statement { sql, expected, loc, .. } if !skipped(&conditions) => {
                outcome.statements += 1;
                statement(database, &sql, &expected).map_err(|why| format!("{loc}: {why}\n{sql}"))
            }
            Record::Query { sql, expected, loc, .. } if !skipped(&conditions) => {
                outcome.queries += 1;
                query(database, &sql, &expected).map_err(|why| format!("{loc}: {why}\n{sql}"))
            }
            Record::Halt { .. } if !skipped(&conditions) => break,
            _ => Ok(()),
        };
        conditions.clear();
        if let Err(different) = result {
            outcome.different.push(different);
            if outcome.different.len() == ENOUGH {
                break;
            }
        }
        fresh += 1;
        if fresh == 1_000 {
            step(fresh);
            fresh = 0;
        }
    }
    step(fresh);
    Ok(outcome)
}

/// A line without the comment that the parser does not expect behind these words.
fn bare(line: &str) -> &str {
    let word = line.split_whitespace().next().unwrap_or_default();
    let commented = ["onlyif", "skipif", "halt", "hash-threshold"].contains(&word);
    if commented { line.split('#').next().unwrap_or_default() } else { line }
}

fn skipped(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| match condition {
        Condition::OnlyIf { label } => label != "sqlite",
        Condition::SkipIf { label } => label == "sqlite",
    })
}

fn statement(database: &Database, sql: &str, expected: &StatementExpect) -> Result<(), String> {
    match (database.batch(sql), expected) {
        (Ok(_), StatementExpect::Error(_)) => Err("succeeds, and should fail".to_owned()),
        (Err(_), StatementExpect::Error(_)) | (Ok(_), StatementExpect::Ok | StatementExpect::Count(_)) => Ok(()),
        (Err(error), _) => Err(format!("fails: {error}")),
    }
}

fn query(database: &Database, sql: &str, expected: &QueryExpect<Type>) -> Result<(), String> {
    let answer = database.values(sql);
    let QueryExpect::Results { types, sort_mode, results, .. } = expected else {
        return answer.map_or(Ok(()), |_| Err("succeeds, and should fail".to_owned()));
    };
    let rows = match answer {
        Ok(rows) => rows,
        // SQLite's own program takes a query that fails for one without rows.
        Err(_) if results.is_empty() => return Ok(()),
        Err(error) => return Err(format!("fails: {error}")),
    };
    if let Some(row) = rows.iter().find(|row| row.len() != types.len()) {
        return Err(format!("has {} columns in place of {}", row.len(), types.len()));
    }
    let mut rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().zip(types).map(|(value, kind)| shown(value, kind)).collect()).collect();
    if *sort_mode == Some(SortMode::RowSort) {
        rows.sort_unstable();
    }
    let mut values: Vec<String> = rows.into_iter().flatten().collect();
    if *sort_mode == Some(SortMode::ValueSort) {
        values.sort_unstable();
    }
    // Long answers stand in a script as their number and a hash.
    let hashed = results.len() == 1 && results[0].contains(" values hashing to ");
    let got = if hashed { vec![hash(&values)] } else { values };
    if got == *results {
        Ok(())
    } else {
        Err(format!("answers\n{}\nin place of\n{}", got.join("\n"), results.join("\n")))
    }
}

fn hash(values: &[String]) -> String {
    let mut md5 = Md5::new();
    for value in values {
        md5.update(value);
        md5.update("\n");
    }
    let mut line = format!("{} values hashing to ", values.len());
    for byte in md5.finalize() {
        let _ = write!(line, "{byte:02x}");
    }
    line
}

/// A value as the script's program shows it: converted to the type that the query names, as SQLite converts.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "what C does there")]
fn shown(value: &Value, kind: &Type) -> String {
    match (kind, value) {
        (_, Value::Null) => "NULL".to_owned(),
        (Type::Integer, Value::Integer(number)) => (*number as i32).to_string(),
        (Type::Integer, Value::Real(number)) => (*number as i64 as i32).to_string(),
        (Type::Integer, Value::Text(text)) => (leading(text) as i64 as i32).to_string(),
        (Type::FloatingPoint, Value::Integer(number)) => three_digits(*number as f64),
        (Type::FloatingPoint, Value::Real(number)) => three_digits(*number),
        (Type::FloatingPoint, Value::Text(text)) => three_digits(leading(text)),
        (_, Value::Integer(number)) => number.to_string(),
        (_, Value::Real(number)) => format!("{number:?}"),
        (_, Value::Text(text)) => printable(text.as_bytes()),
        (_, Value::Blob(bytes)) => printable(bytes),
    }
}

/// As SQLite's `printf("%.3f")` has it: no more than sixteen digits that mean something.
fn three_digits(number: f64) -> String {
    if number.abs() < 1e12 {
        return format!("{number:.3}");
    }
    let short: f64 = format!("{number:.15e}").parse().unwrap_or(number);
    let (digits, exponent) =
        format!("{short:.15e}").split_once('e').map_or_else(Default::default, |(digits, exponent)| {
            (digits.replace('.', ""), exponent.parse::<usize>().unwrap_or_default())
        });
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let (whole, rest) = digits.split_at(digits.len().min(exponent + 1));
    format!("{sign}{whole:0<width$}.{:0<3.3}", rest, width = exponent + 1)
}

/// The number at the beginning of a text.
fn leading(text: &str) -> f64 {
    let text = text.trim_start();
    let end = text
        .char_indices()
        .position(|(at, char)| !(char.is_ascii_digit() || (at == 0 && "+-".contains(char)) || char == '.'));
    text[..end.unwrap_or(text.len())].parse().unwrap_or(0.0)
}

fn printable(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "(empty)".to_owned();
    }
    bytes.iter().map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '@' }).collect()
}
