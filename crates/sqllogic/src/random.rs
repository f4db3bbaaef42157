//! Scripts from a seed.

use std::fmt::Write;

use rusqlite::Result;

use crate::{
    Place,
    database::Answer,
    statements::{Dice, change, question},
};

/// A script of so many statements, with the answers that a database at `place` gives. Now and then another
/// connection goes on.
///
/// # Errors
/// When the database cannot be opened.
pub fn script(seed: u64, statements: usize, place: &Place) -> Result<String> {
    let mut dice = Dice::new(seed);
    let mut database = place.open()?;
    let mut text = String::new();
    let mut connection = 0;
    for _ in 0..statements {
        let sql = match dice.roll(40) {
            0 => {
                record(&mut text, "ROLLBACK", database.answer("ROLLBACK"));
                connection += 1;
                database = place.open()?;
                let _ = writeln!(text, "connection c{connection}");
                question(&mut dice)
            }
            1..=30 => change(&mut dice),
            _ => question(&mut dice),
        };
        record(&mut text, &sql, database.answer(&sql));
        if connection > 0 {
            let _ = writeln!(text, "connection c{connection}");
        }
    }
    Ok(text)
}

fn record(text: &mut String, sql: &str, answer: Result<Answer>) {
    // Writing to a string does not fail.
    let _ = match answer {
        Err(_) => writeln!(text, "statement error\n{sql}\n"),
        Ok(Answer::Done(_)) => writeln!(text, "statement ok\n{sql}\n"),
        Ok(Answer::Rows(columns, rows)) => {
            let rows: String = rows.iter().map(|row| row.join(" ") + "\n").collect();
            writeln!(text, "query {}\n{sql}\n----\n{rows}", "?".repeat(columns))
        }
    };
}
